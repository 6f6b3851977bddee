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

-- name: SetPaused :exec
UPDATE readers SET paused = $1 WHERE id = $2;

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
INSERT INTO interactions (position, reader_id, book_id, kind, half_stars, occurred_at, recorded_at)
SELECT unnest(@positions::bigint[]), unnest(@readers::integer[]), unnest(@books::integer[]),
    unnest(@kinds::smallint[]), unnest(@half_stars::smallint[]), unnest(@occurred_at::bigint[]), @now;

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

-- name: InsertAccount :exec
INSERT INTO accounts (reader_id, name, password, created_at, password_changed_at) VALUES ($1, $2, $3, $4, $5);

-- name: AccountByName :one
SELECT * FROM accounts WHERE name = $1;

-- name: AccountByReader :one
SELECT * FROM accounts WHERE reader_id = $1;

-- name: LockAccount :one
SELECT * FROM accounts WHERE reader_id = $1 FOR UPDATE;

-- name: SetHash :exec
UPDATE accounts SET password = $1 WHERE reader_id = $2 AND password_changed_at = $3;

-- name: SetPassword :execrows
UPDATE accounts SET password = @password, password_changed_at = @now
WHERE reader_id = @reader AND password_changed_at = @before;

-- name: InsertSession :one
INSERT INTO sessions (token, reader_id, agent, created_at, seen_at) VALUES ($1, $2, $3, $4, $5) RETURNING number;

-- name: SessionByToken :one
SELECT * FROM sessions WHERE token = $1;

-- name: ListSessions :many
SELECT * FROM sessions WHERE reader_id = $1 ORDER BY seen_at DESC, number DESC;

-- name: TouchSession :exec
UPDATE sessions SET seen_at = greatest(seen_at, @seen_at) WHERE number = @number AND reader_id = @reader;

-- name: DeleteSession :exec
DELETE FROM sessions WHERE reader_id = $1 AND number = $2;

-- name: DeleteOtherSessions :exec
DELETE FROM sessions WHERE reader_id = $1 AND number <> $2;

-- name: DeleteSessions :exec
DELETE FROM sessions WHERE reader_id = $1;

-- name: DeleteOldSessions :exec
DELETE FROM sessions WHERE number IN (
    SELECT s.number FROM sessions AS s WHERE s.reader_id = @reader ORDER BY s.number DESC OFFSET @most);

-- name: AddTallies :exec
INSERT INTO tallies (tally_key, attempts, last_at) SELECT unnest(@keys::bytea[]), 0, 0
ON CONFLICT (tally_key) DO UPDATE SET attempts = tallies.attempts;

-- name: LockTallies :many
SELECT * FROM tallies WHERE tally_key = ANY(@keys::bytea[]) ORDER BY tally_key FOR UPDATE;

-- name: PutTally :exec
UPDATE tallies SET attempts = $2, last_at = $3 WHERE tally_key = $1;

-- name: ForgetTallies :exec
DELETE FROM tallies WHERE tally_key IN (SELECT t.tally_key FROM tallies AS t WHERE t.last_at < $1 FOR UPDATE SKIP LOCKED);

-- name: InsertCeremony :one
INSERT INTO ceremonies (token, reader_id, state, expires_at) VALUES ($1, $2, $3, $4) RETURNING number;

-- name: ForgetCeremonies :exec
DELETE FROM ceremonies WHERE number IN (
    SELECT c.number FROM ceremonies AS c WHERE c.expires_at <= @now OR c.number <= @oldest FOR UPDATE SKIP LOCKED);

-- name: TakeCeremony :one
DELETE FROM ceremonies WHERE token = $1 RETURNING *;

-- name: CountPasskeys :one
SELECT count(*) FROM passkeys WHERE reader_id = $1;

-- name: InsertPasskey :one
INSERT INTO passkeys (credential, party, handle, reader_id, public_key, flags, sign_count, name, created_at, used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING number;

-- name: ListPasskeys :many
SELECT * FROM passkeys WHERE reader_id = $1 ORDER BY number;

-- name: PasskeyByCredential :one
SELECT * FROM passkeys WHERE party = $1 AND credential = $2;

-- name: UsePasskey :execrows
UPDATE passkeys SET sign_count = @sign_count, flags = @flags, used_at = @used_at
WHERE number = @number AND sign_count = @before;

-- name: RenamePasskey :execrows
UPDATE passkeys SET name = $1 WHERE reader_id = $2 AND number = $3;

-- name: DeletePasskey :exec
DELETE FROM passkeys WHERE reader_id = $1 AND number = $2;
