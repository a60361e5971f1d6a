package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"damselfly/pieces"
)

// Cluster is a set of schedulers with the hosts they serve.
type Cluster struct {
	Name        string
	Description string
	Scopes      Scopes
	// ConfigVersion is that of its Config.
	ConfigVersion uint64
	// Revision grows with each change of the row, its config included; 0 is a
	// cluster that has no row, since nobody described it.
	Revision uint64
	// Created is zero for one made by a migration.
	Created time.Time
}

// Scopes say which hosts a cluster serves. A host belongs where most of them
// fit; see package manager.
type Scopes struct {
	// CIDRs of host addresses.
	CIDRs []string `json:"cidrs,omitempty"`
	// Hostnames are regular expressions that match whole names.
	Hostnames []string `json:"hostnames,omitempty"`
	// IDCs are names of data centres.
	IDCs []string `json:"idcs,omitempty"`
	// Locations are leading elements, split by '|'.
	Locations []string `json:"locations,omitempty"`
}

const clusterColumns = `name, description, scopes, config_version, revision, created`

func scanCluster(r interface{ Scan(...any) error }) (c Cluster, err error) {
	var scopes string
	var created int64
	if err = r.Scan(&c.Name, &c.Description, &scopes, &c.ConfigVersion, &c.Revision, &created); err != nil {
		return c, err
	}
	c.Created = timeOf(created)
	return c, json.Unmarshal([]byte(scopes), &c.Scopes)
}

// Clusters answers those that have a row, by name.
func (s *Store) Clusters(ctx context.Context) ([]Cluster, error) {
	return query(ctx, s, "listing clusters", func(r *sql.Rows) (Cluster, error) { return scanCluster(r) },
		`SELECT `+clusterColumns+` FROM clusters ORDER BY name`)
}

// Cluster answers one, or NotFound.
func (s *Store) Cluster(ctx context.Context, name string) (Cluster, error) {
	c, err := scanCluster(s.db.QueryRowContext(ctx, `SELECT `+clusterColumns+` FROM clusters WHERE name = $1`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return c, pieces.Errorf(pieces.NotFound, "there is no cluster %q", name)
	}
	return c, s.failed(ctx, "reading cluster "+name, err)
}

// AddCluster adds a row; Exists if there is one of that name.
func (s *Store) AddCluster(ctx context.Context, c Cluster) error {
	scopes, err := json.Marshal(c.Scopes)
	if err != nil {
		return err
	}
	r, err := s.db.ExecContext(ctx, `INSERT INTO clusters (name, description, scopes, config, config_version, revision, created)
		VALUES ($1, $2, $3, '{}', 0, 1, $4) ON CONFLICT (name) DO NOTHING`,
		c.Name, c.Description, string(scopes), c.Created.UnixMilli())
	return s.changed(ctx, "adding cluster "+c.Name, r, err, func(context.Context) error {
		return pieces.Errorf(pieces.Exists, "there is a cluster %q already", c.Name)
	})
}

// ChangeCluster replaces description and scopes of the cluster if it still is
// at c.Revision; otherwise it is a Changed error.
func (s *Store) ChangeCluster(ctx context.Context, c Cluster) error {
	scopes, err := json.Marshal(c.Scopes)
	if err != nil {
		return err
	}
	r, err := s.db.ExecContext(ctx, `UPDATE clusters SET description = $2, scopes = $3, revision = revision + 1
		WHERE name = $1 AND revision = $4`, c.Name, c.Description, string(scopes), c.Revision)
	return s.changed(ctx, "changing cluster "+c.Name, r, err, func(ctx context.Context) error {
		return s.clusterMoved(ctx, c.Name, c.Revision)
	})
}

// RemoveCluster takes the row off if it still is at revision. Its schedulers,
// hosts and names stay, as those of a cluster that nobody described.
func (s *Store) RemoveCluster(ctx context.Context, name string, revision uint64) error {
	r, err := s.db.ExecContext(ctx, `DELETE FROM clusters WHERE name = $1 AND revision = $2`, name, revision)
	return s.changed(ctx, "removing cluster "+name, r, err, func(ctx context.Context) error {
		return s.clusterMoved(ctx, name, revision)
	})
}

func (s *Store) clusterMoved(ctx context.Context, name string, revision uint64) error {
	now, err := s.Cluster(ctx, name)
	if err != nil {
		return err
	}
	return pieces.Errorf(pieces.Changed, "cluster %s is at revision %d, not %d; read it again first", name, now.Revision, revision)
}

// changed finishes a statement that changes one row: otherwise says why none
// was.
func (s *Store) changed(ctx context.Context, doing string, r sql.Result, err error, otherwise func(context.Context) error) error {
	if err != nil {
		return s.failed(ctx, doing, err)
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return s.failed(ctx, doing, err)
	}
	return otherwise(ctx)
}

// timeOf is a column of milliseconds as a time; 0 is the zero time.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// msOf is the reverse of timeOf.
func msOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
