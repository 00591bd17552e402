"""The built-in embedding: a table of rows for stems, their weighted sum for a text. No model runs, nothing is loaded
but the table."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aqe import simd
from aqe.engine.embedding.embedder import embed_with_names
from aqe.engine.embedding.table import Table, read_table

if TYPE_CHECKING:
    from numpy.typing import NDArray


class StaticEmbedder:
    """An embedder over one table: v = unit(sum of tf * (k + 1) / (tf + k) * row over the stems of a text)."""

    def __init__(self, table: Table) -> None:
        self.id = f"aqe-static-1:{table.sha256[:8]}"
        self.dimension = table.dimension
        self._table = table
        self._rows, self._scales = table.rows.data, table.scales.data
        self._vocabulary = simd.vocabulary(table.words, buckets=table.buckets)
        self._vector = self._vocabulary.embedding(self._rows, self._scales, k=table.tf_k)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row for each text; zeros for a text without a letter or digit."""
        return embed_with_names(self._plain, texts, self._table.name_weight)

    def vector_of(self, text: str) -> NDArray[np.float32]:
        """The unit vector of one text, read-only: what `embed` gives, for fewer calls."""
        if "def" in text or "class" in text:  # maybe code, which has a part for its name
            row: NDArray[np.float32] = self.embed([text])[0]
            return row
        made: NDArray[np.float32] = np.frombuffer(self._vector(text.encode("utf-8", "replace")), np.float32)
        return made

    def _plain(self, texts: Sequence[str]) -> NDArray[np.float32]:
        table = self._table
        if len(texts) == 1:
            return np.frombuffer(self._vector(texts[0].encode("utf-8", "replace")), np.float32)[np.newaxis]
        out = np.empty((len(texts), table.dimension), np.float32)
        data = [text.encode("utf-8", "replace") for text in texts]
        self._vocabulary.embed(data, self._rows, self._scales, k=table.tf_k, out=out.data)
        return out


def built_in_path() -> Path:
    """Where the table lies that comes with aqe."""
    return Path(str(files("aqe.engine.embedding"))) / "data" / "table.aqet"


@functools.cache
def open_static(path: Path | None = None) -> StaticEmbedder:
    """The embedder over the table that comes with aqe, or over another file; read and checked once a process.

    Raises `UserError` (embedding-broken).
    """
    return StaticEmbedder(read_table(path or built_in_path()))
