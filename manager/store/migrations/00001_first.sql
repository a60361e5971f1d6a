-- Times are milliseconds since 1970. Only what SQLite and PostgreSQL both
-- understand stands here. The collation "binary" is SQLite's own; the store
-- makes it in PostgreSQL. Text that is listed in order has it.

-- +goose Up
CREATE TABLE clusters (
    name           TEXT   COLLATE "binary" NOT NULL PRIMARY KEY,
    -- JSON object: what differs from the defaults.
    config         TEXT   NOT NULL,
    config_version BIGINT NOT NULL
);

CREATE TABLE schedulers (
    cluster TEXT   NOT NULL,
    address TEXT   NOT NULL,
    version TEXT   NOT NULL,
    seen    BIGINT NOT NULL,
    PRIMARY KEY (cluster, address)
);

CREATE TABLE seed_peers (
    cluster      TEXT   NOT NULL,
    host_id      TEXT   NOT NULL,
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
    seen         BIGINT NOT NULL,
    PRIMARY KEY (cluster, host_id)
);

-- Public Tasks only; hashing the columns gives the id.
CREATE TABLE tasks (
    id           TEXT   NOT NULL PRIMARY KEY,
    public_url   TEXT   NOT NULL,
    tag          TEXT   NOT NULL,
    application  TEXT   NOT NULL,
    digest       TEXT   NOT NULL,
    -- JSON array.
    filter_query TEXT   NOT NULL,
    added        BIGINT NOT NULL
);

CREATE TABLE names (
    name    TEXT   COLLATE "binary" NOT NULL PRIMARY KEY,
    task_id TEXT   NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    added   BIGINT NOT NULL
);
CREATE INDEX names_of_task ON names (task_id);

-- +goose Down
DROP TABLE names;
DROP TABLE tasks;
DROP TABLE seed_peers;
DROP TABLE schedulers;
DROP TABLE clusters;
