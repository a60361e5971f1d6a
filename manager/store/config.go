package store

import (
	"context"
	"database/sql"
	"errors"

	"damselfly/pieces"
)

// Config is what an operator changed of a cluster's dynamic config.
type Config struct {
	// Version grows by one with each change; 0 means never changed.
	Version uint64
	// JSON is an object of only what differs from the defaults.
	JSON string
}

// Config answers a cluster's config; one never changed is "{}" at version 0.
func (s *Store) Config(ctx context.Context, cluster string) (Config, error) {
	c, err := configOf(ctx, s.db, cluster)
	return c, s.failed(ctx, "reading the config of cluster "+cluster, err)
}

// PutConfig replaces a cluster's config if it is still at the given version,
// and answers the new version; otherwise it is a Changed error. The caller has
// checked the JSON.
func (s *Store) PutConfig(ctx context.Context, cluster, json string, version uint64) (next uint64, err error) {
	next = version + 1
	err = s.within(ctx, "changing the config of cluster "+cluster, func(tx *sql.Tx) error {
		change := `UPDATE clusters SET config = $2, config_version = $3, revision = revision + 1 WHERE name = $1 AND config_version = $3 - 1`
		if version == 0 {
			change = `INSERT INTO clusters (name, config, config_version) VALUES ($1, $2, $3)
				ON CONFLICT (name) DO UPDATE SET config = excluded.config, config_version = excluded.config_version, revision = clusters.revision + 1
				WHERE clusters.config_version = 0`
		}
		r, err := tx.ExecContext(ctx, change, cluster, json, next)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 1 {
			return err
		}
		now, err := configOf(ctx, tx, cluster)
		if err != nil {
			return err
		}
		return pieces.Errorf(pieces.Changed, "the config of cluster %s is at version %d, not %d; read it again first", cluster, now.Version, version)
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func configOf(ctx context.Context, db rower, cluster string) (Config, error) {
	c := Config{JSON: "{}"}
	err := db.QueryRowContext(ctx, `SELECT config_version, config FROM clusters WHERE name = $1`, cluster).Scan(&c.Version, &c.JSON)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	return c, err
}
