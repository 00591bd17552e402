"""The upkeep of a store in the background: what is over ends, near-duplicates merge, a budget is kept.

One thread for each store and process, and of all processes one at a time: who finds the lease taken passes by. It works
on a connection of its own in short transactions, so that nobody waits for it longer than for any other writer.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aqe.engine.errors import AqeError, UserError
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.side_thread import started

if TYPE_CHECKING:
    from aqe.engine.memory.growth.pruning import Pruned, PrunePlan
    from aqe.engine.memory.store import Store
    from aqe.engine.memory.tiers.policy import Thresholds
    from aqe.engine.settings import Settings

LEASE = "memory upkeep"
FIRST_S = 60.0
MERGED = "merged"
COMPARED = 1000
"""The newest memories of a namespace: new ones are compared with them in the background, with all by `memory merge`."""

TIERED_AT = "tiered at"
RETIER_S = 3600
"""Vectors move between tiers at most once in this time."""

MEGABYTE = 1_000_000
LARGEST_MB = 1_048_576
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tended:
    """What one upkeep did: memories that were over and ended, those merged and pruned, ended rows erased, and vectors
    moved between tiers."""

    expired: int = 0
    merged: int = 0
    pruned: int = 0
    erased: int = 0
    moved: int = 0


def tend(
    store: Store, settings: Settings, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> Tended | None:
    """Do all that is due; None while another process does. Raises `Cancelled`; what stands is kept."""
    from aqe.engine.lease import take_lease

    lease = take_lease(store, LEASE)
    if lease is None:
        return None
    try:
        merged = _merge_new(store, settings, progress, cancel) if settings.memory.merge else 0
        lease.renew()
        done = prune_within(store, settings, progress=progress, cancel=cancel)
        lease.renew()
        moved = _retier_where_due(store, settings, progress, cancel)
        return Tended(done.expired, merged, done.pruned, done.erased, moved)
    finally:
        lease.release()


def budget_plan(store: Store, settings: Settings, *, max_mb: float | None = None, keep: int | None = None) -> PrunePlan:
    """What would go under the budget of the settings, or the one that is given. Raises `UserError` (bad-limit)."""
    from aqe.engine.learning.prior import CAP, read_priors
    from aqe.engine.memory.growth.pruning import plan_pruning

    memory = settings.memory
    if max_mb is not None and not 0 <= max_mb <= LARGEST_MB:
        fix = f"Give 0 (no budget) to {LARGEST_MB:,}, in MB."
        raise UserError(f"{max_mb!r} is no size to keep.", code="bad-limit", fix=fix)
    return plan_pruning(
        store,
        max_bytes=math.ceil(MEGABYTE * (memory.max_mb if max_mb is None else max_mb)),
        max_memories=memory.max_count if keep is None else keep,
        half_life_days=memory.half_life_days,
        quality=lambda keys: {key: prior / CAP for key, prior in read_priors(store, keys).items()},
    )


def prune_within(
    store: Store, settings: Settings, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> Pruned:
    """End what is over, and what the budget of the settings has no room for."""
    from aqe.engine.memory.growth.pruning import PrunePlan, prune

    memory = settings.memory
    with store.reading() as connection:
        size = int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
    due = memory.max_count or (memory.max_mb and size > MEGABYTE * memory.max_mb)
    plan = budget_plan(store, settings) if due else PrunePlan(0, 0, 0, 0, ())
    return prune(store, plan, progress=progress, cancel=cancel)


def _merge_new(store: Store, settings: Settings, progress: Progress, cancel: CancelToken | None) -> int:
    """Merge what was added since the last time and says the same word for word."""
    from aqe.engine.memory.growth.merging import find_duplicates, merge

    with store.reading() as connection:
        after = connection.execute("SELECT number FROM growth_marks WHERE name = ?", (MERGED,)).get or 0
        newest = connection.execute("SELECT max(row) FROM memories").get or 0
    if newest <= after:
        return 0
    memory = settings.memory
    found = find_duplicates(
        store,
        cosine=memory.merge_cosine,
        least_overlap=memory.merge_overlap,
        same=True,
        after=int(after),
        most=COMPARED,
        progress=progress,
        cancel=cancel,
    )
    done = merge(store, found, progress=progress, cancel=cancel)
    with store.writing() as connection:
        connection.execute("INSERT OR REPLACE INTO growth_marks VALUES (?, ?)", (MERGED, int(newest)))
    return done


def thresholds_of(settings: Settings) -> Thresholds:
    """The shares of the tiers that the settings ask for."""
    from aqe.engine.memory.tiers.policy import Thresholds

    memory = settings.memory
    return Thresholds(memory.hot_percent, memory.warm_percent, memory.int8_percent)


def _retier_where_due(store: Store, settings: Settings, progress: Progress, cancel: CancelToken | None) -> int:
    """Move vectors between tiers, where there are many and it was not done lately."""
    from aqe.engine.embedding import open_embedder
    from aqe.engine.memory.tiers.moving import retier

    memory = settings.memory
    if not memory.tiers:
        return 0
    with store.reading() as connection:
        last = connection.execute("SELECT number FROM growth_marks WHERE name = ?", (TIERED_AT,)).get or 0
        sql = "SELECT count(*) FROM memories WHERE valid_to IS NULL AND embedder IS NOT NULL"
        few = int(connection.execute(sql).get) < memory.tiers_from
    if few or store.now() - int(last) < RETIER_S * 1_000_000:
        return 0
    life, embedder = memory.half_life_days, open_embedder(settings)
    moved = retier(store, embedder, thresholds_of(settings), half_life_days=life, progress=progress, cancel=cancel)
    with store.writing() as connection:
        connection.execute("INSERT OR REPLACE INTO growth_marks VALUES (?, ?)", (TIERED_AT, store.now()))
    return sum(moved.to.values())


class Upkeep:
    """Tends one project's store again and again until it is closed; made by `start_upkeep`. `tended` is set after the
    first time."""

    def __init__(self, project: Path, settings: Callable[[], Settings], first_s: float = FIRST_S) -> None:
        self.uses = 0
        self.tended = threading.Event()
        self._project = project
        self._settings = settings
        self._first_s = first_s
        self._ended = threading.Event()
        self._cancel = CancelToken()
        started(threading.Thread(target=self._run, name="aqe upkeep", daemon=True))

    def close(self) -> None:
        """End it; what it does now ends at its next step."""
        self._cancel.cancel()
        self._ended.set()

    def _run(self) -> None:
        wait = min(self._first_s, 60.0 * self._settings().memory.upkeep_minutes)
        while not self._ended.wait(wait):
            self._once()
            self.tended.set()
            wait = max(1.0, 60.0 * self._settings().memory.upkeep_minutes)

    def _once(self) -> None:
        from aqe.engine.memory.opening import has_store, open_store

        try:
            settings = self._settings()
            if settings.memory.upkeep_minutes and has_store(self._project, settings=settings):
                with open_store(self._project, settings=settings, take_spool=False) as store:
                    tend(store, settings, cancel=self._cancel)
        except AqeError as error:
            _log.debug("The upkeep of %s waits: %s", self._project, error)


_running: dict[Path, Upkeep] = {}
_lock = threading.Lock()


def start_upkeep(project: Path, settings: Callable[[], Settings]) -> Callable[[], None]:
    """Have the project's store tended while anybody in this process uses it; returns what ends this use."""
    if not settings().memory.upkeep_minutes:
        return lambda: None
    with _lock:
        found = _running[project] if project in _running else Upkeep(project, settings)
        _running[project] = found
        found.uses += 1
    once = threading.Lock()

    def end() -> None:
        if once.acquire(blocking=False):
            _end_use(project, found)

    return end


def _end_use(project: Path, upkeep: Upkeep) -> None:
    with _lock:
        upkeep.uses -= 1
        if upkeep.uses:
            return
        if _running.get(project) is upkeep:
            del _running[project]
    upkeep.close()
