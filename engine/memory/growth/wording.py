"""Texts word for word: whether two say the same, and whether one only repeats another.

What ends a memory, or keeps one from being stored, must not mistake a contradiction for a copy: `total = price - tax`
after `total = price + tax`, 8080 and 9090 the other way round, "your" where it was "my". So texts are compared as
sequences. A token is what stands between spaces, with its signs: `C++`, `-5` and `node.js` are tokens, and only
punctuation at the end of a word, quotation marks around it, articles, "is" and "are" do not count, nor a frame before
it all ("Remember: ...").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_FRAME = re.compile(
    r"\s*(?:(?:please|also|just)\s+)*(?:(?:remember|noted?|reminder|fact|keep\s+in\s+mind|recall(?:ed)?(?:\s+from"
    r"\s+memory)?|(?:from\s+)?memory)(?:\s*:|,?\s+that)\s+)+",
    re.IGNORECASE,
)
_CONTRACTED = re.compile("n['\u2019]t\\b", re.IGNORECASE)
_OWNED = re.compile("(?<=[^\\W\\d_])['\u2019]s$")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_OPERATOR = re.compile(r"[=<>+*/#|&^~%\\$@]|(?<![^\W\d_]{2})-|-(?![^\W\d_]{2})")
_ENDINGS = ".,;:!"
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_ARTICLES = frozenset(("a", "an", "the"))
_WEIGHTLESS = _ARTICLES | {"is", "are"}
_NARROWING = frozenset(
    re.findall(
        r"\w+",
        "not no never without none nor neither cannot nothing nobody unless except if when whenever while until"
        " till only before after but though although maybe perhaps might may could should would or than was were"
        " formerly instead in for on at during since of from to by under over per",
    )
)
"""Words that, in the rest of a sentence, change what its beginning says."""


@dataclass(frozen=True)
class Wording:
    """The tokens of a text, the sentence of each, and the sentences that hold an operator."""

    tokens: tuple[str, ...]
    sentences: tuple[int, ...]
    formulas: frozenset[int]


def wording(text: str) -> Wording:
    """The wording of a text.

    >>> wording("Remember: the tests of the parser use C++, not C.").tokens
    ('tests', 'of', 'parser', 'use', 'C++', 'not', 'C')
    """
    plain = unicodedata.normalize("NFC", _CONTRACTED.sub(" not", text))
    found = _FRAME.match(plain)
    tokens: list[str] = []
    numbers: list[int] = []
    formulas: set[int] = set()
    for number, sentence in enumerate(_SENTENCE.split(plain[found.end() :] if found else plain)):
        if _OPERATOR.search(sentence) or any(map(_is_mathematical, sentence)):
            formulas.add(number)
        own = list(_tokens(sentence.split()))
        tokens += own
        numbers += [number] * len(own)
    return Wording(tuple(tokens), tuple(numbers), frozenset(formulas))


recent_wording = lru_cache(maxsize=256)(wording)
"""As `wording`; the last ones are at hand."""


def says_same(a: str, b: str) -> bool:
    """Whether two texts have the same tokens in the same order, and more than one.

    >>> says_same("Exports run nightly.", "Note: the exports run nightly")
    True
    >>> says_same("assert x > y", "assert x < y")
    False
    """
    one = recent_wording(a)
    return len(one.tokens) > 1 and one.tokens == recent_wording(b).tokens


def repeats(new: str, known: str) -> bool:
    """Whether `new` is there in `known` as a whole: from the beginning of a sentence on, and with nothing in the rest
    of its last sentence that may change it. Sentences with an operator are never repeated by another text.

    >>> repeats("Exports run nightly", "The exports run nightly and take an hour.")
    True
    >>> repeats("Exports run nightly", "The exports run nightly only in staging.")
    False
    """
    one, other = recent_wording(new), recent_wording(known)
    count = len(one.tokens)
    if count < 2 or one.formulas:
        return False
    return any(
        other.tokens[at : at + count] == one.tokens and _is_whole(other, at, at + count)
        for at in range(len(other.tokens) - count + 1)
        if at == 0 or other.sentences[at] != other.sentences[at - 1]
    )


def _is_whole(known: Wording, start: int, end: int) -> bool:
    last = known.sentences[end - 1]
    if any(number in known.formulas for number in known.sentences[start:end]):
        return False
    rest = [token for token, number in zip(known.tokens[end:], known.sentences[end:], strict=True) if number == last]
    if rest and _has_digit(known.tokens[end - 1]):
        return False  # a number, whose unit may follow
    return not any(token in _NARROWING or _has_digit(token) for token in rest)


def _tokens(chunks: list[str]) -> Iterator[str]:
    """The tokens of a sentence that count."""
    for at, chunk in enumerate(chunks):
        if at < len(chunks) - 1 and (chunk in _WEIGHTLESS or (at == 0 and chunk.lower() in _ARTICLES)):
            continue
        yield _token(chunk, first=at == 0)


def _token(chunk: str, *, first: bool) -> str:
    """A token as it counts: a word in small letters where it begins a sentence, all else as it stands."""
    bare = chunk.rstrip(_ENDINGS) or chunk
    if _has_digit(bare):
        return bare
    word = bare.rstrip(_ENDINGS + _QUOTES).lstrip(_QUOTES)
    word = _OWNED.sub("", word) or bare
    if not word.isalpha() or len(word) == 1:
        return word
    return word.lower() if first and word.istitle() else word


def _has_digit(token: str) -> bool:
    return any(map(str.isnumeric, token))


def _is_mathematical(sign: str) -> bool:
    return sign > "\x7f" and unicodedata.category(sign) in ("Sm", "Sc")
