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

from aqe.engine.memory.graph.adjacency import EACH, Adjacency
from aqe.engine.memory.graph.attention import FEATURES, Floats, Neighbourhood

STARTS = 32
"""The best candidates, whose edges are looked at; and as many of the best nodes that these led to."""

MOST_NODES = 144
SPREAD = 4.0
"""The worst and the best candidate are about so many standard deviations apart."""

_WALKED, _RESTART, _SHARPNESS = 3, 0.3, 12.0


@dataclass(frozen=True)
class Nodes:
    """The memories around a search, by row: the first `tests` of them may be an answer, and of these the first `found`
    are its candidates, best first; the others are code, the first `near` of it the nearest to the query. `node` is -1
    where no edge joins a memory."""

    rows: NDArray[np.int64]
    node: NDArray[np.int64]
    found: int
    tests: int
    near: int


def find_nodes(
    edges: Adjacency, candidates: Sequence[int], outside: Sequence[int], tests: str, code: str
) -> Nodes | None:
    """The nodes around candidates, rows of the namespace `tests`, and rows `outside`, of the namespace `code`; None
    where no edge leads anywhere."""
    mine, beside = edges.nodes_of(candidates), edges.nodes_of(outside)
    border = [node for node in (*beside, *mine[:STARTS]) if node >= 0]
    if not border:
        return None
    is_test, is_wanted, rows = edges.inside((tests,)), edges.inside((tests, code)), edges.rows
    seen, led = {*mine, *beside}, list[int]()
    for _ in range(2):
        fresh = [node for node in edges.ends_of(border, is_wanted) if node not in seen]
        seen.update(fresh)
        led += fresh
        border = fresh[:STARTS]
    others = np.array(led[: max(0, MOST_NODES - len(mine) - len(beside))], np.int64)
    of_tests = is_test[others]
    of_test, of_code = others[of_tests], others[~of_tests]
    node = np.concatenate([np.array(mine, np.int64), of_test, np.array(beside, np.int64), of_code])
    known = [np.array(candidates, np.int64), rows[of_test], np.array(outside, np.int64), rows[of_code]]
    return Nodes(np.concatenate(known), node, len(mine), len(mine) + len(of_test), len(beside))


def neighbourhood(edges: Adjacency, nodes: Nodes, scores: Floats, text: Floats, near: Floats) -> Neighbourhood:
    """The nodes with what is known of each: the score of the search (0 to 1), BM25, and the cosine; and the edges among
    them at those that may be an answer."""
    target, source, side = _joined(edges, nodes.node)
    weight = edges.weight.ravel()[side]
    features = np.zeros((len(scores), len(FEATURES)), np.float32)
    features[:, 0] = scores
    features[:, 1] = text / (text.max(initial=0.0) or 1.0)
    features[:, 2] = near
    features[: nodes.found, 3] = 1.0
    features[: nodes.tests, 4] = 1.0
    features[nodes.tests :, 5] = 1.0
    features[:, 6] = _walk(near, target, source, weight)
    features[:, 7] = 1.0
    kept = slice(0, int(np.searchsorted(target, nodes.tests)))
    may_answer = np.arange(len(scores)) < nodes.tests
    relation, strength = edges.relation.ravel()[side[kept]], np.log(weight[kept])
    return Neighbourhood(features, SPREAD * scores, may_answer, target[kept], source[kept], relation, strength)


def _joined(
    edges: Adjacency, node: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The edges among nodes: the place of the one, the place of the other, and where the edge stands, by the one."""
    has = np.flatnonzero(node >= 0)
    joined, slots = node[has], edges.slots
    slots[joined] = has
    source = slots[edges.other[joined]]
    slots[joined] = -1
    at, place = np.nonzero(source >= 0)
    return has[at], source[at, place], joined[at] * EACH + place


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
