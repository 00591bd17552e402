"""A user's own order of what a search finds: one expression over similarity, recency, recalls and quality.

    similarity * (0.8 + 0.2 * recency) * (0.5 + quality)

The expression is read by Python's own parser, and only numbers, the names below, + - * / **, and a few functions are
let through; it is worked out over all candidates at once, by NumPy. Where the extra `aqe[numexpr]` is there, numexpr
does it in the one place where it was measured to be faster (benchmarks/memory_rank.py): a sum or difference of two
values that each take one operator, over `NUMEXPR_FROM` candidates and more. There NumPy holds two temporaries at once,
whose pages the system gives anew each time; elsewhere it uses one again, and computes functions faster.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.growth.access import DAY_US, HALF_LIFE_DAYS
from aqe.engine.memory.search.ranking import Scored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Columns = Mapping[str, NDArray[np.float64]]

NAMES = ("similarity", "meaning", "words", "recency", "recalls", "quality", "pinned")
"""similarity: the score of before; meaning: the cosine; words: BM25 (0 where a side did not take part); recency: from 1
for a memory made just now, half of it a half-life later; recalls: decayed accesses; quality: what feedback says, from 0
to 1, .5 without any; pinned: 0 or 1."""

FUNCTIONS = ("abs", "exp", "log1p", "sqrt")
NUMEXPR_FROM = 25_000
LONGEST = 500
MOST_NODES = 100
CANDIDATES = 200
_TRIAL = {
    "similarity": (0.6, 0.4),
    "meaning": (0.7, 0.5),
    "words": (5.0, 2.0),
    "recency": (1.0, 0.1),
    "recalls": (0.0, 3.0),
    "quality": (0.5, 0.8),
    "pinned": (0.0, 1.0),
}
"""A memory made just now, and an old pinned one that is recalled: an expression has to give values for both."""

_OPERATORS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "true_divide", ast.Pow: "power"}


@dataclass(frozen=True)
class Rank:
    """A checked expression, the candidates that it orders, and the half-life of recency and recalls."""

    text: str
    tree: ast.expr
    names: frozenset[str]
    candidates: int = CANDIDATES
    half_life_days: float = HALF_LIFE_DAYS

    def wide(self, k: int) -> int:
        """How many candidates a search for `k` takes."""
        return max(k, self.candidates)


def parse_rank(text: str, *, candidates: int = CANDIDATES, half_life_days: float = HALF_LIFE_DAYS) -> Rank:
    """The expression of a user. Raises `UserError` (bad-setting) that says what is wrong with it.

    >>> sorted(parse_rank("similarity * (0.8 + 0.2 * recency)").names)
    ['recency', 'similarity']
    """
    if len(text) > LONGEST:
        raise _bad(text, f"it is longer than {LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _bad(text, "it is no expression") from None
    names: set[str] = set()
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise _bad(text, "it has too many parts")
    _check(tree, text, names)
    if not names:
        raise _bad(text, "it names nothing that differs between memories")
    rank = Rank(ast.unparse(tree), tree, frozenset(names), candidates, half_life_days)
    _try(rank, text)
    return rank


def evaluate(rank: Rank, columns: Columns) -> NDArray[np.float64]:
    """The value of each candidate; what is no number counts as the lowest."""
    import numpy as np

    count = len(next(iter(columns.values())))
    engine = _numexpr() if asks_numexpr(rank, count) else None
    with np.errstate(all="ignore"):
        if engine is not None:
            used = {name: columns[name] for name in rank.names}
            found = np.asarray(engine(rank.text, local_dict=used, global_dict={}), np.float64)
        else:
            found = value_of(rank, columns)
        return np.where(np.isnan(found), -np.inf, found) if np.isnan(found.sum()) else found


def asks_numexpr(rank: Rank, count: int) -> bool:
    """Whether numexpr works out so many candidates, where it is installed."""
    tree = rank.tree
    if count < NUMEXPR_FROM or not (isinstance(tree, ast.BinOp) and isinstance(tree.op, (ast.Add, ast.Sub))):
        return False
    return all(
        isinstance(side, ast.BinOp)
        and all(isinstance(one, (ast.Name, ast.Constant)) for one in (side.left, side.right))
        for side in (tree.left, tree.right)
    )


def value_of(rank: Rank, columns: Columns) -> NDArray[np.float64]:
    """The value of each candidate by NumPy, one operator after the other."""
    import numpy as np

    return np.asarray(_value(rank.tree, columns), np.float64)


def reordered(connection: apsw.Connection, rank: Rank, found: Sequence[Scored], k: int, now: int) -> list[Scored]:
    """The `k` best of scored rows by the expression, whose value becomes their score; of equals the oldest."""
    import numpy as np

    if not found:
        return []
    values = evaluate(rank, read_columns(connection, rank, found, now))
    rows = np.array([one.row for one in found], np.int64)
    best = np.lexsort((rows, -values))[:k]
    return [found[at]._replace(score=_finite(float(values[at]))) for at in best.tolist()]


def read_columns(connection: apsw.Connection, rank: Rank, found: Sequence[Scored], now: int) -> Columns:
    """What the expression names, one number for each of the scored rows."""
    import numpy as np

    columns: dict[str, NDArray[np.float64]] = {
        "similarity": np.array([one.score for one in found], np.float64),
        "meaning": np.array([one.vector or 0.0 for one in found], np.float64),
        "words": np.array([one.text or 0.0 for one in found], np.float64),
    }
    if rank.names & {"recency", "recalls", "pinned"}:
        columns |= _traits(connection, [one.row for one in found], rank.half_life_days * DAY_US, now)
    if "quality" in rank.names:
        columns["quality"] = _quality(connection, [one.row for one in found], now)
    return columns


def _traits(connection: apsw.Connection, rows: Sequence[int], life: float, now: int) -> dict[str, NDArray[np.float64]]:
    import numpy as np

    sql = (
        "SELECT memories.row, created_at, coalesce(score, 0.0), coalesce(last_at, 0), pinned FROM memories"
        " LEFT JOIN accesses USING (row) WHERE memories.row IN (SELECT value FROM json_each(?))"
    )
    held: list[Any] = connection.execute(sql, (json.dumps(list(rows)),)).fetchall()
    known = {row: rest for row, *rest in held}
    table = np.array([known.get(row, (0, 0.0, 0, 0)) for row in rows], np.float64).reshape(len(rows), 4)
    made, score, last, pinned = table.T
    return {
        "recency": np.exp2(-np.maximum(0.0, now - made) / life),
        "recalls": score * np.exp2(-np.maximum(0.0, now - last) / life),
        "pinned": np.ascontiguousarray(pinned),
    }


def _quality(connection: apsw.Connection, rows: Sequence[int], now: int) -> NDArray[np.float64]:
    import numpy as np

    from aqe.engine.learning.prior import CAP, Mark, prior_of

    sql = (
        "SELECT memories.row, success, weight, at FROM marks JOIN memories USING (namespace, id)"
        " WHERE memories.row IN (SELECT value FROM json_each(?))"
    )
    marks: dict[int, list[Mark]] = {}
    held: list[Any] = connection.execute(sql, (json.dumps(list(rows)),)).fetchall()
    for row, *mark in held:
        marks.setdefault(row, []).append(Mark(*mark))
    return np.array([0.5 + prior_of(marks.get(row, ()), now) / (2 * CAP) for row in rows], np.float64)


def _try(rank: Rank, text: str) -> None:
    """Refuse what is infinite for an ordinary memory, or no number for any: it would order nothing."""
    import numpy as np

    with np.errstate(all="ignore"):
        found = value_of(rank, {name: np.array(values) for name, values in _TRIAL.items()})
    if np.isinf(found).any() or np.isnan(found).all():
        new, used = (f"{value:g}" for value in found.tolist())
        raise _bad(text, f"it gives {new} for a new memory and {used} for an old pinned one that is recalled")


def _value(node: ast.expr, columns: Columns) -> Any:
    """One node of a checked expression over all candidates."""
    import numpy as np

    if isinstance(node, ast.Constant):
        return np.float64(float(str(node.value)))
    if isinstance(node, ast.Name):
        return columns[node.id]
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, columns)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        return getattr(np, _OPERATORS[type(node.op)])(_value(node.left, columns), _value(node.right, columns))
    assert isinstance(node, ast.Call)
    return getattr(np, ast.unparse(node.func))(_value(node.args[0], columns))


def _check(node: ast.AST, text: str, names: set[str]) -> None:
    """Refuse whatever is not a number, one of the names, an operator or a function of one value."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)) or abs(node.value) > 1e15:
            raise _bad(text, f"{node.value!r:.40} is no number for it")
    elif isinstance(node, ast.Name):
        if node.id not in NAMES:
            raise _bad(text, f"it has no name {node.id!r:.40}")
        names.add(node.id)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        _check(node.operand, text, names)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        _check(node.left, text, names)
        _check(node.right, text, names)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        if len(node.args) != 1 or node.keywords:
            raise _bad(text, f"{node.func.id} takes one value")
        _check(node.args[0], text, names)
    else:
        raise _bad(text, f"{ast.unparse(node)!r:.60} is more than it may hold")


@functools.cache
def _numexpr() -> Callable[..., Any] | None:
    try:
        import numexpr
    except ImportError:
        return None
    numexpr.set_num_threads(1)
    evaluated: Callable[..., Any] = numexpr.evaluate
    return evaluated


def _finite(value: float) -> float:
    return max(-1e300, min(1e300, value))


def _bad(text: str, why: str) -> UserError:
    return UserError(
        f"The order of a search, memory.rank = {text!r:.80}, cannot be used: {why}.",
        code="bad-setting",
        fix=f"Give + - * / ** and {', '.join(FUNCTIONS)} over numbers and {', '.join(NAMES)}, or similarity alone.",
    )
