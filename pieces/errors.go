package pieces

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Kind is what an error means to whoever asked. Every layer speaks these kinds
// and nothing else; errno, gRPC codes and exit codes each have one table.
type Kind uint8

// The kinds. Internal is the zero value: an error nobody classified.
const (
	Internal        Kind = iota
	Invalid              // the request is malformed: fix the input
	NotFound             // no such Task, or the origin says 404/410
	Denied               // the origin says 401/403, or a rule of ours refuses
	Changed              // this Version was replaced by another one
	Timeout              // a deadline passed without progress
	Canceled             // the asker gave up
	Unavailable          // a component can't be reached just now: try again
	Throttled            // told to slow down; RetryAfter says how long
	Integrity            // bytes do not match their digest
	Origin               // the origin failed or misbehaves (5xx, bad headers, resets)
	Full                 // out of space or over a limit
	Exists               // the name is taken by something else
	Unauthenticated      // the caller did not say who it is, or could not prove it
)

var kindNames = [...]string{
	"internal", "invalid", "not found", "denied", "changed", "timeout", "canceled",
	"unavailable", "throttled", "integrity", "origin", "full", "exists", "unauthenticated",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Kinds returns every kind, for tables that must be complete.
func Kinds() []Kind {
	ks := make([]Kind, len(kindNames))
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

// Error is an error with a kind. Its text is for people; code looks at KindOf.
type Error struct {
	Kind Kind
	// Msg says what was being done, to which task, piece or peer.
	Msg string
	// Permanent: the same request will fail the same way, so don't retry.
	Permanent bool
	// RetryAfter, if positive, is how long the other side asked to be left alone.
	RetryAfter time.Duration
	// Err is the cause, or nil.
	Err error
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Msg
	case e.Msg == "":
		return e.Err.Error()
	}
	return e.Msg + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// KindName is e's kind for who can't know this package.
func (e *Error) KindName() string { return e.Kind.String() }

// Errorf makes an Error of the given kind. %w wraps a cause. The kinds that
// repeat for the same request (Invalid, NotFound, Denied, Changed, Exists,
// Unauthenticated) are
// permanent; a cause of the same kind hands on Permanent and RetryAfter.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	switch err.(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		return wrap(kind, err, "")
	}
	return &Error{Kind: kind, Msg: err.Error(), Permanent: permanentKind(kind)}
}

// WithKind wraps err in kind, saying what was being done. Nil stays nil. If err
// is of that kind already, Permanent and RetryAfter are handed on.
func WithKind(kind Kind, err error, doing string) error {
	if err == nil {
		return nil
	}
	return wrap(kind, err, doing)
}

func wrap(kind Kind, err error, doing string) *Error {
	e := &Error{Kind: kind, Msg: doing, Err: err, Permanent: permanentKind(kind)}
	if KindOf(err) == kind {
		e.Permanent = e.Permanent || IsPermanent(err)
		e.RetryAfter = RetryAfter(err)
	}
	return e
}

func permanentKind(k Kind) bool {
	switch k {
	case Invalid, NotFound, Denied, Changed, Exists, Unauthenticated:
		return true
	}
	return false
}

// KindOf returns the kind of the outermost classified error in err's chain.
// Context and file-system errors count as classified; nil and the unknown are
// Internal.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return Internal
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrPermission):
		return Denied
	}
	return Internal
}

// IsPermanent reports whether retrying the same request is pointless.
func IsPermanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Permanent
}

// RetryAfter returns how long the other side asked to be left alone, or 0.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
