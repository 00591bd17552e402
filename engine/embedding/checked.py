"""An embedder that was handed in, held to what it promises before anything it made is stored or compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aqe.engine.embedding.static import StaticEmbedder
from aqe.engine.errors import AqeError, UserError
from aqe.engine.memory.entry import DIMENSIONS, ID_BYTES, stored_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aqe.engine.embedding.embedder import Embedder

UNIT = 1e-3
"""How far from 1 the length of a row may be that is left as it is."""

_PROMISE = "Give one with an `id`, a `dimension`, and `embed(texts)` that gives finite rows (texts, dimension)."


class CheckedEmbedder:
    """The same vectors, each checked: as many rows as texts, as long as `dimension`, finite. Rows of another length
    than 1 are brought to it, and what the caller may write into later is copied."""

    def __init__(self, embedder: Any) -> None:
        self.id = _checked_id(getattr(embedder, "id", None))
        self.dimension = _checked_dimension(self.id, getattr(embedder, "dimension", None))
        if not callable(getattr(embedder, "embed", None)):
            raise _refused(f"The embedder {self.id!r} has no method `embed`")
        self._embedder = embedder

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row for each text. Raises `UserError` (bad-embedder) for rows that are none, and for any error of
        the embedder's own, which is the cause."""
        try:
            given = self._embedder.embed(texts)
        except AqeError:
            raise
        except Exception as error:
            told = " ".join(str(error).split())[:200]
            raise _refused(
                f"The embedder {self.id!r} failed with {type(error).__name__}: {told}".rstrip(": ")
            ) from error
        try:
            with np.errstate(over="ignore"):
                rows = np.array(given, np.float32)
        except (TypeError, ValueError) as error:
            raise _refused(f"The embedder {self.id!r} gave {type(given).__name__}, not rows of numbers") from error
        if rows.shape != (len(texts), self.dimension):
            wanted = f"{len(texts)} rows of {self.dimension} numbers"
            raise _refused(f"The embedder {self.id!r} gave {_shape(rows)} where {wanted} were asked for")
        if not np.isfinite(rows).all():
            raise _refused(f"The embedder {self.id!r} gave a vector with a number that is not finite")
        return _of_length_1(rows)


def checked(embedder: Embedder) -> Embedder:
    """The embedder, checked at each use; the built-in table needs none. Raises `UserError` (bad-embedder)."""
    return embedder if isinstance(embedder, StaticEmbedder) else CheckedEmbedder(embedder)


def _checked_id(id: object) -> str:
    if not isinstance(id, str):
        raise _refused(f"The id of the embedder is {type(id).__name__}, not a text")
    if not 0 < stored_size(id, "The id of the embedder", "bad-embedder") <= ID_BYTES:
        raise _refused(f"The id of the embedder has not 1 to {ID_BYTES} bytes")
    return id


def _checked_dimension(id: str, dimension: object) -> int:
    if isinstance(dimension, bool) or not isinstance(dimension, int | np.integer) or not 0 < dimension <= DIMENSIONS:
        raise _refused(f"The dimension of the embedder {id!r} is {dimension!r:.40}, not 1 to {DIMENSIONS}")
    return int(dimension)


def _shape(rows: NDArray[np.float32]) -> str:
    if rows.ndim == 2:
        return f"{len(rows)} rows of {rows.shape[1]}"
    return "nothing" if rows.ndim == 0 else f"an array of {rows.ndim} dimension{'s' * (rows.ndim > 1)}"


def _of_length_1(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    lengths = np.sqrt(squares)
    other = (lengths > 0) & (abs(lengths - 1) > UNIT)
    if other.any():
        rows[other] = rows[other] / lengths[other, np.newaxis]
    return rows


def _refused(message: str) -> UserError:
    return UserError(f"{message}.", code="bad-embedder", fix=_PROMISE)
