-- Times are microseconds since 1970. Text that orders anything compares by bytes, as ids do.

-- One row: where the feed stands. `schema` is the version of these tables, `at` the store's time when
-- it was last written, `ahead` how far that time runs ahead of the server's clock (it never falls),
-- `news` counts what gives waiters a reason to look, and `identity` tells this database from a copy.
-- Room is left in the page, so that new versions of the row stay in it.
CREATE TABLE head (
    one integer PRIMARY KEY CHECK (one = 1),
    schema integer NOT NULL,
    epoch text NOT NULL,
    rev bigint NOT NULL,
    floor bigint NOT NULL,
    at bigint NOT NULL,
    ahead bigint NOT NULL,
    news bigint NOT NULL,
    identity text
) WITH (fillfactor = 10);

-- Fencing epochs. A number that was taken is never given out again, whatever becomes of the claim.
CREATE SEQUENCE fence;

-- `version`, `rev` and `body` are not indexed: an update of them alone touches no index.
CREATE TABLE record (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    rev bigint NOT NULL,
    k1 text COLLATE "C",
    k2 text COLLATE "C",
    k3 text COLLATE "C",
    body text NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 70);
-- The id comes last, so that a page continues from a key.
CREATE INDEX record_k1 ON record (kind, k1, id) WHERE k1 IS NOT NULL;
CREATE INDEX record_k2 ON record (kind, k2, id) WHERE k2 IS NOT NULL;
CREATE INDEX record_k3 ON record (kind, k3, id) WHERE k3 IS NOT NULL;

CREATE TABLE uniq (
    space text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (space, name)
);

-- A row exists while its record is due or leased; `at` is the end of the lease while there is one.
CREATE TABLE lease (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    pending bigint,
    owner text,
    epoch bigint NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 70);
CREATE INDEX lease_at ON lease (at, kind, id);

-- The feed. `op` is 0 for a delete and 1 for a put.
CREATE TABLE change (
    rev bigint PRIMARY KEY,
    commit_id bytea NOT NULL,
    at bigint NOT NULL,
    actor text NOT NULL,
    request_id text,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    op smallint NOT NULL,
    event text NOT NULL,
    body text NOT NULL
);
CREATE INDEX change_commit ON change (commit_id);

-- Commits that wrote no change, so that they too are applied once; `rev` is the head they met.
CREATE TABLE quiet_commit (
    commit_id bytea PRIMARY KEY,
    rev bigint NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX quiet_commit_at ON quiet_commit (at);
