-- +goose Up
-- Of a key pair the public half; the other one never leaves its owner.
CREATE TABLE passkeys (
    number      bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    credential  bytea   NOT NULL, -- the id that the authenticator gave it
    party       text    NOT NULL COLLATE "C", -- the host that it is for
    handle      bytea   NOT NULL, -- the account, as authenticators know it
    reader_id   integer NOT NULL REFERENCES accounts (reader_id) ON DELETE CASCADE,
    public_key  bytea   NOT NULL, -- COSE
    flags       integer NOT NULL, -- of the authenticator
    sign_count  bigint  NOT NULL,
    name        text    NOT NULL,
    created_at  bigint  NOT NULL, -- Unix time, ms
    used_at     bigint  NOT NULL, -- 0 for never
    UNIQUE (party, credential)
);
CREATE INDEX passkeys_reader ON passkeys (reader_id);

-- What was begun with a passkey and is not finished.
CREATE TABLE ceremonies (
    number     bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token      bytea   NOT NULL UNIQUE, -- SHA-256 of what the browser has
    reader_id  integer REFERENCES accounts (reader_id) ON DELETE CASCADE, -- NULL for signing in
    state      bytea   NOT NULL, -- the challenge and what goes with it
    expires_at bigint  NOT NULL  -- Unix time, ms
);
CREATE INDEX ceremonies_expiry ON ceremonies (expires_at);
CREATE INDEX ceremonies_reader ON ceremonies (reader_id);

-- +goose Down
DROP TABLE ceremonies;
DROP TABLE passkeys;
