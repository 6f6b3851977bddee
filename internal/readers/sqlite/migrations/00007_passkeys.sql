-- +goose Up
-- Of a key pair the public half; the other one never leaves its owner.
CREATE TABLE passkeys (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    credential  BLOB    NOT NULL, -- the id that the authenticator gave it
    party       TEXT    NOT NULL, -- the host that it is for
    handle      BLOB    NOT NULL, -- the account, as authenticators know it
    reader_id   INTEGER NOT NULL REFERENCES accounts (reader_id) ON DELETE CASCADE,
    public_key  BLOB    NOT NULL, -- COSE
    flags       INTEGER NOT NULL, -- of the authenticator
    sign_count  INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL, -- Unix time, ms
    used_at     INTEGER NOT NULL, -- 0 for never
    UNIQUE (party, credential)
) STRICT;
CREATE INDEX passkeys_reader ON passkeys (reader_id);

-- What was begun with a passkey and is not finished.
CREATE TABLE ceremonies (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    token      BLOB    NOT NULL UNIQUE, -- SHA-256 of what the browser has
    reader_id  INTEGER REFERENCES accounts (reader_id) ON DELETE CASCADE, -- NULL for signing in
    state      BLOB    NOT NULL, -- the challenge and what goes with it
    expires_at INTEGER NOT NULL  -- Unix time, ms
) STRICT;
CREATE INDEX ceremonies_expiry ON ceremonies (expires_at);
CREATE INDEX ceremonies_reader ON ceremonies (reader_id);

-- +goose Down
DROP TABLE ceremonies;
DROP TABLE passkeys;
