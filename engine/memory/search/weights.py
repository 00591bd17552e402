"""How much meaning and how much words say of memories: measured for code and for prose.

On the code of packages that the built-in vectors never saw three quarters on the vector find most; on prose (their
docstrings, and conversations) words deserve more (benchmarks/retrieval.py, benchmarks/evidence.py). Which of the two a
memory is is told by how many of its characters are those that code is made of. Where hardly any is code a scope has one
weight, between that of prose and that of code: of the documentation of code that is a matter of degree. Where many are
code each memory is weighed by itself (`kinds`): conversations that lie among far more code are found by their words all
the same, and the code beside them by its meaning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import apsw

from aqe.engine.memory.search.ranking import Scope

CODE_SHARE, PROSE_SHARE = 0.75, 0.25
SAMPLE = 40
"""Texts of a scope that are looked at."""

LOOKED_AT = 2000
"""Characters of a text that are looked at."""

MARKS = "(){}[]=_<>+*/\\|&^%@#:;"
LEAST_CODE, MOST_PROSE = 0.08, 0.04
"""From this part of marks among the visible characters on a text is code, up to that one it is prose: nineteen of
twenty functions have more than the first, nineteen of twenty turns of a conversation less than the second, and of the
docstrings of functions a sixth has more than the first and half less than the second."""

BORDER = 0.056
"""The part of marks up to which a memory that is weighed by itself is prose."""

MANY = 0.3
"""The part of a scope from which on code is not hardly any."""

_NEARBY = 16
"""Rows from each of the places of a sample on that are looked at for one of the scope."""

FEW_WORDS = 100
"""Visible characters below which one or two marks would say that a turn of a conversation is code."""

_TALK = re.compile(r"^[\w .'-]{1,60}:(?=\s)|(?<=\d):(?=\d)|(?<!\S)[:;]-?[()DP](?!\S)")
_CODE_ALONE = "(){}[]=_"
_MEASURED_ANEW = 256
_NO_MARKS = str.maketrans("", "", MARKS)


def is_prose(text: str) -> bool:
    """Whether a text is prose by the characters that it begins with.

    >>> is_prose("Mira: at 9:30 :)"), is_prose("def f(x):\\n    return g(x)[0]")
    (True, False)
    """
    return _marks(text) <= BORDER


class Weights:
    """The weights of the scopes of one store, where nobody set them: what was remembered is looked at, anew when it was
    little, or after many changes of any."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[int, int, float | None]] = {}
        """By scope: the change it was measured at, how many changes it stands for, and the share."""

    def vector_share(self, connection: apsw.Connection, scope: Scope, changes: int) -> float | None:
        """The weight of the vector, from 0 to 1, in a search of a scope; what is left is that of the words. None where
        each memory has its own. `changes` is the number of the store's last change. The project index and the knowledge
        have the weight of code, by which they were measured."""
        if scope.is_shelf:
            return CODE_SHARE
        key = (scope.within, scope.without)
        known = self._known.get(key)
        if known is not None:
            at, stands, share = known
            if changes - at <= stands:
                return share
        texts = _read_texts(connection, scope)
        share = share_of(texts)
        newest = connection.execute("SELECT max(row) FROM memories").get or 0
        stands = min(_MEASURED_ANEW, newest // 8) if len(texts) == SAMPLE else 0
        self._known[key] = (changes, stands, share)
        return share


def share_of(texts: Sequence[str]) -> float | None:
    """The weight of the vector for such texts: between that of prose and that of code by how much of it is code, or
    None where many of them are code.

    >>> share_of(["The suite takes four seconds, said Mira."]), share_of(["def f(x):\\n    return g(x)[0]"])
    (0.25, None)
    """
    marks = [_marks(text) for text in texts]
    if not marks or sum(part >= LEAST_CODE for part in marks) >= MANY * len(marks):
        return None
    between = [min(1.0, max(0.0, (part - MOST_PROSE) / (LEAST_CODE - MOST_PROSE))) for part in marks]
    return PROSE_SHARE + (CODE_SHARE - PROSE_SHARE) * sum(between) / len(between)


def _read_texts(connection: apsw.Connection, scope: Scope) -> list[str]:
    """Texts of a scope, spread over all rows of the store from the oldest to the newest; where its own are few among
    those, from both ends of its ids."""
    if scope.is_nothing:
        return []
    where, bound = Scope(scope.within, scope.without, "", ()).where()
    bounds: Any = connection.execute("SELECT (SELECT min(row) FROM memories), (SELECT max(row) FROM memories)")
    first, last = bounds.fetchall()[0]  # all of it: a cursor left open would keep what it saw for the next reader
    if first is None:
        return []
    step = max(1, -(-(last + 1 - first) // SAMPLE))
    starts = json.dumps([*range(first, last + 1, step)])
    spread = (
        f"SELECT (SELECT row FROM memories NOT INDEXED WHERE row >= value AND row < value + ? AND {where} LIMIT 1)"
        " FROM json_each(?)"
    )
    rows = {row for (row,) in connection.execute(spread, (min(step, _NEARBY), *bound, starts))} - {None}
    for way in ("ASC", "DESC"):
        most = (SAMPLE - len(rows)) // (2 if way == "ASC" else 1)
        other = "row NOT IN (SELECT value FROM json_each(?))"
        ends = f"SELECT row FROM memories WHERE {where} AND {other} ORDER BY namespace {way}, id {way} LIMIT ?"
        rows.update([row for (row,) in connection.execute(ends, (*bound, json.dumps([*rows]), most))])
    sql = f"SELECT substr(text, 1, {LOOKED_AT}) FROM memories WHERE row IN (SELECT value FROM json_each(?))"
    return [str(text) for (text,) in connection.execute(sql, (json.dumps(sorted(rows)),))]


def _marks(text: str) -> float:
    """The part of marks among the visible characters; in a few words those of talk do not count."""
    visible = "".join(text[:LOOKED_AT].split())
    marks = len(visible) - len(visible.translate(_NO_MARKS))
    if marks > MOST_PROSE * len(visible) and len(visible) < FEW_WORDS:
        marks = _of_code(text)
    return marks / max(1, len(visible))


def _of_code(text: str) -> int:
    """The marks in a few words that talk has not too: no colon behind who speaks or in the time of day, no smiley, and
    none that stands alone in all of them, unless it is one of code."""
    left = [mark for mark in _TALK.sub("", text) if mark in MARKS]
    return 0 if len(left) == 1 and left[0] not in _CODE_ALONE else len(left)
