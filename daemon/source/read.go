package source

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"damselfly/pieces"
)

// ReadRange implements Origin.
func (h *HTTP) ReadRange(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > f.Size || n > f.Size-off {
		return nil, pieces.Errorf(pieces.Invalid, "%s: bytes %d+%d are outside the content of %d", display(t), off, n, f.Size)
	}
	switch {
	case n == 0:
		return io.NopCloser(bytes.NewReader(nil)), nil
	case f.Validator.Kind == pieces.NoValidator:
		return nil, pieces.Errorf(pieces.Invalid, "%s: no Version to read a range of", display(t))
	case f.Validator.Kind == pieces.ContentSum:
		return h.readSummed(ctx, t, f, off, n)
	case !f.Ranges && off > 0:
		return nil, permanent("%s: the origin serves no byte ranges; it has to be read whole", display(t))
	}
	a, err := h.getVersion(ctx, t, f, off, n)
	if err != nil {
		return nil, err
	}
	if err := h.checkRange(a, f, off, n); err != nil {
		_ = a.body.Close()
		return nil, err
	}
	return a.body, nil
}

// getVersion asks for a range under the preconditions of f. An origin that
// answers 412 and names the very validator it was given does not understand
// preconditions: it is asked without, the comparison is ours then.
func (h *HTTP) getVersion(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (*answer, error) {
	want := preconditions(f)
	if f.Ranges {
		want.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	}
	a, err := h.get(ctx, t, want)
	if err != nil || a.status != http.StatusPreconditionFailed || a.checkVersion(f) != nil {
		return a, err
	}
	a.body.discard()
	want.Del("If-Match")
	want.Del("If-Unmodified-Since")
	return h.get(ctx, t, want)
}

// checkRange believes or refuses the answer to bytes [off, off+n) of f, and
// makes its body yield them.
func (h *HTTP) checkRange(a *answer, f pieces.Facts, off, n int64) error {
	switch a.status {
	case http.StatusPreconditionFailed:
		return a.changed("%s", statusText(a.status))
	case http.StatusRequestedRangeNotSatisfiable:
		if cr, ok := parseContentRange(a.header.Get("Content-Range")); ok {
			if err := a.checkTotal(cr.total, f); err != nil {
				return err
			}
		}
		return misbehaved("%s: the origin refuses bytes %d-%d of %d", a.where, off, off+n-1, f.Size)
	case http.StatusOK, http.StatusPartialContent:
	default:
		return h.statusError(a)
	}
	if err := a.checkEncoding(); err != nil {
		return err
	}
	if err := a.checkVersion(f); err != nil {
		return err
	}
	if a.status == http.StatusOK {
		return a.checkUnranged(f, off, n)
	}
	cr, ok := parseContentRange(a.header.Get("Content-Range"))
	if !ok || cr.first < 0 {
		return misbehaved("%s: the origin answered 206 with Content-Range %.80q", a.where, a.header.Get("Content-Range"))
	}
	if err := a.checkTotal(cr.total, f); err != nil {
		return err
	}
	if cr.first != off || cr.last != off+n-1 {
		return misbehaved("%s: asked for bytes %d-%d, the origin sends %d-%d", a.where, off, off+n-1, cr.first, cr.last)
	}
	return a.expect(n)
}

// checkUnranged takes the first n bytes of a whole answer.
func (a *answer) checkUnranged(f pieces.Facts, off, n int64) error {
	if err := a.checkTotal(a.length, f); err != nil {
		return err
	}
	if off > 0 {
		return misbehaved("%s: asked for bytes from %d on, the origin sends all", a.where, off)
	}
	a.body.left = n
	return nil
}

// readSummed reads content whose Version is its digest: all of it, compared,
// then the range. Only for what fits a Prefix.
func (h *HTTP) readSummed(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (io.ReadCloser, error) {
	if f.Size > PrefixSize {
		return nil, permanent("%s: the origin gives no validator; it has to be read whole", display(t))
	}
	a, err := h.get(ctx, t, nil)
	if err != nil {
		return nil, err
	}
	defer a.body.Close()
	if a.status != http.StatusOK {
		return nil, h.statusError(a)
	}
	if err := a.checkEncoding(); err != nil {
		return nil, err
	}
	if a.length >= 0 {
		if err := a.checkTotal(a.length, f); err != nil {
			return nil, err
		}
		a.body.left = a.length
	}
	data, more, err := a.body.readUpTo(int(f.Size))
	if err != nil {
		return nil, err
	}
	if more || SumValidator(pieces.SumOf(data)) != f.Validator {
		return nil, a.changed("its digest is another")
	}
	return io.NopCloser(bytes.NewReader(data[off : off+n])), nil
}

// ReadAll implements Origin.
func (h *HTTP) ReadAll(ctx context.Context, t *pieces.Task) (io.ReadCloser, Stat, error) {
	a, err := h.get(ctx, t, nil)
	if err != nil {
		return nil, Stat{}, err
	}
	st, err := h.checkAll(a)
	if err != nil {
		_ = a.body.Close()
		return nil, Stat{}, err
	}
	return a.body, st, nil
}

func (h *HTTP) checkAll(a *answer) (Stat, error) {
	if a.status != http.StatusOK {
		return Stat{}, h.statusError(a)
	}
	if err := a.checkEncoding(); err != nil {
		return Stat{}, err
	}
	a.body.left = a.length
	return a.stat(a.length, false, nil, false)
}
