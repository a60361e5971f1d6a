package people

import (
	"context"
	"slices"
	"strings"
	"time"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// Identity is a known caller.
type Identity struct {
	// User is the name; Local for a caller that proved nothing.
	User string
	Role store.Role
	// Via is what the caller showed: session, or token.
	Via store.CredentialKind
	// ID of the session or token.
	ID string
	// Scopes of the token.
	Scopes []string
	// Expires is when the session or token ends at the latest; zero = never.
	Expires time.Time
	// rights is what role and scopes come to.
	rights []Right
}

// Local is the name of a caller on this machine where those need no password.
// No user can have it.
const Local = "(local)"

// LocalAdmin is the identity of such a caller: it may all that an administrator
// may, but has no password and no tokens of its own.
func LocalAdmin() Identity {
	return Identity{User: Local, Role: store.Admin, Via: "local", rights: roleRights[store.Admin]}
}

// Known reports whether this is somebody: false for the zero value.
func (i Identity) Known() bool { return i.User != "" }

// Has reports whether the caller has a right.
func (i Identity) Has(r Right) bool {
	return r == Open || i.Known() && (r == Self || slices.Contains(i.rights, r))
}

// May reports whether the caller may call a method of the Admin service.
func (i Identity) May(method string) bool { return i.Check(method) == nil }

// Check is May with the reason: Unauthenticated for nobody, else Denied.
func (i Identity) Check(method string) error {
	r, ok := RightOf(method)
	switch {
	case ok && i.Has(r):
		return nil
	case !i.Known():
		return pieces.Errorf(pieces.Unauthenticated, "log in first, or send a token")
	case !ok:
		return pieces.Errorf(pieces.Denied, "nobody may call %.60q", method)
	case i.Via == store.Token && rightsAllow(i.Role, r):
		return pieces.Errorf(pieces.Denied, "this token may not do that: it needs the scope %s", r)
	}
	return pieces.Errorf(pieces.Denied, "user %s is %s and may not do that", i.User, i.Role)
}

func rightsAllow(role store.Role, r Right) bool { return slices.Contains(roleRights[role], r) }

// who is how the audit log names what the caller showed.
func (i Identity) who() string {
	if i.Via == store.Token {
		return "token " + i.ID
	}
	return string(i.Via)
}

type identityKey struct{}

// With is a context that knows its caller.
func With(ctx context.Context, i Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, i)
}

// From is the caller of a context, or nobody.
func From(ctx context.Context) Identity {
	i, _ := ctx.Value(identityKey{}).(Identity)
	return i
}

// maxName bounds the name of a user, in bytes.
const maxName = 64

// CheckName refuses what can't be the name of a user: a lower-case letter or a
// digit, then those and . _ @ + -.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxName
	for i, c := range name {
		plain := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		ok = ok && (plain || i > 0 && strings.ContainsRune("._@+-", c))
	}
	if !ok {
		return pieces.Errorf(pieces.Invalid, "user %.80q: want 1 to %d of a-z, 0-9, and after the first . _ @ + -", name, maxName)
	}
	return nil
}
