package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"damselfly/pieces"
)

var (
	errIdle   = errors.New("no byte came")
	errEnough = errors.New("what came will do")
)

// body reads an answer. With left ≥ 0 it yields exactly that many bytes.
type body struct {
	ctx    context.Context // the caller's
	rctx   context.Context // the request's, ended by cancel
	cancel context.CancelCauseFunc
	from   io.ReadCloser
	left   int64 // bytes still to come, -1 = whatever comes
	got    int64
	o      *HTTPOptions
	timer  *time.Timer // runs only inside Read
	// recent bytes came in spent time inside Read; both start anew after SlowTime.
	recent int64
	spent  time.Duration
	err    error // sticky
	where  string
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(b.o.IdleTimeout, func() { b.cancel(errIdle) })
	} else {
		b.timer.Reset(b.o.IdleTimeout)
	}
	began := time.Now()
	n, err := b.from.Read(p)
	b.timer.Stop()
	b.got += int64(n)
	slow := b.slow(n, time.Since(began))
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case b.left == 0:
		return n, nil // the last bytes; whatever else came with them is not ours
	case err == io.EOF && b.left < 0:
		b.err = io.EOF
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		b.err = b.short(err)
	case err != nil:
		b.err = b.failed(err)
	case slow:
		b.err = pieces.Errorf(pieces.Timeout, "%s: fewer than %d bytes in %s, after %d bytes of the answer", b.where, b.o.SlowBytes, b.o.SlowTime, b.got)
	}
	return n, b.err
}

// slow counts n bytes that took d, and reports whether that is too slow.
func (b *body) slow(n int, d time.Duration) bool {
	b.recent += int64(n)
	if b.spent += d; b.spent < b.o.SlowTime {
		return false
	}
	slow := b.recent < b.o.SlowBytes
	b.recent, b.spent = 0, 0
	return slow
}

func (b *body) short(err error) error {
	if b.rctx.Err() != nil {
		return b.failed(err)
	}
	doing := fmt.Sprintf("%s: the connection closed after %d bytes", b.where, b.got)
	if b.left > 0 {
		doing += fmt.Sprintf(" of %d", b.got+b.left)
	}
	return pieces.WithKind(pieces.Origin, io.ErrUnexpectedEOF, doing)
}

func (b *body) failed(err error) error {
	if b.ctx.Err() == nil && context.Cause(b.rctx) == errIdle {
		return pieces.Errorf(pieces.Timeout, "%s: silent for %s after %d bytes of the answer", b.where, b.o.IdleTimeout, b.got)
	}
	return transportError(b.ctx, err, b.where)
}

// Close ends the request. Reads after it fail. A Read that blocks is ended by
// the caller's context, not by Close.
func (b *body) Close() error {
	if b.err == nil && b.left != 0 {
		b.err = pieces.Errorf(pieces.Canceled, "%s: read after close", b.where)
	}
	_ = b.from.Close() // nothing is lost with it
	b.cancel(nil)
	return nil
}

// readPrefix reads the first n bytes of an answer, or, of a slow one, those that
// come within PrefixTime.
func (b *body) readPrefix(n int64) ([]byte, error) {
	timer := time.AfterFunc(b.o.PrefixTime, func() { b.cancel(errEnough) })
	defer timer.Stop()
	buf := make([]byte, n)
	k, err := io.ReadFull(b, buf)
	if err != nil && b.ctx.Err() == nil && context.Cause(b.rctx) == errEnough {
		err = nil
	}
	return buf[:k], err
}

// readUpTo reads the first limit bytes of an answer, or all of a shorter one;
// more says that others follow.
func (b *body) readUpTo(limit int) (data []byte, more bool, err error) {
	buf := make([]byte, limit+1)
	n, err := io.ReadFull(b, buf)
	if b.err == io.EOF || b.left == 0 {
		err = nil
	}
	return buf[:min(n, limit)], n > limit, err
}

// What is read of an answer that is of no interest.
const (
	discardBytes = 4 << 10
	discardTime  = 100 * time.Millisecond
)

// discard reads a short body to its end, so that the connection can be used
// again, and closes it. It takes no longer than discardTime.
func (b *body) discard() {
	timer := time.AfterFunc(discardTime, func() { b.cancel(errIdle) })
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, b, discardBytes)
	_ = b.Close()
}
