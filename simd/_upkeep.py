"""The upkeep of an inverted file while rows come and go: made, folded and made anew beside searches, in steps that can
be watched and broken off. Searches see the old lists, or none, until the new ones are whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aqe.simd import _ivf, _recall
from aqe.simd._clusters import Step
from aqe.simd._ids import Ids, rows_of_mask
from aqe.simd._ivf import Ground, Lists
from aqe.simd._table import Table

if TYPE_CHECKING:
    from aqe.simd._vectors import Vectors

Masks = NDArray[np.uint64]


_QUERIES, _K, _ENOUGH = 128, 10, 0.99


class Progress(Protocol):
    """Called with a line of text, work done and total work in one unit (None where unknown)."""

    def __call__(self, text: str, done: float = 0.0, total: float | None = None) -> None: ...


class Cancel(Protocol):
    """Asked again and again during the work; what it raises ends it."""

    def check(self) -> None: ...


class Stopped(Exception):
    """The work was stopped by `Work.stop`."""


@dataclass(frozen=True)
class Inverted:
    """Lists, their form for the kernels, and the table whose rows they name."""

    lists: Lists
    native: Any
    table: Table

    @property
    def fits(self) -> bool:
        """Were the codes made against the mean that the table's own are made against now?"""
        coding = self.table.coding
        return coding is not None and _ivf.lists_fit(self.lists, coding)


def inverted(lists: Lists, table: Table) -> Inverted:
    """Lists ready to be searched."""
    return Inverted(lists, lists.native(table.kernels), table)


def moved(old: Inverted, live: Masks, table: Table) -> Inverted:
    """The same lists over `table`, which holds the rows of the old one that are alive in `live`, in their order."""
    before, after = rows_of_mask(live), table.numbers()
    numbers = np.full(len(live) * 64, -1, np.int32)
    numbers[before] = after
    inside = int(np.searchsorted(before, old.lists.rows))
    end = int(after[inside - 1]) + 1 if inside else 0
    return inverted(old.lists.renumbered(numbers, end), table)


def made(vectors: Vectors, task: str, nlist: int | None, step: Step) -> None:
    """Do `task` ("build", "fold" or "recode") over the rows as they are, and let searches see what comes of it."""
    lists: Lists | None = None
    doing = task
    while True:
        with vectors._lock:
            table, held, live = vectors._table, vectors._inverted, vectors._live
            if table.coding is None:
                table.code(live)
                vectors._show()
            ground = _ground(vectors, table, live)
            table.look_at_all()
        if doing == "build":
            lists, share = _measured(_ivf.build(ground, nlist, step), vectors, table, ground.rows, step)
            if share > _ivf.WORTH_SHARE and nlist is None:
                vectors._decline(len(ground.rows))
                return
        elif (old := lists or (held.lists if held is not None else None)) is not None:
            lists = (_ivf.fold if doing == "fold" else _ivf.recode)(old, ground, step)
        with vectors._lock:
            if lists is None or vectors._take(inverted(lists, table)):
                return
            if vectors._table is table:
                doing = "recode"  # the mean moved meanwhile
            else:
                doing, lists = task, None  # the rows have other numbers now


def _measured(lists: Lists, vectors: Vectors, table: Table, rows: Ids, step: Step) -> tuple[Lists, float]:
    """The lists with the least effort that finds enough, and the share of the codes that it looks at then."""
    if not len(rows):
        return lists, 0.0
    pairs = np.random.default_rng(1).choice(rows, (_QUERIES, 2))
    with vectors._lock:
        if vectors._table is not table or not inverted(lists, table).fits:
            return lists, 0.0  # the rows have other numbers or codes now, so there is more to do
        points = (table.values_of(pairs[:, 0]) + table.values_of(pairs[:, 1])) / np.float32(2)
        snapshot, tail = vectors._state.snapshot, table.end - lists.tail
    k, native, share = min(_K, len(rows)), lists.native(table.kernels), 1.0
    ids, scores = np.empty(k, np.int64), np.empty(k, np.float32)
    truth = []
    for at, point in enumerate(points):
        step("measuring the lists", at, 2 * len(points))
        snapshot.search(point, k, 4 * _recall.candidates(len(rows), k), None, ids, scores)
        truth.append(float(scores[k - 1]))
    for patience, times in _ivf.EFFORTS:
        found = looked = 0
        for at, point in enumerate(points):
            step("measuring the lists", len(points) + at, 2 * len(points))
            some = times * _recall.candidates_of_lists(table.dim, k)
            _, codes = snapshot.probe(point, k, some, native, patience, lists.tail, ids, scores)
            looked += codes
            found += _recall.as_good(scores, truth[at], vectors.metric)
        share = (looked / len(points) - tail) / len(rows)
        lists = replace(lists, patience=patience, times=times)
        if found >= _ENOUGH * k * len(points):
            break
    return lists, share


def _ground(vectors: Vectors, table: Table, live: Masks) -> Ground:
    """The rows alive, read a part at a time, so that writers wait for a part only."""
    rows = rows_of_mask(live)
    assert table.coding is not None

    def read(numbers: Ids) -> Any:
        with vectors._lock:
            return table.values_of(numbers)

    return Ground(rows, read, table.kernels, table.metric, table.coding, table.end)


def steps(progress: Progress | None, *cancels: Cancel | None) -> Step:
    """What the work calls between two parts: tells how far it is and ends it when it shall end."""

    def step(text: str, done: float, total: float) -> None:
        for cancel in cancels:
            if cancel is not None:
                cancel.check()
        if progress is not None:
            progress(text, done, total)

    return step


class Work:
    """Upkeep in a thread of its own, from when this is made on."""

    def __init__(self, task: Callable[[Cancel], Any]) -> None:
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._task = task
        self._thread = threading.Thread(target=self._run, name="aqe-vectors", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Is it over, by whatever end?"""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End it at its next step: nothing is changed, and `error` is `Stopped`."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; True where that came."""
        self._thread.join(timeout_s)
        return self.done

    def check(self) -> None:
        """Raise `Stopped` where it shall end."""
        if self._stop.is_set():
            raise Stopped("the upkeep of the vectors was stopped")

    def _run(self) -> None:
        try:
            self._task(self)
        except BaseException as error:
            self.error = error
