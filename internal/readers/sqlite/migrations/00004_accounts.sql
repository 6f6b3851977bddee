-- +goose Up
CREATE TABLE accounts (
    reader_id           INTEGER PRIMARY KEY REFERENCES readers (id) ON DELETE CASCADE,
    name                TEXT    NOT NULL UNIQUE,
    password            TEXT    NOT NULL, -- argon2id, as a PHC string
    created_at          INTEGER NOT NULL, -- Unix time, ms
    password_changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    token      BLOB    NOT NULL UNIQUE, -- SHA-256 of what the browser has
    reader_id  INTEGER NOT NULL REFERENCES accounts (reader_id) ON DELETE CASCADE,
    agent      TEXT    NOT NULL,
    created_at INTEGER NOT NULL, -- Unix time, ms
    seen_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_reader ON sessions (reader_id, seen_at);

-- How often something was tried in vain. A key is a hash of what is counted.
CREATE TABLE tallies (
    tally_key BLOB    PRIMARY KEY,
    attempts  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL -- Unix time, ms
) STRICT, WITHOUT ROWID;
CREATE INDEX tallies_last ON tallies (last_at);

-- +goose Down
DROP TABLE tallies;
DROP TABLE sessions;
DROP TABLE accounts;
