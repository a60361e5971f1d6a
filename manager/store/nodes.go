package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"damselfly/pieces"
)

// Scheduler is a scheduler of a cluster.
type Scheduler struct {
	Cluster string
	// Address is what daemons dial, HOST:PORT.
	Address string
	// Version of its software, for people.
	Version string
	// Seen is when it last kept itself alive, to the millisecond.
	Seen time.Time
}

// SeedPeer is a seed peer of a cluster. Of its Host, the uploads of the moment
// are not kept.
type SeedPeer struct {
	Cluster string
	Host    pieces.Host
	Seen    time.Time
}

// Beat writes what these nodes say of themselves, in one transaction: new ones
// are added. A node seen later than Seen stays as it is.
func (s *Store) Beat(ctx context.Context, schedulers []Scheduler, seeds []SeedPeer) error {
	return s.within(ctx, "writing who is alive", func(tx *sql.Tx) error {
		for _, n := range schedulers {
			if err := beatScheduler(ctx, tx, n); err != nil {
				return err
			}
		}
		for _, n := range seeds {
			if err := beatSeed(ctx, tx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func beatScheduler(ctx context.Context, tx *sql.Tx, n Scheduler) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO schedulers (cluster, address, version, seen) VALUES ($1, $2, $3, $4)
		ON CONFLICT (cluster, address) DO UPDATE SET version = excluded.version, seen = excluded.seen
		WHERE excluded.seen >= schedulers.seen`,
		n.Cluster, n.Address, n.Version, n.Seen.UnixMilli())
	return err
}

func beatSeed(ctx context.Context, tx *sql.Tx, n SeedPeer) error {
	h := n.Host
	labels, err := json.Marshal(h.Labels)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO seed_peers (cluster, host_id, hostname, ip, peer_port, upload_port, idc, location, labels,
			upload_slots, version, seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (cluster, host_id) DO UPDATE SET hostname = excluded.hostname, ip = excluded.ip,
			peer_port = excluded.peer_port, upload_port = excluded.upload_port, idc = excluded.idc,
			location = excluded.location, labels = excluded.labels, upload_slots = excluded.upload_slots,
			version = excluded.version, seen = excluded.seen
		WHERE excluded.seen >= seed_peers.seen`,
		n.Cluster, string(h.ID), h.Hostname, h.IP, h.PeerPort, h.UploadPort, h.IDC, h.Location, string(labels),
		h.UploadSlots, h.SoftwareVersion, n.Seen.UnixMilli())
	return err
}

// Schedulers answers those of every cluster seen at since or later, by cluster
// and address.
func (s *Store) Schedulers(ctx context.Context, since time.Time) ([]Scheduler, error) {
	return query(ctx, s, "listing schedulers", func(r *sql.Rows) (n Scheduler, err error) {
		var seen int64
		err = r.Scan(&n.Cluster, &n.Address, &n.Version, &seen)
		n.Seen = time.UnixMilli(seen)
		return n, err
	}, `SELECT cluster, address, version, seen FROM schedulers WHERE seen >= $1 ORDER BY cluster, address`, since.UnixMilli())
}

// SeedPeers answers those of a cluster seen at since or later, by host.
func (s *Store) SeedPeers(ctx context.Context, cluster string, since time.Time) ([]SeedPeer, error) {
	return query(ctx, s, "listing seed peers", func(r *sql.Rows) (n SeedPeer, err error) {
		h := pieces.Host{Type: pieces.SeedHost}
		var labels string
		var seen int64
		err = r.Scan(&n.Cluster, &h.ID, &h.Hostname, &h.IP, &h.PeerPort, &h.UploadPort, &h.IDC, &h.Location, &labels,
			&h.UploadSlots, &h.SoftwareVersion, &seen)
		if err == nil {
			err = json.Unmarshal([]byte(labels), &h.Labels)
		}
		n.Host, n.Seen = h, time.UnixMilli(seen)
		return n, err
	}, `SELECT cluster, host_id, hostname, ip, peer_port, upload_port, idc, location, labels, upload_slots, version, seen
		FROM seed_peers WHERE cluster = $1 AND seen >= $2 ORDER BY host_id`, cluster, since.UnixMilli())
}

// LastSeen is when any node was seen last; zero if none ever was.
func (s *Store) LastSeen(ctx context.Context) (time.Time, error) {
	var ms int64
	err := s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(seen), 0) FROM
		(SELECT seen FROM schedulers UNION ALL SELECT seen FROM seed_peers) AS nodes`).Scan(&ms)
	if err != nil || ms == 0 {
		return time.Time{}, s.failed(ctx, "asking who was alive last", err)
	}
	return time.UnixMilli(ms), nil
}

// RemoveScheduler takes a scheduler off; one that is not there is no error.
func (s *Store) RemoveScheduler(ctx context.Context, cluster, address string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM schedulers WHERE cluster = $1 AND address = $2`, cluster, address)
	return s.failed(ctx, "removing scheduler "+address, err)
}

// RemoveSeedPeer takes a seed peer off; one that is not there is no error.
func (s *Store) RemoveSeedPeer(ctx context.Context, cluster string, id pieces.HostID) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM seed_peers WHERE cluster = $1 AND host_id = $2`, cluster, string(id))
	return s.failed(ctx, "removing seed peer "+id.Short(), err)
}

// Forget removes every node last seen before t.
func (s *Store) Forget(ctx context.Context, t time.Time) error {
	return s.within(ctx, "forgetting dead nodes", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM schedulers WHERE seen < $1`, t.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM seed_peers WHERE seen < $1`, t.UnixMilli())
		return err
	})
}

// query answers the rows of a SELECT, each read by scan.
func query[T any](ctx context.Context, s *Store, doing string, scan func(*sql.Rows) (T, error), sql string, args ...any) ([]T, error) {
	rows, err := s.db.QueryContext(ctx, sql, args...)
	if err != nil {
		return nil, s.failed(ctx, doing, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, s.failed(ctx, doing, err)
		}
		all = append(all, v)
	}
	return all, s.failed(ctx, doing, rows.Err())
}
