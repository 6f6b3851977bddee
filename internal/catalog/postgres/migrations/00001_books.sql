-- +goose Up
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
    position          bigint  NOT NULL -- of the last change, in the feed
);
CREATE UNIQUE INDEX books_source ON books (source, source_id);
CREATE UNIQUE INDEX books_position ON books (position);
CREATE INDEX books_popularity ON books (popularity DESC, id);
CREATE INDEX books_category ON books (category, popularity DESC, id);

-- +goose Down
DROP TABLE books;
