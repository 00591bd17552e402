"""What English words mean, as short vectors: likeness of words, and of texts as the sum of theirs.

`data/meanings_words.npy` has each stem, sorted, with the place of its row and its weight in a text;
`data/meanings.npy` has the rows, 96 int8 that make a vector up to its length, those of frequent stems first, so that
few pages of the file are touched. benchmarks/train_meanings.py makes them, and says from what. A word that is not
there means nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXTS = 32
"""Texts that are summed at a time."""


@dataclass(frozen=True)
class Meanings:
    """The table: sorted `words` (n,) as bytes with the `numbers` (n,) of their rows; by row the `weights` (n,) of
    words in texts. The rows, int8 (n, d), are `kept` in the `file`, of which no page stays in memory in between."""

    words: NDArray[np.bytes_]
    numbers: NDArray[np.int32]
    file: mmap.mmap
    kept: NDArray[np.int8]
    weights: NDArray[np.float32]

    def places(self, words: Collection[str]) -> NDArray[np.intp]:
        """Where each of some stems stands in the table; -1 for those that it does not have."""
        if not words:
            return np.zeros(0, np.intp)
        longest = self.words.dtype.itemsize  # an array of another width would have the whole table copied
        named = [word if len(word) <= longest and word.isascii() else "" for word in words]
        asked = np.array(named, dtype=self.words.dtype)
        found = np.minimum(np.searchsorted(self.words, asked), len(self.words) - 1)
        return np.where(self.words[found] == asked, self.numbers[found], -1)

    def rows(self, places: NDArray[np.intp]) -> NDArray[np.int8]:
        """The row of each place as it is kept, zero for -1."""
        rows = self.kept[places]
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self.file.madvise(mmap.MADV_DONTNEED)
        rows[places < 0] = 0
        return rows

    def vectors(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """A unit row for each place, zero for -1."""
        return unit_rows(self.rows(places))

    def of_texts(self, places: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float32]:
        """A unit row for each of some texts: the weighted sum of its words; zero where it has none.

        `places` has the words of all texts one after the other (all at least 0), `counts` how many each has.
        """
        if not len(places):
            return np.zeros((len(counts), self.kept.shape[1]), np.float32)
        every, back = np.unique(places, return_inverse=True)
        return self.summed(every, self.vectors(every), back, counts)

    def summed(
        self, places: NDArray[np.intp], rows: NDArray[np.float32], back: NDArray[np.intp], counts: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """As `of_texts` for words whose `vectors` are known: `rows` has those of some places, and `back` which of them,
        all at least 0, each word of the texts is."""
        weighed = rows * self.weights[places][:, None]
        made = np.zeros((len(counts), self.kept.shape[1]), np.float32)
        ends = np.cumsum(counts)
        for first in range(0, len(counts), TEXTS):  # a few at a time, for what it takes of memory
            mine = counts[first : first + TEXTS]
            start, full = int(ends[first] - counts[first]), np.flatnonzero(mine)
            if len(full):
                here = back[start : start + int(mine.sum())]
                starts = (np.cumsum(mine) - mine)[full]
                made[first + full] = np.add.reduceat(weighed[here], starts, axis=0)
        return unit_rows(made)


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Each row divided by its length; one of zeros as it is."""
    made = np.asarray(rows, np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", made, made))
    lengths[lengths == 0.0] = 1.0
    made /= lengths[:, None]
    return made


@cache
def meanings() -> Meanings:
    """The table that comes with aqe, its rows read from the file as they are needed."""
    folder = Path(str(files("aqe.engine.providers"))) / "data"
    listed: Any = np.load(folder / "meanings_words.npy", allow_pickle=False)
    numbers = listed["place"].astype(np.int32)
    with (folder / "meanings.npy").open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        start, mapped = file.tell(), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return Meanings(
        np.ascontiguousarray(listed["word"]),
        numbers,
        mapped,
        np.frombuffer(mapped, kind, offset=start).reshape(shape),
        listed["weight"].astype(np.float32)[np.argsort(numbers)],
    )
