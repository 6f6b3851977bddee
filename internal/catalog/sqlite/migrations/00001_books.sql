-- +goose Up
CREATE TABLE books (
    id                INTEGER PRIMARY KEY,
    title             TEXT    NOT NULL,
    authors           TEXT    NOT NULL, -- JSON array
    category          INTEGER NOT NULL, -- 0 when not known
    year              INTEGER NOT NULL, -- 0 when not known
    tags              TEXT    NOT NULL, -- JSON array
    series            TEXT    NOT NULL,
    series_position   REAL    NOT NULL,
    isbn13            TEXT    NOT NULL,
    language          TEXT    NOT NULL,
    source            TEXT    NOT NULL,
    source_id         TEXT    NOT NULL,
    popularity        INTEGER NOT NULL, -- readers, as last told by import or training
    source_popularity INTEGER NOT NULL, -- readers, as last told by import
    position          INTEGER NOT NULL, -- of the last change, in the feed
    folded_title      TEXT    NOT NULL,
    folded            TEXT    NOT NULL  -- title, authors and series
) STRICT;
CREATE UNIQUE INDEX books_source ON books (source, source_id);
CREATE UNIQUE INDEX books_position ON books (position);
CREATE INDEX books_popularity ON books (popularity DESC, id);
CREATE INDEX books_category ON books (category, popularity DESC, id);
CREATE INDEX books_title ON books (folded_title, popularity DESC);

-- The folded text of each book by its id. The text itself is in books.
CREATE VIRTUAL TABLE book_text USING fts5 (folded, tokenize = 'trigram', content = '', contentless_delete = 1);

-- +goose Down
DROP TABLE book_text;
DROP TABLE books;
