"""Weights of a project's own: learned from which of its tests executed which of its functions.

The weights that came with aqe go on being learned from two thirds of the functions of the impact map, and are tried on
the third that was held out: by the functions' sources and names, with the edges that the files say by themselves alone.
They are kept only where they win there. They lie with the impact map, under the digest of the weights that they began
from: with others they say nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apsw
import numpy as np
from numpy.typing import NDArray

from aqe.engine.memory.graph.attention import SIZE, Floats, Neighbourhood, attend, learn
from aqe.engine.memory.graph.edges import Key
from aqe.engine.memory.graph.linking import read_places
from aqe.engine.memory.graph.recorded import executed
from aqe.engine.memory.graph.searching import Around, Graph, built_in_weights
from aqe.engine.progress import CancelToken, Progress, silent

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.store import Store

Lesson = tuple[Neighbourhood, NDArray[np.bool_]]
"""What lies around a query, and which nodes are right."""

FEWEST, MOST = 24, 150
"""Functions that are learned from: fewer tell nothing, more take longer than they are worth."""

MOST_TESTS = 10
"""A function that more tests executed is one that all tests go through."""

HELD_OUT = 1 / 3
MOST_MOVED = 1.0
"""How far each weight may go from where it began."""

LARGEST = 100.0
"""No learned weight comes near this; sums with much larger ones overflow."""

_ROUNDS, _RATE, _BATCH = 8, 0.003, 8
_RESAMPLES, _LOWEST = 1000, 10.0
_NAME, _VERSION = "graph weights", 1


@dataclass(frozen=True)
class Trial:
    """Weights that were learned, and by how much the mean of 1 / the rank of the first right test grew on the queries
    held out: its mean over their functions, and the tenth percentile of its bootstrap over functions, since the queries
    of one are much alike."""

    functions: int
    held_out: int
    gain: float
    low: float
    weights: Floats = field(repr=False)

    @property
    def is_won(self) -> bool:
        """Whether the weights are worth keeping."""
        return self.gain > 0 and self.low > 0


@dataclass(frozen=True)
class OwnWeights:
    """The weights that a project keeps, and what it took to keep them; `learned_at` is in UTC microseconds."""

    learned_at: int
    functions: int
    held_out: int
    gain: float
    low: float
    weights: Floats = field(repr=False)


def learned(began: Floats, functions: Sequence[Sequence[Lesson]], *, seed: int = 0) -> Trial:
    """Weights from the lessons of some functions, tried on those of the others."""
    order = np.random.default_rng(seed).permutation(len(functions))
    cut = len(order) - max(1, round(HELD_OUT * len(order)))
    taught = [lesson for at in order[:cut] for lesson in functions[at]]
    tried = [functions[at] for at in order[cut:] if functions[at]]
    found = learn(began, taught, rounds=_ROUNDS, rate=_RATE, decay=0.0, seed=seed, batch=_BATCH)
    found = np.clip(found, began - MOST_MOVED, began + MOST_MOVED)
    gains = [[_reciprocal(found, *one) - _reciprocal(began, *one) for one in each] for each in tried]
    return Trial(cut, sum(map(len, tried)), *mean_and_low(gains, seed=seed), found)


def mean_and_low(gains: Sequence[Sequence[float]], *, seed: int = 0) -> tuple[float, float]:
    """The mean of what the queries of each function gained, and the tenth percentile of its bootstrap by function."""
    each = np.array([np.mean(one) for one in gains])
    draws = np.random.default_rng(seed).integers(0, len(each), (_RESAMPLES, len(each)))
    return float(each.mean()), float(np.percentile(each[draws].mean(axis=1), _LOWEST))


def _reciprocal(weights: Floats, hood: Neighbourhood, right: NDArray[np.bool_]) -> float:
    """1 / the rank of the first right node among the ten best that may be an answer, else 0."""
    scores = np.where(hood.may_answer, attend(weights, hood), -np.inf)
    ranks = np.flatnonzero(right[np.argsort(-scores, kind="stable")[:10]])
    return 1.0 / (1 + int(ranks[0])) if len(ranks) else 0.0


def learn_from_runs(
    store: Store, embedder: Embedder, root: str, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> Trial | None:
    """Learn from the recorded runs of a project, whose index is at `root`; None where they tell of too few functions.

    Nothing is kept (`keep_weights`). The store is this caller's alone meanwhile. Raises `Cancelled`.
    """
    known = _functions(store, root)
    if len(known) < FEWEST:
        return None
    drawn = np.random.default_rng(0).permutation(len(known))[:MOST]
    cancel, before, graph = cancel or CancelToken(), store.graph, _Watched(store, without=("impact",))
    lessons = []
    store.graph = graph
    try:
        for done, at in enumerate(sorted(drawn.tolist())):
            cancel.check()
            progress("Asking for the tests of functions", done, len(drawn))
            texts, rows = known[at]
            lessons.append(_lessons(store, embedder, graph, f"{root}/tests", texts, rows))
    finally:
        store.graph = before
    progress("Learning", 0, 1)
    usable = [one for one in lessons if one]
    return learned(built_in_weights(), usable) if len(usable) >= FEWEST else None


def keep_weights(store: Store, trial: Trial) -> None:
    """Order this project's searches by these weights from now on."""
    packed = base64.b64encode(trial.weights.astype("<f4").tobytes()).decode()
    told = {"functions": trial.functions, "held_out": trial.held_out, "gain": trial.gain, "low": trial.low}
    value = {"version": _VERSION, "began": _began(), "learned_at": store.now(), **told, "weights": packed}
    with store.writing() as connection:
        connection.execute("INSERT OR REPLACE INTO impact_facts VALUES (?, ?)", (_NAME, json.dumps(value)))
        connection.execute("UPDATE edge_changes SET number = number + 1")


def forget_weights(store: Store) -> bool:
    """Go back to the weights that came with aqe; whether there were others."""
    with store.writing() as connection:
        connection.execute("DELETE FROM impact_facts WHERE name = ?", (_NAME,))
        gone = bool(connection.changes())
        connection.execute("UPDATE edge_changes SET number = number + 1")
    return gone


def read_weights(connection: apsw.Connection) -> OwnWeights | None:
    """The weights that a project keeps; None where it has none, or some that began from others than aqe has now."""
    found = connection.execute("SELECT value FROM impact_facts WHERE name = ?", (_NAME,)).get
    if found is None:
        return None
    try:
        return _unpacked(json.loads(found))
    except (AttributeError, KeyError, TypeError, ValueError):  # damaged, or written by something else
        return None


def _unpacked(value: dict[str, Any]) -> OwnWeights | None:
    if value.get("version") != _VERSION or value.get("began") != _began():
        return None
    weights = np.frombuffer(base64.b64decode(value["weights"]), "<f4").astype(np.float64)
    if len(weights) != SIZE or not np.abs(weights).max() <= LARGEST:
        return None
    told = {name: value[name] for name in ("learned_at", "functions", "held_out", "gain", "low")}
    return OwnWeights(**told, weights=weights)


def _began() -> str:
    return hashlib.sha256(built_in_weights().astype("<f4").tobytes()).hexdigest()


class _Watched(Graph):
    """A graph that shows what it looked at."""

    seen: Around | None = None

    def around(self, *asked: Any) -> Around | None:
        """As `Graph.around`."""
        self.seen = super().around(*asked)
        return self.seen


def _functions(store: Store, root: str) -> list[tuple[tuple[str, ...], frozenset[int]]]:
    """The functions that few tests executed: what each is asked for by, and the rows of its tests."""
    places = read_places(store, root)
    names = {key: name for place in places.values() for name, key in place.names.items()}
    tests: defaultdict[Key, set[Key]] = defaultdict(set)
    with store.reading() as connection:
        for edge in executed(connection, places):
            tests[edge.members[1]].add(edge.members[0])
        rows = _rows(connection, root)
        texts = {key: _text(connection, key) for key, few in tests.items() if len(few) <= MOST_TESTS}
    return [
        ((text.partition("\n")[2], names[key]), frozenset(rows[test] for test in tests[key] if test in rows))
        for key, text in sorted(texts.items())
        if key in names and text.partition("\n")[2].strip()
    ]


def _rows(connection: apsw.Connection, root: str) -> Mapping[Key, int]:
    namespace = f"{root}/tests"
    sql = "SELECT row, id FROM memories WHERE namespace = ? AND valid_to IS NULL"
    return {(namespace, id): row for row, id in connection.execute(sql, (namespace,))}


def _text(connection: apsw.Connection, key: Key) -> str:
    sql = "SELECT text FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    return str(connection.execute(sql, key).get or "")


def _lessons(
    store: Store, embedder: Embedder, graph: _Watched, namespace: str, texts: Sequence[str], rows: frozenset[int]
) -> list[Lesson]:
    """What lies around each way to ask for a function's tests, where one of these is in it."""
    found: list[Lesson] = []
    for text in texts:
        vector = embedder.embed([text])[0]
        graph.seen = None
        if vector.any():
            store.search_each(text, vector=vector, places=[(namespace, 10)], embedder_id=embedder.id)
        if graph.seen is not None:
            around = graph.seen
            right = np.array([row in rows for row in around.nodes.rows.tolist()]) & around.hood.may_answer
            found += [(around.hood, right)] if right.any() else []
    return found
