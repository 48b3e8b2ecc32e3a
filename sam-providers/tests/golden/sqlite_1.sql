-- A store as the first version of the schema left it: one record that was put twice, with its name,
-- its due time and the feed. Kept as it is for ever; never generated from the migrations.

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
CREATE TABLE quiet_commit (
    commit_id BLOB PRIMARY KEY,
    rev INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX quiet_commit_at ON quiet_commit (at);

INSERT INTO head (one, epoch, rev, floor, fence, at) VALUES (1, 'abc', 2, 0, 3, 1700000000000000);
INSERT INTO record (kind, id, version, rev, k1, body) VALUES ('thing', 'a', 2, 2, 'x', '{"n":2}');
INSERT INTO uniq (space, name, kind, id) VALUES ('thing_name', 'name', 'thing', 'a');
INSERT INTO lease (kind, id, at, epoch) VALUES ('thing', 'a', 1700000000000000, 3);
INSERT INTO change (rev, commit_id, at, actor, kind, id, version, op, event, body) VALUES
    (1, x'00000000000000000000000000000001', 1700000000000000, 'ann', 'thing', 'a', 1, 1, 'thing_put', '{"n":1}'),
    (2, x'00000000000000000000000000000002', 1700000000000000, 'ann', 'thing', 'a', 2, 1, 'thing_put', '{"n":2}');
INSERT INTO quiet_commit (commit_id, rev, at) VALUES (x'00000000000000000000000000000003', 2, 1700000000000000);
PRAGMA application_id = 1396788529;
PRAGMA user_version = 1;
