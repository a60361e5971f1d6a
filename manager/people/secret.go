package people

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// A secret is PREFIX ID _ 256 random bits in base64url. The prefix tells people
// and scanners of leaks what it is.
var prefixes = map[store.CredentialKind]string{store.Session: "dfs_", store.Token: "dft_"}

// idBytes and secretBytes are the lengths of a secret's parts.
const (
	idBytes     = 8
	secretBytes = 32
)

func newSecret(kind store.CredentialKind) (id, secret, digest string) {
	var b [idBytes + secretBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	id = hex.EncodeToString(b[:idBytes])
	secret = prefixes[kind] + id + "_" + base64.RawURLEncoding.EncodeToString(b[idBytes:])
	return id, secret, digestOf(secret)
}

// parseSecret answers the public part.
func parseSecret(secret string) (kind store.CredentialKind, id string, ok bool) {
	for kind, prefix := range prefixes {
		rest, found := strings.CutPrefix(secret, prefix)
		id, key, _ := strings.Cut(rest, "_")
		if found && CheckID(id) == nil && len(key) == base64.RawURLEncoding.EncodedLen(secretBytes) {
			return kind, id, true
		}
	}
	return "", "", false
}

// CheckID refuses what can't be the id of a session or token.
func CheckID(id string) error {
	if b, err := hex.DecodeString(id); err != nil || len(b) != idBytes {
		return pieces.Errorf(pieces.Invalid, "token %.40q: want its id, %d hex digits", id, 2*idBytes)
	}
	return nil
}

func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func sameDigest(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
