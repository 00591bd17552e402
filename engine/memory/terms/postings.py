"""The text index of a store in memory, as `aqe.simd.Postings`: what a search asks in place of FTS5, for the same
answer.

FTS5 stays the durable index. After a few searches its lists are read out of it (fts5vocab: nothing is stemmed anew),
in the background where they are long. From then on the log of changes keeps them up to date at every search, so that
what any process committed is found at once. Until they are there, and where they would take too much memory, FTS5
answers. Both give the same scores to the bit; nothing is written to any file.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.file.aside import ReadAside
from aqe.engine.memory.file.changelog import Mark, read_mark, rows_since
from aqe.engine.memory.terms.stop_words import STOP_WORDS
from aqe.engine.memory.terms.text import subtokens, subtokens_of
from aqe.engine.memory.terms.words import FEW_ROWS, FEWEST, MOST, POSTINGS, SMALL_STORE
from aqe.simd import Lexicon

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.search.ranking import Scope
    from aqe.simd import Postings

SEARCHES = 3
"""Searches after which the lists are read; FTS5 answers those before."""

ASIDE = 5_000
"""Rows from which the lists are read in the background."""

MOST_BYTES = 200_000_000
"""The most memory that the lists may take: some two million short texts."""

MOST_ROWS = 1 << 24
"""The lists hold no more."""

MOST_CHANGED = 0.25
"""Changed rows, as a share of all, above which the lists are read anew."""

AT_ONCE = 512
"""Terms that are taken over from FTS5 at once."""

_AMONG = "row IN (SELECT value FROM json_each(?))"
_CURRENT = f"SELECT row, namespace, text FROM memories WHERE {_AMONG} AND valid_to IS NULL"


@dataclass
class _Held:
    """The lists as of a moment. `places` numbers the namespaces; `newest` is the highest row that any memory had."""

    postings: Postings
    places: dict[str, int]
    mark: Mark
    newest: int
    sizes: dict[str, int] = field(default_factory=dict)


class TextPostings:
    """The lists of one store. Whoever calls holds the store's lock and is in a read transaction."""

    def __init__(self, database: Path, *, reopen: Callable[[Path], apsw.Connection]) -> None:
        self._held: _Held | None = None
        self._searches = 0
        self._aside = ReadAside("aqe-postings", database, reopen, lambda *given: _read(*given))
        self._masks: dict[Any, NDArray[np.bool_]] = {}

    def at_hand(self, connection: apsw.Connection, number: int, *, counts: bool = True) -> TextPostings | None:
        """These lists where they are there, as of the caller's transaction, whose last change has this number; else
        None, and FTS5 has to be asked. A call that `counts` is a search: after some of them the lists are read."""
        if (made := self._aside.taken()) is not None:
            self._take(*made)
        if self._held is None:
            self._searches += counts
            if self._searches <= SEARCHES or not self._load(connection):
                return None
        if self._held is not None and self._held.mark.number > number:
            return None  # they were read after the caller's transaction began
        if self._held is not None and self._held.mark.number < number:
            self._follow(connection)
        return None if self._held is None else self

    @property
    def number(self) -> int | None:
        """The number of the change that the lists are as of; None where they are not there."""
        return None if self._held is None else self._held.mark.number

    @property
    def newest(self) -> int:
        """The highest number that a row ever had, as of the last `at_hand`."""
        return self._there.newest

    @property
    def nbytes(self) -> int:
        """Bytes of memory; 0 while FTS5 answers."""
        return 0 if self._held is None else self._held.postings.nbytes

    def counts(self, terms: Sequence[str], *, without: str = "", most: int = MOST_ROWS) -> list[int]:
        """In how many rows each term stands; with `without` rows of the namespaces that begin so are not counted, but
        for terms of more than `most` rows."""
        groups = self._outside(without) if without else None
        return self._there.postings.counts(_packed(terms), groups=groups, most=most)

    def rows(self, *, without: str = "") -> int:
        """The number of rows; with `without` but those of the namespaces that begin so."""
        held = self._there
        if not without:
            return len(held.postings)
        if without not in held.sizes:
            held.sizes[without] = held.postings.size(self._outside(without))
        return held.sizes[without]

    def best(self, connection: apsw.Connection, terms: Sequence[str], k: int, scope: Scope) -> dict[int, float]:
        """The `k` best rows of a scope by BM25, best first; of equals the oldest."""
        if not terms or scope.is_nothing:
            return {}
        packed, groups = _packed(terms), None if scope.is_everything else self._mask(scope)
        if not scope.condition:
            return _as_dict(self._there.postings.search(packed, k, groups=groups))
        found: dict[int, float] = {}
        wide, seen = 2 * k, 0
        while True:  # rows under a condition are few to look up, so it is asked of the best rows alone
            ids, scores = self._there.postings.search(packed, wide, groups=groups)
            fits = _under(connection, ids[seen:].tolist(), scope)
            pairs = zip(ids[seen:].tolist(), scores[seen:].tolist(), strict=True)
            found |= {row: score for row, score in pairs if row in fits}
            if len(found) >= k or len(ids) < wide:
                return dict(list(found.items())[:k])
            seen, wide = len(ids), 4 * wide

    def asked(self, terms: Sequence[str]) -> Asked:
        """What these terms find."""
        return Asked(self._there.postings, _packed(terms), self.groups)

    def read(self, question: str, without: str = "") -> tuple[Asked, dict[str, float]] | None:
        """What the telling terms of a question find, and those of its terms (each with 1) that no row has but of the
        namespaces that begin with `without`: `WordCounts.words` and `nowhere` in one call. None for a question, or a
        small store, that these have to read."""
        held = self._there
        if held.newest < SMALL_STORE:
            return None
        groups = self._outside(without) if without else None
        read = _lexicon.choose(
            held.postings, question, groups=groups, few=FEW_ROWS, fewest=FEWEST, most=MOST, budget=POSTINGS
        )
        if read is None:
            return None
        terms, nowhere = read
        return Asked(held.postings, terms, self.groups), {term.decode(): 1.0 for term in nowhere}

    def groups(self, scope: Scope) -> NDArray[np.bool_] | None:
        """Which of the numbered namespaces are in a scope; None: all."""
        return None if scope.is_everything else self._mask(scope)

    def scores(self, terms: Sequence[str], rows: Sequence[int]) -> dict[int, float]:
        """BM25 of each of `rows` that any of the terms stands in."""
        if not terms or not rows:
            return {}
        found = self._there.postings.scores(_packed(terms), rows)
        return {row: score for row, score in zip(rows, found.tolist(), strict=True) if score > 0}

    def close(self) -> None:
        """Wait for what is being read in the background."""
        self._aside.close()

    @property
    def _there(self) -> _Held:
        if self._held is None:
            raise RuntimeError("the lists are not at hand")
        return self._held

    def _mask(self, scope: Scope) -> NDArray[np.bool_]:
        """Which of the numbered namespaces are in a scope."""
        return self._masked((scope.within, scope.without), scope.has)

    def _outside(self, start: str) -> NDArray[np.bool_]:
        """Which of the numbered namespaces do not begin so."""
        return self._masked(start, lambda name: not name.startswith(start))

    def _masked(self, what: Any, has: Callable[[str], bool]) -> NDArray[np.bool_]:
        import numpy as np

        known = (what, len(self._there.places))
        mask = self._masks.get(known)
        if mask is None:
            if len(self._masks) > 64:
                self._masks.clear()
            mask = self._masks[known] = np.array([has(name) for name in self._there.places], np.bool_)
        return mask

    def _load(self, connection: apsw.Connection) -> bool:
        """Read the lists, or have them read; whether they are there now."""
        rows = int(connection.execute("SELECT count(*) FROM texts_docsize").get)
        if rows >= ASIDE and self._aside.begin():
            return False
        self._take(_read(connection, lambda: False))
        return self._held is not None

    def _take(self, made: _Held | None) -> None:
        self._held = made
        self._searches = 0 if made is not None else -1000  # else asked again much later
        self._masks.clear()

    def _follow(self, connection: apsw.Connection) -> None:
        """Bring the lists to the moment of the transaction, or drop them."""
        held, mark = self._there, read_mark(connection)
        rows = rows_since(connection, held.mark)
        if rows is None or len(rows) > MOST_CHANGED * len(held.postings) + 100:
            self._held, self._searches = None, 0
            return
        found: list[Any] = connection.execute(_CURRENT, (json.dumps(rows),)).fetchall()
        texts = [" ".join(subtokens(text)).encode() for _, _, text in found]
        groups = [held.places.setdefault(name, len(held.places)) for _, name, _ in found]
        numbers = [row for row, _, _ in found]
        held.postings.delete(set(rows).difference(numbers))
        held.postings.add(numbers, texts, groups=groups)
        held.newest = connection.execute("SELECT max(row) FROM memories").get or 0
        held.mark = mark
        held.sizes.clear()


@dataclass(frozen=True)
class Asked:
    """Some terms that are asked for, in the scopes of one query."""

    postings: Postings
    terms: Sequence[bytes]
    groups: Callable[[Scope], NDArray[np.bool_] | None]

    def found(
        self, k: int, scope: Scope, rows: NDArray[np.int64]
    ) -> tuple[tuple[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]:
        """The `k` best rows of a scope with their BM25, and that of `rows`, 0 where no term is."""
        best = self.postings.search(self.terms, k, groups=self.groups(scope))
        return best, self.postings.scores(self.terms, rows)


def _packed(terms: Sequence[str]) -> list[bytes]:
    return [term.encode() for term in terms]


_lexicon = Lexicon(lambda word: _packed(subtokens_of(word)), _packed([*STOP_WORDS]))


def _as_dict(found: tuple[NDArray[np.int64], NDArray[np.float64]]) -> dict[int, float]:
    return dict(zip(found[0].tolist(), found[1].tolist(), strict=True))


def _under(connection: apsw.Connection, rows: Sequence[int], scope: Scope) -> set[int]:
    """Those of `rows` that are under the condition of a scope."""
    where, bound = scope.where()
    sql = f"SELECT row FROM memories WHERE {_AMONG} AND {where}"
    return {int(row) for (row,) in connection.execute(sql, (json.dumps(rows), *bound))}


def _read(connection: apsw.Connection, is_over: Callable[[], bool]) -> _Held | None:
    """The lists of FTS5; None where they are too large or the work is over."""
    import numpy as np

    from aqe.simd import Postings

    mark, places = read_mark(connection), dict[str, int]()
    found = sorted(connection.execute("SELECT row, namespace FROM memories WHERE valid_to IS NULL"))
    numbers = np.array([row for row, _ in found], np.int64)
    groups = [places.setdefault(name, len(places)) for _, name in found]
    postings = Postings()
    postings.add(numbers, [b""] * len(found), groups=groups)
    for at, (terms, ids, bounds, often) in enumerate(_lists(connection)):
        known = np.isin(ids, numbers, assume_unique=False)
        for term, start, end in zip(terms, bounds, bounds[1:], strict=False):
            inside = known[start:end]
            postings.extend(term.encode(), ids[start:end][inside], often[start:end][inside])
        if is_over() or (at % 8 == 0 and postings.nbytes > MOST_BYTES):
            return None
    newest = connection.execute("SELECT max(row) FROM memories").get or 0
    return _Held(postings, places, mark, newest)


def _lists(
    connection: apsw.Connection,
) -> Iterator[tuple[list[str], NDArray[np.int64], list[int], NDArray[np.int64]]]:
    """Some terms with their rows one behind the other, where each term's begin, and how often it stands in each row."""
    import numpy as np

    connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.places USING fts5vocab('main', 'texts', 'instance')")
    cursor = connection.execute("SELECT term, count(*), group_concat(doc) FROM temp.places GROUP BY term")
    while found := list(itertools.islice(cursor, AT_ONCE)):
        rows = np.fromstring(",".join(docs for _, _, docs in found), np.int64, sep=",")
        owners = np.repeat(np.arange(len(found)), [count for _, count, _ in found])
        order = np.lexsort((rows, owners))
        rows, owners = rows[order], owners[order]
        first = np.ones(len(rows), np.bool_)
        first[1:] = (rows[1:] != rows[:-1]) | (owners[1:] != owners[:-1])
        starts = np.flatnonzero(first)
        often = np.diff(starts, append=len(rows))
        bounds = np.searchsorted(owners[starts], np.arange(len(found) + 1)).tolist()
        yield [term for term, _, _ in found], rows[starts], bounds, often
