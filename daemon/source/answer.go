package source

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"damselfly/pieces"
)

// checkEncoding refuses content that was changed on its way: offsets and
// digests are those of the content itself.
func (a *answer) checkEncoding() error {
	for _, v := range a.header.Values("Content-Encoding") {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.TrimSpace(e); e != "" && !strings.EqualFold(e, "identity") {
				return permanent("%s: the origin sends it encoded as %.40q though identity was asked; turn that off for this file at the origin", a.where, e)
			}
		}
	}
	return nil
}

// contentRange is a parsed Content-Range of unit bytes.
type contentRange struct {
	first, last int64 // inclusive; -1 for "*"
	total       int64 // -1 for "*"
}

// parseContentRange reads "bytes A-B/N", "bytes A-B/*" and "bytes */N".
func parseContentRange(s string) (contentRange, bool) {
	unit, rest, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, false
	}
	span, total, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if !ok {
		return contentRange{}, false
	}
	c := contentRange{-1, -1, -1}
	if total != "*" {
		if c.total, ok = parseDecimal(total); !ok {
			return contentRange{}, false
		}
	}
	if span == "*" {
		return c, c.total >= 0
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return contentRange{}, false
	}
	if c.first, ok = parseDecimal(first); !ok {
		return contentRange{}, false
	}
	if c.last, ok = parseDecimal(last); !ok {
		return contentRange{}, false
	}
	return c, c.first <= c.last && (c.total < 0 || c.last < c.total)
}

// parseDecimal reads digits only: no sign, no space.
func parseDecimal(s string) (int64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// validatorOf reads what tells this state of the content from others. An ETag
// that is not quoted is taken for a weak one: it can be compared, but not asked
// for.
func validatorOf(h http.Header) (pieces.Validator, time.Time) {
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		modified = time.Time{}
	}
	modified = modified.UTC()
	switch etag := strings.TrimSpace(h.Get("ETag")); {
	case isStrong(etag):
		return pieces.Validator{Kind: pieces.StrongETag, Value: etag}, modified
	case strings.TrimPrefix(etag, "W/") != "" && strings.TrimPrefix(etag, "W/") != `""`:
		return pieces.Validator{Kind: pieces.WeakETag, Value: etag}, modified
	case !modified.IsZero():
		return pieces.Validator{Kind: pieces.LastModified, Value: modified.Format(http.TimeFormat)}, modified
	}
	return pieces.Validator{}, modified
}

func isStrong(etag string) bool {
	return len(etag) > 2 && etag[0] == '"' && strings.IndexByte(etag[1:], '"') == len(etag)-2
}

// preconditions make the origin answer 412 if the content is no longer f.
func preconditions(f pieces.Facts) http.Header {
	h := http.Header{}
	switch {
	case f.Validator.Kind == pieces.StrongETag:
		h.Set("If-Match", f.Validator.Value)
	case f.Validator.Kind == pieces.LastModified:
		h.Set("If-Unmodified-Since", f.Validator.Value)
	case f.Validator.Kind == pieces.WeakETag && !f.Modified.IsZero():
		h.Set("If-Unmodified-Since", f.Modified.UTC().Format(http.TimeFormat))
	}
	return h
}

// checkVersion compares the answer's validator with that of f: a Changed error
// if it is another, an Origin error if there is none.
func (a *answer) checkVersion(f pieces.Facts) error {
	got := ""
	switch f.Validator.Kind {
	case pieces.StrongETag:
		got = strings.TrimSpace(a.header.Get("ETag"))
	case pieces.WeakETag:
		got = strings.TrimSpace(a.header.Get("ETag"))
		if strings.TrimPrefix(got, "W/") == strings.TrimPrefix(f.Validator.Value, "W/") {
			return nil
		}
	case pieces.LastModified:
		if t, err := http.ParseTime(a.header.Get("Last-Modified")); err == nil {
			got = t.UTC().Format(http.TimeFormat)
		}
	}
	switch got {
	case f.Validator.Value:
		return nil
	case "":
		return misbehaved("%s: the origin answered without the validator it gave before", a.where)
	}
	return a.changed("validator %.80q, was %.80q", got, f.Validator.Value)
}

func (a *answer) changed(format string, args ...any) error {
	e := pieces.Errorf(pieces.Changed, format, args...)
	e.Msg = a.where + ": the content changed at its origin: " + e.Msg
	return e
}

// checkTotal compares the length of the whole content with that of f.
func (a *answer) checkTotal(total int64, f pieces.Facts) error {
	switch {
	case total < 0:
		return misbehaved("%s: the origin does not say how long the content is", a.where)
	case total != f.Size:
		return a.changed("%d bytes, was %d", total, f.Size)
	}
	return nil
}
