-- +goose Up
-- breaks older programs
DROP TABLE book_text;
DROP INDEX books_title;
ALTER TABLE books DROP COLUMN folded_title;
ALTER TABLE books DROP COLUMN folded;

-- +goose Down
-- The columns and the index cannot be filled by SQL alone; a program that needs
-- them is older, and refuses this database in any case.
