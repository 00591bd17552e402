"""A conversation's older turns in fewer tokens, without a model: its most central sentences, in their order.

Centrality is LexRank (Erkan and Radev, 2004): the stationary distribution of a walk between sentences whose vectors
are near, found by power iteration. Nothing is reworded, so nothing can be made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

METHOD = "lexrank"
NEAR = 0.1
DAMPING = 0.85
ROUNDS = 50
MOST_SENTENCES = 400
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9À-ÖØ-Þ`])|\n+")

Embed = Callable[[Sequence[str]], "NDArray[np.float32]"]


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, without blank ones.

    >>> sentences("Prices round up. Why? Because of e.g. taxes.")
    ['Prices round up.', 'Why?', 'Because of e.g. taxes.']
    """
    return [stripped for part in _END.split(text) if (stripped := part.strip())]


def summarise(
    texts: Sequence[str],
    *,
    token_budget: int,
    embed: Embed,
    count_tokens: Callable[[str], int],
    given: Sequence[str] = (),
) -> tuple[str, ...]:
    """The most central sentences of `texts` that fit into the budget, in their order; each is one of the texts' own.

    Each text of `given` that has sentences among them comes first with its most central one, the last given before
    the others. `embed` gives a unit row for each sentence. With none that fits, the shortest sentence is cut to fit.
    """
    every = list(dict.fromkeys(sentence for text in texts for sentence in sentences(text)))
    own = [set(sentences(text)) for text in reversed(given)]
    known = _looked_at(every, own)
    if not known:
        return ()
    order = [int(place) for place in np.argsort(-centrality(embed(known)), kind="stable")]
    costs = [count_tokens(sentence) + 1 for sentence in known]
    chosen: set[int] = set()
    left = token_budget
    for held in own:
        first = next((place for place in order if known[place] in held and costs[place] <= left), None)
        if first is not None and not any(known[place] in held for place in chosen):
            chosen.add(first)
            left -= costs[first]
    for place in order:
        if costs[place] <= left and place not in chosen:
            chosen.add(place)
            left -= costs[place]
    if not chosen:
        shortest = min(known, key=count_tokens)
        return (shortest[: max(1, token_budget)] + "...",)
    return tuple(known[place] for place in sorted(chosen))


def _looked_at(every: list[str], own: Sequence[set[str]]) -> list[str]:
    """The last sentences, and before them one of each text of which there would be none else."""
    last = every[-MOST_SENTENCES:]
    held = [next((one for one in every if one in text), None) for text in own if text.isdisjoint(last)]
    early = {one for one in held if one is not None}
    return [*(one for one in every[:-MOST_SENTENCES] if one in early), *last]


def centrality(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The LexRank of each row; rows are unit vectors (a zero row is near nothing)."""
    count = len(vectors)
    near = np.asarray(vectors @ vectors.T, dtype=np.float64)
    np.fill_diagonal(near, 0.0)
    near[near < NEAR] = 0.0
    weights = near.sum(axis=1, keepdims=True)
    steps = np.divide(near, weights, out=np.full_like(near, 1.0 / count), where=weights > 0)
    ranks = np.full(count, 1.0 / count)
    for _ in range(ROUNDS):
        after = (1.0 - DAMPING) / count + DAMPING * (ranks @ steps)
        if np.abs(after - ranks).sum() < 1e-9:
            return np.asarray(after)
        ranks = after
    return np.asarray(ranks)
