"""The memory as it was at a moment: every revision knows from when until when it held, so nothing has to be restored.

Both indexes hold current rows alone, so a search of the past makes its own: a text index in memory and the vectors of
the revisions that held then, compared exactly. It costs what reading them all costs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.errors import AqeError, UserError
from aqe.engine.memory.adding import unknown
from aqe.engine.memory.entry import (
    WITHOUT_MEANING,
    Memory,
    SearchAnswer,
    check_embedder,
    check_id,
    check_limit,
    check_namespace,
    pack_vector,
    rfc3339,
)
from aqe.engine.memory.file.failures import is_damage
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.rows import COLUMNS, read_memory
from aqe.engine.memory.search import ranking
from aqe.engine.memory.search.filters import filter_sql, namespace_sql
from aqe.engine.memory.search.hits import hits_of, read_rows
from aqe.engine.memory.search.ranking import SHELVES, Scored, Sides, candidates
from aqe.engine.memory.search.searching import MOST_HITS
from aqe.engine.memory.store import Store
from aqe.engine.memory.terms.text import QUERY_TERMS, check_query, match_expression, query_terms, subtokens
from aqe.engine.memory.tiers import demoted
from aqe.engine.moments import moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from aqe.engine.memory.entry import Numbers

PAGE = 500
SKEW_US = 60_000_000
"""So far ahead another machine's clock may be."""

_LEAST = 10**13  # microseconds: milliseconds of any moment before 2286 are fewer, and seconds
_LATER = (
    "SELECT one.row, next.row FROM json_each(?) JOIN memories AS one ON one.row = value JOIN memories AS next"
    " ON next.namespace = one.namespace AND next.id = one.id AND next.revision > one.revision"
    " WHERE next.text_hash = one.text_hash AND next.embedder = ? ORDER BY one.row, next.revision"
)
_HELD = "valid_from <= ? AND (valid_to IS NULL OR valid_to > ?) AND (expires_at IS NULL OR expires_at > ?)"


def past_moment(given: str | int | datetime, now: int, *, explain: bool = False) -> int:
    """The moment (UTC microseconds) that a search of the past is for; what scores are made of it cannot say. A number
    of seconds or milliseconds, which in microseconds would be of the year 1970, is refused.

    Raises `UserError` (bad-moment, bad-argument).
    """
    if explain:
        raise UserError("A search of the past explains no scores.", code="bad-argument", fix="Leave explain out.")
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < _LEAST:
        raise UserError(
            f"{given} is of the year 1970 as microseconds.",
            code="bad-moment",
            fix="Give microseconds, as in Memory.valid_from, a datetime or a text like 2026-03-01.",
        )
    return refuse_ahead(moment_of(given, now=now), now)


def refuse_ahead(at: int, now: int) -> int:
    """`at`, if it is past or present (both in UTC microseconds). Raises `UserError` (bad-moment)."""
    if at > now + SKEW_US:
        raise UserError(
            f"{rfc3339(at)} lies ahead, and nothing is known of it.",
            code="bad-moment",
            fix="Give a moment that is past.",
        )
    return at


def get_as_of(store: Store, id: str, at: int, *, namespace: str = "default") -> Memory | None:
    """The revision that held at `at` (UTC microseconds), None where none did."""
    sql = f"SELECT {COLUMNS} WHERE namespace = ? AND id = ? AND {_HELD} ORDER BY revision DESC LIMIT 1"
    with store.reading() as connection:
        row = connection.execute(sql, (check_namespace(namespace), check_id(id), at, at, at)).fetchone()
    return None if row is None else read_memory(row)


def not_then(store: Store, id: str, at: int, *, namespace: str = "default") -> UserError:
    """The error for a memory that did not hold at `at`, though it may have before or since."""
    sql = "SELECT min(valid_from) FROM memories WHERE namespace = ? AND id = ?"
    with store.reading() as connection:
        first = connection.execute(sql, (namespace, id)).get
        if first is None:
            return unknown(connection, id, namespace)
    whole = "`aqe memory get ID --history` shows when it was."
    fix = f"It was first kept at {rfc3339(int(first))}." if at < int(first) else whole
    return UserError(f"There was no memory {id!r} in namespace {namespace!r} then.", code="unknown-id", fix=fix)


def list_as_of(
    store: Store,
    at: int,
    *,
    namespace: str | None = None,
    filter: Mapping[str, Any] | None = None,
    limit: int = 100,
) -> list[Memory]:
    """The memories that held at `at`, newest first; `namespace` and `filter` as in `Store.list`."""
    check_limit(limit, 1_000_000)
    where, bound = _where(at, namespace, filter)
    with store.reading() as connection:
        sql = f"SELECT {COLUMNS} WHERE {where} ORDER BY created_at DESC, row DESC LIMIT ?"
        return [read_memory(row) for row in connection.execute(sql, (*bound, limit))]


def search_as_of(
    store: Store,
    at: int,
    query: str | None,
    *,
    vector: Numbers | None = None,
    k: int = 10,
    namespace: str | None = None,
    filter: Mapping[str, Any] | None = None,
    embedder_id: str | None = None,
) -> SearchAnswer:
    """The `k` best of the memories that held at `at`, by words, by a vector of `embedder_id`, or by both.

    Scores are made as those of `Store.search`, with today's shares of words and meaning, over what held then; what
    feedback added is not there, and an expression of the user's own (memory.rank) changes no order here. A vector of
    which only a rough form is left is made anew where the store can, else that form counts. Where damage keeps the
    vectors from being read, the words alone answer. Raises what `Store.search` raises.
    """
    of: dict[str, Any] = {"k": k, "namespace": namespace, "filter": filter}
    try:
        return _search(store, at, query, vector, embedder_id, **of)
    except AqeError as error:
        if query is None or vector is None or not is_damage(error):
            raise
        return replace(_search(store, at, query, None, None, **of), note=WITHOUT_MEANING)


def _search(
    store: Store,
    at: int,
    query: str | None,
    vector: Numbers | None,
    embedder_id: str | None,
    *,
    k: int,
    namespace: str | None,
    filter: Mapping[str, Any] | None,
) -> SearchAnswer:
    check_limit(k, MOST_HITS)
    check_query(query, has_vector=vector is not None)
    where, bound = _where(at, namespace, filter)
    terms = [] if query is None else query_terms(query)[:QUERY_TERMS]
    packed = None if vector is None else pack_vector(vector)
    with store.looking() as connection:
        rows: list[Any] = connection.execute(
            f"SELECT row, text, embedder FROM memories WHERE {where}", bound
        ).fetchall()
        text = _text_scores(connection, terms, rows)
        near = {} if packed is None else _similarities(store, connection, packed, check_embedder(embedder_id), rows)
        if packed is None:
            best = max(text.values(), default=0.0) or 1.0
            found = [Scored(row, score / best, score, None) for row, score in text.items()]
        elif query is None:
            found = [Scored(row, score, None, score) for row, score in near.items()]
        else:
            found = _fused(store, connection, namespace, k, text, near)
        found.sort(key=lambda one: (-one.score, one.row))
        hits = hits_of(read_rows(connection, [one.row for one in found[:k]]), found[:k])
        if packed is None:
            return SearchAnswer("text", hits)
        return SearchAnswer("vector" if query is None else "hybrid", hits)


def _fused(
    store: Store,
    connection: apsw.Connection,
    namespace: str | None,
    k: int,
    text: Mapping[int, float],
    near: Mapping[int, float],
) -> list[Scored]:
    """The best by both sides, weighed as a search of today weighs them."""
    wide = candidates(k)
    chosen = {*_best(text, wide), *_best(near, wide)}
    sides = Sides(*({row: side[row] for row in chosen if row in side} for side in (text, near)))
    scope = ranking.scope_of(connection, namespace, "", ())
    return ranking.fuse(sides, k, share=store.vector_share(connection, scope, sides))


def _where(at: int, namespace: str | None, filter: Mapping[str, Any] | None) -> tuple[str, list[object]]:
    within, names = namespace_sql(None if namespace is None else check_namespace(namespace), SHELVES)
    condition, parameters = filter_sql(filter, "memories.metadata")
    parts = [_HELD, within, *([condition] if condition else [])]
    return " AND ".join(parts), [at, at, at, *names, *parameters]


def _best(scores: Mapping[int, float], count: int) -> list[int]:
    return sorted(scores, key=lambda row: (-scores[row], row))[:count]


def _text_scores(
    connection: apsw.Connection, terms: Sequence[str], rows: Sequence[tuple[int, str, int | None]]
) -> dict[int, float]:
    """BM25 of the rows that have any of the terms, over these rows alone."""
    if not terms:
        return {}
    connection.execute("CREATE VIRTUAL TABLE temp.then_texts USING fts5(subtokens, content='', tokenize='ascii')")
    try:
        connection.executemany(
            "INSERT INTO temp.then_texts (rowid, subtokens) VALUES (?, ?)",
            ((row, " ".join(subtokens(text))) for row, text, _ in rows),
        )
        sql = "SELECT rowid, -rank FROM temp.then_texts WHERE then_texts MATCH ?"
        return {int(row): float(score) for row, score in connection.execute(sql, (match_expression(terms),))}
    finally:
        connection.execute("DROP TABLE temp.then_texts")


def _similarities(
    store: Store,
    connection: apsw.Connection,
    packed: bytes,
    embedder_id: str,
    rows: Sequence[tuple[int, str, int | None]],
) -> dict[int, float]:
    import numpy as np

    table = vectors.find_table(connection, embedder_id, len(packed) // 4)
    mine = {row: text for row, text, own in rows if own is not None and own == table}
    if table is None or not mine:
        return {}
    found: dict[int, float] = {}
    for start in range(0, len(mine), PAGE):
        page = [*mine][start : start + PAGE]
        held = _held(connection, table, page)
        missing = {row: mine[row] for row in page if row not in held}
        made = store.remake(connection, table, missing) if missing and store.remake is not None else {}
        left = [row for row in missing if row not in made]
        held |= demoted.read_demoted_each(connection, table, left, roughly=True)
        numbers = {row: np.frombuffer(vector, np.float32) for row, vector in held.items()}
        found |= demoted.cosines_of({**numbers, **made}, packed)
    return found


def _held(connection: apsw.Connection, table: int, rows: Sequence[int]) -> dict[int, bytes]:
    """The vectors of rows, float32 bytes: its own, or that of the next revision with one and with the same text, to
    which it went on when nothing but metadata changed."""
    held = vectors.read_ever(connection, table, rows)
    missing = [row for row in rows if row not in held]
    later: list[Any] = connection.execute(_LATER, (json.dumps(missing), table)).fetchall() if missing else []
    for start in range(0, len(later), PAGE):
        part = later[start : start + PAGE]
        passed = vectors.read_ever(connection, table, [heir for _, heir in part])
        for row, heir in part:
            if heir in passed:
                held.setdefault(row, passed[heir])
    return held
