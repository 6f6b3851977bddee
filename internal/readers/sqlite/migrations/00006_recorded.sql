-- +goose Up
-- When a line was written, by which a log that was restored and has grown again
-- is told from the one it was. Unix time, ms; 0 when it is not known.
ALTER TABLE interactions ADD COLUMN recorded_at INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE interactions DROP COLUMN recorded_at;
