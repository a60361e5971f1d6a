package pieces

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/zeebo/blake3"
)

// Sum is the BLAKE3-256 of one piece.
type Sum [32]byte

// SumOf returns the digest of a piece's bytes.
func SumOf(b []byte) Sum { return blake3.Sum256(b) }

// IsZero reports whether the sum was never set.
func (s Sum) IsZero() bool { return s == Sum{} }

func (s Sum) String() string { return "blake3:" + hex.EncodeToString(s[:]) }

// NewSumHash returns a running hash whose Sum(nil) is a piece's Sum.
func NewSumHash() hash.Hash { return blake3.New() }

// Digest pins whole content: "sha256:<hex>", "sha512:<hex>" or "blake3:<hex>",
// lower case. Empty means unpinned.
type Digest string

var digestAlgorithms = map[string]struct {
	hexLen int
	new    func() hash.Hash
}{
	"sha256": {64, sha256.New},
	"sha512": {128, sha512.New},
	"blake3": {64, func() hash.Hash { return blake3.New() }},
}

// ParseDigest checks "ALG:HEX" and lowers its case. Empty input is the empty
// Digest.
func ParseDigest(s string) (Digest, error) {
	if s == "" {
		return "", nil
	}
	s = strings.ToLower(strings.TrimSpace(s))
	alg, sum, ok := strings.Cut(s, ":")
	a, known := digestAlgorithms[alg]
	if !ok || !known {
		return "", Errorf(Invalid, "digest %.150q: want sha256:HEX, sha512:HEX or blake3:HEX", s)
	}
	if !isLowerHex(sum, a.hexLen) {
		return "", Errorf(Invalid, "digest %.150q: %s takes %d hex digits", s, alg, a.hexLen)
	}
	return Digest(s), nil
}

// Hash returns a running hash of the digest's algorithm; d must not be empty.
func (d Digest) Hash() hash.Hash {
	alg, _, _ := strings.Cut(string(d), ":")
	return digestAlgorithms[alg].new()
}

// Verify returns an Integrity error unless h, made by d.Hash and fed with the
// whole content, matches.
func (d Digest) Verify(h hash.Hash) error {
	alg, want, _ := strings.Cut(string(d), ":")
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return &Error{Kind: Integrity, Permanent: true, Msg: "content digest is " + alg + ":" + got + ", pinned is " + string(d)}
	}
	return nil
}
