-- name: BooksByID :many
SELECT * FROM books WHERE id IN (sqlc.slice('ids'));

-- name: BookBySource :one
SELECT * FROM books WHERE source = ? AND source_id = ?;

-- name: BookByID :one
SELECT * FROM books WHERE id = ?;

-- name: BookByIdentifier :one
SELECT book_id FROM identifiers WHERE scheme = ? AND value = ?;

-- name: ForgetIdentifiers :exec
DELETE FROM identifiers WHERE book_id = ?;

-- name: KeepIdentifier :exec
INSERT INTO identifiers (scheme, value, book_id) VALUES (?, ?, ?);

-- name: ListBooks :many
SELECT * FROM books
WHERE popularity <= sqlc.arg(popularity) AND (popularity < sqlc.arg(popularity) OR id > sqlc.arg(id))
ORDER BY popularity DESC, id LIMIT sqlc.arg(most);

-- name: ListCategory :many
SELECT * FROM books
WHERE category = sqlc.arg(category) AND popularity <= sqlc.arg(popularity)
  AND (popularity < sqlc.arg(popularity) OR id > sqlc.arg(id))
ORDER BY popularity DESC, id LIMIT sqlc.arg(most);

-- name: CountCategories :many
SELECT category, count(*) AS books FROM books WHERE category <> 0 GROUP BY category ORDER BY category;

-- name: Size :one
SELECT count(*) FROM books;

-- name: Changes :many
SELECT * FROM books WHERE position > ? ORDER BY position LIMIT ?;

-- name: Head :one
SELECT CAST(coalesce(max(position), 0) AS INTEGER) FROM books;

-- name: LastID :one
SELECT CAST(coalesce(max(id), 0) AS INTEGER) FROM books;

-- name: FreeID :one
SELECT CAST(coalesce((
    SELECT b.id + 1 FROM books AS b
    WHERE b.id < 2147483647 AND NOT EXISTS (SELECT 1 FROM books WHERE books.id = b.id + 1)
    ORDER BY b.id LIMIT 1
), 0) AS INTEGER);

-- name: IDTaken :one
SELECT CAST(count(*) AS INTEGER) FROM books WHERE id = ?;

-- name: InsertBook :exec
INSERT INTO books (
    id, title, authors, category, year, tags, series, series_position, language,
    source, source_id, popularity, source_popularity, position, isbns, joined
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: UpdateBook :exec
UPDATE books SET
    title = ?, authors = ?, category = ?, year = ?, tags = ?, series = ?, series_position = ?,
    language = ?, popularity = ?, source_popularity = ?, position = ?, isbns = ?, joined = ?
WHERE id = ?;

-- name: SetPopularity :exec
UPDATE books SET popularity = sqlc.arg(popularity) WHERE id = sqlc.arg(id) AND popularity <> sqlc.arg(popularity);

-- name: BooksByISBN :many
SELECT value, book_id FROM identifiers WHERE scheme = 'isbn' AND value IN (sqlc.slice('isbns'));
