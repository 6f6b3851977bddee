-- +goose Up
-- Whether nothing the reader did is used for suggestions. The log says the same.
ALTER TABLE readers ADD COLUMN paused INTEGER NOT NULL DEFAULT 0; -- 1 for yes

-- +goose Down
ALTER TABLE readers DROP COLUMN paused;
