-- name: Size :one
SELECT count(*) FROM readers;

-- name: ReaderByID :one
SELECT * FROM readers WHERE id = $1;

-- name: ReadersBySource :many
SELECT id, source, source_id FROM readers
WHERE source <> '' AND (source, source_id) IN (SELECT unnest(@sources::text[]), unnest(@source_ids::text[]));

-- name: ListReaders :many
SELECT * FROM readers WHERE id > @after ORDER BY id LIMIT @most;

-- name: ListReadersOfOrigin :many
SELECT * FROM readers WHERE origin = @origin AND id > @after ORDER BY id LIMIT @most;

-- name: ReaderIDs :many
SELECT id FROM readers WHERE id = ANY(@ids::integer[]);

-- An id that the log names is or was that of a reader, and is given once.

-- name: IDsTaken :many
SELECT wanted.id::integer FROM (SELECT unnest(@ids::integer[]) AS id) AS wanted
WHERE EXISTS (SELECT 1 FROM readers WHERE readers.id = wanted.id)
    OR EXISTS (SELECT 1 FROM interactions WHERE interactions.reader_id = wanted.id);

-- name: LastID :one
SELECT greatest(
    (SELECT max(id) FROM readers),
    (SELECT max(reader_id) FROM interactions),
    0
)::bigint;

-- name: FreeID :one
SELECT coalesce((
    SELECT r.id + 1 FROM readers AS r
    WHERE r.id < 2147483647 AND NOT EXISTS (SELECT 1 FROM readers WHERE readers.id = r.id + 1)
        AND NOT EXISTS (SELECT 1 FROM interactions WHERE interactions.reader_id = r.id + 1)
    ORDER BY r.id LIMIT 1
), 0)::bigint;

-- name: InsertReader :batchexec
INSERT INTO readers (id, origin, display_name, source, source_id, created_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: DeleteReader :execrows
DELETE FROM readers WHERE id = $1;

-- name: DeleteInteractions :exec
DELETE FROM interactions WHERE reader_id = $1;

-- name: Interactions :many
SELECT * FROM interactions WHERE position > @after ORDER BY position LIMIT @most;

-- name: InteractionsOfReader :many
SELECT * FROM interactions WHERE reader_id = @reader AND position > @after ORDER BY position LIMIT @most;

-- name: InsertClientIDs :many
INSERT INTO interaction_ids (reader_id, client_id)
SELECT unnest(@readers::integer[]), unnest(@client_ids::text[])
ON CONFLICT DO NOTHING RETURNING reader_id, client_id;

-- name: InsertInteractions :exec
INSERT INTO interactions (position, reader_id, book_id, kind, half_stars, occurred_at)
SELECT unnest(@positions::bigint[]), unnest(@readers::integer[]), unnest(@books::integer[]),
    unnest(@kinds::smallint[]), unnest(@half_stars::smallint[]), unnest(@occurred_at::bigint[]);

-- name: DeleteEntries :exec
DELETE FROM entries
WHERE (reader_id, book_id) IN (SELECT unnest(@readers::integer[]), unnest(@books::integer[]));

-- name: PutEntries :exec
INSERT INTO entries AS e (reader_id, book_id, shelf, half_stars, updated_at, position)
SELECT unnest(@readers::integer[]), unnest(@books::integer[]),
    unnest(@shelves::smallint[]), unnest(@half_stars::smallint[]), unnest(@updated_at::bigint[]), unnest(@positions::bigint[])
ON CONFLICT (reader_id, book_id) DO UPDATE SET
    shelf = CASE WHEN excluded.shelf <> 0 THEN excluded.shelf ELSE e.shelf END,
    half_stars = CASE WHEN excluded.half_stars <> 0 THEN excluded.half_stars ELSE e.half_stars END,
    updated_at = excluded.updated_at,
    position = excluded.position;

-- name: ListEntries :many
SELECT * FROM entries WHERE reader_id = @reader ORDER BY position DESC LIMIT @most;

-- name: ListEntriesOfBooks :many
SELECT * FROM entries WHERE reader_id = @reader AND book_id = ANY(@books::integer[])
ORDER BY position DESC LIMIT @most;
