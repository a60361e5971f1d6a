package store

import (
	"encoding/binary"
	"time"

	"damselfly/pieces"
)

// appendFacts encodes facts; the Modified time to the second.
func appendFacts(b []byte, f pieces.Facts) []byte {
	b = binary.AppendUvarint(b, uint64(f.Size))
	b = append(b, byte(f.Validator.Kind))
	b = binary.AppendUvarint(b, uint64(len(f.Validator.Value)))
	b = append(b, f.Validator.Value...)
	var bits byte
	if f.Ranges {
		bits |= 1
	}
	if !f.Modified.IsZero() {
		bits |= 2
	}
	b = append(b, bits)
	if !f.Modified.IsZero() {
		b = binary.AppendVarint(b, f.Modified.Unix())
	}
	return b
}

func (d *decoder) facts() pieces.Facts {
	f := pieces.Facts{Size: int64(d.uvarint())}
	f.Validator.Kind = pieces.ValidatorKind(d.byte())
	f.Validator.Value = string(d.take(d.uvarint()))
	bits := d.byte()
	f.Ranges = bits&1 != 0
	if bits&2 != 0 {
		f.Modified = time.Unix(d.varint(), 0).UTC()
	}
	if f.Size < 0 || f.Size > pieces.MaxSize || bits > 3 {
		d.bad = true
	}
	return f
}

// factsRecord is what was last learnt of a Task.
type factsRecord struct {
	facts   pieces.Facts
	checked time.Time
}

func appendFactsRecord(b []byte, r factsRecord) []byte {
	b = binary.AppendVarint(append(b, recordFormat), r.checked.UnixMilli())
	return appendFacts(b, r.facts)
}

func parseFactsRecord(b []byte) (factsRecord, error) {
	d := decoder{b: b}
	format := d.byte()
	r := factsRecord{checked: time.UnixMilli(d.varint())}
	r.facts = d.facts()
	if d.bad || len(d.b) != 0 || format != recordFormat {
		return factsRecord{}, pieces.Errorf(pieces.Integrity, "damaged facts record of %d bytes", len(b))
	}
	return r, nil
}

// decoder reads a record; once bad, it stays bad and yields zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.take(uint64(max(n, 0))); n <= 0 {
		d.bad = true
		return 0
	}
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if d.take(uint64(max(n, 0))); n <= 0 {
		d.bad = true
		return 0
	}
	return v
}
