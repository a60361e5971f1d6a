package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
	"damselfly/scheduler"
	"damselfly/scheduler/swarm"
)

// fickle is an origin that, while it is mad, says something else each time about
// the bytes at off, under the same ETag.
type fickle struct {
	*origin
	off   int
	mad   atomic.Bool
	asked atomic.Uint64 // requests while it was mad
	told  atomic.Uint64 // those answered with bytes at off
}

func newFickle(t *testing.T, size, off int) *fickle {
	f := &fickle{origin: newOrigin(t, size), off: off}
	sane := f.Config.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.mad.Load() {
			sane.ServeHTTP(w, r)
			return
		}
		data := bytes.Clone(f.data)
		binary.BigEndian.PutUint64(data[off:], f.asked.Add(1))
		f.gets.Add(1)
		w.Header().Set("ETag", `"1"`)
		out := &watched{ResponseWriter: w}
		http.ServeContent(counting{out, &f.bytes}, r, "", time.Time{}, bytes.NewReader(data))
		if bytes.Contains(out.sent, data[off:off+8]) {
			f.told.Add(1)
		}
	}))
	t.Cleanup(srv.Close)
	f.Server = srv
	return f
}

// watched keeps what is sent.
type watched struct {
	http.ResponseWriter
	sent []byte
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.sent = append(w.sent, p[:n]...)
	return n, err
}

// An origin that says two things about one piece under one validator is found
// out when somebody contradicts the record: its Version is quarantined. Until
// that is over readers who lack bytes are told that the content changed, and the
// origin is asked for none; then the Version begins anew, with right bytes for
// everybody, and who contradicts the record again is put out.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	const piece, quarantine = 5, 8 * time.Second
	reg := prometheus.NewRegistry()
	c := With(t, 1, func(o *scheduler.Options) {
		rules := swarm.Defaults()
		rules.Quarantine = quarantine
		o.Swarm, o.Registry = &rules, reg
	})
	o := newFickle(t, 3<<20, piece*pieces.MinPieceSize)
	r := rigOf(t, c, o.origin, 0)
	keepers := []*Host{r.Host(nil), r.Host(nil)}
	var kept []*daemon.File
	for _, h := range keepers {
		r.read(h)
		r.stored(h)
		kept = append(kept, h.Open(o.URL+"/f", pieces.Options{}))
	}

	o.mad.Store(true)
	liar := r.bad(Honest, false)
	liar.peer.Start()
	liar.contradict(piece)
	require.Eventually(t, func() bool { return quarantines(t, reg) == 1 }, 20*time.Second, time.Millisecond,
		"nobody found out that the origin contradicts itself")
	began := time.Now()
	require.Eventually(t, func() bool { return o.told.Load() == 2 }, 10*time.Second, time.Millisecond, "one host reads the piece twice")

	// Who lacks bytes is told; who has them reads them, or is told, too.
	late := r.Host(nil)
	f := late.Open(o.URL+"/f", pieces.Options{})
	_, err := readPiece(f, 7)
	require.Equal(t, pieces.Changed, pieces.KindOf(err), "%v", err)
	for _, f := range kept {
		for i := range r.facts.Size / pieces.MinPieceSize {
			if got, err := readPiece(f, i); err == nil && i != piece {
				require.True(t, bytes.Equal(r.piece(i), got), "wrong bytes in piece %d", i)
			} else if err != nil {
				require.Equal(t, pieces.Changed, pieces.KindOf(err), "%v", err)
			}
		}
	}
	require.Less(t, time.Since(began), quarantine, "the quarantine was over before the end of this")
	require.EqualValues(t, 2, o.told.Load(), "the origin is not asked for it in a quarantine")

	// The origin has come to its senses.
	o.mad.Store(false)
	require.Eventually(t, func() bool { _, err := readPiece(f, 7); return err == nil }, quarantine+20*time.Second, 50*time.Millisecond,
		"the version does not begin anew")
	require.GreaterOrEqual(t, time.Since(began), quarantine-time.Second)
	newcomer := r.Host(nil)
	for _, h := range append(keepers, late, newcomer) {
		r.read(h)
		r.stored(h)
	}
	require.Equal(t, 1, quarantines(t, reg))
	liar.contradict(piece)
	require.Eventually(t, func() bool { _, out := liar.Lent(); return out }, 20*time.Second, time.Millisecond, "the liar is still in")
	r.read(newcomer)
}

// piece is what piece i should be.
func (r *rig) piece(i int64) []byte {
	return r.o.data[i*pieces.MinPieceSize:][:pieces.MinPieceSize]
}

// readPiece reads piece i of a file that has pieces of the least size.
func readPiece(f *daemon.File, i int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	buf := make([]byte, pieces.MinPieceSize)
	for n := 0; n < len(buf); {
		k, err := f.ReadAt(ctx, buf[n:], i*pieces.MinPieceSize+int64(n))
		if err != nil {
			return nil, err
		}
		n += k
	}
	return buf, nil
}

// quarantines is how many Versions the scheduler has put into quarantine.
func quarantines(t *testing.T, reg *prometheus.Registry) (n int) {
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "damselfly_scheduler_versions_quarantined_total" {
			n += int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	return n
}
