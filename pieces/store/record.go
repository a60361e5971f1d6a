package store

import (
	"encoding/binary"
	"encoding/hex"
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
const recordFormat = 2

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
	trust    trust
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
	return appendTrust(appendFacts(b, r.facts), r.trust)
}

func appendTrust(b []byte, t trust) []byte {
	if t == (trust{}) {
		return append(b, 0)
	}
	b = binary.AppendUvarint(append(b, 1), t.file.inode)
	b = binary.AppendVarint(b, t.file.size)
	b = binary.AppendVarint(b, t.file.mtime)
	b = binary.AppendVarint(b, t.file.ctime)
	return binary.BigEndian.AppendUint64(b, t.held)
}

func (d *decoder) trust() (t trust) {
	switch d.byte() {
	case 0:
	case 1:
		t.file = stamp{d.uvarint(), d.varint(), d.varint(), d.varint()}
		if held := d.take(8); held != nil {
			t.held = binary.BigEndian.Uint64(held)
		}
	default:
		d.bad = true
	}
	return t
}

func parseVersion(b []byte) (versionRecord, error) {
	d := decoder{b: b}
	format := d.byte()
	r := versionRecord{flags: versionFlags(d.byte())}
	r.key.Task = pieces.TaskID(hex.EncodeToString(d.take(32)))
	r.key.Version = pieces.VersionID(hex.EncodeToString(d.take(16)))
	r.accessed = time.Unix(d.varint(), 0)
	r.facts = d.facts()
	r.trust = d.trust()
	if d.bad || len(d.b) != 0 || format != recordFormat {
		return versionRecord{}, pieces.Errorf(pieces.Integrity, "damaged version record of %d bytes", len(b))
	}
	return r, nil
}
