"""How a text leans: its log-odds by a linear model over what the text is made of and over its words.

odds.c does for an ASCII text what this module says, to the last bit; other texts, and all where nothing was compiled,
are read here.

**Shape.** Sixteen numbers of the first `MOST_CHARACTERS` characters, in the order of `FEATURES`. A word is a run of
letters with what an apostrophe joins to it, in small letters; a number is a run of digits with the points and commas
inside it. Counts that have no bound enter as log(1 + count), shares as they are.

**Model.** A feature adds weight * (value - mean) / deviation, its value held within what training saw. A known word
adds weight * rarity * (1 + log(its count)) / norm, where norm is the length of all rarity * (1 + log(count)) of the
text: tf-idf in the usual form (Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, chapter 6).
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Features = Mapping[str, Sequence[float]]
    Words = Mapping[str, Sequence[float]]
    Make = Callable[[float, bytes, tuple[bytes, ...], bytes, int], Any]
    LogOdds = Callable[[Any, str], float]
    Word = Callable[[Any, bytes], tuple[float, float] | None]
    Find = Callable[[bytes], tuple[float, float] | None]

FEATURES = (
    *("length", "words", "lines", "longest line", "sentences", "word length", "different words", "numbers"),
    *("digits", "symbols", "capitals", "code share", "options", "questions", "blanks", "quotes"),
)
MOST_CHARACTERS = 20_000
"""Words and symbols are looked for in this much of a text; its length counts whole."""

_SEED_BITS = 2**64 - 1
_WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_OPTION = re.compile(r"^\s*\(?[A-J][.)]\s", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import|return\b|for .*:|while .*:|if .*[:{]|else\b|try:|except\b|with .*:"
    r"|async |await |@\w|#include|public |private |func |var |let |const |SELECT |[\w.\[\]]+ = |[\w.]+\(.*\);?$"
    r"|[{}]+;?$|assert |raise |print\()"
)
_SYMBOLS = frozenset("=+*/^<>|\\{}[]_~%$∀∃∧∨⊃≡→×÷≤≥√π∑∫")


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, in order.

    >>> words_of("The cart's 2 items")
    ['the', "cart's", 'items']
    """
    return _WORD.findall(text.lower())


def shape_of(text: str) -> dict[str, float]:
    """The numbers of a text that `FEATURES` names."""
    return dict(zip(FEATURES, _shape(text, words_of(text[:MOST_CHARACTERS])), strict=True))


def _shape(whole: str, words: list[str]) -> tuple[float, ...]:
    text = whole[:MOST_CHARACTERS]
    length, count, lines = len(text) or 1, len(words), text.split("\n")
    numbers = _NUMBER.findall(text)
    return (
        math.log1p(len(whole)),
        math.log1p(count),
        math.log1p(len(lines)),
        math.log1p(max(map(len, lines))),
        math.log1p(len(_SENTENCE.findall(text))),
        sum(map(len, words)) / count if count else 0.0,
        len(set(words)) / count if count else 0.0,
        math.log1p(len(numbers)),
        sum(map(len, numbers)) / length,
        0.0 if _SYMBOLS.isdisjoint(text) else sum(map(text.count, _SYMBOLS)) / length,
        sum(map(str.isupper, text)) / length,
        code_share(lines),
        float(min(len(_OPTION.findall(text)), 10)),
        float(min(text.count("?"), 5)),
        float("__" in text),
        float(min(text.count('"'), 10)),
    )


def code_share(lines: list[str]) -> float:
    """The share of the lines with something on them that look like code.

    >>> code_share(["def add(a, b):", "    return a + b", "", "adds two numbers", "and that is all"])
    0.5
    """
    full = [line for line in lines if line.strip()]
    return sum(1 for line in full if _CODE_LINE.match(line)) / len(full) if full else 0.0


def times_of(words: list[str]) -> dict[str, float]:
    """Each word once, in order, with what its count makes of it: 1 + log(count)."""
    return {word: 1.0 + math.log(count) for word, count in Counter(words).items()}


class Reader:
    """The model in Python: `features` as rows of five, and what gives the weight and rarity of a known word."""

    __slots__ = ("_bias", "_features", "word")

    def __init__(self, bias: float, features: Iterable[Sequence[float]], word: Find) -> None:
        self._bias, self._features, self.word = bias, tuple(features), word

    def read(self, text: str) -> float:
        """The log-odds of a text."""
        words = words_of(text[:MOST_CHARACTERS])
        total = self._bias
        for value, (weight, mean, deviation, least, most) in zip(_shape(text, words), self._features, strict=True):
            total += weight * (min(max(value, least), most) - mean) / deviation
        dot = square = 0.0
        for word, factor in times_of(words).items():
            known = self.word(word.encode("utf-8", "surrogatepass"))
            if known is not None:
                part = known[1] * factor
                square += part * part
                dot += known[0] * part
        return total + dot / (math.sqrt(square) or 1.0)


class TextOdds:
    """A linear model over texts; made by `simd.text_odds`, it never changes, so threads share it.

    `features` has for each of `FEATURES`, in their order, a weight, the mean and deviation that bring it to one scale,
    and the least and most that training saw; `words` a weight and a rarity for each known word. Raises ValueError for
    other features, and for a word that is empty or not in small letters.
    """

    __slots__ = ("_handle", "_log_odds", "_reader")

    MOST_CHARACTERS = MOST_CHARACTERS
    shape = staticmethod(shape_of)
    words = staticmethod(words_of)
    times = staticmethod(times_of)

    def __init__(self, bias: float, features: Features, words: Words, functions: tuple[Make, LogOdds, Word]) -> None:
        if tuple(features) != FEATURES:
            raise ValueError(f"features must be {', '.join(FEATURES)}, in this order")
        for word in words:
            if not word or word != word.lower():
                raise ValueError(f"a word must be in small letters, got {word!r:.80}")
        make, self._log_odds, find = functions
        listed = tuple([word.encode("utf-8", "surrogatepass") for word in words])
        packed = array("d", _flat(features.values())).tobytes(), listed, array("d", _flat(words.values())).tobytes()
        self._handle = make(bias, *packed, hash(b"aqe.simd.odds") & _SEED_BITS)  # differs in each process
        self._reader = Reader(bias, features.values(), partial(find, self._handle))

    def of(self, text: str) -> float:
        """The log-odds of a text."""
        return self._log_odds(self._handle, text) if text.isascii() else self._reader.read(text)


def _flat(rows: Iterable[Iterable[float]]) -> Iterable[float]:
    return (number for row in rows for number in row)
