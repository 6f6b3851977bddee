-- +goose Up
-- breaks older programs
-- What books are known by, beside their ids and the keys of their own records:
-- ISBNs (scheme "isbn"), and the keys of joined records ("record:" and source).
-- books.isbns and books.joined say the same, for reading.
CREATE TABLE identifiers (
    scheme  text    NOT NULL,
    value   text    NOT NULL,
    book_id integer NOT NULL,
    PRIMARY KEY (scheme, value)
);
CREATE INDEX identifiers_book ON identifiers (book_id);

-- Of several books with one ISBN the first keeps it.
INSERT INTO identifiers (scheme, value, book_id)
SELECT 'isbn', isbn13, min(id) FROM books WHERE isbn13 <> '' GROUP BY isbn13;

ALTER TABLE books ADD COLUMN isbns text[] NOT NULL DEFAULT '{}'; -- of the book's own record
ALTER TABLE books ADD COLUMN joined text NOT NULL DEFAULT '[]'; -- JSON array of records
UPDATE books SET isbns = ARRAY[isbn13]
WHERE EXISTS (SELECT 1 FROM identifiers WHERE scheme = 'isbn' AND value = books.isbn13 AND book_id = books.id);
ALTER TABLE books DROP COLUMN isbn13;

-- +goose Down
ALTER TABLE books ADD COLUMN isbn13 text NOT NULL DEFAULT '';
UPDATE books SET isbn13 = coalesce(isbns[1], '');
ALTER TABLE books DROP COLUMN joined;
ALTER TABLE books DROP COLUMN isbns;
DROP TABLE identifiers;
