"""How many rows have each word, and which words of a query tell rows apart.

What a text search costs is the rows that its terms stand in, so a long query asks for its rarest terms: those that
BM25 weighs most. In a small store no term costs anything to speak of, and all of them are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.file.namespaces import names_below
from aqe.engine.memory.terms.stop_words import without_stop_words
from aqe.engine.memory.terms.text import LONG_QUERY, QUERY_TERMS, match_expression, query_terms

if TYPE_CHECKING:
    from aqe.engine.memory.terms.postings import TextPostings

FEW_ROWS = 400
"""In so many rows a term may stand whose rows outside some namespaces are counted: twice those of the knowledge."""

SMALL_STORE = 1000  # rows

POSTINGS = 2000
"""Rows, summed over the terms, that a search of a large store looks at before it leaves the less telling terms out.
With less than 1,400, questions about conversations among memories of code were answered worse than by words alone."""

FEWEST, MOST = 4, 16
"""How many terms a search of a large store asks for: never fewer than the first, never more than the second."""

KEPT = 50_000  # terms


@dataclass(frozen=True)
class Words:
    """The terms of a query that are no stop words, those of them to ask for, and the rows that these stand in, summed
    (0 in a small store)."""

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


@dataclass
class _Read:
    """A text of some moment: its terms, the places of those to look for, and in how many rows each term stands once
    that was asked for."""

    query: str
    number: int
    lists: TextPostings | None
    terms: Sequence[str]
    places: Sequence[int]
    counts: Sequence[int] | None = None


class WordCounts:
    """Counts of one store, kept until a memory changes. Whoever calls holds the store's lock and is in a read
    transaction, whose last change has the `number` that is given."""

    def __init__(self) -> None:
        self._number = -1
        self._newest: int | None = None
        self._rows: dict[str, int] = {}
        self._counts: dict[str, dict[str, int]] = {}  # by what namespaces begin with that are not counted
        self._shelves: dict[str, _Shelf] = {}
        self._last: _Read | None = None

    def words(self, connection: apsw.Connection, number: int, query: str, lists: TextPostings | None = None) -> Words:
        """What to ask the text index for; rows that only terms left out would find are not found. `lists` count where
        they are at hand.

        FTS5 gives a term that stands in more than half of the rows a weight of 0.000001, and visits every such row for
        it: it is left out first.
        """
        read = self._read(number, query, lists)
        terms, places = read.terms, read.places
        if len(places) < len(terms):
            if read.counts is None:
                read.counts = self._counted(connection, terms, "", lists)
            if not any(map(read.counts.__getitem__, places)):  # then the stop words are all that can be found
                places = [*range(len(terms))]
        newest = self._newest_row(connection) if lists is None else lists.newest
        if len(places) < 2 or (newest < SMALL_STORE and len(places) <= QUERY_TERMS):
            every = [terms[at] for at in places]
            return Words(every, every, 0)
        if read.counts is None:
            read.counts = self._counted(connection, terms, "", lists)
        counts = read.counts
        counted = sorted([(counts[at], at) for at in places if counts[at]])[:QUERY_TERMS]
        every = [terms[at] for _, at in counted]
        if newest < SMALL_STORE:
            return Words(every, every, 0)
        half = self._all(connection, "", lists) / 2
        chosen = postings = 0
        for count, _ in counted[:MOST]:
            if count > half or (chosen >= FEWEST and postings + count > POSTINGS):
                break
            chosen += 1
            postings += count
        return Words(every, every[:chosen] or every, postings or sum([count for count, _ in counted]))

    def nowhere(
        self, connection: apsw.Connection, number: int, query: str, without: str = "", lists: TextPostings | None = None
    ) -> dict[str, float]:
        """Those terms of `rarity` that no row has, which takes less than all of it."""
        terms = self._read(number, query, lists).terms
        counts = self._counted(connection, terms, without, lists)
        if 0 not in counts:
            return {}
        none = [term for term, count in zip(terms, counts, strict=True) if not count]
        return dict.fromkeys(none[:MOST] if len(terms) > QUERY_TERMS else none, 1.0)

    def rarity(
        self,
        connection: apsw.Connection,
        number: int,
        query: str,
        without: str = "",
        lists: TextPostings | None = None,
    ) -> dict[str, float]:
        """How telling each term is, from 0 (every row has it) to 1 (no row has it); of many the most telling ones:
        those that few rows have, and some that none has.

        With `without` rows of namespaces that begin so are not counted, for terms that few rows have: there alone it
        matters, and there alone counting is cheap.
        """
        read = self._read(number, query, lists)
        terms = read.terms
        counts = self._counted(connection, terms, without, lists)
        if not without:
            read.counts = counts
        if len(terms) > QUERY_TERMS:
            unknown = [at for at, count in enumerate(counts) if not count][:MOST]
            known = sorted([(count, at) for at, count in enumerate(counts) if count])[: QUERY_TERMS - len(unknown)]
            chosen = sorted([*unknown, *[at for _, at in known]])
            terms, counts = [terms[at] for at in chosen], [counts[at] for at in chosen]
        every = self._all(connection, without, lists)
        rows = every + 0.5
        highest = log(1 + rows / 0.5)
        weights = [log(1 + (rows - min(count, every)) / (min(count, every) + 0.5)) / highest for count in counts]
        return dict(zip(terms, weights, strict=True))

    def _read(self, number: int, query: str, lists: TextPostings | None) -> _Read:
        """The terms of a query, which is mostly asked for twice: how telling they are, and which to look for."""
        last = self._last
        if last is None or last.query != query or last.number != number or last.lists is not lists:
            terms = query_terms(query, most=LONG_QUERY)
            last = self._last = _Read(query, number, lists, terms, without_stop_words(terms, query))
        if number != self._number:
            self._number, self._newest, self._rows, self._counts, self._shelves = number, None, {}, {}, {}
        return last

    def _counted(
        self, connection: apsw.Connection, terms: Sequence[str], without: str, lists: TextPostings | None
    ) -> Sequence[int]:
        """In how many rows each term stands."""
        known = self._counts.setdefault(without, {})
        if len(known) > KEPT:
            known.clear()
        if missing := [term for term in terms if term not in known]:
            if without:
                whole = self._counted(connection, missing, "", lists)
                known.update(self._outside(connection, dict(zip(missing, whole, strict=True)), without, lists))
            elif lists is not None:
                known.update(zip(missing, lists.counts(missing), strict=True))
            else:
                known.update({**dict.fromkeys(missing, 0), **_count(connection, missing)})
        return [known[term] for term in terms]

    def _outside(
        self, connection: apsw.Connection, counts: dict[str, int], without: str, lists: TextPostings | None
    ) -> dict[str, int]:
        """The same counts without the rows of some namespaces, for terms that few rows have."""
        few = [term for term, count in counts.items() if 0 < count <= FEW_ROWS]
        if few and lists is not None:
            counts.update(zip(few, lists.counts(few, without=without), strict=True))
        elif few and (shelf := self._shelf(connection, without)).rows:
            sql = (
                "SELECT count(*) FROM texts JOIN memories ON memories.row = texts.rowid WHERE texts MATCH ?"
                f" AND texts.rowid BETWEEN ? AND ? AND memories.namespace IN ({_marks(shelf.names)})"
            )
            for term in few:
                bound = match_expression([term]), shelf.first, shelf.last, *shelf.names
                counts[term] -= connection.execute(sql, bound).get
        return counts

    def _all(self, connection: apsw.Connection, without: str, lists: TextPostings | None) -> int:
        """The number of current rows."""
        if lists is not None:
            return lists.rows(without=without)
        if without not in self._rows:
            whole = self._all(connection, "", None) if without else _indexed(connection)
            self._rows[without] = whole - (self._shelf(connection, without).rows if without else 0)
        return self._rows[without]

    def _shelf(self, connection: apsw.Connection, start: str) -> _Shelf:
        if start not in self._shelves:
            self._shelves[start] = _shelf(connection, start)
        return self._shelves[start]

    def _newest_row(self, connection: apsw.Connection) -> int:
        """The highest number that a row ever had."""
        if self._newest is None:
            self._newest = connection.execute("SELECT max(row) FROM memories").get or 0
        return self._newest


def _shelf(connection: apsw.Connection, start: str) -> _Shelf:
    names = names_below(connection, start)
    sql = f"SELECT count(*), min(row), max(row) FROM memories WHERE valid_to IS NULL AND namespace IN ({_marks(names)})"
    found: Any = connection.execute(sql, names).fetchone()
    return _Shelf(names, found[0], found[1] or 0, found[2] or 0)


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
