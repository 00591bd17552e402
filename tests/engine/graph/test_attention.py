"""Attention over a neighbourhood: its gradient, what it learns, and what the kinds of edges do to it."""

from __future__ import annotations

import numpy as np
import pytest

from aqe.engine.memory.graph.attention import (
    FEATURES,
    RELATIONS,
    SIZE,
    Neighbourhood,
    attend,
    initial,
    learn,
    loss_and_gradient,
    parts_of,
)


def random_hood(seed: int, nodes: int = 9, edges: int = 20) -> Neighbourhood:
    """Nodes with random features and edges; the last two may not be an answer."""
    draw = np.random.default_rng(seed)
    joined = [
        (
            int(draw.integers(nodes)),
            int(draw.integers(nodes)),
            RELATIONS[int(draw.integers(1, len(RELATIONS)))],
            float(draw.uniform(0.1, 3.0)),
        )
        for _ in range(edges)
    ]
    may = np.arange(nodes) < nodes - 2
    return Neighbourhood.of(draw.normal(size=(nodes, len(FEATURES))), draw.normal(size=nodes), may, joined)


def test_parts_cover_the_flat_weights() -> None:
    """Each number of the flat weights belongs to exactly one part."""
    weights = np.zeros(SIZE)
    for part in parts_of(weights).values():
        part += 1.0
    assert (weights == 1.0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_gradient_is_that_of_the_loss(seed: int) -> None:
    """Along random directions the loss changes as its gradient says."""
    hood, draw = random_hood(seed), np.random.default_rng(seed)
    right = np.zeros(9, bool)
    right[[1, 4]] = True
    weights = 2 * initial(seed)
    gradient = loss_and_gradient(weights, hood, right)[1]
    for _ in range(20):
        way = draw.normal(size=SIZE)
        step = 1e-6 * way
        above, below = loss_and_gradient(weights + step, hood, right), loss_and_gradient(weights - step, hood, right)
        assert (above[0] - below[0]) / 2e-6 == pytest.approx(gradient @ way, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("edges", [0, 1, 30])
def test_quick_way_gives_what_is_learned_by(edges: int) -> None:
    """What a search computes in single precision is what the weights were learned by."""
    hood, weights = random_hood(7, edges=edges), 3 * initial(7)
    right = hood.may_answer & (np.arange(9) < 2)
    quick = attend(weights, hood)
    over = quick - quick[hood.may_answer].max()
    share = np.exp(over[hood.may_answer]) / np.exp(over[hood.may_answer]).sum()
    loss = -np.log(share[right[hood.may_answer]].sum())
    assert loss_and_gradient(weights, hood, right)[0] == pytest.approx(loss, abs=1e-5)


def test_without_weights_the_scores_stay() -> None:
    """Weights of zero leave the order of a search as it is."""
    hood = random_hood(3)
    assert attend(np.zeros(SIZE), hood) == pytest.approx(hood.scores)


def test_kind_of_an_edge_is_learned() -> None:
    """Where the tested ones are right, and those that only call are not, the kind of the edge decides."""

    def case(seed: int) -> tuple[Neighbourhood, np.ndarray]:
        draw = np.random.default_rng(seed)
        right = int(draw.integers(1, 6))
        joined = [(at, 0, "covers out" if at == right else "calls out", 1.0) for at in range(1, 6)]
        hood = Neighbourhood.of(np.ones((6, len(FEATURES))), draw.normal(size=6), np.arange(6) > 0, joined)
        return hood, np.arange(6) == right

    weights = learn(initial(0), [case(seed) for seed in range(60)], rounds=12, rate=0.02, decay=0.0, seed=0)
    unseen = [case(seed) for seed in range(1000, 1040)]
    before = np.mean([right[np.argmax(np.where(hood.may_answer, hood.scores, -9e9))] for hood, right in unseen])
    after = np.mean(
        [right[np.argmax(np.where(hood.may_answer, attend(weights, hood), -9e9))] for hood, right in unseen]
    )
    assert before < 0.5
    assert after > 0.95


def test_learning_twice_gives_the_same() -> None:
    """The same cases and seed give the same weights; cases without a right node change nothing."""
    right = np.arange(9) == 2
    cases = [(random_hood(seed), right) for seed in range(4)]
    first = learn(initial(0), cases, rounds=2, rate=0.01, decay=0.01, seed=1)
    again = learn(initial(0), [*cases, (random_hood(9), np.zeros(9, bool))], rounds=2, rate=0.01, decay=0.01, seed=1)
    assert (first == again).all()
