"""Brings the graph up to date with all that tells of edges: the files, the impact map, the vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aqe.engine.memory.graph.linking import link_index
from aqe.engine.memory.graph.recorded import link_coverage, link_similar, tidy
from aqe.engine.memory.search.ranking import SHELVES
from aqe.engine.progress import CancelToken, Progress, silent

if TYPE_CHECKING:
    from aqe.engine.memory.store import Store


@dataclass(frozen=True)
class GraphReport:
    """What a run brought: edges that came and that went, and memories that had ended and were still joined."""

    came: int
    went: int
    ended: int


def build_graph(
    store: Store, root: str, project: Path, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> GraphReport:
    """Make all edges of the index whose namespaces begin with `root`, and those by meaning of it and of all that was
    remembered, what they should be now. Raises `Cancelled` and what the store raises."""
    came = went = 0
    cancel = cancel or CancelToken()
    ended = tidy(store)
    steps: tuple[tuple[str, Callable[[], tuple[int, int]]], ...] = (
        ("Reading which code uses which", lambda: link_index(store, root, project, cancel=cancel)),
        ("Reading which test executed what", lambda: link_coverage(store, root)),
        ("Comparing memories by meaning", lambda: (link_similar(store, _namespaces(store, root)), 0)),
    )
    for at, (what, step) in enumerate(steps):
        cancel.check()
        progress(what, at, len(steps))
        added, dropped = step()
        came, went = came + added, went + dropped
    return GraphReport(came, went, ended)


def refresh_graph(store: Store, root: str, project: Path, *, cancel: CancelToken | None = None) -> None:
    """After an index run: what it changed of the edges that searches look at."""
    link_index(store, root, project, cancel=cancel)
    link_coverage(store, root)


def _namespaces(store: Store, root: str) -> list[str]:
    sql = "SELECT DISTINCT namespace FROM memories WHERE valid_to IS NULL AND embedder NOT NULL ORDER BY 1"
    with store.reading() as connection:
        found = [str(name) for (name,) in connection.execute(sql)]
    return [name for name in found if name.startswith(f"{root}/") or not name.startswith(SHELVES)]
