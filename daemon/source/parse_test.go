package source

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestParseContentRange(t *testing.T) {
	for s, want := range map[string]contentRange{
		"bytes 0-9/10":      {0, 9, 10},
		"Bytes  5-5/*":      {5, 5, -1},
		"bytes */0":         {-1, -1, 0},
		" bytes 1-2/9 ":     {1, 2, 9},
		"bytes 007-8/00010": {7, 8, 10},
	} {
		got, ok := parseContentRange(s)
		require.True(t, ok, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{
		"", "bytes", "bytes 0-9", "0-9/10", "items 0-9/10", "bytes */*", "bytes 9-0/10", "bytes 0-10/10", "bytes -1-5/10", "bytes +1-5/10",
		"bytes 0-9/-10", "bytes 0x1-9/10", "bytes 0-9/99999999999999999999", "bytes 0-9/10/11", "bytes 0 - 9/10", "bytes 0-9/ 10", "bytes=0-9/10",
	} {
		_, ok := parseContentRange(s)
		require.False(t, ok, s)
	}
}

func FuzzParseContentRange(f *testing.F) {
	f.Add("bytes 0-9/10")
	f.Add("bytes */5")
	f.Add("bytes 3-4/*")
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := parseContentRange(s)
		if !ok {
			return
		}
		if c.first < 0 {
			require.Equal(t, contentRange{-1, -1, c.total}, c)
			require.GreaterOrEqual(t, c.total, int64(0))
			return
		}
		require.LessOrEqual(t, c.first, c.last)
		if c.total >= 0 {
			require.Less(t, c.last, c.total)
			again, ok := parseContentRange(fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, c.total))
			require.True(t, ok)
			require.Equal(t, c, again)
		}
	})
}

func TestValidatorOf(t *testing.T) {
	const date = "Tue, 02 Jan 2024 02:04:05 GMT"
	for _, c := range []struct {
		etag, modified string
		want           pieces.Validator
	}{
		{`"a"`, date, pieces.Validator{Kind: pieces.StrongETag, Value: `"a"`}},
		{` "a" `, "", pieces.Validator{Kind: pieces.StrongETag, Value: `"a"`}},
		{`W/"a"`, date, pieces.Validator{Kind: pieces.WeakETag, Value: `W/"a"`}},
		{`a`, date, pieces.Validator{Kind: pieces.WeakETag, Value: `a`}},
		{`"a`, "", pieces.Validator{Kind: pieces.WeakETag, Value: `"a`}},
		{`"a"b"`, "", pieces.Validator{Kind: pieces.WeakETag, Value: `"a"b"`}},
		{``, date, pieces.Validator{Kind: pieces.LastModified, Value: date}},
		{``, "Tuesday, 02-Jan-24 02:04:05 GMT", pieces.Validator{Kind: pieces.LastModified, Value: date}},
		{`""`, date, pieces.Validator{Kind: pieces.LastModified, Value: date}},
		{`W/""`, "yesterday", pieces.Validator{}},
		{``, ``, pieces.Validator{}},
	} {
		h := http.Header{}
		h.Set("ETag", c.etag)
		h.Set("Last-Modified", c.modified)
		got, _ := validatorOf(h)
		require.Equal(t, c.want, got, "%q %q", c.etag, c.modified)
	}
}

func TestDenyMetadata(t *testing.T) {
	for s, want := range map[string]bool{
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "fe80::a9fe:a9fe%eth0": true,
		"fd00:ec2::254": true, "169.254.170.2": true, "100.100.100.200": true, "192.0.0.192": true,
		"127.0.0.1": false, "10.0.0.1": false, "169.254.1.1": false, "::1": false, "64:ff9b::0808:0808": false, "fe80::1%eth0": false,
	} {
		require.Equal(t, want, DenyMetadata(netip.MustParseAddr(s)), s)
	}
}
