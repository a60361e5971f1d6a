// Package daemon is the part of Damselfly that runs on every host: it knows the
// Tasks of the host, learns their facts, and reads their content through the
// engine, for the mount, for dfget and for other hosts.
//
// # Parts
//
//	engine     one Content per (Task, Version): fetching, verifying, serving
//	announce   the schedulers and the manager, as seen from here
//	exchange   what neighbours hold and want (SyncPieceTasks)
//	fetch      pieces from other hosts' piece servers
//	upload     this host's piece server
//	source     origins
//	picker, readahead, limit   pure policies and limits
//	control    the unix socket of dfmount and dfget
//
// The mount (package fusefs) and the commands meet this package in cmd.
package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/daemon/announce"
	"damselfly/daemon/engine"
	"damselfly/daemon/limit"
	"damselfly/daemon/source"
	"damselfly/daemon/upload"
	"damselfly/pieces"
	"damselfly/pieces/store"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
)

// spoolDir, in the data dir, takes content that is read whole to name its
// Version. It is emptied at start.
const spoolDir = "spool"

// Daemon is one host's part in the system. Safe for concurrent use.
type Daemon struct {
	o        Options
	id       identity
	host     pieces.Host
	started  time.Time
	store    *store.Store
	origin   source.Origin
	announce *announce.Client
	engine   *engine.Engine
	upload   *upload.Server
	rpc      *rpc.Server
	prefixes *prefixes
	unknown  *unknown
	names    *remoteNames
	untold   *untold
	http     *source.HTTP
	// regained: bytes are held that were not at the start.
	regained chan struct{}
	// ctx lives until Run returns; background work of Tasks hangs on it.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	tasks   map[pieces.TaskID]*task
	handles int
	lastUse time.Time
}

// New opens the data dir and makes a daemon; Run makes it work.
func New(ctx context.Context, o Options) (*Daemon, error) {
	o = o.withDefaults()
	id, unkept, err := loadIdentity(o.DataDir)
	if err != nil {
		return nil, err
	}
	if unkept != nil {
		o.Log.WithError(unkept).Warn("the host's identity lasts only until the daemon stops")
	}
	d := &Daemon{
		o: o, id: id, started: time.Now(), lastUse: time.Now(),
		tasks: map[pieces.TaskID]*task{}, prefixes: newPrefixes(64),
		unknown: newUnknown(o.FailureMemo), untold: newUntold(), names: newRemoteNames(o.FailureMemo),
		regained: make(chan struct{}, 1),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.host = d.describeHost()
	spool := filepath.Join(o.DataDir, spoolDir)
	d.makeSpool()
	if err := d.openStore(ctx); err != nil {
		return nil, err
	}
	if err := d.makeParts(spool); err != nil {
		d.store.Close()
		return nil, err
	}
	d.registerMetrics()
	return d, nil
}

func (d *Daemon) openStore(ctx context.Context) (err error) {
	so := d.o.Store
	so.Dir, so.Log = d.o.DataDir, d.o.Log.WithField("part", "store")
	if d.o.CacheSize > 0 {
		so.CacheSize = d.o.CacheSize
	}
	so.BeforeEvict = func(key pieces.Key, lost []pieces.Extent, whole bool) {
		if d.engine != nil {
			d.engine.Evicting(key, lost, whole)
		}
	}
	so.Reopened = d.reopened
	d.store, err = store.Open(ctx, so)
	return err
}

// makeSpool makes an empty spool directory.
func (d *Daemon) makeSpool() {
	spool := filepath.Join(d.o.DataDir, spoolDir)
	if err := errors.Join(os.RemoveAll(spool), os.MkdirAll(spool, 0o700)); err != nil {
		d.o.Log.WithError(err).Warn("there is no spool directory: content without a validator can't be read")
	}
}

// reopened is called when the store got the disk that it lacked at the start.
func (d *Daemon) reopened() {
	if _, err := os.Stat(filepath.Join(d.o.DataDir, spoolDir)); err != nil {
		d.makeSpool()
	}
	select {
	case d.regained <- struct{}{}:
	default:
	}
}

func (d *Daemon) makeParts(spool string) (err error) {
	o := d.o
	d.http = source.NewHTTP(o.Source)
	d.origin = source.WithRetry(source.WithLimit(source.WithRest(source.WithMetrics(source.WithTrace(d.http), o.Registry), o.Rest), limit.NewRate(o.OriginRate)), o.Retry)
	ao := o.Announce
	ao.Managers, ao.Schedulers, ao.Host = o.Managers, o.Schedulers, d.host
	ao.StateFile = filepath.Join(o.DataDir, "cluster.json")
	ao.Load = func() int { return d.upload.Uploads() }
	ao.Inventory, ao.Resume = d.inventory, d.takeUp
	ao.Log = o.Log.WithField("part", "announce")
	if d.announce, err = announce.New(ao); err != nil {
		return err
	}
	eo := o.Engine
	eo.Host, eo.Store, eo.Origin, eo.Announce = d.host, d.store, d.origin, d.announce
	eo.DownloadRate, eo.Memory, eo.SpoolDir = o.DownloadRate, o.Memory, spool
	eo.Replaced, eo.Prefix = d.replaced, d.prefixes.get
	eo.Tracer = o.Tracer
	eo.Log = o.Log.WithField("part", "engine")
	d.engine = engine.New(eo)
	d.upload, err = upload.New(upload.Options{
		Backend: d.engine, Slots: o.UploadSlots, Rate: limit.NewRate(o.UploadRate),
		Tracer: o.Tracer, Registry: o.Registry, Log: o.Log.WithField("part", "upload"),
	})
	if err != nil {
		return err
	}
	d.rpc = rpc.NewServer(rpc.ServerOptions{Log: o.Log.WithField("part", "rpc"), Registry: o.Registry, Tracer: o.Tracer})
	daemonpb.RegisterPeerServer(d.rpc, seeds{d.engine.Exchange(), d})
	return nil
}

// describeHost is this host as others see it.
func (d *Daemon) describeHost() pieces.Host {
	name, _ := os.Hostname()
	h := pieces.Host{
		ID: d.id.host, Hostname: name, IP: d.o.AdvertiseIP, IDC: d.o.IDC, Location: d.o.Location,
		Labels: d.o.Labels, UploadSlots: d.o.UploadSlots, SoftwareVersion: d.o.Version,
		PeerPort: portOf(d.o.PeerListen), UploadPort: portOf(d.o.UploadListen),
	}
	if h.IP == "" {
		h.IP = ownIP(d.o.PeerListen.Addr())
	}
	if d.o.Seed {
		h.Type = pieces.SeedHost
	}
	return h
}

// ownIP is where other hosts probably reach a listener: its own address, or,
// if it listens on all, the first address that is no loopback.
func ownIP(lis net.Addr) string {
	if a, ok := lis.(*net.TCPAddr); ok && !a.IP.IsUnspecified() {
		return a.IP.String()
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

func portOf(l net.Listener) int {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(p)
	return n
}

// Run serves until ctx ends, then leaves every Task and its schedulers, writes
// what is in memory and closes the data dir. Handles must be closed before.
func (d *Daemon) Run(ctx context.Context) error {
	serve, stop := context.WithCancel(context.Background())
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return d.rpc.Serve(serve, d.o.PeerListen) })
	g.Go(func() error { return d.upload.Serve(serve, d.o.UploadListen) })
	g.Go(func() error { return d.announce.Run(serve) })
	g.Go(func() error { d.resumeAll(serve); return nil })
	g.Go(func() error { d.tellManager(serve); return nil })
	<-ctx.Done()
	bye, cancel := context.WithTimeout(context.Background(), d.o.LeaveTimeout)
	defer cancel()
	d.engine.Close(bye)
	d.announce.Leave(bye)
	stop()
	err := g.Wait()
	d.cancel()
	d.wg.Wait()
	return errors.Join(err, d.store.Close(), d.http.Close())
}

// Host returns this host as others see it.
func (d *Daemon) Host() pieces.Host { return d.host }

// inventory is what this host holds of public Tasks. It remembers none of them:
// there may be many.
func (d *Daemon) inventory() []announce.InventoryItem {
	var out []announce.InventoryItem
	for _, v := range d.store.Versions() {
		if d.isPublic(v.Key.Task) {
			out = append(out, announce.InventoryItem{Key: v.Key, Pieces: v.Pieces})
		}
	}
	return out
}

func (d *Daemon) isPublic(id pieces.TaskID) bool {
	d.mu.Lock()
	t := d.tasks[id]
	d.mu.Unlock()
	if t != nil {
		return t.spec().Public()
	}
	e, err := d.store.Entry(id)
	return err == nil && e.Task.Public()
}

// takeUp takes part in a Version because a scheduler asks for it, and answers
// whether any of it is held here.
func (d *Daemon) takeUp(_ context.Context, key pieces.Key) bool {
	t, err := d.taskHere(key.Task)
	if err != nil || !t.spec().Public() {
		return false
	}
	facts, ok := d.heldFacts(key)
	if !ok {
		return false
	}
	c, err := d.engine.Content(t.spec(), facts, t.canFetch())
	if err != nil {
		return false
	}
	h, err := c.Open()
	if err != nil {
		return false
	}
	return h.Close() == nil
}

// heldFacts returns the facts of a Version of which some is held.
func (d *Daemon) heldFacts(key pieces.Key) (pieces.Facts, bool) {
	if c := d.engine.Lookup(key); c != nil && c.Held().Count() > 0 {
		return c.Facts(), true
	}
	v, ok := d.store.Version(key)
	return v.Facts, ok
}

// resumeAll takes up what is held, at start and whenever the store regains a
// disk, until ctx ends.
func (d *Daemon) resumeAll(ctx context.Context) {
	for {
		d.resume(ctx)
		select {
		case <-ctx.Done():
			return
		case <-d.regained:
		}
	}
}

// resumed is how many held Tasks are taken up again at start.
const resumed = 256

// resume takes part again in the Tasks held from before, latest used first, so
// that others find their bytes here.
func (d *Daemon) resume(ctx context.Context) {
	for i, v := range d.store.Versions() {
		if i >= resumed || ctx.Err() != nil {
			return
		}
		t, err := d.taskHere(v.Key.Task)
		if err != nil || !t.spec().Public() || !d.announce.Enabled() {
			continue
		}
		c, err := d.engine.Content(t.spec(), v.Facts, t.canFetch())
		if err != nil {
			continue
		}
		if h, err := c.Open(); err == nil {
			h.Close()
		}
	}
}
