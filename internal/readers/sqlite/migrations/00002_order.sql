-- +goose Up
-- breaks older programs
-- The order of a shelf is that of the log: the times in it are told by clients
-- and by a clock that may be set back.
ALTER TABLE entries ADD COLUMN position INTEGER NOT NULL DEFAULT 0; -- in the log, of the last change
-- Each entry is there; kinds 1 and 2 are looks, which change nothing.
INSERT INTO entries (reader_id, book_id, shelf, half_stars, updated_at, position)
SELECT e.reader_id, e.book_id, e.shelf, e.half_stars, e.updated_at, max(i.position)
FROM interactions AS i JOIN entries AS e ON e.reader_id = i.reader_id AND e.book_id = i.book_id
WHERE i.kind > 2
GROUP BY e.reader_id, e.book_id
ON CONFLICT (reader_id, book_id) DO UPDATE SET position = excluded.position;

-- +goose Down
ALTER TABLE entries DROP COLUMN position;
