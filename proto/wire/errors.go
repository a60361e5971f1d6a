package wire

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
)

// maxMessage bounds the text of an error, either way; maxRetryAfter what we
// let anyone ask us to wait.
const (
	maxMessage    = 2 << 10
	maxRetryAfter = 24 * time.Hour
)

// kindCodes is the only table between kinds and codes. A status of ours carries
// the kind itself in an ErrorDetail; the code is for everybody else.
var kindCodes = [...]codes.Code{
	pieces.Internal:        codes.Internal,
	pieces.Invalid:         codes.InvalidArgument,
	pieces.NotFound:        codes.NotFound,
	pieces.Denied:          codes.PermissionDenied,
	pieces.Changed:         codes.Aborted,
	pieces.Timeout:         codes.DeadlineExceeded,
	pieces.Canceled:        codes.Canceled,
	pieces.Unavailable:     codes.Unavailable,
	pieces.Throttled:       codes.ResourceExhausted,
	pieces.Integrity:       codes.DataLoss,
	pieces.Origin:          codes.FailedPrecondition,
	pieces.Full:            codes.OutOfRange,
	pieces.Exists:          codes.AlreadyExists,
	pieces.Unauthenticated: codes.Unauthenticated,
}

// kindOfCode reads the table backwards, for statuses that gRPC or others made.
func kindOfCode(c codes.Code) pieces.Kind {
	switch c {
	case codes.Unimplemented:
		return pieces.Invalid
	case codes.ResourceExhausted:
		// Without a detail of ours: gRPC refusing a message over the limit.
		return pieces.Full
	case codes.Unknown:
		return pieces.Internal
	}
	for kind, code := range kindCodes {
		if code == c {
			return pieces.Kind(kind)
		}
	}
	return pieces.Internal
}

// ErrorTo gives err as a message; nil for nil. Only kind, text and retry rules
// travel, never the cause itself.
func ErrorTo(err error) *commonpb.Error {
	if err == nil {
		return nil
	}
	after := min(max(pieces.RetryAfter(err), 0), maxRetryAfter)
	return &commonpb.Error{
		Kind:         uint32(pieces.KindOf(err)),
		Message:      clip(err.Error()),
		Permanent:    pieces.IsPermanent(err),
		RetryAfterMs: int64((after + time.Millisecond - 1) / time.Millisecond),
	}
}

// ErrorFrom gives a *pieces.Error; nil for nil. A kind from the future is
// Internal.
func ErrorFrom(m *commonpb.Error) error {
	if m == nil {
		return nil
	}
	e := &pieces.Error{
		Kind:       pieces.Internal,
		Msg:        clip(m.Message),
		Permanent:  m.Permanent,
		RetryAfter: time.Duration(min(max(m.RetryAfterMs, 0), maxRetryAfter.Milliseconds())) * time.Millisecond,
	}
	if m.Kind < uint32(len(kindCodes)) {
		e.Kind = pieces.Kind(m.Kind)
	}
	return e
}

// Status gives err as the gRPC status a server answers; nil for nil. What is a
// status already stays as it is.
func Status(err error) error {
	if err == nil {
		return nil
	}
	var classified *pieces.Error
	if _, ok := status.FromError(err); ok && !errors.As(err, &classified) {
		return err
	}
	m := ErrorTo(err)
	code := kindCodes[pieces.Internal]
	if m.Kind < uint32(len(kindCodes)) {
		code = kindCodes[m.Kind]
	}
	st, derr := status.New(code, m.Message).WithDetails(&commonpb.ErrorDetail{Error: m})
	if derr != nil {
		return status.Error(code, m.Message)
	}
	return st.Err()
}

// FromStatus gives a *pieces.Error for a gRPC status: the very kind for one
// made by Status, the nearest kind for others. Anything else, io.EOF included,
// stays as it is.
func FromStatus(err error) error {
	var classified *pieces.Error
	if err == nil || errors.As(err, &classified) {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	if e := ErrorFrom(detail(st)); e != nil {
		return e
	}
	e := pieces.Errorf(kindOfCode(st.Code()), "%s", clip(st.Message()))
	if st.Code() == codes.Unimplemented {
		e.Msg = "the other side does not know this call: " + e.Msg
	}
	return e
}

// HasDetail reports whether err is a status that Status made, as opposed to
// one of the transport.
func HasDetail(err error) bool {
	st, ok := status.FromError(err)
	return ok && detail(st) != nil
}

func detail(st *status.Status) *commonpb.Error {
	for _, d := range st.Details() {
		if d, ok := d.(*commonpb.ErrorDetail); ok && d.Error != nil {
			return d.Error
		}
	}
	return nil
}

// clip bounds a text and makes it valid UTF-8, as messages need.
func clip(s string) string {
	if len(s) > maxMessage {
		cut := maxMessage
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
