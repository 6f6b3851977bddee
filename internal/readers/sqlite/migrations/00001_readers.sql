-- +goose Up
CREATE TABLE readers (
    id           INTEGER PRIMARY KEY,
    origin       INTEGER NOT NULL,
    display_name TEXT    NOT NULL,
    source       TEXT    NOT NULL, -- empty for visitors
    source_id    TEXT    NOT NULL,
    created_at   INTEGER NOT NULL  -- Unix time, ms
) STRICT;
CREATE UNIQUE INDEX readers_source ON readers (source, source_id) WHERE source <> '';
CREATE INDEX readers_origin ON readers (origin, id);

-- The log. It has no foreign key: what is in it stays readable for followers
-- whatever becomes of a reader.
CREATE TABLE interactions (
    position    INTEGER PRIMARY KEY, -- without gaps, in the order of commits
    reader_id   INTEGER NOT NULL,
    book_id     INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    half_stars  INTEGER NOT NULL, -- 1 to 10 for a rating, 0 for other kinds
    occurred_at INTEGER NOT NULL  -- Unix time, ms
) STRICT;

-- The clients' ids of what is in the log, for those who give one.
CREATE TABLE interaction_ids (
    reader_id INTEGER NOT NULL REFERENCES readers (id) ON DELETE CASCADE,
    client_id TEXT    NOT NULL,
    PRIMARY KEY (reader_id, client_id)
) STRICT, WITHOUT ROWID;

-- What the log adds up to for each reader and book.
CREATE TABLE entries (
    reader_id  INTEGER NOT NULL REFERENCES readers (id) ON DELETE CASCADE,
    book_id    INTEGER NOT NULL,
    shelf      INTEGER NOT NULL, -- kind of interaction, 0 when only rated
    half_stars INTEGER NOT NULL, -- 0 when not rated
    updated_at INTEGER NOT NULL, -- Unix time, ms
    PRIMARY KEY (reader_id, book_id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE entries;
DROP TABLE interaction_ids;
DROP TABLE interactions;
DROP TABLE readers;
