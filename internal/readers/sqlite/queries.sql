-- name: ReaderByID :one
SELECT * FROM readers WHERE id = ?;

-- name: ReaderIDBySource :one
SELECT id FROM readers WHERE source = ? AND source_id = ? AND source <> '';

-- name: ListReaders :many
SELECT * FROM readers WHERE id > ? ORDER BY id LIMIT ?;

-- name: ListReadersOfOrigin :many
SELECT * FROM readers WHERE origin = ? AND id > ? ORDER BY id LIMIT ?;

-- name: Size :one
SELECT count(*) FROM readers;

-- name: CountReaders :one
SELECT CAST(count(*) AS INTEGER) FROM readers WHERE id IN (sqlc.slice('ids'));

-- An id that the log names is or was that of a reader, and is given once.

-- name: IDTaken :one
SELECT CAST(EXISTS (SELECT 1 FROM readers WHERE id = sqlc.arg(id))
    OR EXISTS (SELECT 1 FROM interactions WHERE reader_id = sqlc.arg(id)) AS INTEGER);

-- name: LastID :one
SELECT CAST(max(
    coalesce((SELECT max(id) FROM readers), 0),
    coalesce((SELECT max(reader_id) FROM interactions), 0)
) AS INTEGER);

-- name: FreeID :one
SELECT CAST(coalesce((
    SELECT r.id + 1 FROM readers AS r
    WHERE r.id < 2147483647 AND NOT EXISTS (SELECT 1 FROM readers WHERE readers.id = r.id + 1)
        AND NOT EXISTS (SELECT 1 FROM interactions WHERE reader_id = r.id + 1)
    ORDER BY r.id LIMIT 1
), 0) AS INTEGER);

-- name: InsertReader :exec
INSERT INTO readers (id, origin, display_name, source, source_id, created_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: DeleteReader :execrows
DELETE FROM readers WHERE id = ?;

-- name: DeleteInteractions :exec
DELETE FROM interactions WHERE reader_id = ?;

-- name: Head :one
SELECT CAST(coalesce(max(position), 0) AS INTEGER) FROM interactions;

-- name: Interactions :many
SELECT * FROM interactions WHERE position > ? ORDER BY position LIMIT ?;

-- name: InteractionsOfReader :many
SELECT * FROM interactions WHERE reader_id = ? AND position > ? ORDER BY position LIMIT ?;

-- name: InsertClientID :execrows
INSERT INTO interaction_ids (reader_id, client_id) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: DeleteEntry :exec
DELETE FROM entries WHERE reader_id = ? AND book_id = ?;

-- name: ListEntries :many
SELECT * FROM entries WHERE reader_id = ? ORDER BY position DESC LIMIT ?;

-- name: ListEntriesOfBooks :many
SELECT * FROM entries
WHERE reader_id = ? AND book_id IN (sqlc.slice('books'))
ORDER BY position DESC LIMIT ?;
