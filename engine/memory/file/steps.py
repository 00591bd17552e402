"""The steps that the database file has gone through, in order: each a number, a name and its SQL.

A released step is never edited: a change is a new step at the end, with a file of the version before it in the tests.

From step 12 on `change_log` names the row of each change of `memories` in order: whoever is as of change N (what stands
in memory or beside the file) reads the rows of the numbers above N and looks them up anew. The last 262,144 are kept.
`stamp` is random, so that a copy of the file which went another way since is told from this one by its last number's
stamp. A row number can come back after an erasure; the log names it twice then. From step 17 on triggers log the rows
that change, end or go, and whoever inserts a row logs it in the same transaction (`rows.Waiting`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apsw

from aqe.engine.memory.file import row_sums, sums
from aqe.engine.memory.growth import tables as growth_tables
from aqe.engine.progress import Progress


@dataclass(frozen=True)
class Migration:
    """One step: its number, its name and its SQL, and what is worked out of the rows that are there after it."""

    number: int
    name: str
    sql: str
    then: Callable[[apsw.Connection, Progress], object] | None = None


_MEMORIES = """
CREATE TABLE memories (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    valid_from INTEGER NOT NULL,
    valid_to INTEGER,
    created_at INTEGER NOT NULL,
    text TEXT NOT NULL,
    text_hash BLOB NOT NULL,
    id_given INTEGER NOT NULL CHECK (id_given IN (0, 1)),
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    embedder INTEGER REFERENCES embedders (number),
    worktree TEXT NOT NULL,
    "commit" TEXT NOT NULL,
    file TEXT NOT NULL,
    line INTEGER NOT NULL,
    run TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX memories_revision ON memories (namespace, id, revision);
CREATE UNIQUE INDEX memories_current ON memories (namespace, id) WHERE valid_to IS NULL;
CREATE INDEX memories_text ON memories (text_hash) WHERE valid_to IS NULL;
CREATE INDEX memories_age ON memories (created_at, row) WHERE valid_to IS NULL;
CREATE TABLE embedders (
    number INTEGER PRIMARY KEY,
    embedder_id TEXT NOT NULL,
    dimension INTEGER NOT NULL CHECK (dimension > 0),
    UNIQUE (embedder_id, dimension)
) STRICT;
CREATE TABLE retired_vectors (
    row INTEGER PRIMARY KEY REFERENCES memories (row) ON DELETE CASCADE,
    vector BLOB NOT NULL
) STRICT;
CREATE VIRTUAL TABLE texts USING fts5(subtokens, content='', contentless_delete=1, tokenize='ascii');
"""

_JOBS = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    arguments TEXT NOT NULL,
    arguments_hash BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    text TEXT NOT NULL,
    done REAL NOT NULL,
    total REAL,
    result TEXT,
    error TEXT,
    cancel_asked INTEGER NOT NULL CHECK (cancel_asked IN (0, 1)),
    owner_pid INTEGER NOT NULL,
    owner_started TEXT NOT NULL,
    owner_host TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE UNIQUE INDEX jobs_live ON jobs (kind, arguments_hash) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_age ON jobs (created_at);
"""

_TEST_RUNS = """
CREATE TABLE test_runs (
    row INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    nodeid TEXT NOT NULL,
    outcome TEXT NOT NULL,
    duration_s REAL,
    position INTEGER,
    seed TEXT,
    python TEXT,
    platform TEXT,
    worker TEXT,
    started_at INTEGER,
    worktree TEXT NOT NULL,
    "commit" TEXT NOT NULL,
    facts TEXT NOT NULL CHECK (json_valid(facts)),
    ingested_at INTEGER NOT NULL
) STRICT;
CREATE INDEX test_runs_test ON test_runs (nodeid, started_at);
CREATE INDEX test_runs_run ON test_runs (run);
CREATE TABLE spool_files (
    name TEXT PRIMARY KEY,
    offset INTEGER NOT NULL,
    ingested_at INTEGER NOT NULL
) STRICT;
"""

_PROJECT_INDEX = """
CREATE TABLE indexed_files (
    root TEXT NOT NULL,
    file TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    stamp TEXT NOT NULL,
    reader INTEGER NOT NULL,
    passages INTEGER NOT NULL,
    note TEXT NOT NULL,
    indexed_at INTEGER NOT NULL,
    PRIMARY KEY (root, file)
) STRICT, WITHOUT ROWID;
CREATE INDEX memories_file ON memories (file, namespace) WHERE valid_to IS NULL AND file != '';
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    owner_pid INTEGER NOT NULL,
    owner_started TEXT NOT NULL,
    owner_host TEXT NOT NULL,
    heartbeat_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

_INTERACTIONS = """
CREATE TABLE interactions (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('query', 'complete')),
    prompt TEXT NOT NULL,
    answer TEXT NOT NULL,
    session TEXT,
    task TEXT,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    tier TEXT NOT NULL,
    route_reason TEXT NOT NULL,
    confidence REAL,
    context TEXT NOT NULL CHECK (json_valid(context)),
    context_tokens INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    latency_ms REAL NOT NULL,
    cost_usd REAL NOT NULL,
    reused INTEGER NOT NULL CHECK (reused IN (0, 1)),
    verdict INTEGER CHECK (verdict IN (0, 1)),
    created_at INTEGER NOT NULL,
    worktree TEXT NOT NULL,
    "commit" TEXT NOT NULL
) STRICT;
CREATE INDEX interactions_session ON interactions (session, row) WHERE session IS NOT NULL;
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    ended_at INTEGER,
    expires_at INTEGER,
    turns INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    token_budget INTEGER NOT NULL CHECK (token_budget > 0),
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    worktree TEXT NOT NULL,
    "commit" TEXT NOT NULL,
    summary TEXT NOT NULL,
    summarised INTEGER NOT NULL,
    summary_method TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_used ON sessions (used_at);
CREATE INDEX sessions_expiry ON sessions (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE turns (
    row INTEGER PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'context')),
    text TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    request_id TEXT,
    embedder_id TEXT,
    vector BLOB,
    UNIQUE (session, position)
) STRICT;
CREATE TABLE changes (of TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO changes VALUES ('memories', 0);
CREATE TRIGGER memories_added AFTER INSERT ON memories
BEGIN UPDATE changes SET number = number + 1 WHERE of = 'memories'; END;
CREATE TRIGGER memories_changed AFTER UPDATE ON memories
BEGIN UPDATE changes SET number = number + 1 WHERE of = 'memories'; END;
CREATE TRIGGER memories_erased AFTER DELETE ON memories
BEGIN UPDATE changes SET number = number + 1 WHERE of = 'memories'; END;
"""

_ROUTING = """
CREATE TABLE circuits (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    circuit TEXT NOT NULL CHECK (json_valid(circuit)),
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (provider, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE routes (
    row INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    tier TEXT NOT NULL,
    need REAL NOT NULL,
    task TEXT NOT NULL,
    outcome TEXT NOT NULL,
    decision TEXT NOT NULL CHECK (json_valid(decision)),
    attempts TEXT NOT NULL CHECK (json_valid(attempts)),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX routes_request ON routes (request_id);
"""

_FEEDBACK = """
CREATE TABLE feedback (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    request_id TEXT NOT NULL,
    signal TEXT NOT NULL CHECK (signal IN ('positive', 'negative', 'correction', 'implicit')),
    rating INTEGER CHECK (rating BETWEEN 1 AND 5),
    task_success INTEGER CHECK (task_success IN (0, 1)),
    memory_id TEXT,
    success REAL NOT NULL,
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    created_at INTEGER NOT NULL,
    worktree TEXT NOT NULL,
    "commit" TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_request ON feedback (request_id);
CREATE TABLE marks (
    row INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    success REAL NOT NULL CHECK (success BETWEEN 0 AND 1),
    weight REAL NOT NULL CHECK (weight BETWEEN 0 AND 1),
    at INTEGER NOT NULL,
    feedback INTEGER NOT NULL REFERENCES feedback (row) ON DELETE CASCADE
) STRICT;
CREATE INDEX marks_memory ON marks (namespace, id);
CREATE INDEX marks_feedback ON marks (feedback);
"""

_PRIVACY = """
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    recipient TEXT NOT NULL,
    purpose TEXT NOT NULL,
    mode TEXT NOT NULL,
    spans TEXT NOT NULL CHECK (json_valid(spans)),
    bytes INTEGER NOT NULL,
    payload_sha256 TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (1, 0, '');
CREATE TABLE consents (
    provider TEXT NOT NULL,
    purpose TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (provider, purpose)
) STRICT;
"""

_SPACES = """
CREATE INDEX memories_space ON memories (embedder) WHERE valid_to IS NULL;
"""

_CONSENT_PLACES = """
ALTER TABLE consents ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE consents ADD COLUMN key_env TEXT NOT NULL DEFAULT '';
ALTER TABLE consents ADD COLUMN seal TEXT NOT NULL DEFAULT '';
"""

_IMPACT_MAP = """
CREATE TABLE impact_parts (
    number INTEGER PRIMARY KEY,
    file TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (file, name, digest)
) STRICT;
CREATE TABLE impact_sets (
    kind TEXT NOT NULL CHECK (kind IN ('test', 'import')),
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    parts BLOB NOT NULL,
    outcome TEXT NOT NULL,
    duration_s REAL NOT NULL,
    run TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    worktree TEXT NOT NULL,
    "commit" TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT;
CREATE TABLE impact_files (
    file TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    anatomy TEXT NOT NULL CHECK (json_valid(anatomy))
) STRICT, WITHOUT ROWID;
CREATE TABLE impact_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL CHECK (json_valid(value))) STRICT, WITHOUT ROWID;
"""

_CHANGE_LOG = """
DROP TRIGGER memories_added;
DROP TRIGGER memories_changed;
DROP TRIGGER memories_erased;
CREATE TABLE change_log (number INTEGER PRIMARY KEY, row INTEGER NOT NULL, stamp INTEGER NOT NULL) STRICT;
INSERT INTO change_log SELECT number, 0, random() & 0x7fffffff FROM changes WHERE of = 'memories';
DROP TABLE changes;
CREATE VIEW changes AS SELECT 'memories' AS of, (SELECT max(number) FROM change_log) AS number;
CREATE TRIGGER memories_added AFTER INSERT ON memories
BEGIN INSERT INTO change_log (row, stamp) VALUES (NEW.row, random() & 0x7fffffff); END;
CREATE TRIGGER memories_changed AFTER UPDATE ON memories
BEGIN INSERT INTO change_log (row, stamp) VALUES (NEW.row, random() & 0x7fffffff); END;
CREATE TRIGGER memories_erased AFTER DELETE ON memories
BEGIN INSERT INTO change_log (row, stamp) VALUES (OLD.row, random() & 0x7fffffff); END;
CREATE TRIGGER change_log_pruned AFTER INSERT ON change_log WHEN NEW.number % 4096 = 0
BEGIN DELETE FROM change_log WHERE number <= NEW.number - 262144; END;
"""

_GRAPH = """
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    UNIQUE (namespace, id)
) STRICT;
CREATE TABLE edges (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,
    scope TEXT NOT NULL,
    members BLOB NOT NULL,
    weight REAL NOT NULL CHECK (weight > 0),
    changed_at INTEGER NOT NULL,
    UNIQUE (kind, origin, members)
) STRICT;
CREATE INDEX edges_origin ON edges (origin, scope);
CREATE TABLE edge_members (
    node INTEGER NOT NULL REFERENCES nodes (number) ON DELETE CASCADE,
    edge INTEGER NOT NULL REFERENCES edges (number) ON DELETE CASCADE,
    place INTEGER NOT NULL CHECK (place >= 0),
    PRIMARY KEY (node, edge)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_members_edge ON edge_members (edge, place);
CREATE TABLE source_mentions (
    scope TEXT NOT NULL,
    file TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    reader INTEGER NOT NULL,
    mentions TEXT NOT NULL CHECK (json_valid(mentions)),
    PRIMARY KEY (scope, file)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER memories_unlinked AFTER DELETE ON memories
BEGIN
    DELETE FROM nodes WHERE namespace = old.namespace AND id = old.id AND NOT EXISTS (
        SELECT 1 FROM memories WHERE namespace = old.namespace AND id = old.id AND valid_to IS NULL
    );
END;
CREATE TRIGGER edges_left AFTER DELETE ON edge_members
BEGIN
    DELETE FROM edges WHERE number = old.edge AND (
        old.place = 0 OR (SELECT count(*) FROM edge_members WHERE edge = old.edge) < 2
    );
END;
"""

_SNAPSHOTS = """
CREATE TABLE snapshots (
    name TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    automatic INTEGER NOT NULL CHECK (automatic IN (0, 1)),
    memories INTEGER NOT NULL,
    rows BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""

_EDGE_CHANGES = """
CREATE TABLE edge_changes (only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER NOT NULL) STRICT;
INSERT INTO edge_changes VALUES (1, 0);
CREATE TRIGGER edges_came AFTER INSERT ON edges WHEN new.kind != 'co-retrieved'
BEGIN UPDATE edge_changes SET number = number + 1; END;
CREATE TRIGGER edges_changed AFTER UPDATE ON edges WHEN new.kind != 'co-retrieved'
BEGIN UPDATE edge_changes SET number = number + 1; END;
CREATE TRIGGER edges_went AFTER DELETE ON edge_members
BEGIN UPDATE edge_changes SET number = number + 1; END;
"""

_LIGHTER_ADDITIONS = """
DROP INDEX memories_age;
DROP INDEX memories_space;
DROP INDEX memories_text;
CREATE INDEX memories_text ON memories (embedder, text_hash) WHERE valid_to IS NULL;
DROP TRIGGER memories_added;
"""

_DERIVED_SPACES = """
ALTER TABLE embedders ADD COLUMN derived INTEGER NOT NULL DEFAULT 0 CHECK (derived IN (0, 1));
UPDATE embedders SET derived = embedder_id LIKE 'aqe-static-%' OR embedder_id LIKE 'st:%' OR EXISTS (
    SELECT 1 FROM memories WHERE valid_to IS NULL AND embedder = number
    AND (namespace LIKE 'index/%' OR namespace LIKE 'knowledge/%')
);
"""

_CHECKSUMS = """
ALTER TABLE memories ADD COLUMN vector_sum INTEGER;
ALTER TABLE memories ADD COLUMN row_sum INTEGER;
ALTER TABLE embeddings ADD COLUMN sum INTEGER;
DROP TRIGGER memories_changed;
CREATE TRIGGER memories_changed AFTER UPDATE OF row, id, namespace, revision, valid_from, valid_to, created_at, text,
    text_hash, id_given, metadata, embedder, worktree, "commit", file, line, run, expires_at, pinned, end_note,
    file_digest ON memories
BEGIN INSERT INTO change_log (row, stamp) VALUES (NEW.row, random() & 0x7fffffff); END;
CREATE TRIGGER memories_unsealed AFTER UPDATE OF row, id, namespace, revision, valid_from, valid_to, created_at, text,
    text_hash, id_given, metadata, embedder, worktree, "commit", file, line, run, expires_at, pinned, end_note,
    file_digest, vector_sum ON memories WHEN NEW.row_sum IS OLD.row_sum AND NEW.row_sum IS NOT NULL
BEGIN UPDATE memories SET row_sum = NULL WHERE row = NEW.row; END;
CREATE TRIGGER vectors_put AFTER UPDATE OF embedder ON memories
WHEN NEW.vector_sum IS OLD.vector_sum AND NEW.vector_sum IS NOT NULL
BEGIN UPDATE memories SET vector_sum = NULL WHERE row = NEW.row; END;
CREATE TRIGGER demoted_came AFTER INSERT ON demoted
BEGIN UPDATE memories SET vector_sum = NULL WHERE row = NEW.row; END;
CREATE TRIGGER demoted_went AFTER DELETE ON demoted
BEGIN UPDATE memories SET vector_sum = NULL WHERE row = OLD.row; END;
"""

_ROW_SUMS = f"""
{"".join(row_sums.column_sql(table) for table in row_sums.GUARDED.values())}
DROP TRIGGER edges_changed;
CREATE TRIGGER edges_changed AFTER UPDATE OF kind, origin, scope, members, weight, changed_at ON edges
WHEN new.kind != 'co-retrieved'
BEGIN UPDATE edge_changes SET number = number + 1; END;
"""

MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "memories", _MEMORIES),
    Migration(2, "jobs", _JOBS),
    Migration(3, "test runs", _TEST_RUNS),
    Migration(4, "project index", _PROJECT_INDEX),
    Migration(5, "interactions and sessions", _INTERACTIONS),
    Migration(6, "routing", _ROUTING),
    Migration(7, "feedback", _FEEDBACK),
    Migration(8, "privacy", _PRIVACY),
    Migration(9, "embedding spaces", _SPACES),
    Migration(10, "where consents reach", _CONSENT_PLACES),
    Migration(11, "impact map", _IMPACT_MAP),
    Migration(12, "change log", _CHANGE_LOG),
    Migration(13, "graph", _GRAPH),
    Migration(14, "snapshots", _SNAPSHOTS),
    Migration(15, "growth and tiers", growth_tables.TABLES),
    Migration(16, "edge changes", _EDGE_CHANGES),
    Migration(17, "lighter additions", _LIGHTER_ADDITIONS),
    Migration(18, "derived spaces", _DERIVED_SPACES),
    Migration(19, "checksums", _CHECKSUMS, sums.fill),
    Migration(20, "checksums of other rows", _ROW_SUMS, row_sums.fill),
)
