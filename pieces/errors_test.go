package pieces

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for i, k := range Kinds() {
		require.Equal(t, Kind(i), k)
		require.NotContains(t, k.String(), "kind(")
		require.False(t, seen[k.String()])
		seen[k.String()] = true
	}
	require.Len(t, Kinds(), int(Unauthenticated)+1)
	require.Equal(t, "kind(200)", Kind(200).String())
}

func TestKindOf(t *testing.T) {
	inner := Errorf(NotFound, "no such thing")
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{nil, Internal}, {io.EOF, Internal}, {inner, NotFound},
		{fmt.Errorf("doing: %w", inner), NotFound},
		{WithKind(Unavailable, inner, "doing"), Unavailable},
		{Errorf(Origin, "doing: %w", inner), Origin},
		{errors.Join(io.EOF, inner), NotFound},
		{context.Canceled, Canceled}, {fmt.Errorf("x: %w", context.DeadlineExceeded), Timeout},
		{WithKind(Timeout, context.Canceled, "x"), Timeout},
		{fs.ErrNotExist, NotFound}, {&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, Denied},
	} {
		require.Equal(t, c.want, KindOf(c.err), "%v", c.err)
	}
}

func TestErrorTexts(t *testing.T) {
	require.Equal(t, "task x", Errorf(Invalid, "task %s", "x").Error())
	require.Equal(t, "task x: EOF", Errorf(Invalid, "task %s: %w", "x", io.EOF).Error())
	require.Equal(t, "task x: EOF", WithKind(Invalid, io.EOF, "task x").Error())
	require.Equal(t, "EOF", WithKind(Invalid, io.EOF, "").Error())
	require.NoError(t, WithKind(Invalid, nil, "x"))

	for _, err := range []error{
		Errorf(Origin, "x: %w", io.EOF), WithKind(Origin, io.EOF, "x"), Errorf(Origin, "%w and %w", fs.ErrClosed, io.EOF),
	} {
		require.ErrorIs(t, err, io.EOF)
	}
	require.Equal(t, fs.ErrClosed.Error()+" and EOF", Errorf(Origin, "%w and %w", fs.ErrClosed, io.EOF).Error())
}

func TestPermanent(t *testing.T) {
	for _, k := range Kinds() {
		want := k == Invalid || k == NotFound || k == Denied || k == Changed || k == Exists || k == Unauthenticated
		require.Equal(t, want, IsPermanent(Errorf(k, "x")), k.String())
		require.Equal(t, want, IsPermanent(WithKind(k, io.EOF, "x")), k.String())
		require.Equal(t, want, IsPermanent(Errorf(k, "x: %w", io.EOF)), k.String())
		require.Zero(t, RetryAfter(Errorf(k, "x")))
	}
	require.False(t, IsPermanent(nil))
	require.False(t, IsPermanent(io.EOF))
	require.Zero(t, RetryAfter(nil))

	// Saying what was being done takes nothing away; another kind does.
	throttled := &Error{Kind: Throttled, RetryAfter: time.Minute}
	broken := &Error{Kind: Origin, Permanent: true}
	for _, wrap := range []func(Kind, error) error{
		func(k Kind, err error) error { return WithKind(k, err, "doing") },
		func(k Kind, err error) error { return Errorf(k, "doing: %w", err) },
	} {
		require.Equal(t, time.Minute, RetryAfter(wrap(Throttled, throttled)))
		require.Equal(t, time.Minute, RetryAfter(wrap(Throttled, wrap(Throttled, throttled))))
		require.True(t, IsPermanent(wrap(Origin, broken)))
		require.False(t, IsPermanent(wrap(Unavailable, broken)))
		require.Zero(t, RetryAfter(wrap(Unavailable, throttled)))
		require.True(t, IsPermanent(wrap(Denied, throttled)))
	}
	require.Equal(t, time.Minute, RetryAfter(fmt.Errorf("x: %w", throttled)))
}
