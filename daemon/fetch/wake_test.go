package fetch

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// A reader of many small packets is woken for a fair amount of them, gets all
// bytes, and leaves its connection fit for the next request.
func TestWokenForMoreThanAPacket(t *testing.T) {
	const packet = 4 << 10
	data := content()
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve(data)(&trickle{w, packet}, r)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := New(Options{Host: "me"})
	defer c.Close()
	for range 3 {
		wakes, delivered := 0, 0
		r := whole(t, srv.Listener.Addr().String())
		r.Progress = func(int) { wakes++ }
		r.Deliver = func(int, []byte, pieces.Sum, time.Duration) { delivered++ }
		n, err := c.Get(t.Context(), r)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.Equal(t, 3, delivered)
		require.Less(t, wakes, size/packet/2)
	}
	require.EqualValues(t, 1, conns.Load())
}

// trickle sends what is written in packets with a pause after each.
type trickle struct {
	http.ResponseWriter
	packet int
}

func (w *trickle) Write(p []byte) (int, error) {
	for off := 0; off < len(p); off += w.packet {
		if _, err := w.ResponseWriter.Write(p[off:min(off+w.packet, len(p))]); err != nil {
			return off, err
		}
		w.ResponseWriter.(http.Flusher).Flush()
		time.Sleep(200 * time.Microsecond)
	}
	return len(p), nil
}
