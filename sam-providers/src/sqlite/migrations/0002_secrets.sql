-- Sealed secrets, outside the records and the feed. `name` is the owner that a secret is bound to,
-- `key_id` the key that opens it, as the sealed bytes say, and `put_at` the store's time of the last
-- put. With row numbers, because the bytes may be many.
CREATE TABLE secret (
    name TEXT PRIMARY KEY NOT NULL,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    put_at INTEGER NOT NULL
) STRICT;
