package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
)

func TestEveryKindHasACodeAndSurvivesTheWire(t *testing.T) {
	require.Len(t, kindCodes, len(pieces.Kinds()))
	for _, kind := range pieces.Kinds() {
		for _, permanent := range []bool{false, true} {
			in := &pieces.Error{Kind: kind, Msg: "task abc: it failed", Permanent: permanent, RetryAfter: 1500 * time.Millisecond}
			st := Status(fmt.Errorf("while testing: %w", in))
			require.NotEqual(t, codes.OK, status.Code(st), kind)

			var out *pieces.Error
			require.ErrorAs(t, FromStatus(st), &out)
			require.Equal(t, pieces.Error{Kind: kind, Msg: "while testing: task abc: it failed", Permanent: permanent, RetryAfter: in.RetryAfter}, *out)
			require.Equal(t, status.Code(st), status.Code(Status(out)), "a second hop keeps the code")
		}
	}
}

func TestStatusClassifiesPlainErrors(t *testing.T) {
	for err, want := range map[error]codes.Code{
		context.Canceled:         codes.Canceled,
		context.DeadlineExceeded: codes.DeadlineExceeded,
		errors.New("surprise"):   codes.Internal,
	} {
		require.Equal(t, want, status.Code(Status(err)), err)
	}
	require.NoError(t, Status(nil))
	foreign := status.Error(codes.Unimplemented, "unknown method")
	require.Equal(t, foreign, Status(foreign))
}

func TestFromStatusOfOthers(t *testing.T) {
	require.NoError(t, FromStatus(nil))
	require.Equal(t, io.EOF, FromStatus(io.EOF))
	for code, want := range map[codes.Code]pieces.Kind{
		codes.Unavailable:       pieces.Unavailable,
		codes.DeadlineExceeded:  pieces.Timeout,
		codes.Canceled:          pieces.Canceled,
		codes.Unauthenticated:   pieces.Unauthenticated,
		codes.ResourceExhausted: pieces.Full,
		codes.Unimplemented:     pieces.Invalid,
		codes.Unknown:           pieces.Internal,
		codes.NotFound:          pieces.NotFound,
	} {
		require.Equal(t, want, pieces.KindOf(FromStatus(status.Error(code, "x"))), code)
	}
}

func TestErrorsFromOthersAreBounded(t *testing.T) {
	long := ErrorTo(pieces.Errorf(pieces.Origin, "%s", strings.Repeat("é", 5000)+"\xff"))
	require.LessOrEqual(t, len(long.Message), maxMessage+len("…"))
	require.True(t, utf8.ValidString(long.Message))

	err := ErrorFrom(&commonpb.Error{Kind: 4711, Message: strings.Repeat("x", 1<<20), RetryAfterMs: 1 << 60})
	require.Equal(t, pieces.Internal, pieces.KindOf(err))
	require.LessOrEqual(t, len(err.Error()), maxMessage+len("…"))
	require.Equal(t, maxRetryAfter, pieces.RetryAfter(err))
	require.Zero(t, pieces.RetryAfter(ErrorFrom(&commonpb.Error{RetryAfterMs: -5})))
	require.NoError(t, ErrorFrom(nil))
	require.Nil(t, ErrorTo(nil))
}
