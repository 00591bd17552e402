"""What lies around the candidates of a search: the nodes that edges lead to, and what is known of each.

The candidates, the code that is nearest to the query, and what edges join them with make one small neighbourhood. A
walk with restarts from what the query is near to (personalised PageRank, Page et al., 1999) tells how much leads to
each node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aqe.engine.memory.graph.adjacency import Adjacency
from aqe.engine.memory.graph.attention import FEATURES, Floats, Neighbourhood

STARTS = 32
"""The best candidates, whose edges are looked at; and as many of the best nodes that these led to."""

EACH = 16
"""Edges of a node that are looked at, the strongest."""

MOST_NODES = 256
SPREAD = 4.0
"""The worst and the best candidate are about so many standard deviations apart."""

_WALKED, _RESTART, _SHARPNESS = 3, 0.3, 12.0


@dataclass(frozen=True)
class Nodes:
    """The memories around a search, by row: `found` of them are its candidates, best first, then comes the code nearest
    to the query, then what edges led to. `node` is -1 where no edge joins a memory; the tests may be an answer."""

    rows: NDArray[np.int64]
    node: NDArray[np.int64]
    found: int
    is_test: NDArray[np.bool_]
    is_code: NDArray[np.bool_]


def find_nodes(
    edges: Adjacency, candidates: Sequence[int], outside: Sequence[int], tests: Sequence[str], code: Sequence[str]
) -> Nodes | None:
    """The nodes around candidates, rows of the namespaces `tests`, and rows `outside`, of the namespaces `code`; None
    where no edge leads anywhere."""
    known = edges.nodes_of([*candidates, *outside])
    beside, mine = known[len(candidates) :], known[:STARTS][: len(candidates)]
    border = np.concatenate([beside, mine])
    border = border[border >= 0]
    of_tests, of_code = edges.within(tests), edges.within(code)
    is_wanted = of_tests | of_code
    if not len(edges.sides(border, 1)[0]):
        return None
    seen, led = set(known.tolist()), list[int]()
    for _ in range(2):
        ends = edges.other[edges.sides(border, EACH)[0]]
        ends = ends[is_wanted[edges.namespace[ends]] & (edges.rows[ends] >= 0)]
        fresh = [node for node in dict.fromkeys(ends.tolist()) if node not in seen]
        led += fresh
        seen.update(fresh)
        border = np.array(fresh[:STARTS], np.int64)
    others = np.array(led[: max(0, MOST_NODES - len(known))], np.int64)
    places, count = edges.namespace[others], len(candidates)
    is_test, is_code = np.zeros((2, len(known) + len(others)), np.bool_)
    is_test[:count], is_code[count : len(known)] = True, True
    is_test[len(known) :], is_code[len(known) :] = of_tests[places], of_code[places]
    rows = np.concatenate([np.array([*candidates, *outside], np.int64), edges.rows[others]])
    return Nodes(rows, np.concatenate([known, others]), count, is_test, is_code)


def neighbourhood(edges: Adjacency, nodes: Nodes, scores: Floats, text: Floats, near: Floats) -> Neighbourhood:
    """The nodes with what is known of each: the score of the search (0 to 1), BM25, and the cosine; and
    the edges among them at those that may be an answer."""
    target, source, side = _joined(edges, nodes.node)
    weight = edges.weight[side]
    features = np.empty((len(scores), len(FEATURES)), np.float32)
    features[:, 0] = scores
    features[:, 1] = text / (text.max(initial=0.0) or 1.0)
    features[:, 2] = near
    features[:, 3] = np.arange(len(scores)) < nodes.found
    features[:, 4] = nodes.is_test
    features[:, 5] = nodes.is_code
    features[:, 6] = _walk(near, target, source, weight)
    features[:, 7] = 1.0
    kept = nodes.is_test[target]
    target, source, side = target[kept], source[kept], side[kept]
    strength = np.log(weight[kept])
    return Neighbourhood(features, SPREAD * scores, nodes.is_test, target, source, edges.relation[side], strength)


def _joined(
    edges: Adjacency, node: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The edges among nodes: the place of the one, the place of the other, and the side that says so, by the one."""
    has = np.flatnonzero(node >= 0)
    side, of = edges.sides(node[has], EACH)
    slots = edges.slots
    slots[node[has]] = has
    source = slots[edges.other[side]]
    slots[node[has]] = -1
    is_among = source >= 0
    return has[of[is_among]], source[is_among], side[is_among]


def _walk(near: Floats, target: NDArray[np.int64], source: NDArray[np.int64], weight: Floats) -> Floats:
    """How much a walk that begins near the query comes by each node, as a share of the most."""
    start = np.exp(_SHARPNESS * (near - near.max()))
    start /= start.sum()
    leaving = np.bincount(source, weight, len(near))
    share = weight / leaving[source]
    there = start
    for _ in range(_WALKED):
        there = _RESTART * start + (1 - _RESTART) * np.bincount(target, there[source] * share, len(near))
    return np.asarray(np.sqrt(there / there.max()))
