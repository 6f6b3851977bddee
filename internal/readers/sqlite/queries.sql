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

-- name: SetPaused :exec
UPDATE readers SET paused = ? WHERE id = ?;

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

-- name: InsertAccount :exec
INSERT INTO accounts (reader_id, name, password, created_at, password_changed_at) VALUES (?, ?, ?, ?, ?);

-- name: AccountByName :one
SELECT * FROM accounts WHERE name = ?;

-- name: AccountByReader :one
SELECT * FROM accounts WHERE reader_id = ?;

-- name: SetHash :exec
UPDATE accounts SET password = ? WHERE reader_id = ? AND password_changed_at = ?;

-- name: SetPassword :execrows
UPDATE accounts SET password = sqlc.arg(password), password_changed_at = sqlc.arg(now)
WHERE reader_id = sqlc.arg(reader_id) AND password_changed_at = sqlc.arg(before);

-- name: InsertSession :one
INSERT INTO sessions (token, reader_id, agent, created_at, seen_at) VALUES (?, ?, ?, ?, ?) RETURNING number;

-- name: SessionByToken :one
SELECT * FROM sessions WHERE token = ?;

-- name: ListSessions :many
SELECT * FROM sessions WHERE reader_id = ? ORDER BY seen_at DESC, number DESC;

-- name: TouchSession :exec
UPDATE sessions SET seen_at = max(seen_at, CAST(sqlc.arg(now) AS INTEGER))
WHERE number = sqlc.arg(number) AND reader_id = sqlc.arg(reader_id);

-- name: DeleteSession :exec
DELETE FROM sessions WHERE reader_id = ? AND number = ?;

-- name: DeleteOtherSessions :exec
DELETE FROM sessions WHERE reader_id = ? AND number <> ?;

-- name: DeleteOldSessions :exec
DELETE FROM sessions WHERE number IN (
    SELECT s.number FROM sessions AS s WHERE s.reader_id = ? ORDER BY s.number DESC LIMIT -1 OFFSET ?);

-- name: TallyByKey :one
SELECT * FROM tallies WHERE tally_key = ?;

-- name: PutTally :exec
INSERT INTO tallies (tally_key, attempts, last_at) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET attempts = excluded.attempts, last_at = excluded.last_at;

-- name: ForgetTallies :exec
DELETE FROM tallies WHERE last_at < ?;

-- name: DeleteSessions :exec
DELETE FROM sessions WHERE reader_id = ?;

-- name: InsertCeremony :one
INSERT INTO ceremonies (token, reader_id, state, expires_at) VALUES (?, ?, ?, ?) RETURNING number;

-- name: ForgetCeremonies :exec
DELETE FROM ceremonies WHERE expires_at <= ? OR number <= ?;

-- name: TakeCeremony :one
DELETE FROM ceremonies WHERE token = ? RETURNING *;

-- name: CountPasskeys :one
SELECT count(*) FROM passkeys WHERE reader_id = ?;

-- name: InsertPasskey :one
INSERT INTO passkeys (credential, party, handle, reader_id, public_key, flags, sign_count, name, created_at, used_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING number;

-- name: ListPasskeys :many
SELECT * FROM passkeys WHERE reader_id = ? ORDER BY number;

-- name: PasskeyByCredential :one
SELECT * FROM passkeys WHERE party = ? AND credential = ?;

-- name: UsePasskey :execrows
UPDATE passkeys SET sign_count = sqlc.arg(sign_count), flags = sqlc.arg(flags), used_at = sqlc.arg(used_at)
WHERE number = sqlc.arg(number) AND sign_count = sqlc.arg(before);

-- name: RenamePasskey :execrows
UPDATE passkeys SET name = ? WHERE reader_id = ? AND number = ?;

-- name: DeletePasskey :exec
DELETE FROM passkeys WHERE reader_id = ? AND number = ?;
