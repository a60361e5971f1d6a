-- Users, what they prove themselves with, and what they did. Secrets stand here
-- as digests only.

-- +goose Up
CREATE TABLE users (
    name     TEXT   COLLATE "binary" NOT NULL PRIMARY KEY,
    -- admin, operator, viewer.
    role     TEXT   NOT NULL,
    -- '': no login by password.
    password TEXT   NOT NULL DEFAULT '',
    -- Who vouches for the user, and under what name; '' = nobody else.
    issuer   TEXT   NOT NULL DEFAULT '',
    subject  TEXT   NOT NULL DEFAULT '',
    -- 1: may do nothing.
    disabled BIGINT NOT NULL DEFAULT 0,
    created  BIGINT NOT NULL,
    -- The last login; 0 = never.
    seen     BIGINT NOT NULL DEFAULT 0,
    revision BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX users_of_issuers ON users (issuer, subject) WHERE issuer <> '';

-- What callers show: sessions of people, tokens of scripts.
CREATE TABLE credentials (
    -- The public part of the secret.
    id        TEXT   COLLATE "binary" NOT NULL PRIMARY KEY,
    -- session, token.
    kind      TEXT   NOT NULL,
    user_name TEXT   COLLATE "binary" NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    -- SHA-256 of the whole secret, in hex.
    digest    TEXT   NOT NULL,
    -- Of a token: what it is for, and a JSON array of what it may.
    title     TEXT   NOT NULL DEFAULT '',
    scopes    TEXT   NOT NULL DEFAULT '[]',
    -- Where a session began.
    address   TEXT   NOT NULL DEFAULT '',
    created   BIGINT NOT NULL,
    -- The last use, within a minute.
    used      BIGINT NOT NULL,
    -- 0 = never.
    expires   BIGINT NOT NULL
);
CREATE INDEX credentials_of_users ON credentials (user_name, kind);

CREATE TABLE audit (
    -- Grows with time.
    id        TEXT   COLLATE "binary" NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL,
    -- No reference: what a user did outlives the user.
    user_name TEXT   NOT NULL,
    -- session, token ID, password, local, or who vouched.
    via       TEXT   NOT NULL,
    address   TEXT   NOT NULL,
    method    TEXT   NOT NULL,
    -- To what it was done.
    object    TEXT   NOT NULL,
    -- ok, or why not.
    result    TEXT   NOT NULL
);
CREATE INDEX audit_of_users ON audit (user_name, id);

-- +goose Down
DROP TABLE audit;
DROP TABLE credentials;
DROP TABLE users;
