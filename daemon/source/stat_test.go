package source_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/source"
	"damselfly/pieces"
)

func TestStatSpools(t *testing.T) {
	big := strings.Repeat("z", source.PrefixSize+1)
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(big), big)
	partial := fmt.Sprintf("Content-Range: bytes 0-%d/", source.PrefixSize-1)
	for name, c := range map[string]struct {
		answer string
		want   pieces.Facts
		spool  bool
		prefix int
	}{
		"neither":          {reply("200 OK", "Transfer-Encoding: chunked", chunk), pieces.Facts{Size: -1}, true, source.PrefixSize},
		"length only":      {reply("200 OK", fmt.Sprintf("Content-Length: %d", len(big)), big), pieces.Facts{Size: int64(len(big))}, true, source.PrefixSize},
		"validator only":   {reply("200 OK", "ETag: \"a\"\nTransfer-Encoding: chunked", chunk), pieces.Facts{Size: -1, Validator: facts.Validator}, true, source.PrefixSize},
		"both, no ranges":  {reply("200 OK", fmt.Sprintf("ETag: \"a\"\nAccept-Ranges: bytes\nContent-Length: %d", len(big)), big), pieces.Facts{Size: int64(len(big)), Validator: facts.Validator}, false, source.PrefixSize},
		"ranges only":      {reply("206 P", partial+fmt.Sprint(len(big)), big[1:]), pieces.Facts{Size: int64(len(big)), Ranges: true}, true, source.PrefixSize},
		"range, no total":  {reply("206 P", "ETag: \"a\"\n"+partial+"*", big[1:]), pieces.Facts{Size: -1, Ranges: true, Validator: facts.Validator}, true, source.PrefixSize},
		"fewer than asked": {reply("206 P", "ETag: \"a\"\nContent-Range: bytes 0-9/100\nContent-Length: 10", "0123456789"), facts, false, 10},
		"small chunks": {reply("200 OK", "Transfer-Encoding: chunked", "5\r\n01234\r\n0\r\n\r\n"),
			pieces.Facts{Size: 5, Validator: source.SumValidator(pieces.SumOf([]byte("01234")))}, false, 5},
		"small, ranges said": {reply("200 OK", "ETag: \"a\"\nAccept-Ranges: bytes\nContent-Length: 5", "01234"),
			pieces.Facts{Size: 5, Validator: facts.Validator, Ranges: true}, false, 5},
	} {
		t.Run(name, func(t *testing.T) {
			o, task := open(t, raw(t, func(*http.Request) string { return c.answer }), source.HTTPOptions{})
			st, err := o.Stat(t.Context(), task)
			require.NoError(t, err)
			require.Equal(t, c.want, st.Facts)
			require.Equal(t, c.spool, st.Spool)
			require.Len(t, st.Prefix, c.prefix)
		})
	}
}

func TestStatRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		kind   pieces.Kind
	}{
		"range from elsewhere": {reply("206 P", "Content-Range: bytes 1-9/10\nContent-Length: 9", "012345678"), pieces.Origin},
		"more than asked":      {reply("206 P", "Content-Range: bytes 0-65536/100000", strings.Repeat("x", 65537)), pieces.Origin},
		"short body":           {reply("206 P", "Content-Range: bytes 0-9/10\nContent-Length: 10", "0123"), pieces.Origin},
		"short 200":            {reply("200 OK", "Content-Length: 10", "0123"), pieces.Origin},
		"cut chunks":           {reply("200 OK", "Transfer-Encoding: chunked", "5\r\n0123"), pieces.Origin},
		"deflate":              {reply("200 OK", "Content-Encoding: identity, deflate\nContent-Length: 4", "0123"), pieces.Origin},
		"encoded range":        {reply("206 P", "Content-Encoding: x-gzip\nContent-Range: bytes 0-3/4\nContent-Length: 4", "0123"), pieces.Origin},
		"too large":            {reply("206 P", fmt.Sprintf("Content-Range: bytes 0-3/%d\nContent-Length: 4", int64(pieces.MaxSize)+1), "0123"), pieces.Full},
		"silent body":          {reply("206 P", "Content-Range: bytes 0-3/4\nContent-Length: 4", "012"+stall), pieces.Timeout},
		"404":                  {reply("404 No", "Content-Length: 0", ""), pieces.NotFound},
		"403":                  {reply("403 No", "Content-Length: 0", ""), pieces.Denied},
		"416 always":           {reply("416 No", "Content-Range: bytes */9\nContent-Length: 0", ""), pieces.Origin},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, task := open(t, raw(t, func(*http.Request) string { return c.answer }), silence(c.kind))
			_, err := o.Stat(t.Context(), task)
			require.Equal(t, c.kind, pieces.KindOf(err), err)
			requireDiscreet(t, err, task)
		})
	}
}

// 416 is what some say of empty content, and some of a range past the end.
func TestStatAfterUnsatisfiableRange(t *testing.T) {
	for name, c := range map[string]struct {
		total, plain string
		size         int
		kind         pieces.ValidatorKind
	}{
		"empty, with validator": {"0", reply("200 OK", "ETag: \"a\"\nContent-Length: 0", ""), 0, pieces.StrongETag},
		"empty, without":        {"0", reply("200 OK", "Content-Length: 0", ""), 0, pieces.ContentSum},
		"empty, 416 again":      {"0", reply("416 No", "Content-Range: bytes */0\nContent-Length: 0", ""), 0, pieces.ContentSum},
		"empty, 204":            {"0", reply("204 No", "ETag: \"a\"", ""), 0, pieces.StrongETag},
		"small":                 {"5", reply("200 OK", "ETag: \"a\"\nContent-Length: 5", "01234"), 5, pieces.StrongETag},
	} {
		t.Run(name, func(t *testing.T) {
			o, task := open(t, raw(t, func(r *http.Request) string {
				if r.Header.Get("Range") != "" {
					return reply("416 No", "Content-Range: bytes */"+c.total+"\nContent-Length: 0", "")
				}
				return c.plain
			}), source.HTTPOptions{})
			st, err := o.Stat(t.Context(), task)
			require.NoError(t, err)
			require.EqualValues(t, c.size, st.Facts.Size)
			require.Equal(t, c.kind, st.Facts.Validator.Kind)
			require.True(t, st.Whole())
			require.False(t, st.Spool)
		})
	}
}

// One GET, never a HEAD; identity asked; no validator sent.
func TestStatRequest(t *testing.T) {
	var asked []*http.Request
	o, task := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r)
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Content-Range", "bytes 0-4/5")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "01234")
	}), source.HTTPOptions{UserAgent: "tester/1"})
	st, err := o.Stat(t.Context(), task)
	require.NoError(t, err)
	require.Len(t, asked, 1)
	r := asked[0]
	require.Equal(t, "GET", r.Method)
	require.Equal(t, "/dir/file.bin?sig=secret", r.RequestURI)
	require.Equal(t, http.Header{"Range": {"bytes=0-65535"}, "Accept-Encoding": {"identity"}, "Accept": {"*/*"}, "User-Agent": {"tester/1"}}, r.Header)

	_, err = o.ReadRange(t.Context(), task, st.Facts, 2, 2)
	require.Equal(t, pieces.Origin, pieces.KindOf(err), "the canned answer is of another range: %v", err)
	require.Equal(t, "bytes=2-3", asked[1].Header.Get("Range"))
	require.Equal(t, `"a"`, asked[1].Header.Get("If-Match"))
}

func TestPreconditionsSent(t *testing.T) {
	modified := time.Date(2024, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600))
	for name, c := range map[string]struct {
		f    pieces.Facts
		want http.Header
	}{
		"strong":           {facts, http.Header{"If-Match": {`"a"`}}},
		"weak":             {pieces.Facts{Validator: pieces.Validator{Kind: pieces.WeakETag, Value: `W/"a"`}}, http.Header{}},
		"weak with a date": {pieces.Facts{Validator: pieces.Validator{Kind: pieces.WeakETag, Value: `W/"a"`}, Modified: modified}, http.Header{"If-Unmodified-Since": {"Tue, 02 Jan 2024 02:04:05 GMT"}}},
		"date":             {pieces.Facts{Validator: pieces.Validator{Kind: pieces.LastModified, Value: "Tue, 02 Jan 2024 02:04:05 GMT"}}, http.Header{"If-Unmodified-Since": {"Tue, 02 Jan 2024 02:04:05 GMT"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var sent http.Header
			o, task := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent = r.Header.Clone()
				w.WriteHeader(http.StatusPreconditionFailed)
			}), source.HTTPOptions{})
			f := c.f
			f.Size, f.Ranges = 100, true
			_, err := o.ReadRange(t.Context(), task, f, 10, 10)
			require.Equal(t, pieces.Changed, pieces.KindOf(err))
			for _, name := range []string{"Range", "Accept-Encoding", "Accept", "User-Agent"} {
				require.NotEmpty(t, sent.Get(name))
				sent.Del(name)
			}
			require.Equal(t, c.want, sent)
		})
	}
}

// Without ranges only the beginning can be read; ranges are not even asked.
func TestReadRangeWithoutRanges(t *testing.T) {
	o, task := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("ETag", `"a"`)
		_, _ = io.WriteString(w, strings.Repeat("0123456789", 10))
	}), source.HTTPOptions{})
	f := facts
	f.Ranges = false
	body, err := o.ReadRange(t.Context(), task, f, 0, 15)
	require.NoError(t, err)
	defer body.Close()
	got, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Equal(t, "012345678901234", string(got))
	_, err = o.ReadRange(t.Context(), task, f, 1, 15)
	require.Equal(t, pieces.Origin, pieces.KindOf(err))
	require.True(t, pieces.IsPermanent(err))
}
