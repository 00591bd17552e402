"""The tokeniser in Python, byte for byte what tokenise.c does: what runs where nothing was compiled.

**Words.** A text is read as bytes (UTF-8 where it is a text, but any bytes will do). `A-Z` are upper-case letters,
`a-z` and every byte from 0x80 up are lower-case letters, `0-9` are digits, all else separates. A run of digits is a
word. A run of letters is split before an upper-case letter that follows a lower-case one, and before an upper-case
letter that stands between an upper-case and a lower-case one: `parseHTTPHeader` is `parse`, `HTTP`, `Header`. Of a word
the first `LONGEST` bytes count. `A-Z` become `a-z`.

**Stems.** A light stemmer in the manner of the S-stemmer (Harman, 1991) and of Porter's first steps; at each step the
first rule that fits is taken, and "vowel" is one of `aeiouy`:

1. of 4 bytes or more: `ies` of 5 or more becomes `y`; `sses` becomes `ss`; a final `s` goes, but not that of `ss`,
   `us` and `is`;
2. `ied` of 5 or more becomes `y`; `ing` goes where 3 bytes or more with a vowel are left, and so does `ed`, but not
   that of `eed`, and then of two equal last letters one goes, where they are consonants other than `l`, `s`, `z` and 3
   bytes or more are left; `ion` after `s` or `t` goes where 4 bytes or more are left; `ly` goes where 4 bytes or more
   are left whose last is not `b` or `p`;
3. a final `e` of 4 bytes or more goes, but not that of `ee`.

**Bag.** A stem that is in the vocabulary stands for its row. Any other stands for the mean of the rows of its 4-grams:
those of `<stem>`, which is one gram where it has only 3 bytes; the row of a gram is the number of words + CRC-32
(zlib's) modulo the number of buckets. A stem that occurs tf times in a text weighs tf * (k + 1) / (tf + k), as in BM25.

>>> tokens(b"parseHTTPHeader_v2 parses the headers")
[b'pars', b'http', b'header', b'v', b'2', b'pars', b'the', b'header']
>>> Vocabulary([b"pars", b"header"], buckets=4).bag(b"Parsing headers, parsed", k=1.2)
([0, 1], [1.375, 1.0])
"""

from __future__ import annotations

import re
import zlib
from collections import Counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 64
_GRAM = 4
_WORD = re.compile(rb"[A-Z]+(?![a-z\x80-\xff])|[A-Z]?[a-z\x80-\xff]+|[0-9]+")
_VOWEL = re.compile(rb"[aeiouy]")
_DOUBLED = frozenset(bytes((letter, letter)) for letter in b"bcdfghjkmnpqrtvwx")


def tokens(data: bytes) -> list[bytes]:
    """The stems of a text, in order, with repetitions."""
    return [stem(word[:LONGEST].lower()) for word in _WORD.findall(data)]


def stem(word: bytes) -> bytes:
    """The stem of a lower-case word.

    >>> [stem(word) for word in (b"queries", b"classes", b"status", b"mapped", b"creation", b"string", b"add")]
    [b'query', b'class', b'status', b'map', b'creat', b'string', b'add']
    """
    word = _without_ending(_singular(word))
    if len(word) >= 4 and word.endswith(b"e") and not word.endswith(b"ee"):
        return word[:-1]
    return word


def _singular(word: bytes) -> bytes:
    if len(word) < 4 or not word.endswith(b"s"):
        return word
    if len(word) >= 5 and word.endswith(b"ies"):
        return word[:-3] + b"y"
    if word.endswith(b"sses"):
        return word[:-2]
    return word if word.endswith((b"ss", b"us", b"is")) else word[:-1]


def _without_ending(word: bytes) -> bytes:
    if word.endswith(b"ied") and len(word) >= 5:
        return word[:-3] + b"y"
    if word.endswith(b"ing") and len(word) >= 6 and _VOWEL.search(word, 0, len(word) - 3):
        return _undoubled(word[:-3])
    if word.endswith(b"ed") and len(word) >= 5 and word[-3] != ord("e") and _VOWEL.search(word, 0, len(word) - 2):
        return _undoubled(word[:-2])
    if word.endswith((b"sion", b"tion")) and len(word) >= 7:
        return word[:-3]
    if word.endswith(b"ly") and len(word) >= 6 and word[-3] not in b"bp":
        return word[:-2]
    return word


def _undoubled(word: bytes) -> bytes:
    return word[:-1] if len(word) >= 4 and word[-2:] in _DOUBLED else word


class Vocabulary:
    """Stems with their rows (0, 1, 2...), and behind them `buckets` rows for the 4-grams of all others.

    Raises ValueError for a stem that stands twice, is empty or longer than `LONGEST`, and for buckets below 0.
    """

    __slots__ = ("_rows", "buckets", "words")

    def __init__(self, words: Iterable[bytes], *, buckets: int) -> None:
        listed = list(words)
        self._rows = {word: row for row, word in enumerate(listed)}
        if len(self._rows) != len(listed):
            raise ValueError("a word stands twice in the vocabulary")
        if any(not 0 < len(word) <= LONGEST for word in listed):
            raise ValueError(f"a word of the vocabulary must have 1 to {LONGEST} bytes")
        if buckets < 0:
            raise ValueError(f"buckets must be at least 0, got {buckets}")
        self.words, self.buckets = len(listed), buckets

    def bag(self, data: bytes, *, k: float) -> tuple[list[int], list[float]]:
        """The rows that a text stands for and the weight of each: its vector is their weighted sum.

        Rows come in the order in which their stems first occur; the grams of two stems may name one row twice.
        """
        rows: list[int] = []
        weights: list[float] = []
        for token, tf in Counter(tokens(data)).items():
            weight = tf * (k + 1) / (tf + k)
            row = self._rows.get(token)
            if row is not None:
                rows.append(row)
                weights.append(weight)
            elif self.buckets:
                grams = self._grams(token)
                rows += grams
                weights += [weight / len(grams)] * len(grams)
        return rows, weights

    def _grams(self, token: bytes) -> list[int]:
        padded = b"<" + token + b">"
        starts = range(max(1, len(padded) - _GRAM + 1))
        return [self.words + zlib.crc32(padded[at : at + _GRAM]) % self.buckets for at in starts]
