package source

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"damselfly/pieces"
)

// Stat implements Origin.
func (h *HTTP) Stat(ctx context.Context, t *pieces.Task) (Stat, error) {
	want := http.Header{"Range": {fmt.Sprintf("bytes=0-%d", PrefixSize-1)}}
	a, err := h.get(ctx, t, want)
	if err != nil {
		return Stat{}, err
	}
	defer a.body.Close()
	switch a.status {
	case http.StatusPartialContent:
		return statPartial(a)
	case http.StatusOK:
		return statWhole(a)
	case http.StatusRequestedRangeNotSatisfiable:
		return h.statUnranged(ctx, t, a)
	}
	return Stat{}, h.statusError(a)
}

// statUnranged asks again without a range: content is empty, or its origin
// refuses ranges that reach past the end. The 416 itself has no validator.
func (h *HTTP) statUnranged(ctx context.Context, t *pieces.Task, refused *answer) (Stat, error) {
	refused.body.discard()
	a, err := h.get(ctx, t, nil)
	if err != nil {
		return Stat{}, err
	}
	defer a.body.Close()
	switch a.status {
	case http.StatusOK:
		return statWhole(a)
	case http.StatusRequestedRangeNotSatisfiable, http.StatusNoContent:
		if cr, ok := parseContentRange(refused.header.Get("Content-Range")); ok && cr.total == 0 {
			return a.stat(0, true, nil, true)
		}
	}
	return Stat{}, h.statusError(a)
}

// statPartial reads a 206.
func statPartial(a *answer) (Stat, error) {
	if err := a.checkEncoding(); err != nil {
		return Stat{}, err
	}
	cr, ok := parseContentRange(a.header.Get("Content-Range"))
	if !ok || cr.first != 0 || cr.last >= PrefixSize {
		return Stat{}, permanent("%s: asked for the first %d bytes, the origin answered 206 with Content-Range %.80q",
			a.where, PrefixSize, a.header.Get("Content-Range"))
	}
	n := cr.last + 1
	if err := a.expect(n); err != nil {
		return Stat{}, err
	}
	prefix, err := a.body.readPrefix(n)
	if err != nil {
		return Stat{}, err
	}
	return a.stat(cr.total, true, prefix, cr.total == int64(len(prefix)))
}

// statWhole reads a 200: the origin ignored the range.
func statWhole(a *answer) (Stat, error) {
	if err := a.checkEncoding(); err != nil {
		return Stat{}, err
	}
	if a.length < 0 {
		prefix, more, err := a.body.readUpTo(PrefixSize)
		if err != nil {
			return Stat{}, err
		}
		if more {
			return a.stat(-1, false, prefix, false)
		}
		return a.stat(int64(len(prefix)), false, prefix, true)
	}
	n := min(a.length, PrefixSize)
	a.body.left = n
	prefix, err := a.body.readPrefix(n)
	if err != nil {
		return Stat{}, err
	}
	return a.stat(a.length, false, prefix, int64(len(prefix)) == a.length)
}

// stat makes a Stat of what the answer said; whole means that prefix is all.
func (a *answer) stat(size int64, ranges bool, prefix []byte, whole bool) (Stat, error) {
	if size > pieces.MaxSize {
		return Stat{}, a.tooLarge()
	}
	f := pieces.Facts{Size: size, Ranges: ranges}
	f.Validator, f.Modified = validatorOf(a.header)
	if whole {
		// All of it is here, so a digest needs no spooling, and whether the
		// origin would serve ranges of it hardly matters.
		f.Ranges = ranges || strings.EqualFold(strings.TrimSpace(a.header.Get("Accept-Ranges")), "bytes")
		if f.Validator.Kind == pieces.NoValidator {
			f.Validator = SumValidator(pieces.SumOf(prefix))
		}
	}
	return Stat{Facts: f, Prefix: prefix, Spool: f.Size < 0 || f.Validator.Kind == pieces.NoValidator}, nil
}

// expect makes the body yield exactly n bytes, all that the origin is to send.
func (a *answer) expect(n int64) error {
	if a.length >= 0 && a.length != n {
		return misbehaved("%s: the origin announced %d bytes and sends %d", a.where, n, a.length)
	}
	a.body.left = n
	return nil
}

func (a *answer) tooLarge() error {
	e := pieces.Errorf(pieces.Full, "%s: larger than %d bytes, the most we handle", a.where, int64(pieces.MaxSize))
	e.Permanent = true
	return e
}
