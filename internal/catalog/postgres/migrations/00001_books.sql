-- +goose Up
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE books (
    id                integer PRIMARY KEY,
    title             text    NOT NULL,
    authors           text[]  NOT NULL,
    category          integer NOT NULL, -- 0 when not known
    year              integer NOT NULL, -- 0 when not known
    tags              text[]  NOT NULL,
    series            text    NOT NULL,
    series_position   real    NOT NULL,
    isbn13            text    NOT NULL,
    language          text    NOT NULL,
    source            text    NOT NULL,
    source_id         text    NOT NULL,
    popularity        bigint  NOT NULL, -- readers, as last told by import or training
    source_popularity bigint  NOT NULL, -- readers, as last told by import
    position          bigint  NOT NULL, -- of the last change, in the feed
    folded_title      text    NOT NULL COLLATE "C",
    folded            text    NOT NULL COLLATE "C" -- title, authors and series
);
CREATE UNIQUE INDEX books_source ON books (source, source_id);
CREATE UNIQUE INDEX books_position ON books (position);
CREATE INDEX books_popularity ON books (popularity DESC, id);
CREATE INDEX books_category ON books (category, popularity DESC, id);
CREATE INDEX books_title ON books (folded_title, popularity DESC);
CREATE INDEX books_folded ON books USING gin (folded gin_trgm_ops);

-- +goose Down
DROP TABLE books;
