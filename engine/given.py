"""The texts that a session was given to answer from, among the passages that were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aqe.engine.providers.extractive import Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder
    from aqe.engine.sessions.entry import Turn

GIVEN = "session"
"""The namespace of such texts; they are no memories."""


def with_given(
    passages: Sequence[Passage],
    texts: Sequence[Turn],
    session: str,
    embedder: Embedder,
    vector: NDArray[np.float32],
) -> tuple[Passage, ...]:
    """The passages with the texts of the session of this name, placed among them by meaning, best first; `vector` is
    the question's."""
    near = embedder.embed([turn.text for turn in texts]) @ vector
    best = max((one.vector_score or 0.0 for one in passages), default=0.0) or 1.0
    top = max((one.score for one in passages), default=0.0) or 1.0
    given = [
        Passage(
            id=f"session {session} turn {turn.position}",
            text=turn.text,
            file=None,
            line=None,
            score=top * max(0.0, float(cosine)) / best,
            namespace=GIVEN,
            vector_score=float(cosine),
        )
        for turn, cosine in zip(texts, near, strict=True)
    ]
    return tuple(sorted((*passages, *given), key=lambda one: -one.score))
