-- Jobs: preheat, delete, holders, collect. A job's row is claimed with a
-- lease; its items are one Task (or none) on one host each.

-- +goose Up
CREATE TABLE jobs (
    -- Grows with time, so that the order of ids is that of creation.
    id       TEXT   COLLATE "binary" NOT NULL PRIMARY KEY,
    kind     TEXT   NOT NULL,
    cluster  TEXT   NOT NULL,
    -- JSON object: what to do and to whom.
    spec     TEXT   NOT NULL,
    -- queued, running, succeeded, failed, canceled.
    state    TEXT   NOT NULL,
    error    TEXT   NOT NULL DEFAULT '',
    -- 1: its items stand in job_items.
    planned  BIGINT NOT NULL DEFAULT 0,
    -- 1: somebody asked for its end.
    canceled BIGINT NOT NULL DEFAULT 0,
    created  BIGINT NOT NULL,
    started  BIGINT NOT NULL DEFAULT 0,
    finished BIGINT NOT NULL DEFAULT 0,
    -- After this long, in milliseconds from its start, what is not done fails.
    timeout  BIGINT NOT NULL,
    -- Who runs it, and until when by the database's clock unless renewed.
    -- fence grows with each claim: who lost the lease writes nothing more.
    owner    TEXT   NOT NULL DEFAULT '',
    lease    BIGINT NOT NULL DEFAULT 0,
    fence    BIGINT NOT NULL DEFAULT 0,
    revision BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX jobs_to_claim ON jobs (state, lease);

CREATE TABLE job_items (
    job      TEXT   COLLATE "binary" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    -- Order within the job.
    number   BIGINT NOT NULL,
    -- '' where the job is not about a Task.
    task_id  TEXT   NOT NULL,
    host_id  TEXT   NOT NULL,
    hostname TEXT   NOT NULL,
    -- waiting, running, succeeded, failed, canceled.
    state    TEXT   NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    -- Bytes; total -1 is unknown.
    done     BIGINT NOT NULL DEFAULT 0,
    total    BIGINT NOT NULL DEFAULT -1,
    -- JSON object: what the host answered.
    result   TEXT   NOT NULL DEFAULT '{}',
    error    TEXT   NOT NULL DEFAULT '',
    updated  BIGINT NOT NULL,
    PRIMARY KEY (job, number)
);

-- +goose Down
DROP TABLE job_items;
DROP TABLE jobs;
