"""Search over text (BM25), vectors (cosine) or both, in one read transaction of the caller.

Both sides together: each score becomes standard scores over the candidates of the query, then they are summed with .25
to .75 on the vector (by what a scope holds: weights.py; measured better than reciprocal ranks; docs/retrieval.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import apsw

from aqe import simd
from aqe.engine.memory.entry import Explained
from aqe.engine.memory.file.namespaces import end_of, names_below
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.meaning.codes import Codes
from aqe.engine.memory.search.shares import VECTOR_SHARE
from aqe.engine.memory.terms.matching import ONE_PASS, Matched
from aqe.engine.memory.terms.occurrences import KnownRows
from aqe.engine.memory.terms.postings import TextPostings
from aqe.engine.memory.terms.text import match_expression
from aqe.engine.memory.terms.words import Words

if TYPE_CHECKING:
    from aqe.simd import Fused

INDEX = ("index/", "index.")
"""How the namespaces of the project index begin: its rows are derived from files, nobody remembered them."""

CORRECTIONS = "corrections"
"""The namespace of what users said is the right answer, each with the question that it answers."""

SHELVES = (*INDEX, "knowledge/")
"""What is searched only where it is asked for: the project index, and what aqe knows about testing."""

RANK_CONSTANT = 60

CANDIDATES, FOR_EACH = 50, 3
"""The best of each side that are put in order, at least and for each memory that is wanted."""


def candidates(k: int) -> int:
    """How many of each side are put in order for `k` memories."""
    return max(CANDIDATES, FOR_EACH * k)


@dataclass(frozen=True)
class Scope:
    """Which rows may be found: those of the namespaces `within` (None: of all) that are not `without`, under a
    condition on `memories` with its parameters. Both are few names, because each is a partition of the vectors."""

    within: tuple[str, ...] | None
    without: tuple[str, ...]
    condition: str
    parameters: Sequence[object]

    @property
    def is_everything(self) -> bool:
        """Whether every current row may be found."""
        return self.within is None and not self.without and not self.condition

    def has(self, namespace: str) -> bool:
        """Whether rows of a namespace may be found, where the condition lets them."""
        return namespace not in self.without and (self.within is None or namespace in self.within)

    @property
    def is_shelf(self) -> bool:
        """Whether only the project index and the knowledge are meant."""
        return self.within is not None and all(name.startswith(SHELVES) for name in self.within)

    @property
    def is_nothing(self) -> bool:
        """Whether no row may be found."""
        return self.within is not None and not self.within

    def where(self) -> tuple[str, list[object]]:
        """The condition on current rows of `memories`."""
        parts, bound = ["valid_to IS NULL"], list[object]()
        if self.within is not None:
            parts.append(f"namespace IN ({','.join('?' * len(self.within))})")
            bound.extend(self.within)
        parts += ["namespace != ?"] * len(self.without)
        bound.extend(self.without)
        if self.condition:
            parts.append(self.condition)
        return " AND ".join(parts), [*bound, *self.parameters]


class Scored(NamedTuple):
    """A row with its scores; None where that side did not find it or did not take part."""

    row: int
    score: float
    text: float | None
    vector: float | None
    prior: float = 0.0
    explained: Explained | None = None


@dataclass(frozen=True)
class Sides:
    """The candidates of a query by row: BM25 of those that any term finds, cosine of those with a vector."""

    text: Mapping[int, float]
    near: Mapping[int, float]


def by_text(
    connection: apsw.Connection, words: Words, k: int, scope: Scope, lists: TextPostings | None = None
) -> list[Scored]:
    """The `k` best rows by BM25, best first; rows of equal score by age. A row's score is its share of the best one's:
    BM25 itself is tiny in a small store and says nothing across queries. `lists` answer where they are at hand."""
    found = _text_scores(connection, words, k, scope, lists, least=k)
    best = max(found.values(), default=0.0) or 1.0
    return [Scored(row, score / best, score, None) for row, score in found.items()]


def by_vector(
    connection: apsw.Connection, table: int | None, vector: bytes, k: int, scope: Scope, codes: Codes | None = None
) -> list[Scored]:
    """The `k` nearest rows by cosine similarity, nearest first; by `codes` where they are at hand."""
    found = near_rows(connection, table, vector, k, scope, codes)
    return [Scored(row, score, None, score) for row, score in found.items()]


def sides_of(
    connection: apsw.Connection,
    words: Words,
    table: int | None,
    vector: bytes,
    wanted: Sequence[tuple[int, Scope]],
    codes: Codes | None = None,
    lists: TextPostings | None = None,
    floors: Sequence[float] = (),
    known: KnownRows | None = None,
) -> list[Sides]:
    """The candidates of both sides for each `k` and scope, more of each side than `k`; each candidate of one side is
    scored by the other. Without `lists` scopes without a condition share one pass over the text index. A scope whose
    floor (0: it has none) no cosine reaches has no candidates."""
    shares = lists is None and words.postings <= ONE_PASS and not any(scope.condition for _, scope in wanted)
    matched = Matched(connection, words.telling, known or KnownRows()) if shares else None
    found = []
    for at, (k, scope) in enumerate(wanted):
        wide = candidates(k)
        floor = floors[at] if at < len(floors) else 0.0
        if floor > 0 and not _reaches(connection, table, vector, floor, scope, codes):
            found.append(Sides({}, {}))
            continue
        near = near_rows(connection, table, vector, wide, scope, codes)
        least = 0 if near else 1 if table is not None else k
        if matched is not None:
            rows, scores = matched.best(wide, scope)
            text = dict(zip(rows.tolist(), scores.tolist(), strict=True))
            if len(text) < least:
                text = _text_scores(connection, words, wide, scope, lists, least=wide)
            others = matched.scores([*near])
        else:
            text = _text_scores(connection, words, wide, scope, lists, least=least)
            others = text_scores_of(connection, words.telling, [row for row in near if row not in text], lists)
        if table is not None and (missing := [row for row in text if row not in near]):
            near |= cosines(connection, table, vector, missing, scope, codes)
        found.append(Sides(text | others, near))
    return found


def cosines(
    connection: apsw.Connection, table: int, vector: bytes, rows: Sequence[int], scope: Scope, codes: Codes | None
) -> dict[int, float]:
    """The cosine of each of `rows` of a scope that has a vector."""
    if codes is None:
        return vectors.similarities(connection, table, vector, rows)
    found = codes.cosines(connection, table, vector, rows, scope)
    return vectors.similarities(connection, table, vector, rows, codes.remake) if found is None else found


def _reaches(
    connection: apsw.Connection, table: int | None, vector: bytes, least: float, scope: Scope, codes: Codes | None
) -> bool:
    """Whether any row of a scope has at least this cosine."""
    if codes is not None and table is not None and not (scope.condition or scope.is_nothing):
        import numpy as np

        if not codes.may_reach(connection, table, np.frombuffer(vector, np.float32), least, scope):
            return False
    return max(near_rows(connection, table, vector, 1, scope, codes).values(), default=0.0) >= least


def keys_of(connection: apsw.Connection, sides: Sides) -> dict[int, tuple[str, str]]:
    """The namespace and id of each candidate."""
    rows = [*{**sides.text, **sides.near}]
    sql = f"SELECT row, namespace, id FROM memories WHERE row IN ({','.join('?' * len(rows))})"
    return {int(row): (str(namespace), str(id)) for row, namespace, id in connection.execute(sql, rows)}


def still_current(connection: apsw.Connection, sides: Sides, keys: Mapping[int, tuple[str, str]]) -> Sides:
    """The candidates, found in an earlier transaction, that have not ended since; `keys` are theirs of then."""
    rows = [*keys]
    sql = f"SELECT row, namespace, id FROM memories WHERE valid_to IS NULL AND row IN ({','.join('?' * len(rows))})"
    held = {row for row, *key in connection.execute(sql, rows) if tuple(key) == keys[row]}
    if len(held) == len(rows):
        return sides
    text = {row: score for row, score in sides.text.items() if row in held}
    return Sides(text, {row: score for row, score in sides.near.items() if row in held})


def fuse(
    sides: Sides,
    k: int,
    *,
    share: float | Mapping[int, float] = VECTOR_SHARE,
    priors: Mapping[int, float] | None = None,
    explain: bool = False,
) -> list[Scored]:
    """The `k` best candidates by the sum of both standard scores and their prior, best first; rows of equal score by
    age. `share` is the vector's, of all or of each row.

    A row without a word of the query has BM25 0; one without a vector counts as average there. A score is the place
    between the worst candidate (0) and the best (1).
    """
    if not (sides.text or sides.near):
        return []
    found = simd.fuse(sides.text, sides.near, share, k, prior=priors)
    whys = explained(sides, found) if explain else [None] * len(found)
    return [
        Scored(one.row, one.score, one.text, one.near, one.prior, why) for one, why in zip(found, whys, strict=True)
    ]


def explained(sides: Sides, found: Sequence[Fused]) -> list[Explained]:
    """The parts of each score, and the place by reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009)."""
    text, near = _places(sides.text), _places(sides.near)
    rows = {**sides.text, **sides.near}
    sums = {row: sum(1 / (RANK_CONSTANT + side[row]) for side in (text, near) if row in side) for row in rows}
    joined = _places(sums)
    return [
        Explained(
            text_standard=one.text_standard,
            vector_standard=one.near_standard,
            vector_share=one.share,
            text_rank=text.get(one.row),
            vector_rank=near.get(one.row),
            reciprocal_score=sums[one.row],
            reciprocal_rank=joined[one.row],
            candidates=len(rows),
            similarity=one.score,
        )
        for one in found
    ]


def _places(scores: Mapping[int, float]) -> dict[int, int]:
    """The place of each row by its score, from 1; of equals the oldest first."""
    return {row: place for place, row in enumerate(sorted(scores, key=lambda row: (-scores[row], row)), 1)}


def _text_scores(
    connection: apsw.Connection, words: Words, k: int, scope: Scope, lists: TextPostings | None, *, least: int
) -> dict[int, float]:
    """The `k` best rows for the telling terms; where they find fewer than `least`, for all of them."""
    best = _best_rows if lists is None else lists.best
    found = best(connection, words.telling, k, scope)
    enough = len(found) >= least or words.telling == words.terms
    return found if enough else best(connection, words.terms, k, scope)


def _best_rows(connection: apsw.Connection, terms: Sequence[str], k: int, scope: Scope) -> dict[int, float]:
    if not terms or scope.is_nothing:
        return {}
    if scope.is_everything:  # the text index holds current rows alone, so it can rank and cut by itself
        sql = "SELECT rowid, -rank FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT ?"
        return _scores(connection, sql, (match_expression(terms), k))
    where, bound = scope.where()
    sql = (
        "SELECT texts.rowid, -texts.rank FROM texts JOIN memories ON memories.row = texts.rowid"
        f" WHERE texts MATCH ? AND {where} ORDER BY texts.rank, texts.rowid LIMIT ?"
    )
    return _scores(connection, sql, (match_expression(terms), *bound, k))


def text_scores_of(
    connection: apsw.Connection, terms: Sequence[str], rows: Sequence[int], lists: TextPostings | None
) -> dict[int, float]:
    """BM25 of each of `rows` that any of the terms stands in; by `lists` where they are at hand."""
    if lists:
        return lists.scores(terms, rows)
    if not terms or not rows:
        return {}
    marks = ",".join("?" * len(rows))
    # the plus keeps SQLite from asking the index once for each row
    sql = f"SELECT rowid, -rank FROM texts WHERE texts MATCH ? AND +rowid IN ({marks})"
    return _scores(connection, sql, (match_expression(terms), *rows))


def _scores(connection: apsw.Connection, sql: str, arguments: tuple[object, ...]) -> dict[int, float]:
    return {int(row): float(score) for row, score in connection.execute(sql, arguments)}


def near_rows(
    connection: apsw.Connection, table: int | None, vector: bytes, k: int, scope: Scope, codes: Codes | None
) -> dict[int, float]:
    """The cosine of the `k` nearest rows of a scope, nearest first; by `codes` where they are at hand."""
    if table is None or scope.is_nothing:
        return {}
    if codes is not None and (found := codes.search(connection, table, vector, k, scope)) is not None:
        return found
    where = None
    if scope.condition:
        condition, bound = scope.where()
        where = (f"SELECT row FROM memories WHERE {condition}", bound)
    remake = codes.remake if codes is not None else None
    within, without = scope.within, scope.without
    return vectors.nearest(connection, table, vector, k, where, within=within, without=without, remake=remake)


def scope_of(connection: apsw.Connection, namespace: str | None, condition: str, parameters: Sequence[object]) -> Scope:
    """The scope that a caller's `namespace` means: one, the tree below `name/`, or with None what was remembered: all
    but the project index and the knowledge, whose rows would drown it."""
    if namespace is None:
        if not _is_remembered(connection):
            return Scope((), (), condition, parameters)
        derived = [name for start in SHELVES for name in names_below(connection, start)]
        return Scope(None, tuple(derived), condition, parameters)
    within = names_below(connection, namespace) if namespace.endswith("/") else [namespace]
    return Scope(tuple(within), (), condition, parameters)


def is_empty(connection: apsw.Connection, scope: Scope) -> bool:
    """Whether no current row is in a scope."""
    where, bound = scope.where()
    return connection.execute(f"SELECT 1 FROM memories WHERE {where} LIMIT 1", bound).get is None


def _is_remembered(connection: apsw.Connection) -> bool:
    """Whether any current row is outside of the shelves."""
    sql = "SELECT min(namespace) FROM memories WHERE valid_to IS NULL AND namespace >= ?"
    found = connection.execute(sql, ("",)).get
    while found is not None and (shelf := next((start for start in SHELVES if found.startswith(start)), "")):
        found = connection.execute(sql, (end_of(shelf),)).get
    return found is not None
