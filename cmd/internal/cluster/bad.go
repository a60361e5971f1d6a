package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/announce"
	"damselfly/daemon/exchange"
	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
)

// Trick is how a Bad host answers a request for bytes.
type Trick string

// The tricks. Those that Lie send wrong bytes in a well-formed answer.
const (
	Honest       Trick = "sends right bytes"
	Flip         Trick = "flips a bit"
	OtherPiece   Trick = "sends another piece"
	OtherVersion Trick = "sends another version"
	Repeat       Trick = "sends bytes twice"
	More         Trick = "announces more bytes"
	Smuggle      Trick = "sends an answer behind the answer"
	Fewer        Trick = "announces fewer bytes"
	Cut          Trick = "cuts the body"
	Late         Trick = "answers late"
	Trickle      Trick = "sends a byte a second"
	Mute         Trick = "never answers"
	Missing      Trick = "has nothing"
	Busy         Trick = "is always busy"
	Teapot       Trick = "answers with another status"
)

// Tricks lists them.
var Tricks = []Trick{Flip, OtherPiece, OtherVersion, Repeat, More, Smuggle, Fewer, Cut, Late, Trickle, Mute, Missing, Busy, Teapot}

// Lies reports whether wrong bytes come in an answer that looks right.
func (t Trick) Lies() bool {
	return t == Flip || t == OtherPiece || t == OtherVersion || t == Repeat
}

// Bad is a host that takes part in one content to spoil it: it claims every
// piece, to its scheduler and to each neighbour again and again, and answers
// with a trick. It speaks the protocols with the parts of a real daemon and
// wants nothing for itself.
type Bad struct {
	Host  pieces.Host
	data  []byte
	trick Trick
	key   pieces.Key
	geo   pieces.Geometry
	x     *exchange.Exchange

	// peer is its part in the swarm, nil while it is shy.
	peer *announce.Peer
	// lies: under a lease it reports digests of its own invention.
	lies bool

	mu      sync.Mutex
	answers []Answer
	links   map[*exchange.Link]struct{}
	lent    []pieces.Extent
	out     bool
}

// Answer is one request that a Bad host was sent.
type Answer struct {
	Asker pieces.HostID
	At    time.Time
}

// Bad starts a bad host for content whose bytes are data. Unless shy, it
// registers with the scheduler; else only those learn of it whom it Joins.
func (c *Cluster) Bad(t *pieces.Task, f pieces.Facts, data []byte, trick Trick, shy bool) *Bad {
	c.t.Helper()
	b := c.newBad(f, data, trick)
	b.key.Task = t.ID
	parts := c.parts(b)
	if shy {
		c.run(parts...)
		return b
	}
	c.register(b, t, f, parts, []pieces.Extent{b.geo.All()})
	return b
}

// Liar starts a bad host that wants all of the content, and tells digests of
// its own invention for whatever is lent to it. It answers requests with a trick.
func (c *Cluster) Liar(t *pieces.Task, f pieces.Facts, data []byte, trick Trick) *Bad {
	c.t.Helper()
	b := c.newBad(f, data, trick)
	b.key.Task, b.lies = t.ID, true
	c.register(b, t, f, c.parts(b), nil)
	b.peer.Start()
	b.peer.Want([]pieces.Extent{b.geo.All()}, pieces.Fill, nil)
	return b
}

func (c *Cluster) newBad(f pieces.Facts, data []byte, trick Trick) *Bad {
	geo, err := f.Geometry()
	require.NoError(c.t, err)
	var id [16]byte
	_, _ = rand.Read(id[:])
	return &Bad{
		Host: pieces.Host{ID: pieces.NewHostID(id), Hostname: "bad", IP: "127.0.0.1", UploadSlots: 64},
		data: data, trick: trick, key: pieces.Key{Version: f.VersionID()}, geo: geo,
		links: map[*exchange.Link]struct{}{},
	}
}

// parts are what b runs, on ports of its own.
func (c *Cluster) parts(b *Bad) []func(context.Context) error {
	peer, upload := listen(c.t), listen(c.t)
	b.Host.PeerPort, b.Host.UploadPort = peer.Addr().(*net.TCPAddr).Port, upload.Addr().(*net.TCPAddr).Port
	b.x = exchange.New(exchange.Options{Host: func() pieces.Host { return b.Host }, Local: b, Log: log()})
	srv := rpc.NewServer(rpc.ServerOptions{Log: log()})
	daemonpb.RegisterPeerServer(srv, b.x)
	return []func(context.Context) error{
		func(ctx context.Context) error { return srv.Serve(ctx, peer) },
		func(ctx context.Context) error { return b.serve(ctx, upload) },
		b.boast,
	}
}

// register makes b a Peer that says it holds es.
func (c *Cluster) register(b *Bad, t *pieces.Task, f pieces.Facts, parts []func(context.Context) error, es []pieces.Extent) {
	c.t.Helper()
	var addrs []string
	for _, s := range c.Schedulers {
		addrs = append(addrs, s.Addr)
	}
	client, err := announce.New(announce.Options{Schedulers: addrs, Host: b.Host, Log: log()})
	require.NoError(c.t, err)
	c.run(append(parts, client.Run)...)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b.peer, _, err = client.Register(ctx, announce.RegisterRequest{
		Task: t, Version: b.key.Version, Facts: &f, CanFetch: b.lies, Held: es,
	}, b, func() ([]pieces.Extent, []pieces.SumRun, map[pieces.LeaseID][]pieces.Extent) {
		return es, nil, nil
	})
	require.NoError(c.t, err)
}

// Answers returns what it was asked so far.
func (b *Bad) Answers() []Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Answer(nil), b.answers...)
}

// Join makes itself known to a host, as neighbours do.
func (b *Bad) Join(h pieces.Host) { b.x.Connect(b, h) }

// HandleEvent ignores what the scheduler says but leases, under which it lies
// (announce.Handler).
func (b *Bad) HandleEvent(ev announce.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case announce.SessionDown:
		b.out = b.out || ev.Final
	case announce.Lease:
		if !b.lies {
			return
		}
		b.lent = append(b.lent, ev.Extent)
		sums := make([]pieces.Sum, ev.Extent.Len())
		for i := range sums {
			_, _ = rand.Read(sums[i][:])
		}
		b.peer.Held(announce.HeldReport{
			Extents: []pieces.Extent{ev.Extent}, Lease: ev.ID,
			Sums: []pieces.SumRun{{First: ev.Extent.First, Sums: sums, Setter: b.Host.ID}},
		})
	}
}

// contradict tells a digest of its own invention for a piece it was not lent.
func (b *Bad) contradict(i int) {
	var sum pieces.Sum
	_, _ = rand.Read(sum[:])
	b.peer.Held(announce.HeldReport{
		Extents: []pieces.Extent{{First: i, End: i + 1}},
		Sums:    []pieces.SumRun{{First: i, Sums: []pieces.Sum{sum}, Setter: b.Host.ID}},
	})
}

// Lent returns what it told digests of; out: the scheduler has put it out.
func (b *Bad) Lent() (es []pieces.Extent, out bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(es, b.lent...), b.out
}

// Swarm is for those who call (exchange.Local).
func (b *Bad) Swarm(_ context.Context, key pieces.Key) (exchange.Swarm, error) {
	if key != b.key {
		return nil, pieces.Errorf(pieces.NotFound, "%v is not here", key)
	}
	return b, nil
}

// Key and the following methods are exchange.Swarm.
func (b *Bad) Key() pieces.Key                      { return b.key }
func (b *Bad) Geometry() pieces.Geometry            { return b.geo }
func (b *Bad) Patience(pieces.HostID) time.Duration { return 5 * time.Millisecond }
func (b *Bad) Heard(*exchange.Link, exchange.Delta) {}

func (b *Bad) Joined(l *exchange.Link) {
	b.mu.Lock()
	b.links[l] = struct{}{}
	b.mu.Unlock()
	b.claim(l)
}

func (b *Bad) Left(l *exchange.Link, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.links, l)
}

func (b *Bad) claim(l *exchange.Link) {
	l.Update(exchange.Delta{Held: []pieces.Extent{b.geo.All()}}, true)
}

// boast claims everything again, whatever others found out.
func (b *Bad) boast(ctx context.Context) error {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			b.x.Close()
			return nil
		case <-t.C:
			b.mu.Lock()
			for l := range b.links {
				b.claim(l)
			}
			b.mu.Unlock()
		}
	}
}

func (b *Bad) serve(ctx context.Context, lis net.Listener) error {
	srv := &http.Server{Handler: b, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(lis); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// ServeHTTP answers a request for bytes, badly.
func (b *Bad) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.answers = append(b.answers, Answer{pieces.HostID(r.Header.Get("X-Df-Host")), time.Now()})
	b.mu.Unlock()
	var first, last int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil || last >= len(b.data) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.answer(w, r, first, last-first+1)
}

func (b *Bad) answer(w http.ResponseWriter, r *http.Request, off, n int) {
	body := append([]byte(nil), b.data[off:off+n]...)
	send := func(length int) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, len(b.data)))
		w.Header().Set("Content-Length", strconv.Itoa(length))
		w.WriteHeader(http.StatusPartialContent)
	}
	switch b.trick {
	case Flip:
		body[n/2] ^= 0x10
	case OtherPiece:
		at := (off + int(b.geo.PieceSize)) % max(1, len(b.data)-n+1)
		copy(body, b.data[at:at+n])
	case OtherVersion:
		_, _ = rand.Read(body)
	case Repeat:
		copy(body[n/2:], body[:n-n/2])
	case More:
		send(n + 1000)
		_, _ = w.Write(append(body, make([]byte, 1000)...))
		return
	case Fewer:
		send(n - 1)
		_, _ = w.Write(body[:n-1])
		return
	case Cut:
		send(n)
		_, _ = w.Write(body[:n/2])
		panic(http.ErrAbortHandler)
	case Smuggle:
		b.smuggle(w, off, body)
		return
	case Trickle:
		send(n)
		for i := 0; i < n && r.Context().Err() == nil; i++ {
			_, _ = w.Write(body[i : i+1])
			_ = http.NewResponseController(w).Flush()
			pause(r.Context(), time.Second)
		}
		return
	case Late:
		pause(r.Context(), 1500*time.Millisecond)
	case Mute:
		<-r.Context().Done()
		return
	case Missing:
		w.WriteHeader(http.StatusNotFound)
		return
	case Busy:
		w.Header().Set("Retry-After-Ms", "86400000")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case Teapot:
		w.WriteHeader(http.StatusTeapot)
		return
	}
	send(n)
	_, _ = w.Write(body)
}

// smuggle sends the right answer and, behind it, a whole wrong one, in the hope
// that it is taken for the answer to the next request.
func (b *Bad) smuggle(w http.ResponseWriter, off int, body []byte) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	n := len(body)
	one := func(at int, bytes []byte) {
		fmt.Fprintf(rw, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n",
			at, at+n-1, len(b.data), n)
		_, _ = rw.Write(bytes)
	}
	one(off, body)
	_, _ = rand.Read(body)
	one(off+n, body)
	_ = rw.Flush()
	pause(context.Background(), 200*time.Millisecond)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
