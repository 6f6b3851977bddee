-- name: BooksByID :many
SELECT * FROM books WHERE id = ANY(@ids::integer[]);

-- name: BooksBySource :many
SELECT * FROM books
WHERE (source, source_id) IN (SELECT unnest(@sources::text[]), unnest(@source_ids::text[]));

-- name: Identified :many
SELECT * FROM identifiers
WHERE (scheme, value) IN (SELECT unnest(@schemes::text[]), unnest(@identifiers::text[]));

-- name: ForgetIdentifiers :exec
DELETE FROM identifiers WHERE book_id = ANY(@ids::integer[]);

-- name: KeepIdentifiers :exec
INSERT INTO identifiers (scheme, value, book_id)
SELECT unnest(@schemes::text[]), unnest(@identifiers::text[]), unnest(@ids::integer[]);

-- name: ListBooks :many
SELECT * FROM books
WHERE popularity <= @popularity AND (popularity < @popularity OR id > @id)
ORDER BY popularity DESC, id LIMIT @most;

-- name: ListCategory :many
SELECT * FROM books
WHERE category = @category AND popularity <= @popularity AND (popularity < @popularity OR id > @id)
ORDER BY popularity DESC, id LIMIT @most;

-- name: Size :one
SELECT count(*) FROM books;

-- name: CountCategories :many
SELECT category, count(*) AS books FROM books WHERE category <> 0 GROUP BY category ORDER BY category;

-- name: Changes :many
SELECT * FROM books WHERE position > $1 ORDER BY position LIMIT $2;

-- name: IDsTaken :many
SELECT id FROM books WHERE id = ANY(@ids::integer[]);

-- name: LastID :one
SELECT coalesce(max(id), 0)::bigint FROM books;

-- name: FreeID :one
SELECT coalesce((
    SELECT b.id + 1 FROM books AS b
    WHERE b.id < 2147483647 AND NOT EXISTS (SELECT 1 FROM books WHERE books.id = b.id + 1)
    ORDER BY b.id LIMIT 1
), 0)::bigint;

-- name: PutBook :batchexec
INSERT INTO books (
    id, title, authors, category, year, tags, series, series_position, language,
    source, source_id, popularity, source_popularity, position, isbns, joined
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (id) DO UPDATE SET
    title = excluded.title, authors = excluded.authors, category = excluded.category, year = excluded.year,
    tags = excluded.tags, series = excluded.series, series_position = excluded.series_position,
    language = excluded.language, popularity = excluded.popularity,
    source_popularity = excluded.source_popularity, position = excluded.position,
    isbns = excluded.isbns, joined = excluded.joined;

-- name: SetPopularity :exec
UPDATE books SET popularity = told.popularity
FROM (SELECT unnest(@ids::integer[]) AS id, unnest(@popularity::bigint[]) AS popularity) AS told
WHERE books.id = told.id AND books.popularity <> told.popularity;

-- name: BooksByISBN :many
SELECT value, book_id FROM identifiers WHERE scheme = 'isbn' AND value = ANY(@isbns::text[]);
