package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"damselfly/pieces"
)

// Bounds of a password. A long one costs no more than a short one, but a body
// of megabytes need not be hashed.
const (
	minPassword = 12  // characters
	maxPassword = 256 // bytes
)

// CheckPassword refuses what is too short or too long to be one.
func CheckPassword(password string) error {
	if utf8.RuneCountInString(password) < minPassword || len(password) > maxPassword || !utf8.ValidString(password) {
		return pieces.Errorf(pieces.Invalid, "a password has %d characters to %d bytes", minPassword, maxPassword)
	}
	return nil
}

// NewPassword makes one of 120 random bits.
func NewPassword() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// cost of a digest: argon2id with the least memory that OWASP's cheat sheet of
// password storage advises (19 MiB, two passes).
type cost struct {
	memory uint32 // KiB
	passes uint32
}

var defaultCost = cost{memory: 19 << 10, passes: 2}

// Bounds of a cost that is read from the database.
const (
	maxMemory = 1 << 20 // KiB
	maxPasses = 100
	keyBytes  = 32
	saltBytes = 16
)

// hasher makes and checks digests of passwords, a few at a time: each takes
// memory and a core.
type hasher struct {
	cost  cost
	slots chan struct{}
	// decoy is checked where there is no user, so that it takes as long.
	decoy string
}

func newHasher(c cost, slots int) *hasher {
	h := &hasher{cost: c, slots: make(chan struct{}, slots)}
	h.decoy = h.digest(NewPassword())
	return h
}

// hash waits for its turn.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	return h.digest(password), nil
}

func (h *hasher) digest(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	key := argon2.IDKey([]byte(password), salt, h.cost.passes, h.cost.memory, 1, keyBytes)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, h.cost.memory, h.cost.passes, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// matches reports whether password has that digest. An empty or unreadable
// digest matches nothing, and takes as long.
func (h *hasher) matches(ctx context.Context, password, digest string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	c, salt, key, ok := parseDigest(digest)
	if !ok {
		c, salt, key, _ = parseDigest(h.decoy)
	}
	got := argon2.IDKey([]byte(password), salt, c.passes, c.memory, 1, keyBytes)
	return subtle.ConstantTimeCompare(got, key) == 1 && ok, nil
}

func parseDigest(digest string) (c cost, salt, key []byte, ok bool) {
	parts := strings.Split(digest, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &c.memory, &c.passes); err != nil {
		return c, nil, nil, false
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	ok = saltErr == nil && keyErr == nil && len(key) == keyBytes && len(salt) > 0 &&
		0 < c.memory && c.memory <= maxMemory && 0 < c.passes && c.passes <= maxPasses
	return c, salt, key, ok
}

func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "checking a password")
	}
}

func (h *hasher) leave() { <-h.slots }
