"""Passages taken apart before anything is asked: their units, the words of each, and what those mean.

What is made of a passage is kept for the next question that finds it, and laid beside that of the others as arrays, so
that a question costs few steps however many units there are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made_by
from functools import lru_cache
from itertools import accumulate, chain, count, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aqe.engine.providers.bags import words_of
from aqe.engine.providers.meanings import meanings, unit_rows
from aqe.engine.providers.plain_words import small_words
from aqe.engine.providers.quotable import Form, Unit, units_of
from aqe.engine.providers.unit_names import name_of

if TYPE_CHECKING:
    from aqe.engine.providers.extractive import Passage

OWN = ("length", "odd length", "prose", "row", "signature", "code")

_NEWS = re.compile(r"change|history|news|release", re.IGNORECASE)

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Meant:
    """What a passage's words mean: the rows of the table of meanings for its vocabulary, zero for a word that is not
    there, with their lengths (1 for zeros); and what the whole passage and each unit with what comes before it mean."""

    rows: NDArray[np.int8]
    lengths: Floats
    whole: NDArray[np.float32]
    units: NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """A passage taken apart: its units; in one text, a line for each, what comes before them and they in small letters;
    all words; those as a list, "" first, with their places in the table of meanings (-1: not there). For each kind of
    text (`KINDS`) where in that list the words of each stand, one text after the other, each with "" first, so that
    none is without a word; and how many each has. The figures that a unit has whatever is asked (len(OWN), units), and
    whether the file tells of changes. For what was asked so far: which units offer a form of answers, which fit a kind
    of question, and what all of it means (none or one)."""

    units: tuple[Unit, ...]
    lowered: str
    every: frozenset[str]
    words: tuple[str, ...]
    small: NDArray[np.bool_]
    places: Places
    spots: tuple[Places, ...]
    counts: tuple[Places, ...]
    own: Floats
    is_news: bool
    offers: dict[re.Pattern[str], NDArray[np.bool_]] = made_by(default_factory=dict)
    fitting: dict[str, NDArray[np.bool_]] = made_by(default_factory=dict)
    meant: list[Meant] = made_by(default_factory=list)


LONGEST_KEPT = 16_000
"""Characters of a passage that is kept taken apart, which takes some 17 bytes for each."""

NAMED, UNITS, LEADS, WHOLE, AROUND = KINDS = range(5)
"""The kinds of texts: what each unit names; its own words; those of what leads to it and of the passage's name; those
of the whole passage; and those of each unit with what comes before it that have a meaning."""


def prepared(text: str, name: str, file: str, form: Form) -> Prepared:
    """A passage taken apart, kept for the next question that finds it, unless it is a long one."""
    return (_kept if len(text) <= LONGEST_KEPT else _taken_apart)(text, name, file, form)


def _taken_apart(text: str, name: str, file: str, form: Form) -> Prepared:
    units = tuple(unit for unit in units_of(text, form) if unit.kind != "heading")
    named, whole = words_of(name), words_of(text)
    words = [words_of(unit.text) for unit in units]
    before = [words_of(unit.lead or unit.after) for unit in units]
    leads = [words_of(unit.lead) | named for unit in units]
    small = small_words()
    names = [[word for word in words_of(name_of(unit)) if len(word) > 1 and word not in small] for unit in units]
    every = whole | named | words_of(file)
    listed = list(whole)
    known = {word: at for word, at in zip(listed, meanings().places(listed).tolist(), strict=True) if at >= 0}
    meaning = list(whole & known.keys())
    vocabulary = tuple(dict.fromkeys(chain(("",), meaning, every, *words, *leads, *names)))
    around = [one & known.keys() for one in map(frozenset.union, words, before)]
    spots, counts = _spots(vocabulary, (names, words, leads, [[*meaning, *(every - known.keys())]], around))
    return Prepared(
        units,
        "\n".join([" ".join(f"{unit.lead or unit.after} {unit.text}".split()).lower() for unit in units]),
        every,
        vocabulary,
        np.array([not word or word in small for word in vocabulary], bool),
        np.array([known.get(word, -1) for word in vocabulary], np.intp),
        spots,
        counts,
        _own(units),
        _NEWS.search(file) is not None,
    )


_kept = lru_cache(maxsize=512)(_taken_apart)


def _spots(
    vocabulary: Sequence[str], kinds: Sequence[Sequence[Collection[str]]]
) -> tuple[tuple[Places, ...], tuple[Places, ...]]:
    """For each kind of texts the places of their words in the vocabulary, each text with "" first, and how many words
    each text has with it."""
    spot = {word: at for at, word in enumerate(vocabulary)}.__getitem__
    every = np.array([at for kind in kinds for text in kind for at in (0, *map(spot, text))], np.intp)
    counts = np.array([1 + len(text) for kind in kinds for text in kind], np.intp)
    texts = [0, *accumulate([len(kind) for kind in kinds])]
    ends = [0, *accumulate([sum(map(len, kind), len(kind)) for kind in kinds])]
    return tuple([every[a:b] for a, b in pairwise(ends)]), tuple([counts[a:b] for a, b in pairwise(texts)])


def _own(units: Sequence[Unit]) -> Floats:
    """The length and the kind of each unit, as `OWN` names them."""
    lengths = [math.log(max(10, len(unit.text)) / 120) for unit in units]
    kinds = [unit.kind for unit in units]
    odd = [length**2 * (kind not in ("row", "signature")) for length, kind in zip(lengths, kinds, strict=True)]
    return np.array([lengths, odd, *[[kind == name for kind in kinds] for name in OWN[2:]]], np.float64)


@dataclass(frozen=True)
class Parts:
    """Some passages taken apart, side by side: of each unit its passage; all their words, and the number of each, equal
    words having the same; of each word of each text of `KINDS` (all passages' texts of a kind together) its place among
    those words and its number; and where among these each text begins, their end last."""

    each: tuple[Prepared, ...]
    passage: Places
    words: list[str]
    numbers: Mapping[str, int]
    small: Places
    spots: Places
    numbered: Places
    begins: Places
    kinds: tuple[int, ...]

    def over(
        self, reduced: np.ufunc, values: NDArray[Any], first: int, last: int | None = None, *, numbered: bool = True
    ) -> NDArray[Any]:
        """What a function makes of the values of the words of each text of the kind `first`, or of that and the others
        up to `last`; `values` has a row for each number, or for each of all words."""
        spots, begins = self._of(first, first if last is None else last)
        taken = (self.numbered if numbered else self.spots)[spots]
        made: NDArray[Any] = reduced.reduceat(values[taken], begins)
        return made

    def _of(self, first: int, last: int) -> tuple[slice, Places]:
        """Which of the texts' words are of some kinds of texts, and where among those each text begins."""
        begins = self.begins[self.kinds[first] : self.kinds[last + 1] + 1]
        return slice(begins[0], begins[-1]), begins[:-1] - begins[0]

    def numbered_of(self, kind: int) -> Places:
        """The numbers of all words of the texts of a kind."""
        return self.numbered[self._of(kind, kind)[0]]

    def counts_of(self, kind: int) -> Places:
        """How many words each text of a kind has."""
        return np.diff(self.begins[self.kinds[kind] : self.kinds[kind + 1] + 1])

    def cosines(self, rows: NDArray[np.int8]) -> NDArray[np.float32]:
        """How near all words are to those of some rows of the table of meanings (words, rows), below 0 taken as 0."""
        meant = [part.meant[0] for part in self.each]
        asked = rows.astype(np.float32)  # sums of products of bytes are exact in it
        lengths = lengths_of(asked)
        sums = np.einsum("ij,kj->ik", np.concatenate([one.rows for one in meant], dtype=np.float32), asked)
        sums /= np.concatenate([one.lengths for one in meant])[:, None] * lengths
        np.maximum(sums, 0.0, out=sums)
        np.minimum(sums, 1.0, out=sums)
        return np.asarray(sums, np.float32)


def lengths_of(rows: NDArray[np.float32]) -> Floats:
    """The length of each of some rows of whole numbers, 1 of one of zeros."""
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", rows, rows), dtype=np.float64)
    lengths[lengths == 0.0] = 1.0
    return lengths


def parts_of(passages: Sequence[Passage]) -> Parts:
    """The passages side by side."""
    each = tuple([prepared(one.text, one.name, one.file or "", one.form) for one in passages])
    _see_meant([part for part in each if not part.meant])
    words = [*chain.from_iterable([part.words for part in each])]
    numbers = dict(zip(dict.fromkeys(words), count()))
    spots, begins = _side_by_side(each, KINDS)
    number = np.array([*map(numbers.__getitem__, words)], np.intp)
    small = number[np.concatenate([part.small for part in each])]
    passage = np.repeat(np.arange(len(each)), [len(part.units) for part in each])
    units, wholes = len(passage), len(each)
    kinds = (0, units, 2 * units, 3 * units, 3 * units + wholes, 4 * units + wholes)
    return Parts(each, passage, words, numbers, small, spots, number[spots], begins, kinds)


def _side_by_side(each: Sequence[Prepared], kinds: Sequence[int]) -> tuple[Places, Places]:
    """The words of all texts of some kinds, by their places among the words of all passages; where each text begins,
    and their end."""
    starts = [0, *accumulate([len(part.words) for part in each])]
    spots = [part.spots[kind] for kind in kinds for part in each]
    moved = np.repeat(starts[:-1] * len(kinds), [len(one) for one in spots])
    counts = np.concatenate([part.counts[kind] for kind in kinds for part in each])
    begins = np.zeros(len(counts) + 1, np.intp)
    np.cumsum(counts, out=begins[1:])
    return np.concatenate(spots) + moved, begins


def _see_meant(apart: Sequence[Prepared]) -> None:
    """Make what the words of some passages mean, all in one look at the table."""
    if not apart:
        return
    table, places = meanings(), np.concatenate([part.places for part in apart])
    rows = table.rows(places)
    lengths = lengths_of(rows.astype(np.float32))
    spots, begins = _side_by_side(apart, (WHOLE, AROUND))
    known = places[spots] >= 0
    made = table.summed(places, unit_rows(rows), spots[known], np.add.reduceat(known, begins[:-1], dtype=np.intp))
    first, unit = 0, len(apart)
    for at, part in enumerate(apart):
        last, end = first + len(part.words), unit + len(part.units)
        whole, units = made[at : at + 1].copy(), made[unit:end].copy()
        part.meant.append(Meant(rows[first:last].copy(), lengths[first:last].copy(), whole, units))
        first, unit = last, end
