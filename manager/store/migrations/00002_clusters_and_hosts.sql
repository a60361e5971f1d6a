-- All hosts are listed, not seeds alone; clusters say whom they serve; names
-- belong to a cluster; Tasks know their last Version.
--
-- This is the last migration that a manager built without it can't live with.
-- From here on a migration only adds: tables, and columns with a default.

-- +goose Up
ALTER TABLE clusters ADD COLUMN description TEXT NOT NULL DEFAULT '';
-- JSON object: which hosts this cluster serves.
ALTER TABLE clusters ADD COLUMN scopes TEXT NOT NULL DEFAULT '{}';
-- Counts changes of the row, config included.
ALTER TABLE clusters ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE clusters ADD COLUMN created BIGINT NOT NULL DEFAULT 0;
INSERT INTO clusters (name, config, config_version) VALUES ('default', '{}', 0) ON CONFLICT (name) DO NOTHING;

CREATE TABLE hosts (
    id           TEXT   COLLATE "binary" NOT NULL PRIMARY KEY,
    cluster      TEXT   NOT NULL,
    -- 0 normal, 1 seed.
    type         BIGINT NOT NULL,
    hostname     TEXT   NOT NULL,
    ip           TEXT   NOT NULL,
    peer_port    BIGINT NOT NULL,
    upload_port  BIGINT NOT NULL,
    idc          TEXT   NOT NULL,
    location     TEXT   NOT NULL,
    -- JSON object.
    labels       TEXT   NOT NULL,
    upload_slots BIGINT NOT NULL,
    version      TEXT   NOT NULL,
    added        BIGINT NOT NULL,
    -- No index has it: it changes all the time.
    seen         BIGINT NOT NULL
);
CREATE INDEX hosts_of_cluster ON hosts (cluster, type, id);
-- A host of several clusters stays in the one it was seen in last.
INSERT INTO hosts (id, cluster, type, hostname, ip, peer_port, upload_port, idc, location, labels, upload_slots, version, added, seen)
    SELECT host_id, cluster, 1, hostname, ip, peer_port, upload_port, idc, location, labels, upload_slots, version, seen, seen
    FROM seed_peers AS s
    WHERE NOT EXISTS (SELECT 1 FROM seed_peers AS o WHERE o.host_id = s.host_id
        AND (o.seen > s.seen OR o.seen = s.seen AND o.cluster > s.cluster));
DROP TABLE seed_peers;

-- The Version that was current when somebody looked last; '' is unknown.
ALTER TABLE tasks ADD COLUMN facts TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN facts_seen BIGINT NOT NULL DEFAULT 0;
-- JSON array of [first, end) pairs, for the Version of facts.
ALTER TABLE tasks ADD COLUMN access_order TEXT NOT NULL DEFAULT '[]';
-- When the entry ends; 0 is never.
ALTER TABLE tasks ADD COLUMN expires BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
CREATE INDEX tasks_by_age ON tasks (added, id);
CREATE INDEX tasks_that_end ON tasks (expires);

CREATE TABLE cluster_names (
    cluster TEXT   COLLATE "binary" NOT NULL,
    name    TEXT   COLLATE "binary" NOT NULL,
    task_id TEXT   NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    added   BIGINT NOT NULL,
    PRIMARY KEY (cluster, name)
);
CREATE INDEX cluster_names_of_task ON cluster_names (task_id);
INSERT INTO cluster_names (cluster, name, task_id, added) SELECT 'default', name, task_id, added FROM names;
DROP TABLE names;

-- +goose Down
CREATE TABLE names (
    name    TEXT   COLLATE "binary" NOT NULL PRIMARY KEY,
    task_id TEXT   NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    added   BIGINT NOT NULL
);
CREATE INDEX names_of_task ON names (task_id);
INSERT INTO names (name, task_id, added) SELECT name, task_id, added FROM cluster_names WHERE cluster = 'default';
DROP TABLE cluster_names;

DROP INDEX tasks_that_end;
DROP INDEX tasks_by_age;
ALTER TABLE tasks DROP COLUMN revision;
ALTER TABLE tasks DROP COLUMN expires;
ALTER TABLE tasks DROP COLUMN access_order;
ALTER TABLE tasks DROP COLUMN facts_seen;
ALTER TABLE tasks DROP COLUMN facts;

CREATE TABLE seed_peers (
    cluster      TEXT   NOT NULL,
    host_id      TEXT   NOT NULL,
    hostname     TEXT   NOT NULL,
    ip           TEXT   NOT NULL,
    peer_port    BIGINT NOT NULL,
    upload_port  BIGINT NOT NULL,
    idc          TEXT   NOT NULL,
    location     TEXT   NOT NULL,
    labels       TEXT   NOT NULL,
    upload_slots BIGINT NOT NULL,
    version      TEXT   NOT NULL,
    seen         BIGINT NOT NULL,
    PRIMARY KEY (cluster, host_id)
);
INSERT INTO seed_peers (cluster, host_id, hostname, ip, peer_port, upload_port, idc, location, labels, upload_slots, version, seen)
    SELECT cluster, id, hostname, ip, peer_port, upload_port, idc, location, labels, upload_slots, version, seen
    FROM hosts WHERE type = 1;
DROP TABLE hosts;

ALTER TABLE clusters DROP COLUMN created;
ALTER TABLE clusters DROP COLUMN revision;
ALTER TABLE clusters DROP COLUMN scopes;
ALTER TABLE clusters DROP COLUMN description;
