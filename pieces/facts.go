package pieces

import (
	"encoding/hex"
	"strconv"
	"time"
)

// ValidatorKind says how an origin lets us tell one Version from another.
type ValidatorKind uint8

// The validators, best first.
const (
	NoValidator  ValidatorKind = iota // unknown yet
	StrongETag                        // If-Match works
	WeakETag                          // header compared
	LastModified                      // If-Unmodified-Since, header compared
	ContentSum                        // no validator or no length: the blake3 of the whole content
)

// Validator identifies a state of the content at its origin.
type Validator struct {
	Kind  ValidatorKind
	Value string
}

// Facts is what must be known of a Task before it can be read: the answer to
// stat(2). Facts are values; they are never changed after they were made.
type Facts struct {
	Size      int64
	Validator Validator
	// Modified is the origin's Last-Modified, or zero.
	Modified time.Time
	// Ranges: the origin serves byte ranges of this content. Without it the
	// whole content is read under one lease.
	Ranges bool
}

// VersionID derives the Version that f describes: the first 16 bytes of
// SHA-256 over size, validator kind and value, each length-prefixed.
func (f Facts) VersionID() VersionID {
	h := newFieldHash("damselfly version 1")
	h.field(strconv.FormatInt(f.Size, 10))
	h.field(strconv.Itoa(int(f.Validator.Kind)))
	h.field(f.Validator.Value)
	return VersionID(hex.EncodeToString(h.sum()[:16]))
}

// Geometry returns how content of these facts is cut into pieces.
func (f Facts) Geometry() (Geometry, error) { return GeometryOf(f.Size) }

// SizeScope says how a Task of a size is handed to a registering peer.
type SizeScope uint8

// The scopes of DESIGN §6.
const (
	ScopeEmpty  SizeScope = iota // 0 bytes: nothing to fetch
	ScopeTiny                    // ≤ TinySize and public: bytes come in the registration reply
	ScopeSmall                   // one piece: one parent in the reply
	ScopeNormal                  // the rest
)

// TinySize is the most bytes that travel inside a registration reply.
const TinySize = 4 << 10

// ScopeOf returns the scope of content of size bytes; only public Tasks
// (no audience) are ever Tiny.
func ScopeOf(size int64, public bool) SizeScope {
	switch {
	case size == 0:
		return ScopeEmpty
	case size <= TinySize && public:
		return ScopeTiny
	case size <= MinPieceSize:
		return ScopeSmall
	}
	return ScopeNormal
}
