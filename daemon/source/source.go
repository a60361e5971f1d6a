// Package source reads content from where it comes from: the origin. It is the
// only package that dials origins.
//
// Origin is the interface; HTTP implements it for http and https URLs. Retries,
// limits and metrics are decorators of the same interface:
//
//	o := source.WithRetry(source.WithLimit(source.WithRest(source.WithMetrics(http, reg), source.RestOptions{}), rate), source.RetryOptions{})
//
// in this order every attempt is counted and paid for.
//
// # What is promised
//
// An answer is believed only after its status, Content-Range, total, length,
// validator and encoding were checked against what was asked. A body yields
// exactly the bytes asked for, or an error: never silently fewer, never more.
// Content that is not of the Version asked for is a Changed error, and none of
// its bytes are handed out.
//
// # Errors
//
// All errors are *pieces.Error. 404 and 410 are NotFound, 401 and 403 Denied,
// 429 and 503 Throttled with RetryAfter, another Version Changed, silence
// Timeout, the end of the caller's context Canceled or Timeout, everything else
// Origin. IsPermanent tells which are not worth another try: a bad certificate
// is, a reset connection is not. Messages name scheme, host and path of the URL,
// never its query, and never a header.
package source

import (
	"context"
	"io"

	"damselfly/pieces"
)

// PrefixSize is how many leading bytes Stat asks for and keeps.
const PrefixSize = 64 << 10

// Origin is where the content of Tasks comes from. Implementations are safe for
// concurrent use. ctx governs a call and the body it returned.
type Origin interface {
	// Stat learns the facts of t with one request for its first PrefixSize
	// bytes, which it keeps.
	Stat(ctx context.Context, t *pieces.Task) (Stat, error)

	// ReadRange opens bytes [off, off+n) of the Version that f describes,
	// 0 ≤ off, 0 ≤ n, off+n ≤ f.Size. The body yields exactly n bytes and
	// io.EOF, or an error. Closing it early ends the request; a Read that
	// blocks is ended by ctx. f must come from a Stat or ReadAll with Spool unset; content
	// without Ranges can be read from 0 only, content whose Version is its
	// digest only up to PrefixSize: use ReadAll for the others.
	ReadRange(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (io.ReadCloser, error)

	// ReadAll opens the whole content as it is now, for origins without
	// ranges, validator or length. With a known st.Facts.Size the body yields
	// exactly that many bytes or an error; with -1 it yields whatever comes.
	ReadAll(ctx context.Context, t *pieces.Task) (body io.ReadCloser, st Stat, err error)
}

// Stat is what an origin says about content.
type Stat struct {
	// Facts; with Spool set they name no Version yet: Size may be -1 (unknown)
	// and Validator may be NoValidator.
	Facts pieces.Facts
	// Prefix is the first bytes of the content, at most PrefixSize, fewer from a
	// slow origin: all of it if it is no larger. Always empty from ReadAll.
	Prefix []byte
	// Spool: without validator or length, the Version is known only after the
	// whole content was read: Size its length, Validator its SumValidator.
	Spool bool
}

// Whole reports whether Prefix is the whole content.
func (s Stat) Whole() bool { return s.Facts.Size == int64(len(s.Prefix)) }

// SumValidator is the validator of content that has no other: the digest of all
// its bytes.
func SumValidator(sum pieces.Sum) pieces.Validator {
	return pieces.Validator{Kind: pieces.ContentSum, Value: sum.String()}
}
