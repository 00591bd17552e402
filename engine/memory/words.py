"""How many rows have each word, and which words of a query tell rows apart.

What a text search costs is the rows that its terms stand in, so a long query asks for its rarest terms: those that
BM25 weighs most. In a small store no term costs anything to speak of, and all of them are asked for.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.text import QUERY_TERMS, match_expression

if TYPE_CHECKING:
    from aqe.engine.memory.postings import TextPostings

FEW_ROWS = 100
SMALL_STORE = 1000  # rows

POSTINGS = 2000
"""Rows, summed over the terms, that a search of a large store looks at before it leaves the less telling terms out."""

FEWEST, MOST = 4, 16
"""How many terms a search of a large store asks for: never fewer than the first, never more than the second."""

FTS_POSTINGS = 1400
"""The same through FTS5, which takes far longer for a row. With fewer, questions about conversations among memories of
code were answered worse than by words alone."""

KEPT = 50_000  # terms


@dataclass(frozen=True)
class Words:
    """The terms of a query, those of them to ask for, and the rows that these stand in, summed (0 in a small store)."""

    terms: Sequence[str]
    telling: Sequence[str]
    postings: int


@dataclass(frozen=True)
class _Shelf:
    """The namespaces that begin with the same, how many current rows they have, and from where to where these are."""

    names: Sequence[str]
    rows: int
    first: int
    last: int


class WordCounts:
    """Counts of one store, kept until a memory changes; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = -1
        self._rows: dict[str, int] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._shelves: dict[str, _Shelf] = {}

    def read(
        self, connection: apsw.Connection, terms: Sequence[str], without: str = "", lists: TextPostings | None = None
    ) -> tuple[int, dict[str, int]]:
        """The number of current rows, and in how many of them each term stands (left out: in none); by `lists` where
        they are at hand.

        With `without` rows of namespaces that begin so are not counted, for terms that few rows have: there alone it
        matters, and there alone counting is cheap.
        """
        if lists is not None:
            each = zip(terms, lists.counts(terms, without=without, most=FEW_ROWS), strict=True)
            return lists.rows(without=without), {term: count for term, count in each if count}
        changes = int(connection.execute("SELECT number FROM changes WHERE of = 'memories'").get)
        with self._lock:
            if changes != self._changes or len(self._counts) > KEPT:
                self._changes, self._rows, self._counts, self._shelves = changes, {}, {}, {}
            rows, counts, shelves = self._rows, self._counts, self._shelves
            known = {term: counts[term, without] for term in terms if (term, without) in counts}
            total = rows.get(without)
        missing = [term for term in terms if term not in known]
        if missing or total is None:
            if without:
                whole, missed = self.read(connection, missing)
                if without not in shelves:
                    shelves[without] = _shelf(connection, without)
                missed = {term: missed.get(term, 0) for term in missing}
                whole, missed = _outside(connection, whole, missed, shelves[without])
            else:
                whole, missed = _indexed(connection), _count(connection, missing)
            total = whole
            made = {term: missed.get(term, 0) for term in missing}
            with self._lock:
                rows[without] = whole
                counts.update({(term, without): count for term, count in made.items()})
            known |= made
        return total, {term: count for term, count in known.items() if count}

    def words(self, connection: apsw.Connection, terms: Sequence[str], lists: TextPostings | None = None) -> Words:
        """What to ask the text index for; rows that only terms left out would find are not found.

        FTS5 gives a term that stands in more than half of the rows a weight of 0.000001, and visits every such row for
        it: it is left out first.
        """
        sql = "SELECT max(row) FROM memories"
        newest = (connection.execute(sql).get or 0) if lists is None else lists.newest
        if len(terms) < 2 or (newest < SMALL_STORE and len(terms) <= QUERY_TERMS):
            return Words(terms, terms, 0)
        rows, counts = self.read(connection, terms, lists=lists)
        every = rarest(terms, counts, QUERY_TERMS)
        if newest < SMALL_STORE:
            return Words(every, every, 0)
        chosen: list[str] = []
        postings = 0
        most = POSTINGS if lists is not None else FTS_POSTINGS
        for term in every[:MOST]:
            count = counts[term]
            if count > rows / 2 or (len(chosen) >= FEWEST and postings + count > most):
                break
            chosen.append(term)
            postings += count
        return Words(every, chosen or every, postings or sum([counts[term] for term in every]))

    def rarity(
        self, connection: apsw.Connection, terms: Sequence[str], without: str = "", lists: TextPostings | None = None
    ) -> dict[str, float]:
        """How telling each term is, from 0 (every row has it) to 1 (no row has it); of many the most telling ones:
        those that few rows have, and some that none has."""
        rows, counts = self.read(connection, terms, without, lists)
        if len(terms) > QUERY_TERMS:
            unknown = [term for term in terms if term not in counts][:MOST]
            chosen = {*unknown, *rarest(terms, counts, QUERY_TERMS - len(unknown))}
            terms = [term for term in terms if term in chosen]
        highest = math.log(1 + (rows + 0.5) / 0.5)
        return {
            term: math.log(1 + (rows - counts.get(term, 0) + 0.5) / (counts.get(term, 0) + 0.5)) / highest
            for term in terms
        }


def rarest(terms: Iterable[str], counts: dict[str, int], most: int) -> list[str]:
    """The `most` terms that stand in the fewest rows but in one at least, the rarest first; equals in their order."""
    return sorted([term for term in terms if counts.get(term)], key=counts.__getitem__)[:most]


def names_below(connection: apsw.Connection, start: str) -> list[str]:
    """The namespaces with a current row whose names begin with `start`, by hops along the index."""
    sql = "SELECT min(namespace) FROM memories WHERE valid_to IS NULL AND namespace {} ? AND namespace < ?"
    end = end_of(start)
    found = connection.execute(sql.format(">="), (start, end)).get
    names = []
    while found is not None:
        names.append(str(found))
        found = connection.execute(sql.format(">"), (found, end)).get
    return names


def end_of(start: str) -> str:
    """The first text behind all that begin with `start`.

    >>> end_of("index/")
    'index0'
    """
    return start[:-1] + chr(ord(start[-1]) + 1)


def _shelf(connection: apsw.Connection, start: str) -> _Shelf:
    names = names_below(connection, start)
    sql = f"SELECT count(*), min(row), max(row) FROM memories WHERE valid_to IS NULL AND namespace IN ({_marks(names)})"
    found: Any = connection.execute(sql, names).fetchone()
    return _Shelf(names, found[0], found[1] or 0, found[2] or 0)


def _outside(
    connection: apsw.Connection, rows: int, counts: dict[str, int], shelf: _Shelf
) -> tuple[int, dict[str, int]]:
    """The same counts without the rows of some namespaces, for terms that few rows have."""
    if not shelf.rows:
        return rows, counts
    sql = (
        "SELECT count(*) FROM texts JOIN memories ON memories.row = texts.rowid WHERE texts MATCH ?"
        f" AND texts.rowid BETWEEN ? AND ? AND memories.namespace IN ({_marks(shelf.names)})"
    )
    for term, count in counts.items():
        if 0 < count <= FEW_ROWS:
            bound = match_expression([term]), shelf.first, shelf.last, *shelf.names
            counts[term] = count - connection.execute(sql, bound).get
    return rows - shelf.rows, counts


def _marks(items: Sequence[object]) -> str:
    return ",".join("?" * len(items))


def _count(connection: apsw.Connection, terms: Sequence[str]) -> dict[str, int]:
    if not terms:
        return {}
    connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab('main', 'texts', 'row')")
    sql = f"SELECT term, doc FROM temp.terms WHERE term IN ({_marks(terms)})"
    return {str(term): int(rows) for term, rows in connection.execute(sql, terms)}


def _indexed(connection: apsw.Connection) -> int:
    """The number of rows in the text index, which has the current ones alone."""
    return int(connection.execute("SELECT count(*) FROM texts_docsize").get)
