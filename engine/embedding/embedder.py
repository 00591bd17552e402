"""What an embedder is, which one the settings name, and how alike two texts are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from aqe.engine.embedding.names import defined_name
from aqe.engine.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aqe.engine.settings import Settings

    Vectors = NDArray[np.float32]

STATIC = "static"
SENTENCE_TRANSFORMERS = "sentence-transformers:"


class Embedder(Protocol):
    """Texts as unit vectors of one space. Two embedders with the same `id` give the same vectors; with another `id`
    they share nothing, and their vectors are never compared."""

    @property
    def id(self) -> str:
        """The space: which model, and which weights."""

    @property
    def dimension(self) -> int:
        """Items to a vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text, float32 (texts, dimension), of length 1; zeros for a text that says nothing.

        Text that is code gets a part for the name it defines. Threads may share an embedder.
        """


def open_embedder(settings: Settings) -> Embedder:
    """The embedder that the setting `embedder` names, opened once a process.

    Raises `UserError` (embedding-broken, missing-extra, no-embedding-model).
    """
    wanted = settings.embedder
    if wanted == STATIC:
        from aqe.engine.embedding.static import open_static

        return open_static()
    from aqe.engine.embedding.sentence_transformers import open_sentence_transformer

    return open_sentence_transformer(wanted.removeprefix(SENTENCE_TRANSFORMERS))


def similarity(embedder: Embedder, a: str, b: str) -> float:
    """How alike two texts are, from 0 (nothing in common, or one says nothing) to 1 (the same)."""
    rows = embedder.embed([a, b])
    return float(np.clip(np.dot(rows[0], rows[1]), 0.0, 1.0))


def embed_with_names(embed: Callable[[Sequence[str]], Vectors], texts: Sequence[str], weight: float) -> Vectors:
    """The vectors that `embed` gives, those of code as unit(vector of the text + weight * vector of its name)."""
    vectors = embed(texts)
    names = [(at, name) for at, text in enumerate(texts) if (name := defined_name(text)) is not None]
    if names and weight:
        rows = [at for at, _ in names]
        mixed = vectors[rows] + np.float32(weight) * embed([name for _, name in names])
        lengths = np.sqrt(np.einsum("ij,ij->i", mixed, mixed))
        vectors[rows] = mixed / np.where(lengths > 0, lengths, 1)[:, np.newaxis]
    return vectors


def no_model(name: str, why: str) -> UserError:
    """The error for a model of sentence-transformers that cannot be loaded."""
    return UserError(
        f"The embedding model {name!r} cannot be loaded: {why}.",
        code="no-embedding-model",
        fix='Set embedder = "sentence-transformers:FOLDER" to a model on this machine, or embedder = "static".',
    )
