"""Training of a static table by contrast: a sentence shall lie nearer to its own text than to those beside it.

Symmetric InfoNCE (van den Oord et al., 2018) over a batch, Adam with warm-up and linear decay, on one thread and
seeded, so that the same pairs give the same table on one machine. The only file here that needs torch, which aqe itself
never does: `pip install torch==2.13.0`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

VIEWS = ("code", "nameless", "rest", "nameless")
_WARM_UP_STEPS = 30
_LAST_RATE = 0.03


@dataclass(frozen=True)
class Bags:
    """Texts as weighted rows of a table: those of text i stand at starts[i]:starts[i + 1]."""

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def sizes(self) -> NDArray[np.int64]:
        """How many rows each text has."""
        return np.diff(self.starts)

    def take(self, chosen: NDArray[np.int64]) -> Bags:
        """The texts of these numbers, in this order."""
        sizes = self.sizes()[chosen]
        starts = np.concatenate(([0], np.cumsum(sizes)))
        at = np.arange(starts[-1]) + np.repeat(self.starts[chosen] - starts[:-1], sizes)
        return Bags(starts, self.rows[at], self.weights[at])


@dataclass(frozen=True)
class Plan:
    """How a table is trained; `rate` is the highest learning rate, `dropout` the share of tokens left out of a text."""

    dimension: int = 384
    batch: int = 1024
    epochs: float = 7.0
    rate: float = 4e-3
    tau: float = 0.05
    dropout: float = 0.05
    seed: int = 0


def start_rows(bags: Sequence[Bags], count: int, plan: Plan, *, words: int) -> NDArray[np.float32]:
    """Gaussian rows times the row's inverse document frequency; `bags` hold the same documents, part by part.

    A 4-gram's row (from `words` on) begins with the weight of a token that hardly occurs: that is what it stands for.
    """
    documents = len(bags[0])
    held = np.zeros(count)
    owners = np.concatenate([np.repeat(np.arange(documents), part.sizes()) for part in bags])
    rows = np.concatenate([part.rows for part in bags])
    pairs = np.unique(owners * count + rows)
    np.add.at(held, pairs % count, 1)
    idf = np.log((documents + 1) / (held + 0.5))
    idf[words:] = np.log(documents + 1)
    draw = np.random.default_rng(plan.seed).standard_normal((count, plan.dimension))
    return (draw * idf[:, None] / np.sqrt(plan.dimension) / idf.mean()).astype(np.float32)


def train(start: NDArray[np.float32], queries: Bags, texts: Mapping[str, Bags], plan: Plan) -> NDArray[np.float32]:
    """The trained rows; `texts` has for each view of `VIEWS` what a query shall find, empty where there is none."""
    torch.manual_seed(plan.seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    table = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimiser = torch.optim.Adam([table], lr=plan.rate)
    steps = max(1, round(len(queries) * plan.epochs / plan.batch))
    streams = {view: _batches(texts[view], plan, number) for number, view in enumerate(sorted(set(VIEWS)))}
    losses, began = [], time.monotonic()
    for step in range(steps):
        view = VIEWS[step % len(VIEWS)]
        chosen = next(streams[view])
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * _schedule(step, steps)
        left = _vectors(table, queries.take(chosen), plan.dropout)
        right = _vectors(table, texts[view].take(chosen), plan.dropout)
        scores = left @ right.T / plan.tau
        target = torch.arange(len(chosen))
        loss = (functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target)) / 2
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(
                f"step {step + 1}/{steps}: loss {np.mean(losses[-100:]):.3f}, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    return table.detach().numpy()


def _batches(texts: Bags, plan: Plan, number: int) -> Iterator[NDArray[np.int64]]:
    """Batches without end, each pair once before any comes again."""
    draw = np.random.default_rng([plan.seed, number])
    usable = np.flatnonzero(texts.sizes() > 0)
    size = min(plan.batch, len(usable))
    while True:
        order = draw.permutation(usable)
        for at in range(0, len(order) - size + 1, size):
            yield order[at : at + size]


def _vectors(table: torch.nn.Parameter, bags: Bags, dropout: float) -> torch.Tensor:
    weights = torch.from_numpy(bags.weights)
    if dropout:
        weights = weights * (torch.rand(len(weights)) >= dropout)
    rows, starts = torch.from_numpy(bags.rows.astype(np.int64)), torch.from_numpy(bags.starts[:-1])
    summed = functional.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights)
    return functional.normalize(summed, eps=1e-6)


def _schedule(step: int, steps: int) -> float:
    """Share of the highest learning rate: a short rise, then a line down to `_LAST_RATE`."""
    warm = min(_WARM_UP_STEPS, max(1, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 1 - (1 - _LAST_RATE) * (step - warm) / max(1, steps - warm)


def vectors(rows: NDArray[np.float32], bags: Bags) -> NDArray[np.float32]:
    """The unit vector of each text under these rows."""
    with torch.no_grad():
        return _vectors(torch.nn.Parameter(torch.from_numpy(rows)), bags, 0.0).numpy()


def reciprocal_rank(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """MRR@10 of finding right[i] by left[i] among all of `right`."""
    scores = left @ right.T
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(axis=1)
    return float(np.where(ranks <= 10, 1 / ranks, 0).mean())
