-- Times are microseconds since 1970. Text compares by bytes, which is the order of ids.

-- One row: where the feed stands. `fence` is the last fencing epoch given out, `at` the store's time
-- when it was last written.
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    rev INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE record (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    k1 TEXT,
    k2 TEXT,
    k3 TEXT,
    body TEXT NOT NULL,
    UNIQUE (kind, id)
) STRICT;
-- The id comes last, so that a page continues from a key.
CREATE INDEX record_k1 ON record (kind, k1, id) WHERE k1 IS NOT NULL;
CREATE INDEX record_k2 ON record (kind, k2, id) WHERE k2 IS NOT NULL;
CREATE INDEX record_k3 ON record (kind, k3, id) WHERE k3 IS NOT NULL;

CREATE TABLE uniq (
    space TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (space, name)
) STRICT, WITHOUT ROWID;

-- A row exists while its record is due or leased; `at` is the end of the lease while there is one.
CREATE TABLE lease (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    pending INTEGER,
    owner TEXT,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_at ON lease (kind, at, id);

-- The feed. `op` is 0 for a delete and 1 for a put.
CREATE TABLE change (
    rev INTEGER PRIMARY KEY,
    commit_id BLOB NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    op INTEGER NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX change_commit ON change (commit_id);

-- Commits that wrote no change, so that they too are applied once; `rev` is the head they met.
CREATE TABLE quiet_commit (
    commit_id BLOB PRIMARY KEY,
    rev INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX quiet_commit_at ON quiet_commit (at);
