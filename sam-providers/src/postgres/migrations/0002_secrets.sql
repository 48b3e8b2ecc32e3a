-- Sealed secrets, outside the records and the feed. `name` is the owner that a secret is bound to,
-- `key_id` the key that opens it, as the sealed bytes say, and `put_at` the store's time of the last
-- put.
CREATE TABLE secret (
    name text COLLATE "C" PRIMARY KEY,
    key_id text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    put_at bigint NOT NULL
);
-- Sealed bytes look random: compressing them is in vain.
ALTER TABLE secret ALTER COLUMN sealed SET STORAGE EXTERNAL;
