package boot

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// net/http quotes what an origin sends beyond its Content-Length.
func TestNoContentInTheLog(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(c, strings.Repeat("private", 9))
		time.Sleep(50 * time.Millisecond)
		c.Close()
	}))
	defer srv.Close()
	var seen, passed bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(io.MultiWriter(&seen, noContent{&passed}))
	r, err := http.Get(srv.URL)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	time.Sleep(150 * time.Millisecond)
	log.Print("others stay")
	log.SetOutput(io.Discard)
	require.Contains(t, seen.String(), "private", "net/http no longer logs it: noContent can go")
	require.NotContains(t, passed.String(), "private")
	require.Contains(t, passed.String(), "others stay")
}
