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

// raw answers each request with the bytes that answer returns, then closes the
// connection; after stall it says nothing more and stays.
const stall = "<stall>"

func raw(t *testing.T, answer func(r *http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		text, stalls := strings.CutSuffix(answer(r), stall)
		_, _ = io.WriteString(conn, text)
		if stalls {
			_, _ = io.Copy(io.Discard, conn) // until the client gives up
		}
	})
}

func reply(status string, headers string, body string) string {
	return "HTTP/1.1 " + status + "\r\n" + strings.ReplaceAll(headers, "\n", "\r\n") + "\r\n\r\n" + body
}

var facts = pieces.Facts{Size: 100, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"a"`}}

// Each answers a request for bytes 10-19 of 100 of ETag "a".
func TestReadRangeRefuses(t *testing.T) {
	body := strings.Repeat("x", 10)
	for name, c := range map[string]struct {
		answer    string
		kind      pieces.Kind
		permanent bool
	}{
		"200 from 10 on":        {reply("200 OK", "ETag: \"a\"\nContent-Length: 100", strings.Repeat("x", 100)), pieces.Origin, false},
		"200 of another length": {reply("200 OK", "ETag: \"a\"\nContent-Length: 10", body), pieces.Changed, true},
		"200 of another ETag":   {reply("200 OK", "ETag: \"b\"\nContent-Length: 100", body), pieces.Changed, true},
		"other ETag":            {reply("206 P", "ETag: \"b\"\nContent-Range: bytes 10-19/100\nContent-Length: 10", body), pieces.Changed, true},
		"weakened ETag":         {reply("206 P", "ETag: W/\"a\"\nContent-Range: bytes 10-19/100\nContent-Length: 10", body), pieces.Changed, true},
		"no ETag":               {reply("206 P", "Content-Range: bytes 10-19/100\nContent-Length: 10", body), pieces.Origin, false},
		"other total":           {reply("206 P", "ETag: \"a\"\nContent-Range: bytes 10-19/101\nContent-Length: 10", body), pieces.Changed, true},
		"unknown total":         {reply("206 P", "ETag: \"a\"\nContent-Range: bytes 10-19/*\nContent-Length: 10", body), pieces.Origin, false},
		"other start":           {reply("206 P", "ETag: \"a\"\nContent-Range: bytes 11-20/100\nContent-Length: 10", body), pieces.Origin, false},
		"shorter":               {reply("206 P", "ETag: \"a\"\nContent-Range: bytes 10-18/100\nContent-Length: 9", body[1:]), pieces.Origin, false},
		"longer":                {reply("206 P", "ETag: \"a\"\nContent-Range: bytes 10-20/100\nContent-Length: 11", body+"x"), pieces.Origin, false},
		"wrong length":          {reply("206 P", "ETag: \"a\"\nContent-Range: bytes 10-19/100\nContent-Length: 11", body+"x"), pieces.Origin, false},
		"no Content-Range":      {reply("206 P", "ETag: \"a\"\nContent-Length: 10", body), pieces.Origin, false},
		"multipart":             {reply("206 P", "ETag: \"a\"\nContent-Type: multipart/byteranges; boundary=x\nContent-Length: 10", body), pieces.Origin, false},
		"unsatisfied 206":       {reply("206 P", "ETag: \"a\"\nContent-Range: bytes */100\nContent-Length: 10", body), pieces.Origin, false},
		"gzip":                  {reply("206 P", "ETag: \"a\"\nContent-Encoding: gzip\nContent-Range: bytes 10-19/100\nContent-Length: 10", body), pieces.Origin, true},
		"412":                   {reply("412 No", "Content-Length: 0", ""), pieces.Changed, true},
		"412 of another ETag":   {reply("412 No", "ETag: \"b\"\nContent-Length: 0", ""), pieces.Changed, true},
		"416 of another total":  {reply("416 No", "Content-Range: bytes */5\nContent-Length: 0", ""), pieces.Changed, true},
		"416 for no reason":     {reply("416 No", "Content-Range: bytes */100\nContent-Length: 0", ""), pieces.Origin, false},
		"404":                   {reply("404 No", "Content-Length: 0", ""), pieces.NotFound, true},
		"410":                   {reply("410 No", "Content-Length: 0", ""), pieces.NotFound, true},
		"401":                   {reply("401 No", "Content-Length: 0", ""), pieces.Denied, true},
		"403":                   {reply("403 No", "Content-Length: 0", ""), pieces.Denied, true},
		"429":                   {reply("429 No", "Content-Length: 0", ""), pieces.Throttled, false},
		"503":                   {reply("503 No", "Content-Length: 0", ""), pieces.Throttled, false},
		"500":                   {reply("500 No", "Content-Length: 0", ""), pieces.Origin, false},
		"504":                   {reply("504 No", "Content-Length: 0", ""), pieces.Origin, false},
		"522":                   {reply("522 No", "Content-Length: 0", ""), pieces.Origin, false},
		"501":                   {reply("501 No", "Content-Length: 0", ""), pieces.Origin, true},
		"400":                   {reply("400 No", "Content-Length: 0", ""), pieces.Origin, true},
		"204":                   {reply("204 No", "ETag: \"a\"", ""), pieces.Origin, true},
		"203 of a transformer":  {reply("203 OK", "ETag: \"a\"\nContent-Length: 100", body), pieces.Origin, true},
		"304":                   {reply("304 No", "ETag: \"a\"", ""), pieces.Origin, true},
		"300":                   {reply("300 No", "Content-Length: 0", ""), pieces.Origin, true},
		"no HTTP":               {"SSH-2.0-x\r\n", pieces.Origin, false},
		"closes at once":        {"", pieces.Origin, false},
		"half a header":         {"HTTP/1.1 206 P\r\nETag: \"a", pieces.Origin, false},
		"endless header":        {"HTTP/1.1 206 P\r\nX: " + strings.Repeat("y", 1<<20), pieces.Origin, false},
		"silent":                {stall, pieces.Timeout, false},
		"silent in header":      {"HTTP/1.1 206 P\r\n" + stall, pieces.Timeout, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := source.HTTPOptions{}
			if c.kind == pieces.Timeout {
				options.HeaderTimeout = 200 * time.Millisecond
			}
			o, task := open(t, raw(t, func(*http.Request) string { return c.answer }), options)
			body, err := o.ReadRange(t.Context(), task, facts, 10, 10)
			require.Error(t, err)
			require.Nil(t, body)
			require.Equal(t, c.kind, pieces.KindOf(err), err)
			require.Equal(t, c.permanent, pieces.IsPermanent(err), err)
			requireDiscreet(t, err, task)
		})
	}
}

// silence is a short idle time for origins that are to be found silent.
func silence(kind pieces.Kind) source.HTTPOptions {
	if kind == pieces.Timeout {
		return source.HTTPOptions{IdleTimeout: 200 * time.Millisecond}
	}
	return source.HTTPOptions{}
}

// requireDiscreet checks that an error names the URL without its query.
func requireDiscreet(t *testing.T, err error, task *pieces.Task) {
	where, _, _ := strings.Cut(task.URL, "?")
	require.Contains(t, err.Error(), where)
	require.NotContains(t, err.Error(), "secret")
}

func TestBodyBreaks(t *testing.T) {
	header := "ETag: \"a\"\nContent-Range: bytes 10-19/100\n"
	for name, c := range map[string]struct {
		answer string
		kind   pieces.Kind
		read   string
	}{
		"short":             {reply("206 P", header+"Content-Length: 10", "01234"), pieces.Origin, "01234"},
		"short, no length":  {reply("206 P", header+"Connection: close", "01234"), pieces.Origin, "01234"},
		"short chunks":      {reply("206 P", header+"Transfer-Encoding: chunked", "5\r\n01234\r\n0\r\n\r\n"), pieces.Origin, "01234"},
		"broken chunks":     {reply("206 P", header+"Transfer-Encoding: chunked", "5\r\n01234\r\nzz\r\n"), pieces.Origin, "01234"},
		"cut chunks":        {reply("206 P", header+"Transfer-Encoding: chunked", "5\r\n01234\r\n5\r\n"), pieces.Origin, "01234"},
		"silent":            {reply("206 P", header+"Content-Length: 10", "01234"+stall), pieces.Timeout, "01234"},
		"long chunks":       {reply("206 P", header+"Transfer-Encoding: chunked", "a\r\n0123456789\r\n5\r\nabcde\r\n0\r\n\r\n"), 0, "0123456789"},
		"long, no length":   {reply("206 P", header+"Connection: close", "0123456789abcdef"), 0, "0123456789"},
		"long, with length": {reply("206 P", header+"Content-Length: 10", "0123456789abcdef"), 0, "0123456789"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, task := open(t, raw(t, func(*http.Request) string { return c.answer }), silence(c.kind))
			body, err := o.ReadRange(t.Context(), task, facts, 10, 10)
			require.NoError(t, err)
			defer body.Close()
			got, err := io.ReadAll(body)
			require.Equal(t, c.read, string(got))
			if c.kind == 0 {
				require.NoError(t, err)
				return
			}
			require.Equal(t, c.kind, pieces.KindOf(err), err)
			require.False(t, pieces.IsPermanent(err))
			requireDiscreet(t, err, task)
			_, again := body.Read(make([]byte, 1))
			require.Equal(t, err, again, "errors stay")
		})
	}
}

// A body that nobody reads for longer than the idle time is no silent origin:
// a reader that yields may come back.
func TestIdleCountsOnlyWhileReading(t *testing.T) {
	const idle = 150 * time.Millisecond
	content := make([]byte, 32<<20)
	s := &site{header: func(int) http.Header { return http.Header{"Etag": {`"a"`}} }, ranges: true}
	s.put(content)
	o, task := open(t, s, source.HTTPOptions{IdleTimeout: idle})
	f := facts
	f.Size = int64(len(content))
	body, err := o.ReadRange(t.Context(), task, f, 0, f.Size)
	require.NoError(t, err)
	defer body.Close()
	_, err = io.ReadFull(body, make([]byte, 1000))
	require.NoError(t, err)
	time.Sleep(3 * idle)
	n, err := io.Copy(io.Discard, body)
	require.NoError(t, err)
	require.Equal(t, f.Size-1000, n)
}

// Content whose length is not known: read to its end or not at all believed.
func TestReadAllBreaks(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		size   int64
		broken bool
	}{
		"with length":       {reply("200 OK", "ETag: \"a\"\nContent-Length: 5", "01234"), 5, false},
		"chunks":            {reply("200 OK", "Transfer-Encoding: chunked", "5\r\n01234\r\n0\r\n\r\n"), -1, false},
		"till close":        {reply("200 OK", "Connection: close", "01234"), -1, false},
		"short with length": {reply("200 OK", "ETag: \"a\"\nContent-Length: 50", "01234"), 50, true},
		"cut chunks":        {reply("200 OK", "Transfer-Encoding: chunked", "5\r\n01234\r\n5\r\n01"), -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			o, task := open(t, raw(t, func(*http.Request) string { return c.answer }), source.HTTPOptions{})
			body, st, err := o.ReadAll(t.Context(), task)
			require.NoError(t, err)
			defer body.Close()
			require.Equal(t, c.size, st.Facts.Size)
			require.Equal(t, c.size < 0, st.Spool)
			got, err := io.ReadAll(body)
			if c.broken {
				require.Equal(t, pieces.Origin, pieces.KindOf(err), err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "01234", string(got))
		})
	}
}

func TestReadAllRefuses(t *testing.T) {
	for answer, kind := range map[string]pieces.Kind{
		reply("206 P", "Content-Range: bytes 0-4/5\nContent-Length: 5", "01234"):         pieces.Origin,
		reply("200 OK", "Content-Encoding: br\nContent-Length: 5", "01234"):              pieces.Origin,
		reply("200 OK", fmt.Sprintf("Content-Length: %d", int64(pieces.MaxSize)+1), "x"): pieces.Full,
		reply("404 No", "Content-Length: 0", ""):                                         pieces.NotFound,
	} {
		o, task := open(t, raw(t, func(*http.Request) string { return answer }), source.HTTPOptions{})
		_, _, err := o.ReadAll(t.Context(), task)
		require.Equal(t, kind, pieces.KindOf(err), err)
		require.True(t, pieces.IsPermanent(err))
	}
}

func TestRetryAfterIsTold(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "soon": 0, "-5": 0, "99999999999999999": time.Hour, "99999999999999999999999": time.Hour,
		"Wed, 01 May 2024 12:00:30 GMT": 30 * time.Second, "Wed, 01 May 2024 11:00:00 GMT": 0,
	} {
		o, task := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusTooManyRequests)
		}), source.HTTPOptions{Now: func() time.Time { return now }})
		_, err := o.Stat(t.Context(), task)
		require.Equal(t, pieces.Throttled, pieces.KindOf(err))
		require.Equal(t, want, pieces.RetryAfter(err), value)
	}
}

// An origin that answers 412 to the ETag it gave itself is asked without.
func TestPreconditionsNotUnderstood(t *testing.T) {
	asked := 0
	o, task := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("ETag", `"a"`)
		if r.Header.Get("If-Match") != "" {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		w.Header().Set("Content-Range", "bytes 10-19/100")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "0123456789")
	}), source.HTTPOptions{})
	body, err := o.ReadRange(t.Context(), task, facts, 10, 10)
	require.NoError(t, err)
	defer body.Close()
	got, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Equal(t, "0123456789", string(got))
	require.Equal(t, 2, asked)
}
