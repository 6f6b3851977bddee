-- +goose Up
CREATE TABLE readers (
    id           integer PRIMARY KEY,
    origin       integer NOT NULL,
    display_name text    NOT NULL,
    source       text    NOT NULL, -- empty for visitors
    source_id    text    NOT NULL,
    created_at   bigint  NOT NULL  -- Unix time, ms
);
CREATE UNIQUE INDEX readers_source ON readers (source, source_id) WHERE source <> '';
CREATE INDEX readers_origin ON readers (origin, id);

-- The log. It has no foreign key: what is in it stays readable for followers
-- whatever becomes of a reader.
CREATE TABLE interactions (
    position    bigint   PRIMARY KEY, -- without gaps, in the order of commits
    occurred_at bigint   NOT NULL, -- Unix time, ms
    reader_id   integer  NOT NULL,
    book_id     integer  NOT NULL,
    kind        smallint NOT NULL,
    half_stars  smallint NOT NULL -- 1 to 10 for a rating, 0 for other kinds
);

-- The clients' ids of what is in the log, for those who give one.
CREATE TABLE interaction_ids (
    reader_id integer NOT NULL REFERENCES readers (id) ON DELETE CASCADE,
    client_id text    NOT NULL COLLATE "C",
    PRIMARY KEY (reader_id, client_id)
);

-- What the log adds up to for each reader and book.
CREATE TABLE entries (
    updated_at bigint   NOT NULL, -- Unix time, ms
    position   bigint   NOT NULL, -- in the log, of the last change
    reader_id  integer  NOT NULL REFERENCES readers (id) ON DELETE CASCADE,
    book_id    integer  NOT NULL,
    shelf      smallint NOT NULL, -- kind of interaction, 0 when only rated
    half_stars smallint NOT NULL, -- 0 when not rated
    PRIMARY KEY (reader_id, book_id)
);

-- +goose Down
DROP TABLE entries;
DROP TABLE interaction_ids;
DROP TABLE interactions;
DROP TABLE readers;
