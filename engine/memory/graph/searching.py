"""The graph beside a search: what edges lead to from what was found is looked at, and orders it.

The candidates of a search, the code that is nearest to the query, and what edges join them with make one small
neighbourhood (`neighbourhood`); attention (`attention`) makes of the scores, of the kinds of edges and of a walk over
them what is added to each score. A memory that only an edge leads to can be found so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, TypeGuard

import apsw

from aqe.engine.memory.entry import Explained
from aqe.engine.memory.graph.together import Together
from aqe.engine.memory.search import ranking
from aqe.engine.memory.search.ranking import INDEX, Scope, Scored

if TYPE_CHECKING:
    from aqe.engine.memory.graph.adjacency import HeldEdges
    from aqe.engine.memory.graph.attention import Attention, Floats, Neighbourhood
    from aqe.engine.memory.graph.neighbourhood import Nodes
    from aqe.engine.memory.meaning.codes import Codes
    from aqe.engine.memory.store import Store
    from aqe.engine.memory.terms.postings import TextPostings
    from aqe.engine.memory.terms.words import Words

WIDE = 50
"""Candidates that are looked at, at least."""

OUTSIDE = 8
"""The code nearest to the query, which is looked at too: a function whose tests are searched, say."""

TESTS, CODE = "tests", "code"
Found = tuple[int, float, float | None, float | None]
"""A candidate: its row, its score (0 to 1), its BM25 and its cosine."""


@dataclass(frozen=True)
class Asked:
    """What a search by words and meaning asks: its words, and its vector in the table of its space."""

    words: Words
    table: int | None
    vector: bytes
    codes: Codes
    lists: TextPostings | None


def is_served(namespace: str | None) -> TypeGuard[str]:
    """Whether edges order what a search of this namespace finds: the tests of a project index."""
    return namespace is not None and namespace.startswith(INDEX) and namespace.endswith(f"/{TESTS}")


class Graph:
    """The edges of an open store, for its searches. Whoever searches holds the store's lock and is in a read
    transaction."""

    def __init__(self, store: Store, *, without: Sequence[str] = ()) -> None:
        """The edges of a store; or for a trial all but those of the origins `without`, when nothing is counted."""
        self._together = Together(store)
        self._without = without
        self._edges: HeldEdges | None = None
        self._attention: tuple[int, Attention] | None = None

    def number(self, connection: apsw.Connection) -> int:
        """As long as it stays, edges lead to the same memories."""
        from aqe.engine.memory.graph.adjacency import read_edge_number

        return read_edge_number(connection)

    def is_at_hand(self, connection: apsw.Connection) -> bool:
        """Whether a search reads no edge first."""
        return self._edges is not None and self._edges.number == self.number(connection)

    def wide(self, k: int) -> int:
        """How many candidates are looked at for `k` results."""
        return max(k, WIDE)

    def close(self) -> None:
        """Write what was counted."""
        self._together.close()

    def ordered(
        self,
        connection: apsw.Connection,
        moment: int,
        namespace: str,
        asked: Asked,
        found: Sequence[Found | Scored],
        k: int,
    ) -> list[Scored]:
        """The `k` best of the `wide` candidates of a search of tests, best first, and of the tests that edges lead to
        from them: their scores stand between 0 for the worst and 1 for the best of all that was looked at."""
        around = self.around(connection, moment, namespace, asked, found)
        if around is None:
            best = [one if isinstance(one, Scored) else Scored(*one) for one in found[:k]]
        else:
            best = _best(around, self._weighed(connection).added(around.hood), found, k)
        if not self._without:
            self._together.note([one.row for one in best])
        return best

    def _weighed(self, connection: apsw.Connection) -> Attention:
        """Attention by the project's own weights where it has some, else by those that came with aqe."""
        number = -1 if self._edges is None else self._edges.number
        if self._attention is None or self._attention[0] != number:
            from aqe.engine.memory.graph.attention import Attention
            from aqe.engine.memory.graph.own_weights import read_weights

            own = read_weights(connection)
            self._attention = number, built_in() if own is None else Attention(own.weights)
        return self._attention[1]

    def around(
        self,
        connection: apsw.Connection,
        moment: int,
        namespace: str,
        asked: Asked,
        found: Sequence[Found | Scored],
    ) -> Around | None:
        """What lies around the candidates of a search; None where no edge does."""
        if self._edges is None:
            from aqe.engine.memory.graph.adjacency import HeldEdges

            self._edges = HeldEdges(self._without)
        edges = self._edges.at_hand(connection, moment)
        if not found or not len(edges):
            return None
        import numpy as np

        from aqe.engine.memory.graph.neighbourhood import find_nodes, neighbourhood

        beside = f"{namespace.rpartition('/')[0]}/{CODE}"
        outside = ranking.near_rows(connection, asked.table, asked.vector, OUTSIDE, _one(beside), asked.codes)
        nodes = find_nodes(edges, [one[0] for one in found], list(outside), namespace, beside)
        if nodes is None:
            return None
        rows = nodes.rows[nodes.found :].tolist()
        near, led = dict(outside), nodes.tests - nodes.found
        for name, missing in ((namespace, rows[:led]), (beside, rows[led + nodes.near :])):
            if asked.table is not None and missing:
                near |= ranking.cosines(connection, asked.table, asked.vector, missing, _one(name), asked.codes)
        text = ranking.text_scores_of(connection, asked.words.telling, rows, asked.lists)
        sides = [*[(one[2], one[3]) for one in found], *[(text.get(row), near.get(row)) for row in rows]]
        least = min([one for _, one in sides if one is not None], default=0.0)
        words = np.array([one or 0.0 for one, _ in sides])
        cosines = np.array([least if one is None else one for _, one in sides])
        scores = _scores(np.array([one[1] for one in found]), words, cosines)
        return Around(nodes, neighbourhood(edges, nodes, scores, words, cosines), sides)


@dataclass(frozen=True)
class Around:
    """What lies around the candidates of a search: its nodes, these with what attention needs, and BM25 and cosine of
    each (None where that side does not have it)."""

    nodes: Nodes
    hood: Neighbourhood
    sides: Sequence[tuple[float | None, float | None]]


def _scores(given: Floats, words: Floats, near: Floats) -> Floats:
    """The score of each node: of candidates what the search gave, of the others what it gives such words and nearness.
    A candidate's score is a sum of both sides, so the candidates tell how much each side counts (least squares)."""
    import numpy as np

    count, often = len(given), words.max() or 1.0
    mean_word, mean_near, mean = float(words[:count].mean()), float(near[:count].mean()), float(given.mean())
    by_word, by_near, by_score = (words - mean_word) / often, near - mean_near, given - mean
    x, y = by_word[:count], by_near[:count]
    xx, yy, xy = float(x @ x) + 1e-9, float(y @ y) + 1e-9, float(x @ y)
    xs, ys, under = float(x @ by_score), float(y @ by_score), xx * yy - xy * xy
    found = by_word * ((xs * yy - ys * xy) / under) + by_near * ((ys * xx - xs * xy) / under) + mean
    np.clip(found, -0.5, 1.0, out=found)
    found[:count] = given
    return found


def _best(around: Around, added: Floats, found: Sequence[Found | Scored], k: int) -> list[Scored]:
    """The `k` best tests, their scores brought to 0 for the worst and 1 for the best."""
    import numpy as np

    from aqe.engine.memory.graph.neighbourhood import SPREAD

    nodes, scores = around.nodes, around.hood.scores + added
    best = np.lexsort((nodes.rows[: nodes.tests], -scores[: nodes.tests]))
    low, span = float(scores[best[-1]]), float(scores[best[0]] - scores[best[-1]]) or 1.0
    made = []
    for at in best[:k].tolist():
        one = found[at] if at < len(found) else None
        known = one if isinstance(one, Scored) else None
        why = None
        if isinstance(found[0], Scored) and found[0].explained is not None:
            why = _led(around, at, found) if known is None or known.explained is None else known.explained
            why = replace(why, graph_added=float(added[at]) / SPREAD)
        score, prior = (float(scores[at]) - low) / span, 0.0 if known is None else known.prior
        text, near = around.sides[at]
        made.append(Scored(int(nodes.rows[at]), score, text, near, prior, why))
    return made


def _led(around: Around, at: int, found: Sequence[Found | Scored]) -> Explained:
    """Why a memory that only edges led to stands where it does; its sides by the same measure as the candidates'."""
    from aqe.engine.memory.graph.neighbourhood import SPREAD

    whys = [one.explained for one in found if isinstance(one, Scored) and one.explained is not None]
    text, near = around.sides[at]
    texts = [(one[2] or 0.0, why.text_standard) for one, why in zip(found, whys, strict=True)]
    nears = [(one[3], why.vector_standard) for one, why in zip(found, whys, strict=True) if one[3] is not None]
    return Explained(
        text_standard=_on_line(texts, text or 0.0),
        vector_standard=0.0 if near is None else _on_line(nears, near),
        vector_share=whys[0].vector_share,
        text_rank=None,
        vector_rank=None,
        reciprocal_score=0.0,
        reciprocal_rank=whys[0].candidates + 1,
        candidates=whys[0].candidates,
        similarity=float(around.hood.scores[at]) / SPREAD,
    )


def _on_line(points: Sequence[tuple[float, float]], x: float) -> float:
    """The y of x on the line of the points."""
    if not points:
        return 0.0
    (x0, y0), (x1, y1) = min(points), max(points)
    return y0 if x1 == x0 else y0 + (x - x0) * (y1 - y0) / (x1 - x0)


def _one(namespace: str) -> Scope:
    return Scope((namespace,), (), "", ())


def built_in_weights() -> Floats:
    """The weights that `benchmarks/graph.py` learned."""
    import numpy as np

    path = files("aqe.engine.memory.graph") / "data" / "attention.npy"
    with path.open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False), np.float64)


@lru_cache(maxsize=1)
def built_in() -> Attention:
    """Attention with the weights that came with aqe."""
    from aqe.engine.memory.graph.attention import Attention

    return Attention(built_in_weights())
