-- +goose Up
-- Whether nothing the reader did is used for suggestions. The log says the same.
ALTER TABLE readers ADD COLUMN paused boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE readers DROP COLUMN paused;
