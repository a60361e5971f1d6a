package manager

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// clusterStore is where clusters are read from.
type clusterStore interface {
	Clusters(ctx context.Context) ([]store.Cluster, error)
	Schedulers(ctx context.Context, since time.Time) ([]store.Scheduler, error)
	Config(ctx context.Context, cluster string) (store.Config, error)
}

// directory keeps the clusters of the database in memory, so that keep-alives
// and lists ask nothing of it: their scopes, and the versions of their configs.
// Refresh brings it up to date; between two, what other managers change is not
// seen. A database that does not answer leaves everything as it was.
type directory struct {
	store clusterStore
	log   *logrus.Entry
	// since is who of the schedulers counts as live.
	since func() time.Time

	// reading is held while the database is asked.
	reading sync.Mutex
	failing bool // guarded by reading

	mu       sync.Mutex
	clusters []store.Cluster
	scopes   []scope
	live     []string                // clusters with live schedulers
	configs  map[string]store.Config // of versions that were asked for
	changed  chan struct{}           // closed and replaced with each change
}

func newDirectory(s clusterStore, since func() time.Time, log *logrus.Entry) *directory {
	return &directory{store: s, since: since, log: log, configs: map[string]store.Config{}, changed: make(chan struct{})}
}

// refresh reads all clusters.
func (d *directory) refresh(ctx context.Context) error {
	d.reading.Lock()
	defer d.reading.Unlock()
	clusters, err := d.store.Clusters(ctx)
	var schedulers []store.Scheduler
	if err == nil {
		schedulers, err = d.store.Schedulers(ctx, d.since())
	}
	if err != nil {
		if !d.failing && ctx.Err() == nil {
			d.log.WithError(err).Warn("clusters can't be read; going on with what is known of them")
		}
		d.failing = true
		return err
	}
	d.failing = false
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live = clustersOf(schedulers)
	if slices.EqualFunc(clusters, d.clusters, func(a, b store.Cluster) bool {
		return a.Name == b.Name && a.Revision == b.Revision && a.Created.Equal(b.Created)
	}) {
		return nil
	}
	d.clusters, d.scopes, d.configs = clusters, nil, map[string]store.Config{}
	for _, c := range clusters {
		s, err := newScope(c.Name, c.Scopes)
		if err != nil { // it was checked before it was stored
			d.log.WithError(err).WithField("cluster", c.Name).Error("a cluster's scopes make no sense")
			s = scope{cluster: c.Name}
		}
		d.scopes = append(d.scopes, s)
	}
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}

// configVersion answers the version of a cluster's config, and a channel that
// is closed when any cluster changes.
func (d *directory) configVersion(cluster string) (uint64, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.versionLocked(cluster), d.changed
}

func (d *directory) versionLocked(cluster string) uint64 {
	for _, c := range d.clusters {
		if c.Name == cluster {
			return c.ConfigVersion
		}
	}
	return 0
}

// config answers a cluster's config, at least as new as the directory; the
// database is asked once per version.
func (d *directory) config(ctx context.Context, cluster string) (store.Config, error) {
	d.mu.Lock()
	c, ok := d.configs[cluster]
	current := d.versionLocked(cluster)
	d.mu.Unlock()
	if ok && c.Version == current {
		return c, nil
	}
	d.reading.Lock()
	defer d.reading.Unlock()
	d.mu.Lock()
	c, ok = d.configs[cluster]
	d.mu.Unlock()
	if ok && c.Version == current {
		return c, nil
	}
	c, err := d.store.Config(ctx, cluster)
	if err != nil {
		return c, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.knownLocked(cluster) {
		d.configs[cluster] = c
	}
	return c, nil
}

// knownLocked bounds configs: only those of clusters that have a row are kept.
func (d *directory) knownLocked(cluster string) bool {
	return slices.ContainsFunc(d.clusters, func(c store.Cluster) bool { return c.Name == cluster })
}

// list answers the clusters that have a row, and their scopes. Both are never
// changed.
func (d *directory) list() ([]store.Cluster, []scope) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clusters, d.scopes
}

// home is the cluster of a host: the one whose schedulers it is told of.
func (d *directory) home(h pieces.Host) (cluster, why string) {
	d.mu.Lock()
	scopes, live := d.scopes, d.live
	d.mu.Unlock()
	return choose(h, scopes, live)
}

// clustersOf answers the clusters of these schedulers.
func clustersOf(schedulers []store.Scheduler) (names []string) {
	for _, n := range schedulers {
		if !slices.Contains(names, n.Cluster) {
			names = append(names, n.Cluster)
		}
	}
	return names
}

// refreshEvery keeps the directory up to date until ctx ends.
func (d *directory) refreshEvery(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			asking, cancel := context.WithTimeout(ctx, flushTimeout)
			_ = d.refresh(asking) // logged
			cancel()
		}
	}
}
