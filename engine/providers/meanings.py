"""What English words mean, as short vectors: likeness of words, and of texts as the sum of theirs.

`data/meanings.npy` (made by benchmarks/train_meanings.py, which says from what) has a row for each stem, sorted by it:
the stem, its weight in a text, 96 int8 that make its vector up to its length. Words that are not there mean nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Meanings:
    """The table: sorted `words` (n,) as bytes, `rows` int8 (n, d), and the `weights` (n,) of words in texts."""

    words: NDArray[np.bytes_]
    rows: NDArray[np.int8]
    weights: NDArray[np.float32]

    def places(self, words: Collection[str]) -> NDArray[np.intp]:
        """Where each of some stems stands in the table; -1 for those that it does not have."""
        if not words:
            return np.zeros(0, np.intp)
        longest = self.words.dtype.itemsize  # an array of another width would have the whole table copied
        named = [word if len(word) <= longest and word.isascii() else "" for word in words]
        asked = np.array(named, dtype=self.words.dtype)
        found = np.minimum(np.searchsorted(self.words, asked), len(self.words) - 1)
        return np.where(self.words[found] == asked, found, -1)

    def vectors(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """A unit row for each place, zero for -1."""
        rows = self.rows[places].astype(np.float32)
        rows[places < 0] = 0.0
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        return np.asarray(np.divide(rows, lengths, out=rows, where=lengths > 0))

    def of_texts(self, places: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float32]:
        """A unit row for each of some texts: the weighted sum of its words; zero where it has none.

        `places` has the words of all texts one after the other (all at least 0), `counts` how many each has.
        """
        made = np.zeros((len(counts), self.rows.shape[1]), np.float32)
        some = counts > 0
        if not some.any():
            return made
        every, back = np.unique(places, return_inverse=True)
        weighed = self.vectors(every) * self.weights[every][:, None]
        starts = np.concatenate([[0], np.cumsum(counts[some])[:-1]])
        made[some] = np.add.reduceat(weighed[back], starts, axis=0)
        lengths = np.sqrt(np.einsum("ij,ij->i", made, made))[:, None]
        return np.asarray(np.divide(made, lengths, out=made, where=lengths > 0))


@cache
def meanings() -> Meanings:
    """The table that comes with aqe, its rows read from the file as they are needed."""
    with as_file(files("aqe.engine.providers") / "data" / "meanings.npy") as path:
        table: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    return Meanings(np.ascontiguousarray(table["word"]), table["row"], table["weight"].astype(np.float32))
