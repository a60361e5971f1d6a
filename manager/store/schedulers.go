package store

import (
	"context"
	"database/sql"
	"time"
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

func beatScheduler(ctx context.Context, tx *sql.Tx, n Scheduler) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO schedulers (cluster, address, version, seen) VALUES ($1, $2, $3, $4)
		ON CONFLICT (cluster, address) DO UPDATE SET version = excluded.version, seen = excluded.seen
		WHERE excluded.seen >= schedulers.seen`,
		n.Cluster, n.Address, n.Version, n.Seen.UnixMilli())
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

// RemoveScheduler takes a scheduler off; one that is not there is no error.
func (s *Store) RemoveScheduler(ctx context.Context, cluster, address string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM schedulers WHERE cluster = $1 AND address = $2`, cluster, address)
	return s.failed(ctx, "removing scheduler "+address, err)
}
