package wire

import (
	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
)

// The numbers of these words are the same here and on the wire; a test holds
// every pair together.

// ClassTo gives the class of a want or lease.
func ClassTo(c pieces.Class) schedulerpb.Class { return schedulerpb.Class(c) }

// ClassFrom refuses classes we don't know.
func ClassFrom(m schedulerpb.Class) (pieces.Class, error) {
	return enumFrom[pieces.Class]("class", m, schedulerpb.Class_FILL)
}

// FailReasonTo gives why a download failed.
func FailReasonTo(r pieces.FailReason) schedulerpb.Failed_Reason {
	return schedulerpb.Failed_Reason(r)
}

// FailReasonFrom refuses reasons we don't know.
func FailReasonFrom(m schedulerpb.Failed_Reason) (pieces.FailReason, error) {
	return enumFrom[pieces.FailReason]("reason", m, schedulerpb.Failed_MALFORMED)
}

// ScopeTo gives a size scope.
func ScopeTo(s pieces.SizeScope) schedulerpb.SizeScope { return schedulerpb.SizeScope(s) }

// ScopeFrom refuses scopes we don't know.
func ScopeFrom(m schedulerpb.SizeScope) (pieces.SizeScope, error) {
	return enumFrom[pieces.SizeScope]("size scope", m, schedulerpb.SizeScope_NORMAL)
}

// PolicyTo gives a policy.
func PolicyTo(p pieces.Policy) schedulerpb.Policy { return schedulerpb.Policy(p) }

// PolicyFrom refuses policies we don't know.
func PolicyFrom(m schedulerpb.Policy) (pieces.Policy, error) {
	return enumFrom[pieces.Policy]("policy", m, schedulerpb.Policy_CLASSIC)
}

func enumFrom[T ~uint8, M ~int32](what string, m, last M) (T, error) {
	if m < 0 || m > last {
		return 0, pieces.Errorf(pieces.Invalid, "unknown %s %d", what, m)
	}
	return T(m), nil
}
