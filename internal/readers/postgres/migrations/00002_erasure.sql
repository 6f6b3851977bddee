-- +goose Up
-- What the log holds of one reader, in its order: to erase it.
CREATE INDEX interactions_reader ON interactions (reader_id, position);

-- +goose Down
DROP INDEX interactions_reader;
