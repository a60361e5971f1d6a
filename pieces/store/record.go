package store

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"time"

	"damselfly/pieces"
)

// Key prefixes; see the package comment.
const (
	prefixVersion = 'v'
	prefixPiece   = 'p'
	prefixInline  = 'i'
	prefixHost    = 'h'
	prefixEntry   = 'c'
	prefixName    = 'n'
	prefixFacts   = 'f'
)

// recordFormat is the first byte of version and facts records.
const recordFormat = 1

// maxHostID bounds the length of a setter.
const maxHostID = 64

func versionKey(ord uint64) []byte { return binary.BigEndian.AppendUint64([]byte{prefixVersion}, ord) }
func inlineKey(ord uint64) []byte  { return binary.BigEndian.AppendUint64([]byte{prefixInline}, ord) }
func hostKey(n uint32) []byte      { return binary.BigEndian.AppendUint32([]byte{prefixHost}, n) }
func nameKey(name string) []byte   { return append([]byte{prefixName}, name...) }

func pieceKey(ord uint64, i int) []byte {
	k := make([]byte, 1, 13)
	k[0] = prefixPiece
	k = binary.BigEndian.AppendUint64(k, ord)
	return binary.BigEndian.AppendUint32(k, uint32(i))
}

// taskKey needs a well-formed id.
func taskKey(prefix byte, id pieces.TaskID) []byte {
	k, _ := hex.AppendDecode([]byte{prefix}, []byte(id))
	return k
}

// taskOf is the id whose raw bytes are b.
func taskOf(b []byte) pieces.TaskID { return pieces.TaskID(hex.EncodeToString(b)) }

func parseOrdKey(k []byte) (ord uint64, ok bool) {
	if len(k) != 9 {
		return 0, false
	}
	return binary.BigEndian.Uint64(k[1:]), true
}

func parsePieceKey(k []byte) (ord uint64, i int, ok bool) {
	if len(k) != 13 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(k[1:]), int(binary.BigEndian.Uint32(k[9:])), true
}

// heldRecord is what is known of a held piece.
type heldRecord struct {
	sum    pieces.Sum
	setter uint32 // number of the HostID
	length int64
	data   []byte // inline only: the bytes, len == length
}

// appendHeld encodes r: digest, setter, length, and for inline pieces the bytes.
func appendHeld(b []byte, r heldRecord) []byte {
	b = append(b, r.sum[:]...)
	b = binary.AppendUvarint(b, uint64(r.setter))
	b = binary.AppendUvarint(b, uint64(r.length))
	return append(b, r.data...)
}

// parseHeld decodes a record; data aliases b. A record that can't have been
// written by appendHeld is an Integrity error.
func parseHeld(b []byte, inline bool) (heldRecord, error) {
	var r heldRecord
	bad := func() (heldRecord, error) {
		return heldRecord{}, pieces.Errorf(pieces.Integrity, "damaged piece record of %d bytes", len(b))
	}
	if len(b) < len(r.sum) {
		return bad()
	}
	d := decoder{b: b[copy(r.sum[:], b):]}
	setter, length := d.uvarint(), d.uvarint()
	if d.bad || setter > 1<<32-1 || length == 0 || length > pieces.MaxPieceSize {
		return bad()
	}
	r.setter, r.length = uint32(setter), int64(length)
	if inline {
		r.data = d.b
	}
	if int64(len(d.b)) != int64(len(r.data)) || inline && int64(len(r.data)) != r.length {
		return bad()
	}
	return r, nil
}

// versionRecord is the durable part of a Version.
type versionRecord struct {
	key      pieces.Key
	facts    pieces.Facts
	accessed time.Time // to the second
	flags    versionFlags
}

type versionFlags uint8

const (
	// flagSuspect: not verified since an unclean stop in another boot.
	flagSuspect versionFlags = 1 << iota
	// flagPassthrough: descriptors may live outside this process.
	flagPassthrough
	// flagWhole: the pinned digest of the whole content matched.
	flagWhole
)

func appendVersion(b []byte, r versionRecord) []byte {
	b = append(b, recordFormat, byte(r.flags))
	b, _ = hex.AppendDecode(b, []byte(r.key.Task))
	b, _ = hex.AppendDecode(b, []byte(r.key.Version))
	b = binary.AppendVarint(b, r.accessed.Unix())
	return appendFacts(b, r.facts)
}

func parseVersion(b []byte) (versionRecord, error) {
	d := decoder{b: b}
	format := d.byte()
	r := versionRecord{flags: versionFlags(d.byte())}
	r.key.Task = pieces.TaskID(hex.EncodeToString(d.take(32)))
	r.key.Version = pieces.VersionID(hex.EncodeToString(d.take(16)))
	r.accessed = time.Unix(d.varint(), 0)
	r.facts = d.facts()
	if d.bad || len(d.b) != 0 || format != recordFormat {
		return versionRecord{}, pieces.Errorf(pieces.Integrity, "damaged version record of %d bytes", len(b))
	}
	return r, nil
}

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

// entryRecord is a catalogue entry on disk. It has no place for headers.
type entryRecord struct {
	URL         string
	PublicURL   string
	Tag         string        `json:",omitempty"`
	Application string        `json:",omitempty"`
	Digest      pieces.Digest `json:",omitempty"`
	FilterQuery []string      `json:",omitempty"`
	Audience    string        `json:",omitempty"`
	Names       []string      `json:",omitempty"`
	UID, GID    uint32
	Added       time.Time
}

func encodeEntry(e Entry) ([]byte, error) {
	t := e.Task
	return json.Marshal(entryRecord{t.URL, t.PublicURL, t.Tag, t.Application, t.Digest, t.FilterQuery, t.Audience, e.Names, e.UID, e.GID, e.Added})
}

// parseEntry decodes the entry of a Task; it must hash to id.
func parseEntry(id pieces.TaskID, b []byte) (Entry, error) {
	var r entryRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return Entry{}, pieces.WithKind(pieces.Integrity, err, "damaged catalogue entry "+id.Short())
	}
	e := Entry{
		Task: pieces.Task{
			ID: id, URL: r.URL, PublicURL: r.PublicURL, Tag: r.Tag, Application: r.Application,
			Digest: r.Digest, FilterQuery: r.FilterQuery, Audience: r.Audience,
		},
		Names: r.Names, UID: r.UID, GID: r.GID, Added: r.Added,
	}
	if err := e.Task.CheckID(); err != nil {
		return Entry{}, pieces.WithKind(pieces.Integrity, err, "damaged catalogue entry "+id.Short())
	}
	return e, nil
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
