"""Multi-head attention over the neighbourhood of a search's candidates, aware of the kinds of edges.

Each node attends to the nodes that edges join it with, and to itself. The form is that of graph attention networks
(Velickovic et al., 2018, arXiv 1710.10903): a softmax over a node's own neighbours, several heads side by side. The
match of query and key is scaled dot product with a term of the edge's kind on both keys and values (Shaw et al., 2018,
arXiv 1803.02155), and a term for the logarithm of its weight. What a node gets is turned into one number, which is
added to the score that the search gave it.

All weights stand in one flat float32 vector, so that what learns them need not know their shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

HEADS, WIDTH = 4, 6
FEATURES = ("score", "text", "vector", "is found", "is a test", "is code", "walk", "one")
ATTENDED = ("covers", "imports", "calls")
"""The kinds of edges that are looked at: those that the weights were learned from."""

RELATIONS = ("self", *(f"{kind} {way}" for kind in ATTENDED for way in ("out", "in")))
"""What an edge is to the node that attends: `covers out`, it tests the other; `covers in`, the other tests it."""

SHAPES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("query", (len(FEATURES), HEADS, WIDTH)),
    ("key", (len(FEATURES), HEADS, WIDTH)),
    ("value", (len(FEATURES), HEADS, WIDTH)),
    ("relation_key", (len(RELATIONS), HEADS, WIDTH)),
    ("relation_value", (len(RELATIONS), HEADS, WIDTH)),
    ("relation_bias", (len(RELATIONS), HEADS)),
    ("strength", (HEADS,)),
    ("out", (HEADS, WIDTH)),
    ("own", (len(FEATURES),)),
)
SIZE = sum(int(np.prod(shape)) for _, shape in SHAPES)


@dataclass(frozen=True)
class Neighbourhood:
    """Nodes with their features (n, FEATURES), base scores (n,) and whether they may be an answer; and edges as the
    node that attends, the node that it attends to, their relation, and the logarithm of the edge's weight, ordered by
    the node that attends. Every node attends to itself too."""

    features: Floats
    scores: Floats
    may_answer: NDArray[np.bool_]
    target: NDArray[np.int64]
    source: NDArray[np.int64]
    relation: NDArray[np.int64]
    strength: Floats

    @classmethod
    def of(
        cls,
        features: Floats,
        scores: Floats,
        may_answer: NDArray[np.bool_],
        edges: Sequence[tuple[int, int, str, float]],
    ) -> Neighbourhood:
        """From edges as node that attends, node attended to, relation and weight."""
        kinds = {name: at for at, name in enumerate(RELATIONS)}
        ordered = sorted(edges, key=lambda edge: edge[0])
        target, source = (np.array([edge[end] for edge in ordered], np.int64) for end in (0, 1))
        relation = np.array([kinds[edge[2]] for edge in ordered], np.int64)
        strength = np.log(np.array([edge[3] for edge in ordered], np.float64))
        return cls(features, scores, may_answer, target, source, relation, strength)

    def with_own(self) -> Neighbourhood:
        """The same with an edge of each node to itself among the edges, in no order."""
        own, none = np.arange(len(self.scores)), np.zeros(len(self.scores))
        return replace(
            self,
            target=np.concatenate([own, self.target]),
            source=np.concatenate([own, self.source]),
            relation=np.concatenate([none.astype(np.int64), self.relation]),
            strength=np.concatenate([none, self.strength]),
        )


_FLAT = HEADS * WIDTH
_STEEPEST = 30.0
"""A match beyond this counts as this: the shares of all others are nothing beside it."""


def parts_of(weights: Floats) -> dict[str, Floats]:
    """Views of the flat weights by name."""
    found, at = {}, 0
    for name, shape in SHAPES:
        size = int(np.prod(shape))
        found[name] = weights[at : at + size].reshape(shape)
        at += size
    return found


def initial(seed: int) -> Floats:
    """Small random weights whose contribution begins near zero."""
    draw = np.random.default_rng(seed)
    weights = draw.normal(0.0, 0.2, SIZE)
    parts = parts_of(weights)
    parts["out"][:] *= 0.5
    parts["own"][:] = 0.0
    parts["strength"][:] = 0.5
    return weights


class Attention:
    """Weights made ready for many neighbourhoods."""

    def __init__(self, weights: Floats) -> None:
        parts = parts_of(np.asarray(weights, np.float64))
        scale, wide = 1.0 / np.sqrt(WIDTH), _FLAT
        flat = [parts[name].reshape(len(FEATURES), wide) for name in ("query", "key", "value")]
        self._ends = np.concatenate([flat[0] * scale, flat[1], flat[2], parts["own"][:, None]], axis=1).astype(
            np.float32
        )
        tables = [parts[f"relation_{name}"].reshape(len(RELATIONS), wide) for name in ("key", "value")]
        self._keys, self._values = (table.astype(np.float32) for table in tables)
        self._bias = parts["relation_bias"].astype(np.float32)
        self._strength = parts["strength"].astype(np.float32)
        self._out = parts["out"].reshape(wide).astype(np.float32)

    def added(self, hood: Neighbourhood) -> NDArray[np.float32]:
        """What is added to the score of each node up to the last that may be an answer, 0 for the others (n,)."""
        answers = np.flatnonzero(hood.may_answer)
        count = int(answers[-1]) + 1 if len(answers) else 0
        kept = int(np.searchsorted(hood.target, count))
        to, source, relation = hood.target[:kept], hood.source[:kept], hood.relation[:kept]
        shape = (-1, HEADS, WIDTH)
        ends = hood.features.astype(np.float32, copy=False) @ self._ends  # too few numbers for a second thread
        query, key, value = (ends[:, at * _FLAT : (at + 1) * _FLAT] for at in range(3))
        own = np.add.reduce((query[:count] * (key[:count] + self._keys[0])).reshape(shape), axis=2) + self._bias[0]
        total = np.exp(own.clip(-_STEEPEST, _STEEPEST))
        got = (value[:count] + self._values[0]).reshape(shape) * total[:, :, None]
        if len(to):
            match = key[source]
            match += self._keys[relation]
            match *= query[to]
            share = np.add.reduce(match.reshape(shape), axis=2) + self._bias[relation]
            share += hood.strength[:kept].astype(np.float32)[:, None] * self._strength
            np.exp(share.clip(-_STEEPEST, _STEEPEST), out=share)
            weighed = value[source]
            weighed += self._values[relation]
            by_head = weighed.reshape(shape)
            by_head *= share[:, :, None]
            first = np.flatnonzero(np.diff(to, prepend=-1))
            total[to[first]] += np.add.reduceat(share, first, axis=0)
            got[to[first]] += np.add.reduceat(by_head, first, axis=0)
        got /= total[:, :, None]
        added = np.zeros(len(hood.scores), np.float32)
        added[:count] = np.tanh(got).reshape(count, _FLAT) @ self._out + ends[:count, -1]
        return added


def attend(weights: Floats, hood: Neighbourhood) -> Floats:
    """The new score of each node (n,)."""
    return hood.scores + Attention(weights).added(hood)


@dataclass(frozen=True)
class _Pass:
    """What the way back needs of the way there."""

    query: Floats
    key: Floats
    value: Floats
    share: Floats
    got: Floats
    scores: Floats


def _forward(parts: dict[str, Floats], hood: Neighbourhood) -> _Pass:
    """As `Attention.added`, one step after the other; `hood` has its own edges."""
    count, to = len(hood.scores), hood.target
    query = np.einsum("nf,fhw->nhw", hood.features, parts["query"])
    key = np.einsum("nf,fhw->nhw", hood.features, parts["key"])[hood.source] + parts["relation_key"][hood.relation]
    value = np.einsum("nf,fhw->nhw", hood.features, parts["value"])[hood.source]
    value = value + parts["relation_value"][hood.relation]
    match = np.einsum("ehw,ehw->eh", query[to], key) / np.sqrt(WIDTH)
    match += parts["relation_bias"][hood.relation] + hood.strength[:, None] * parts["strength"]
    share = np.exp(match.clip(-_STEEPEST, _STEEPEST))
    share /= _sums(share, to, count)[to]
    got = _sums(share[:, :, None] * value, to, count)
    scores = hood.scores + hood.features @ parts["own"] + np.einsum("nhw,hw->n", np.tanh(got), parts["out"])
    return _Pass(query, key, value, share, got, scores)


def loss_and_gradient(weights: Floats, hood: Neighbourhood, right: NDArray[np.bool_]) -> tuple[float, Floats]:
    """How improbable the right nodes are under a softmax over the scores of those that may be an answer, and its
    gradient by the weights."""
    parts, hood = parts_of(weights), hood.with_own()
    there = _forward(parts, hood)
    weight = np.exp(there.scores - there.scores[hood.may_answer].max()) * hood.may_answer
    probability, given = weight / weight.sum(), weight * right / (weight * right).sum()
    loss = float(np.log(weight.sum()) - np.log((weight * right).sum()))
    return loss, _backward(parts, hood, there, probability - given)


def _backward(parts: dict[str, Floats], hood: Neighbourhood, there: _Pass, by_score: Floats) -> Floats:
    gradient = np.zeros(SIZE)
    found, to, x = parts_of(gradient), hood.target, hood.features
    squashed = np.tanh(there.got)
    found["own"][:] = x.T @ by_score
    found["out"][:] = np.einsum("n,nhw->hw", by_score, squashed)
    by_got = by_score[:, None, None] * parts["out"] * (1.0 - squashed**2)
    by_value = there.share[:, :, None] * by_got[to]
    by_share = np.einsum("ehw,ehw->eh", there.value, by_got[to])
    count = len(hood.scores)
    by_match = there.share * (by_share - _sums(there.share * by_share, to, count)[to])
    found["relation_bias"][:] = _sums(by_match, hood.relation, len(RELATIONS))
    found["strength"][:] = hood.strength @ by_match
    scaled = by_match[:, :, None] / np.sqrt(WIDTH)
    by_key, by_query = scaled * there.query[to], scaled * there.key
    for name, by_end in (("key", by_key), ("value", by_value)):
        found[f"relation_{name}"][:] = _sums(by_end, hood.relation, len(RELATIONS))
        found[name][:] = np.einsum("nf,nhw->fhw", x, _sums(by_end, hood.source, count))
    found["query"][:] = np.einsum("nf,nhw->fhw", x, _sums(by_query, to, count))
    return gradient


def _sums(values: Floats, at: NDArray[np.int64], count: int) -> Floats:
    """The sum of the values at each of `count` places."""
    order = np.argsort(at, kind="stable")
    first = np.flatnonzero(np.diff(at[order], prepend=-1))
    found = np.zeros((count, *values.shape[1:]))
    if len(first):
        found[at[order[first]]] = np.add.reduceat(values[order], first, axis=0)
    return found


def learn(
    weights: Floats,
    cases: Sequence[tuple[Neighbourhood, NDArray[np.bool_]]],
    *,
    rounds: int,
    rate: float,
    decay: float,
    seed: int,
    batch: int = 16,
) -> Floats:
    """Weights that give the right nodes of `cases` more: Adam (Kingma and Ba, 2015, arXiv 1412.6980) over batches in
    an order that `seed` draws, drawn towards zero by `decay`. Cases without a right node say nothing."""
    usable = [case for case in cases if case[1].any()]
    draw = np.random.default_rng(seed)
    weights = weights.copy()
    mean, square, step = np.zeros(SIZE), np.zeros(SIZE), 0
    for _ in range(rounds):
        order = draw.permutation(len(usable))
        for first in range(0, len(usable), batch):
            chosen = [usable[at] for at in order[first : first + batch]]
            gradient = sum((loss_and_gradient(weights, *case)[1] for case in chosen), np.zeros(SIZE)) / len(chosen)
            step += 1
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            move = (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
            weights -= rate * (move + decay * weights)
    return weights
