-- A store as the first version of the schema left it: one record that was put twice, with its name,
-- its due time and the feed. Kept as it is for ever; never generated from the migrations.

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
CREATE SEQUENCE fence;
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
CREATE TABLE quiet_commit (
    commit_id bytea PRIMARY KEY,
    rev bigint NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX quiet_commit_at ON quiet_commit (at);

INSERT INTO head (one, schema, epoch, rev, floor, at, ahead, news)
    VALUES (1, 1, 'abc', 2, 0, 1700000000000000, 0, 2);
SELECT setval('fence', 3);
INSERT INTO record (kind, id, version, rev, k1, body) VALUES ('thing', 'a', 2, 2, 'x', '{"n":2}');
INSERT INTO uniq (space, name, kind, id) VALUES ('thing_name', 'name', 'thing', 'a');
INSERT INTO lease (kind, id, at, epoch) VALUES ('thing', 'a', 1700000000000000, 3);
INSERT INTO change (rev, commit_id, at, actor, kind, id, version, op, event, body) VALUES
    (1, '\x00000000000000000000000000000001', 1700000000000000, 'ann', 'thing', 'a', 1, 1, 'thing_put', '{"n":1}'),
    (2, '\x00000000000000000000000000000002', 1700000000000000, 'ann', 'thing', 'a', 2, 1, 'thing_put', '{"n":2}');
INSERT INTO quiet_commit (commit_id, rev, at) VALUES ('\x00000000000000000000000000000003', 2, 1700000000000000);
