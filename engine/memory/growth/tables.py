"""The tables and columns of growth and tiers: step 15 of the database file.

A memory may have an end (`expires_at`), be `pinned`, and know the digest of its file; an ended one says
why. `accesses` counts how often a current row was recalled (`score` decays, as of `last_at`). `demoted` holds the
vectors of rows whose tier is not the first: 1 float16, 2 int8, 3 none (an empty blob). `embeddings` keeps vectors of
texts by their hash.
"""

from __future__ import annotations

TABLES = """
ALTER TABLE memories ADD COLUMN expires_at INTEGER;
ALTER TABLE memories ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));
ALTER TABLE memories ADD COLUMN end_note TEXT NOT NULL DEFAULT '';
ALTER TABLE memories ADD COLUMN file_digest TEXT NOT NULL DEFAULT '';
CREATE INDEX memories_expiry ON memories (expires_at) WHERE valid_to IS NULL AND expires_at IS NOT NULL;
CREATE TABLE accesses (
    row INTEGER PRIMARY KEY REFERENCES memories (row) ON DELETE CASCADE,
    count INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    score REAL NOT NULL
) STRICT;
CREATE INDEX accesses_last ON accesses (last_at);
CREATE TABLE demoted (
    row INTEGER PRIMARY KEY REFERENCES memories (row) ON DELETE CASCADE,
    tier INTEGER NOT NULL CHECK (tier BETWEEN 1 AND 3),
    vector BLOB NOT NULL
) STRICT;
CREATE TABLE growth_log (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    what TEXT NOT NULL CHECK (what IN ('expired', 'merged', 'pruned', 'revived')),
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    facts TEXT NOT NULL CHECK (json_valid(facts))
) STRICT;
CREATE TABLE growth_marks (name TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE embeddings (
    embedder_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    used_at INTEGER NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (embedder_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX embeddings_age ON embeddings (used_at);
"""
