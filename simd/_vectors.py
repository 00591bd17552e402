"""`Vectors`: nearest neighbours among vectors that are added, replaced and deleted while others search.

A search looks at 1-bit codes of all rows, at int8 forms of the some hundred best, and at the float32 rows of the last
few dozen (`simd/funnel/`); small stores and short vectors are scanned. Scores are exact wherever the exact row is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from aqe.simd import _elsewhere, _funnel_path, _recall, _rows, _saved, _vectors_file
from aqe.simd._funnel_twin import COSINE, LARGEST
from aqe.simd._given import Allowed, as_floats, as_k, as_rows, as_whole, unmasked
from aqe.simd._ids import Ids, Index, as_ids, clear_bits, distinct, last_of_each, rows_of_mask, set_bits
from aqe.simd._measured import scores_of
from aqe.simd._rows import BLOCK, LEVELS
from aqe.simd._state import State, state_of
from aqe.simd._table import CODES_FROM_DIM, Table, compacted

if TYPE_CHECKING:  # loaded when there is an inverted file, not before
    from aqe.simd._clusters import Step
    from aqe.simd._ivf import Lists
    from aqe.simd._upkeep import Cancel, Inverted, Progress, Work

Floats = NDArray[np.float32]
Masks = NDArray[np.uint64]
Metric = Literal["dot", "cosine", "l2"]
Level = Literal["f32", "f16", "int8", "bits"]
Rescore = Callable[[Ids], Floats]

METRICS = ("dot", "cosine", "l2")
MOST_DIM = 16_384

_GAPS = 1024
"""Deleted rows that are always tolerated before their room is taken back."""


class Vectors:
    """Vectors of `dim` float32 items under int64 ids, searched by "cosine", "dot" or "l2" (squared distance).

    For cosine rows are kept at length one; a zero vector has cosine 0 with everything. Any number of threads may search
    while one adds, deletes or demotes (others wait), and see all of a call or nothing. Codes: RaBitQ (docs/vectors.md).

    >>> import numpy as np
    >>> from aqe.simd import Vectors
    >>> vectors = Vectors(2)
    >>> vectors.add([7, 8], np.array([[1, 0], [0, 2]], np.float32))
    >>> ids, scores = vectors.search(np.array([0, 1], np.float32), 1)
    >>> ids.tolist(), scores.tolist()
    ([8], [1.0])
    """

    def __init__(self, dim: int, metric: Metric = "cosine") -> None:
        if not 1 <= as_whole(dim, "dim") <= MOST_DIM:
            raise ValueError(f"dim must be from 1 to {MOST_DIM}, got {dim}")
        if metric not in METRICS:
            raise ValueError(f"metric must be 'dot', 'cosine' or 'l2', got {metric!r}")
        self.dim = index(dim)
        self.metric: Metric = metric
        self._metric = METRICS.index(metric)
        self._lock, self._publishing, self._working = _elsewhere.locks_of(self)
        self._table = Table(self.dim, self._metric, _funnel_path.chosen())
        self._file: _vectors_file.File | None = None
        self.label = ""
        """What the file that this was opened from was saved under."""
        self._live: Masks = np.zeros(0, np.uint64)
        self._inverted: Inverted | None = None
        self._work: Work | None = None
        self._declined = 0
        self._scanned = 1.0
        none = np.empty(0, np.int64)
        self._state = State(self._table.snapshot(self._live), Index(none, none), self._live, 0, False, 0, False)

    __reduce_ex__ = _elsewhere.reduced

    def __len__(self) -> int:
        return self._state.count

    def __repr__(self) -> str:
        return f"<Vectors: {len(self)} of {self.dim} items, {self.metric}>"

    def add(self, ids: Ids | Iterable[int], array: Any) -> None:
        """Add rows (n, dim) under n ids; an id that is there is replaced, of one given twice the last counts.

        Raises TypeError for ids that are not whole numbers or an array that is neither float32 nor float16 (nor nested
        lists of numbers), ValueError for another shape, NaN, infinity, or, but for cosine, an item beyond 1e15.
        """
        taken = as_ids(ids)
        rows = self._rows_of(array, len(taken))
        if (kept := last_of_each(taken)) is not None:
            taken, rows = taken[kept], rows[kept]
        if not len(taken):
            return
        with self._lock:
            before = self._state.index.find(taken)
            old = before[before >= 0]
            numbers = self._table.append(taken, rows)
            live = self._live_with_room()
            clear_bits(live, old)
            set_bits(live, numbers)
            count = self._state.count + len(taken) - len(old)
            self._table.code_where_due(live, count)
            self._publish(live, count, taken, numbers, before)

    def delete(self, ids: Ids | Iterable[int]) -> int:
        """Delete these ids and say how many were there; raises TypeError for what is no whole number."""
        taken = distinct(as_ids(ids))
        with self._lock:
            rows = self._state.index.find(taken)
            gone, rows = taken[rows >= 0], rows[rows >= 0]
            if not len(gone):
                return 0
            live = self._live_with_room()
            clear_bits(live, rows)
            self._publish(live, self._state.count - len(gone), gone, np.full(len(gone), -1), rows)
        return len(gone)

    def search(
        self,
        query: Any,
        k: int,
        *,
        allow: Allowed | Ids | Iterable[int] | None = None,
        rescore: Rescore | None = None,
    ) -> tuple[Ids, Floats]:
        """The ids of the k nearest rows and their scores, best first: highest for dot and cosine, lowest for l2.

        `allow` names the ids that may be found (prepare it with `allowed` for more than one search); `rescore` gives
        the float32 rows (n, dim) of the ids of demoted rows that came near, so that their scores are exact too: of the
        best 10k by estimate, 100 at least, and of no more. Raises
        ValueError for a k below 1 and a query that has another length, NaN or infinity, TypeError for another dtype.
        """
        if k.__class__ is not int or k < 1:
            k = as_k(k)
        if rescore is not None:
            return self._search_again(query, k, allow, rescore)
        state, mask = (self._state, None) if allow is None else self._mask(allow)
        if state.lists is not None and mask is None and state.count:
            return self._probe(state, query, min(k, state.count))
        return self._find(state, query, k, mask, _recall.candidates(state.count, k) if state.coded else 0)

    def exact(self, query: Any, k: int, *, allow: Allowed | Ids | Iterable[int] | None = None) -> tuple[Ids, Floats]:
        """What `search` answers when each row is scored by the best that is kept of it: slow, and nothing is missed."""
        k = as_k(k)
        state, mask = (self._state, None) if allow is None else self._mask(allow)
        return self._find(state, query, k, mask, 0)

    def scores(self, query: Any, ids: Ids | Iterable[int]) -> Floats:
        """The score of the row of each id, as `exact` gives it; NaN for an id that is not held."""
        return scores_of(self, query, ids)

    def _find(self, state: State, query: Any, k: int, mask: Masks | None, candidates: int) -> tuple[Ids, Floats]:
        most = min(k, state.count)
        ids, scores = np.empty(most, np.int64), np.empty(most, np.float32)
        try:
            count = state.snapshot.search(unmasked(query), most, candidates, mask, ids, scores)
        except (TypeError, ValueError, BufferError):
            count = state.snapshot.search(self._query_of(query), most, candidates, mask, ids, scores)
        self._scanned = 1.0
        return (ids, scores) if count == most else (ids[:count], scores[:count])

    def _probe(self, state: State, query: Any, most: int) -> tuple[Ids, Floats]:
        ids, scores = np.empty(most, np.int64), np.empty(most, np.float32)
        patience, times = state.effort
        around = state.lists, patience, state.tail, ids, scores
        wanted = min(times * _recall.candidates_of_lists(self.dim, most), 3 * state.count + BLOCK)
        try:
            count, looked = state.snapshot.probe(unmasked(query), most, wanted, *around)
        except (TypeError, ValueError, BufferError):
            count, looked = state.snapshot.probe(self._query_of(query), most, wanted, *around)
        self._scanned = looked / max(1, state.count)
        return (ids, scores) if count == most else (ids[:count], scores[:count])

    def _search_again(self, query: Any, k: int, allow: Any, rescore: Rescore) -> tuple[Ids, Floats]:
        """Search for some more, score anew the rows of which only int8 or bits are kept, and rank."""
        from aqe.simd import _rescore

        ids, scores = self.search(query, _rescore.looked_through(k), allow=allow)
        with self._publishing:
            levels, coding = self._table.levels_of(self._state.index.find(ids)), self._table.coding
        asked, metric = self._query_of(query), self._metric
        return _rescore.best(ids, scores, levels, asked, k, metric=metric, coding=coding, rescore=rescore)

    def allowed(self, ids: Ids | Iterable[int]) -> Allowed:
        """Ids for `allow`, prepared: many searches with them cost the looking up once, until the store changes."""
        return Allowed(distinct(as_ids(ids, "allow")))

    def _mask(self, allow: Allowed | Ids | Iterable[int]) -> tuple[State, Masks]:
        """The rows that `allow` names in the state that it is used with."""
        wanted = allow if isinstance(allow, Allowed) else Allowed(as_ids(allow, "allow"))
        state, cached = self._state, wanted._cached
        if cached is not None and cached[0] is self and cached[1] == state.version:
            return state, cached[2]
        with self._publishing:
            state = self._state
            mask, ids = wanted.carried(self, state.version, state.changed, len(state.live))
            rows = state.index.find(ids)
        set_bits(mask, rows[rows >= 0])
        wanted._cached = (self, state.version, mask)
        return state, mask

    @property
    def ids(self) -> Ids:
        """The ids that are held, oldest row first."""
        with self._lock:
            return self._table.ids_of(rows_of_mask(self._live))

    def get(self, ids: Ids | Iterable[int]) -> Floats:
        """The rows (n, dim) of these ids by the best that is kept of them (of length one for cosine).

        Raises ValueError for an id that is not held.
        """
        taken = as_ids(ids)
        with self._lock:
            rows = self._state.index.find(taken)
            if (rows < 0).any():
                raise ValueError(f"id {taken[rows < 0][0]} is not held")
            return self._table.values_of(rows)

    def demote(self, ids: Ids | Iterable[int], level: Level) -> int:
        """Keep of these rows no more than `level` beside the code: "f32", "f16", "int8" or "bits" (nothing).

        Returns how many rows kept more until now; ids that are not held and rows that keep less already stay as they
        are. Adding an id again brings its row back to "f32". Raises ValueError for another level.
        """
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(map(repr, LEVELS))}, got {level!r}")
        taken = distinct(as_ids(ids))
        with self._lock:
            rows = self._state.index.find(taken)
            rows = np.sort(rows[rows >= 0])
            self._table.look_at_all()
            if level == "bits" and len(rows) and self._table.coding is None:
                self._table.code(self._live)
            self._table.bits |= level == "bits" and len(rows) > 0
            moved = 0
            for segment, _, own in self._table.split(rows):
                moved += _rows.put_down(segment, own, LEVELS.index(level))
            if moved:
                self._show()
        return moved

    def level(self, ids: Ids | Iterable[int]) -> list[Level]:
        """What is kept of the row of each id. Raises ValueError for an id that is not held."""
        taken = as_ids(ids)
        with self._lock:
            rows = self._state.index.find(taken)
            if (rows < 0).any():
                raise ValueError(f"id {taken[rows < 0][0]} is not held")
            names: tuple[Level, ...] = ("f32", "f16", "int8", "bits")
            return [names[number] for number in self._table.levels_of(rows)]

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes by what they hold: "codes", "lists" (of the inverted file), "f32", "f16", "int8", "ids" (with the index
        of them) and "masks"."""
        with self._lock:
            found = self._table.nbytes()
            found["lists"] = self._inverted.lists.nbytes if self._inverted is not None else 0
            found["ids"] += self._state.index.nbytes
            found["masks"] += self._live.nbytes
            return found

    @property
    def structure(self) -> str:
        """How rows are found: "exact" (every row is scored), "linear" (every code is looked at) or "ivf" (the codes of
        some lists of an inverted file; with `allow` it is linear all the same)."""
        if self._state.lists is not None:
            return "ivf"
        return "linear" if self._state.coded else "exact"

    @property
    def last_scanned(self) -> float:
        """How many codes the last search looked at, as a share of the rows: above 1 where it met many of them twice."""
        return self._scanned

    @property
    def due(self) -> str | None:
        """What the inverted file is in need of: "build", "fold", "recode" or nothing. Below 200,000 rows it is nothing
        until `build` was called; nor where the lists were found to be no faster, until there are twice as many."""
        with self._lock:
            held = self._inverted.lists if self._inverted is not None else None
            if self.dim < CODES_FROM_DIM:
                return None
            live, count = self._live, self._state.count
            if held is None and count < 2 * self._declined:
                return None
            outside = count if held is None else len(rows_of_mask(live[held.tail // BLOCK :]))
            from aqe.simd._ivf import due

            return due(held, count, outside, self._table.coding)

    def build(
        self,
        nlist: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Make an inverted file over all rows: `nlist` lists, or as many as their number calls for.

        Others may search, add and delete meanwhile; until it is whole nothing changes for them. How long a search goes
        on is measured, so that it finds .99 of the nearest; where that takes more than the linear pass and `nlist` does
        not insist, the pass stays. `progress` is called with a text, work done and total; `cancel.check()` may raise to
        break it off. Raises ValueError for fewer than two lists, more lists than rows, and fewer than 128 items.
        """
        if self.dim < CODES_FROM_DIM:
            raise ValueError(f"an inverted file needs vectors of {CODES_FROM_DIM} items or more, these have {self.dim}")
        if not len(self):
            raise ValueError("an inverted file needs rows, and none are held")
        if nlist is not None and not 2 <= as_whole(nlist, "nlist") <= max(2, len(self)):
            raise ValueError(f"nlist must be from 2 to the number of rows ({len(self)}), got {nlist}")
        from aqe.simd._upkeep import steps

        self._do("build", nlist, steps(progress, cancel))

    def tend(self, *, progress: Progress | None = None, cancel: Cancel | None = None) -> str | None:
        """Do what is `due`, as `build` does, and say what it was."""
        task = self.due
        if task is not None:
            from aqe.simd._upkeep import steps

            self._do(task, None, steps(progress, cancel))
        return task

    def start_tending(self, *, progress: Progress | None = None) -> Work:
        """`tend` in a thread of its own, one at a time: the work that is under way, or one that begins now."""
        from aqe.simd._upkeep import Work

        with self._lock:
            if self._work is None or self._work.done:
                self._work = Work(lambda stop: self.tend(progress=progress, cancel=stop))
            return self._work

    def _do(self, task: str, nlist: int | None, step: Step) -> None:
        from aqe.simd._upkeep import made

        with self._working:
            made(self, task, nlist, step)
        with self._lock:
            self._compact_where_due()

    def _decline(self, rows: int) -> None:
        """Keep to the linear pass until there are twice as many rows."""
        with self._lock, self._publishing:
            self._declined, self._inverted = rows, None
            self._show()

    def _take(self, made: Inverted) -> bool:
        """Search these lists from now on, unless rows or codes are others by now; did that hold?"""
        if made.table is not self._table or not made.fits:
            return False
        with self._publishing:
            self._inverted = made
            self._show()
        return True

    def _show(self) -> None:
        """Let searches see the rows as they are kept now."""
        state = self._state
        self._state = state_of(state, self._table, self._inverted, self._live, state.index, state.count)

    def recall(self, sample: int = 100, k: int = 10, seed: int = 0, queries: Floats | None = None) -> float:
        """The share of the exact k nearest that `search` finds, over `queries` (n, dim) or, without, over `sample`
        points: half-way between two rows, a row and as much of a random direction, such a direction alone; 1.0 where
        nothing is held. Scores equal to 1e-5 count as found."""
        with self._lock:
            rows = rows_of_mask(self._live)
            if not len(rows):
                return 1.0
            if queries is None:
                draw = np.random.default_rng(seed)
                ones, others = draw.choice(rows, (2, sample))
                queries = _recall.asked(self._table.values_of(ones), self._table.values_of(others), draw)
        return _recall.measured(self, queries, k)

    def compact(self) -> None:
        """Take back the room of deleted and replaced rows at once (it happens by itself when they are many)."""
        with self._lock:
            if self._state.count < self._table.rows:
                self._compact()

    def save(self, path: str | os.PathLike[str], *, label: str = "") -> None:
        """Write everything into one file, whole or not at all, with a `label` under its checksum; raises OSError."""
        _saved.save(Path(path), *self._as_it_is(), label)

    def _as_it_is(self) -> tuple[Table, NDArray[np.uint64], str, Lists | None]:
        """What is saved: the table as it is now, which rows are alive, the metric, and the lists."""
        with self._lock:
            lists = self._inverted.lists if self._inverted is not None and self._inverted.fits else None
            return self._table.frozen(), self._live, self.metric, lists

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, mapped: bool = True) -> Vectors:
        """The vectors of a file: mapped, so that pages are read when they are needed, or read and checked.

        Raises OSError for a file that cannot be read, ValueError for one that is damaged, truncated or of another kind.
        """
        return _elsewhere.opened(cls, Path(path), mapped)

    def _fill(self, file: _vectors_file.File) -> None:
        """Take over what a file holds."""
        table, count = self._table, _saved.fill(self._table, file)
        live = np.full(-(-count // BLOCK), ~np.uint64(0))
        if count % BLOCK:
            live[-1] = (1 << count % BLOCK) - 1
        self._file, self._live, self.label = file, live, str(file.facts.get("label", ""))
        if (lists := _saved.lists_of(file, table)) is not None:
            from aqe.simd._upkeep import inverted

            self._inverted = inverted(lists, table)
        index_now = Index(table.segments[0].ids, np.arange(count))
        self._state = state_of(self._state, table, self._inverted, live, index_now, count)

    def verify(self) -> None:
        """Read the whole file that this was opened from; raises ValueError, naming what is damaged."""
        if self._file is not None:
            self._file.check()

    @property
    def is_guarded(self) -> bool:
        """Is each part of the file that this was opened from checked when it is first read?"""
        return self._file is not None and self._file.guard is not None

    @property
    def is_damaged(self) -> bool:
        """Was a part of it read that is not what was saved? What reads it raises ValueError."""
        return self._file is not None and self._file.guard is not None and self._file.guard.is_damaged

    def let_go(self) -> None:
        """Give back the memory that the pages of a mapped file take, until they are needed again."""
        if self._file is not None:
            self._file.let_go()

    def _live_with_room(self) -> Masks:
        """A copy of the mask of rows alive, with a word for every row: nothing is alive by it until it is published."""
        live = self._live
        if len(live) < self._table.words:
            wider = np.zeros(max(self._table.words, len(live) * 3 // 2), np.uint64)
            wider[: len(live)] = live
            return wider
        return live.copy()

    def _publish(self, live: Masks, count: int, ids: Ids, rows: Ids, before: Ids) -> None:
        """Let searches see the rows as they are now, with these ids at these rows and no longer at those of `before`.
        Where that is broken off, as by a signal, everything is as before."""
        with self._publishing:
            state = self._state
            try:
                index_now = state.index.put(ids, rows)
                made = state_of(state, self._table, self._inverted, live, index_now, count, ids.copy())
                self._live, self._state = live, made
            except BaseException:
                if self._state is state:
                    state.index.put(ids, before)
                raise
        self._compact_where_due()

    def _compact_where_due(self) -> None:
        count = self._state.count
        if self._table.rows - count > max(_GAPS, count // 2) and not self._working.locked():
            self._compact()

    def _compact(self) -> None:
        table = compacted(self._table, self._live)
        numbers, live = table.numbers(), np.zeros(table.words, np.uint64)
        set_bits(live, numbers)
        index_now = Index(table.ids_of(numbers), numbers)
        lists = None
        if self._inverted is not None and len(numbers):
            from aqe.simd._upkeep import moved

            lists = moved(self._inverted, self._live, table)
        with self._publishing:
            state = state_of(self._state, table, lists, live, index_now, self._state.count)
            self._table, self._live, self._inverted, self._state = table, live, lists, state

    def _rows_of(self, array: Any, count: int) -> Floats:
        """A copy of `count` rows as the store keeps them: checked, and of length one for cosine."""
        rows = as_rows(array, count, self.dim)
        if self._metric == COSINE:
            return self._table.unit(rows)
        if rows.size and max(rows.max(), -rows.min()) > LARGEST:
            raise ValueError(f"array holds an item beyond {LARGEST:g}, which {self.metric} does not take")
        return rows

    def _query_of(self, query: Any) -> Floats:
        """The query as the snapshot takes it."""
        taken = as_floats(query, "query")
        if taken.shape != (self.dim,):
            got = " x ".join(map(str, taken.shape)) or "a single number"
            raise ValueError(f"query must have {self.dim} items, got {got}")
        return taken
