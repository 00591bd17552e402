"""Opens the store that belongs to a project, as its settings say."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aqe.engine.memory.entry import Provenance
from aqe.engine.memory.graph.searching import Graph
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.memory.keys import share_pointer, store_key
from aqe.engine.memory.shares import Shares
from aqe.engine.memory.store import Store, utc_now
from aqe.engine.project import DATABASE, database_path, store_home
from aqe.engine.settings import Settings, load_settings
from aqe.engine.spool import ingest
from aqe.engine.worktree import find_checkout, head_commit

if TYPE_CHECKING:
    from aqe.engine.memory.rank import Rank
    from aqe.engine.memory.settings import MemorySettings


def open_store(
    project: Path,
    *,
    settings: Settings | None = None,
    environ: Mapping[str, str] | None = None,
    now: Callable[[], int] = utc_now,
    take_spool: bool = True,
) -> Store:
    """The project's store; what is added carries its git worktree and commit, and what test runs left in the spool
    is taken in (`take_spool`).

    With AQE_DB_KEY set, or a key in the keyring, the file is encrypted. Raises what `Store.open`, `load_settings` and
    `store_key` raise.
    """
    environ = os.environ if environ is None else environ
    settings = load_settings(project, environ=environ) if settings is None else settings
    path = database_path(project, settings.store)
    store = Store.open(
        path,
        key=store_key(path, environ),
        durability=settings.durability,
        here=whereabouts(project),
        now=now,
        clean=_redacted if settings.memory.redact else None,
        growth=_growth(project, settings),
        shares=Shares(settings.memory.vector_share, settings.memory.shares),
    )
    if settings.memory.index == "hnsw":
        _use_graph(store, settings.memory)
    if settings.memory.graph:
        store.graph = Graph(store)
    share_pointer(path, project / ".aqe")
    if take_spool:
        try:
            ingest(store, project)
        except BaseException:
            store.close()
            raise
    return store


def _growth(project: Path, settings: Settings) -> GrowthRules:
    return GrowthRules(
        root=project,
        recalled_s=60.0 * settings.memory.recalled_minutes,
        half_life_days=settings.memory.half_life_days,
        stale=settings.memory.stale,
        rank=_rank(settings),
    )


def _rank(settings: Settings) -> Rank | None:
    memory = settings.memory
    if memory.rank.strip() == "similarity":
        return None
    from aqe.engine.memory.rank import parse_rank

    return parse_rank(memory.rank, candidates=memory.rank_candidates, half_life_days=memory.half_life_days)


def _use_graph(store: Store, memory: MemorySettings) -> None:
    from aqe.engine.memory.hnsw import Shape

    try:
        store.use_graph(Shape(memory.hnsw_m, memory.hnsw_ef_construction, memory.hnsw_ef_search))
    except BaseException:
        store.close()
        raise


def _redacted(text: str) -> str:
    from aqe.engine.privacy.redactor import redact

    return redact(text).text


def has_store(project: Path, *, settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Whether something is kept for the project: its database, or a spool that is not taken in yet."""
    environ = os.environ if environ is None else environ
    settings = load_settings(project, environ=environ) if settings is None else settings
    spool = project / ".aqe" / "spool"
    return (store_home(project, settings.store) / ".aqe" / DATABASE).exists() or (
        spool.is_dir() and any(spool.iterdir())
    )


def open_to_read(project: Path) -> Store:
    """The project's store for a look: where nothing is kept yet an empty one in memory, so that looking writes nothing.

    Raises what `open_store` raises.
    """
    return open_store(project) if has_store(project) else Store.open(Path(":memory:"))


def whereabouts(project: Path) -> Provenance:
    """The git worktree ("" for the main one) and commit of the project, both "" without git."""
    checkout = find_checkout(project)
    if checkout is None:
        return Provenance()
    return Provenance(worktree=checkout.worktree, commit=head_commit(checkout))
