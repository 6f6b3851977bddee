-- +goose Up
CREATE TABLE accounts (
    reader_id           integer PRIMARY KEY REFERENCES readers (id) ON DELETE CASCADE,
    name                text    NOT NULL COLLATE "C" UNIQUE,
    password            text    NOT NULL, -- argon2id, as a PHC string
    created_at          bigint  NOT NULL, -- Unix time, ms
    password_changed_at bigint  NOT NULL
);

CREATE TABLE sessions (
    number     bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token      bytea   NOT NULL UNIQUE, -- SHA-256 of what the browser has
    reader_id  integer NOT NULL REFERENCES accounts (reader_id) ON DELETE CASCADE,
    agent      text    NOT NULL,
    created_at bigint  NOT NULL, -- Unix time, ms
    seen_at    bigint  NOT NULL
);
CREATE INDEX sessions_reader ON sessions (reader_id, seen_at);

-- How often something was tried in vain. A key is a hash of what is counted.
CREATE TABLE tallies (
    tally_key bytea   PRIMARY KEY,
    attempts  integer NOT NULL,
    last_at   bigint  NOT NULL -- Unix time, ms
);
CREATE INDEX tallies_last ON tallies (last_at);

-- +goose Down
DROP TABLE tallies;
DROP TABLE sessions;
DROP TABLE accounts;
