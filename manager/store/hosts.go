package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"damselfly/pieces"
)

// Host is a machine with a daemon, in a cluster. Of its pieces.Host, the
// uploads of the moment are not kept.
type Host struct {
	Cluster string
	Host    pieces.Host
	// Added is when it was first heard of, Seen when it last kept itself
	// alive, both to the millisecond.
	Added, Seen time.Time
}

// Beat writes who lives, in one transaction: schedulers and changed hosts in
// full, adding new ones; of same, which say nothing new of themselves, only
// the time, unless they are not there any more. A time never goes back. Lists
// are sorted by id, so that two managers don't lock rows crosswise.
func (s *Store) Beat(ctx context.Context, schedulers []Scheduler, changed, same []Host) error {
	return s.within(ctx, "writing who is alive", func(tx *sql.Tx) error {
		for _, n := range schedulers {
			if err := beatScheduler(ctx, tx, n); err != nil {
				return err
			}
		}
		if err := putHosts(ctx, tx, changed); err != nil || len(same) == 0 {
			return err
		}
		times, err := beatsJSON(same)
		if err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `UPDATE hosts SET seen = CASE WHEN b.seen > hosts.seen THEN b.seen ELSE hosts.seen END
			FROM `+s.dialect.beats+` WHERE hosts.id = b.id`, times)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n >= int64(len(same)) {
			return err
		}
		return putHosts(ctx, tx, same)
	})
}

func beatsJSON(hosts []Host) (string, error) {
	type beat struct {
		ID   pieces.HostID `json:"id"`
		Seen int64         `json:"seen"`
	}
	beats := make([]beat, len(hosts))
	for i, h := range hosts {
		beats[i] = beat{h.Host.ID, h.Seen.UnixMilli()}
	}
	b, err := json.Marshal(beats)
	return string(b), err
}

func putHosts(ctx context.Context, tx *sql.Tx, hosts []Host) error {
	if len(hosts) == 0 {
		return nil
	}
	put, err := tx.PrepareContext(ctx, `
		INSERT INTO hosts (id, cluster, type, hostname, ip, peer_port, upload_port, idc, location, labels,
			upload_slots, version, added, seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)
		ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster, type = excluded.type, hostname = excluded.hostname,
			ip = excluded.ip, peer_port = excluded.peer_port, upload_port = excluded.upload_port, idc = excluded.idc,
			location = excluded.location, labels = excluded.labels, upload_slots = excluded.upload_slots,
			version = excluded.version, seen = excluded.seen
		WHERE excluded.seen >= hosts.seen`)
	if err != nil {
		return err
	}
	defer put.Close()
	for _, n := range hosts {
		h := n.Host
		labels, err := json.Marshal(h.Labels)
		if err != nil {
			return err
		}
		if _, err = put.ExecContext(ctx, string(h.ID), n.Cluster, int(h.Type), h.Hostname, h.IP, h.PeerPort, h.UploadPort,
			h.IDC, h.Location, string(labels), h.UploadSlots, h.SoftwareVersion, n.Seen.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

const hostColumns = `id, cluster, type, hostname, ip, peer_port, upload_port, idc, location, labels, upload_slots, version, added, seen`

func scanHost(r interface{ Scan(...any) error }) (n Host, err error) {
	var labels string
	var added, seen int64
	h := &n.Host
	err = r.Scan(&h.ID, &n.Cluster, &h.Type, &h.Hostname, &h.IP, &h.PeerPort, &h.UploadPort, &h.IDC, &h.Location, &labels,
		&h.UploadSlots, &h.SoftwareVersion, &added, &seen)
	if err == nil {
		err = json.Unmarshal([]byte(labels), &h.Labels)
	}
	n.Added, n.Seen = timeOf(added), timeOf(seen)
	return n, err
}

// HostFilter chooses hosts; zero fields choose all.
type HostFilter struct {
	Cluster string
	// Seeds leaves out normal hosts.
	Seeds bool
	// Since leaves out who was seen last before it.
	Since time.Time
	// Search finds a part of hostname, address or id, in any case.
	Search string
}

// Hosts answers at most limit hosts that f chooses and that come after the
// given id, by id.
func (s *Store) Hosts(ctx context.Context, f HostFilter, after pieces.HostID, limit int) ([]Host, error) {
	q := where{}
	q.and(`id > ?`, string(after))
	if f.Cluster != "" {
		q.and(`cluster = ?`, f.Cluster)
	}
	if f.Seeds {
		q.and(`type = ?`, int(pieces.SeedHost))
	}
	if !f.Since.IsZero() {
		q.and(`seen >= ?`, f.Since.UnixMilli())
	}
	if f.Search != "" {
		q.search(f.Search, "hostname", "ip", "id")
	}
	return query(ctx, s, "listing hosts", func(r *sql.Rows) (Host, error) { return scanHost(r) },
		`SELECT `+hostColumns+` FROM hosts`+q.sql()+` ORDER BY id LIMIT `+q.param(limit), q.args...)
}

// Host answers one host, or NotFound.
func (s *Store) Host(ctx context.Context, id pieces.HostID) (Host, error) {
	h, err := scanHost(s.db.QueryRowContext(ctx, `SELECT `+hostColumns+` FROM hosts WHERE id = $1`, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return h, pieces.Errorf(pieces.NotFound, "there is no host %.64s", id)
	}
	return h, s.failed(ctx, "reading host "+id.Short(), err)
}

// Counts is how many there are.
type Counts struct {
	// Hosts and Seeds seen at since or later; AllHosts ever, until forgotten.
	Hosts, Seeds, AllHosts, Schedulers int
	Tasks, Jobs                        int
}

// Count counts everything, for an overview.
func (s *Store) Count(ctx context.Context, since time.Time) (c Counts, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT
		(SELECT COUNT(*) FROM hosts WHERE seen >= $1), (SELECT COUNT(*) FROM hosts WHERE seen >= $1 AND type = 1),
		(SELECT COUNT(*) FROM hosts), (SELECT COUNT(*) FROM schedulers WHERE seen >= $1),
		(SELECT COUNT(*) FROM tasks), (SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'running'))`, since.UnixMilli()).
		Scan(&c.Hosts, &c.Seeds, &c.AllHosts, &c.Schedulers, &c.Tasks, &c.Jobs)
	return c, s.failed(ctx, "counting", err)
}

// LastSeen is when any node was seen last; zero if none ever was.
func (s *Store) LastSeen(ctx context.Context) (time.Time, error) {
	var ms int64
	err := s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(seen), 0) FROM
		(SELECT seen FROM schedulers UNION ALL SELECT seen FROM hosts) AS nodes`).Scan(&ms)
	if err != nil || ms == 0 {
		return time.Time{}, s.failed(ctx, "asking who was alive last", err)
	}
	return time.UnixMilli(ms), nil
}

// RemoveHost takes a host off; one that is not there is no error.
func (s *Store) RemoveHost(ctx context.Context, id pieces.HostID) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM hosts WHERE id = $1`, string(id))
	return s.failed(ctx, "removing host "+id.Short(), err)
}

// Forget removes every node last seen before t.
func (s *Store) Forget(ctx context.Context, t time.Time) error {
	return s.within(ctx, "forgetting dead nodes", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM schedulers WHERE seen < $1`, t.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM hosts WHERE seen < $1`, t.UnixMilli())
		return err
	})
}
