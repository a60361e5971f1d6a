package source

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"damselfly/pieces"
)

// maxRetryAfter bounds what an origin may ask for.
const maxRetryAfter = time.Hour

// misbehaved is an origin that did something wrong; another try may help.
func misbehaved(format string, args ...any) *pieces.Error {
	return pieces.Errorf(pieces.Origin, format, args...)
}

// permanent is an origin that will do the same wrong thing again.
func permanent(format string, args ...any) *pieces.Error {
	e := misbehaved(format, args...)
	e.Permanent = true
	return e
}

// statusError is what a status that gives no content means. It is done with the
// answer.
func (h *HTTP) statusError(a *answer) error {
	a.body.discard()
	kind, msg := pieces.Origin, a.where+": "+statusText(a.status)
	switch a.status {
	case http.StatusNotFound, http.StatusGone:
		kind = pieces.NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = pieces.Denied
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e := pieces.Errorf(pieces.Throttled, "%s", msg)
		e.RetryAfter = retryAfter(a.header.Get("Retry-After"), h.o.Now())
		return e
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusInsufficientStorage:
		return misbehaved("%s", msg)
	default:
		if a.status >= 520 { // what proxies of content networks say of theirs
			return misbehaved("%s", msg)
		}
		return permanent("%s", msg)
	}
	return pieces.Errorf(kind, "%s", msg)
}

func statusText(status int) string {
	return strings.TrimSpace("the origin answered " + strconv.Itoa(status) + " " + http.StatusText(status))
}

// retryAfter reads seconds, however many, or a date; anything else is 0.
func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	var d time.Duration
	if s, err := strconv.ParseUint(v, 10, 63); err == nil || errors.Is(err, strconv.ErrRange) {
		d = time.Duration(min(s, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// transportError classifies what went wrong below HTTP. ctx is the caller's:
// its end explains every error.
func transportError(ctx context.Context, err error, where string) error {
	var own *pieces.Error
	var netErr net.Error
	switch {
	case ctx.Err() != nil:
		return pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), where)
	case errors.As(err, &own):
		return &pieces.Error{Kind: own.Kind, Permanent: own.Permanent, RetryAfter: own.RetryAfter, Msg: where, Err: err}
	case isTLS(err):
		return &pieces.Error{Kind: pieces.Origin, Permanent: true, Msg: where, Err: err}
	case errors.As(err, &netErr) && netErr.Timeout():
		return pieces.WithKind(pieces.Timeout, err, where)
	}
	return pieces.WithKind(pieces.Origin, err, where)
}

// isTLS reports whether err says that we and the origin do not agree on who it
// is or how to encrypt: what no other try changes.
func isTLS(err error) bool {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	if errors.As(err, &cert) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	// The rest of crypto/tls has no types, only texts: refusals of ours, and
	// alerts of the other side.
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	switch text := err.Error(); text {
	case "tls: bad record MAC", "tls: internal error", "tls: user canceled":
		return false // a fault on the way, or of the moment
	default:
		return strings.HasPrefix(text, "tls: ")
	}
}
