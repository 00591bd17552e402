"""What a store holds: counts, and bytes by component."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

PAGES_WALKED = 50_000  # above that (200 MB) the file's size is one figure: walking it would take seconds
_OVER = (  # by the index of those that have an end: few are over at a time, and the others are counted by theirs
    "SELECT namespace, count(*), count(embedder) FROM memories"
    " WHERE valid_to IS NULL AND expires_at IS NOT NULL AND expires_at <= ? GROUP BY 1"
)


@dataclass(frozen=True)
class SearchFigures:
    """How searches by meaning are answered in one namespace, in the space of one embedder: by way of which `structure`
    (vec0: the database itself; exact: every vector; linear: every code; ivf: some lists of codes; hnsw: a graph),
    which share of the exact ten nearest they find, and which share of the vectors they look at."""

    embedder: str
    namespace: str
    vectors: int
    structure: str
    recall: float
    scanned: float


@dataclass(frozen=True)
class StoreStats:
    """Counts of current memories that are not over (`revisions`: of every row), test outcomes and jobs; sizes in bytes;
    `searches` by namespace, where they were measured; `caches` counts what was at hand and what was not, of searches
    (`query_hits`, `query_misses`) and of texts that a costly embedder had embedded before, by all processes."""

    memories: int
    revisions: int
    vectors: int
    namespaces: dict[str, int]
    test_runs: int
    test_outcomes: int
    jobs: dict[str, int]
    bytes: dict[str, int]
    version: int
    caches: dict[str, int] = field(default_factory=dict)
    searches: tuple[SearchFigures, ...] = ()


NOTHING = StoreStats(
    memories=0, revisions=0, vectors=0, namespaces={}, test_runs=0, test_outcomes=0, jobs={}, bytes={}, version=0
)
"""The figures of a project for which nothing was kept yet."""


def read_stats(connection: apsw.Connection, path: Path, now: int) -> StoreStats:
    """The figures of the file behind `connection` at `now` (microseconds)."""
    held = _pairs(connection, "SELECT namespace, count(*) FROM memories WHERE valid_to IS NULL GROUP BY 1 ORDER BY 1")
    over: list[Any] = connection.execute(_OVER, (now,)).fetchall()
    for namespace, count, _ in over:
        held[str(namespace)] -= int(count)
    return StoreStats(
        memories=sum(held.values()),
        revisions=_one(connection, "SELECT count(*) FROM memories"),
        vectors=_one(connection, "SELECT count(*) FROM memories WHERE valid_to IS NULL AND embedder IS NOT NULL")
        - sum(int(vectors) for _, _, vectors in over),
        namespaces={namespace: count for namespace, count in held.items() if count},
        test_runs=_one(connection, "SELECT count(DISTINCT run) FROM test_runs"),
        test_outcomes=_one(connection, "SELECT count(*) FROM test_runs"),
        jobs=_pairs(connection, "SELECT state, count(*) FROM jobs GROUP BY 1 ORDER BY 1"),
        bytes=_bytes(connection, path),
        version=int(connection.pragma("user_version")),
        caches=_pairs(
            connection,
            "SELECT replace(name, ' ', '_'), number FROM growth_marks"
            " WHERE name GLOB '* hits' OR name GLOB '* misses' ORDER BY 1",
        ),
    )


def _bytes(connection: apsw.Connection, path: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    if int(connection.pragma("page_count")) <= PAGES_WALKED:
        for name, size in connection.execute("SELECT name, pgsize FROM dbstat WHERE aggregate = 1"):
            component = _component(str(name))
            sizes[component] = sizes.get(component, 0) + int(size)
    else:
        sizes["database"] = path.stat().st_size
    log = path.with_name(f"{path.name}-wal")
    sizes["log"] = log.stat().st_size if log.exists() else 0
    return dict(sorted(sizes.items()))


def _component(table: str) -> str:
    for start, component in (
        ("texts", "text index"),
        ("vectors_", "vectors"),
        ("retired_vectors", "vectors"),
        ("memories", "memories"),
        ("demoted", "vectors"),
        ("accesses", "memories"),
        ("growth_", "memories"),
        ("embeddings", "kept embeddings"),
        ("sqlite_autoindex_embeddings", "kept embeddings"),
        ("sqlite_autoindex_memories", "memories"),
        ("jobs", "jobs"),
        ("sqlite_autoindex_jobs", "jobs"),
        ("test_runs", "test runs"),
        ("indexed_files", "project index"),
        ("interactions", "interactions"),
        ("sqlite_autoindex_interactions", "interactions"),
        ("sessions", "sessions"),
        ("sqlite_autoindex_sessions", "sessions"),
        ("turns", "sessions"),
        ("circuits", "routing"),
        ("routes", "routing"),
        ("sqlite_autoindex_turns", "sessions"),
        ("audit", "privacy"),
        ("consents", "privacy"),
        ("sqlite_autoindex_consents", "privacy"),
    ):
        if table.startswith(start):
            return component
    return "schema"


def _one(connection: apsw.Connection, sql: str) -> int:
    return int(connection.execute(sql).get)


def _pairs(connection: apsw.Connection, sql: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in connection.execute(sql)}
