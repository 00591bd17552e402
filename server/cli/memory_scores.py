"""The scores of what `aqe memory search` found, and with --explain what they are made of, as lines to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aqe.server.nearness import is_far, shown_words

if TYPE_CHECKING:
    from aqe.engine.memory import Hit, SearchAnswer
    from aqe.engine.memory.entry import Explained

_LONG = 10_000.0
"""A score of `memory.rank` from which on its digits are not all shown."""


def explained(hit: Hit, why: Explained, rank: str | None = None) -> str:
    """What a score by words and meaning is made of, as one line; `rank` is the user's own order, if there is one."""
    words = "no word of it" if hit.text_score is None else f"BM25 {hit.text_score:.3g}"
    meaning = "no vector" if hit.vector_score is None else f"cosine {hit.vector_score:.3f}"
    whole = why.vector_share * why.vector_standard + (1 - why.vector_share) * why.text_standard + hit.prior
    share = f"{why.vector_share:.2f} x {why.vector_standard:+.2f} ({meaning})"
    rest = f"{1 - why.vector_share:.2f} x {why.text_standard:+.2f} ({words})"
    feedback = f" {hit.prior:+.2f} by feedback" if hit.prior else ""
    place = f"which is {why.similarity:.2f} of the way from the worst to the best of {why.candidates}"
    if rank is not None:
        place += f", and {hit.score:.3g} by memory.rank ({rank})"
    elif why.graph_added:
        place += f"; edges add {why.graph_added:+.2f}, so it is {hit.score:.2f} of the way among all that was looked at"
    elif hit.memory.stale and hit.score < why.similarity:
        place += f", and {hit.score:.2f} as its file changed"
    alone = f"{why.text_rank or '-'} by words, {why.vector_rank or '-'} by meaning"
    ranks = f"place {alone}, {why.reciprocal_rank} by reciprocal ranks"
    return f"{whole:+.2f} = {share} + {rest}{feedback}, {place}; {ranks}"


def shown_scores(hit: Hit, counts: Mapping[str, int]) -> str:
    """The score of a hit, which of the query's words it holds, the cosine, and what feedback adds, if any."""
    meaning = "    -" if hit.vector_score is None else f"{hit.vector_score:5.2f}"
    feedback = f", feedback {hit.prior:+.2f}" if hit.prior else ""
    score = f"{hit.score:4.2f}" if abs(hit.score) < _LONG else f"{hit.score:.3g}"
    words = shown_words(counts)
    return f"{score} ({words}{', ' if words else ''}meaning {meaning}{feedback})"


def summed_up(answer: SearchAnswer, counts: Sequence[Mapping[str, int]], rank: str | None) -> str:
    """How many were found and how, and what their scores say and do not."""
    told = f"{len(answer.hits)} found by {answer.mode}"
    if len(answer.hits) > 1 and rank is None:
        told += "; scores compare the hits of this answer alone"
    if is_far(counts):
        told += "; none holds a word of the query, they are the nearest by meaning, however far that is"
    return told
