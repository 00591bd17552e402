"""How much a prompt needs a strong model, from 0 to 1: a logistic regression over features that can be read.

The features are length, share of code, numbers and symbols, the form of the question, and the words of the task by
tf-idf. Their weights stand in `data/need.json`, written by benchmarks/train_router.py with its provenance. A prompt at
0.5 is as likely one of those that needed the strong model as one of the others. A decision takes microseconds in pure
Python.
"""

from __future__ import annotations

import json
import math
import re
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

MOST_CHARACTERS = 20_000
"""Words and symbols are looked for in this much of a prompt; its length counts whole."""

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
_PLAIN_SYMBOLS = "".join(sorted(filter(str.isascii, _SYMBOLS))).encode()
_CAPITALS = string.ascii_uppercase.encode()
FEATURES = (
    *("length", "words", "lines", "longest line", "sentences", "word length", "different words", "numbers"),
    *("digits", "symbols", "capitals", "code share", "options", "questions", "blanks", "quotes"),
)
"""What is measured of a prompt, in the order in which the weights stand in the file."""


@dataclass(frozen=True)
class Model:
    """The weights: of `features` beside the mean and deviation that bring them to one scale and the least and most that
    training saw, where a prompt from outside is held; and of `words` beside their inverse document frequency."""

    bias: float
    features: Mapping[str, tuple[float, float, float, float, float]]
    words: Mapping[str, tuple[float, float]]
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Need:
    """A score, and what moved it: each feature or word with its share of the log-odds, the strongest first."""

    score: float
    because: tuple[tuple[str, float], ...]


def need_of(prompt: str, model: Model | None = None) -> float:
    """The need for a strong model, 0 to 1.

    >>> need_of("Prove that the sum of two odd numbers is even.") == need_of("")
    False
    """
    model = trained() if model is None else model
    text = prompt[:MOST_CHARACTERS]
    words = words_of(text)
    total = model.bias
    for value, (weight, mean, deviation, least, most) in zip(
        _values(prompt, text, words), model.features.values(), strict=True
    ):
        total += weight * ((least if value < least else most if value > most else value) - mean) / deviation
    dot = square = 0.0
    for word, factor in _times(words).items():
        known = model.words.get(word)
        if known is not None:
            part = known[1] * factor
            square += part * part
            dot += known[0] * part
    total += dot / (math.sqrt(square) or 1.0)
    return _logistic(total)


def explain_need(prompt: str, model: Model | None = None, *, most: int = 8) -> Need:
    """The same score with the `most` features and words that moved it most."""
    model = trained() if model is None else model
    features, words, norm = _shares(prompt, model)
    moved = {**features, **{f"word {word!r}": share / norm for word, share in words.items()}}
    because = sorted(moved.items(), key=lambda share: (-abs(share[1]), share[0]))[:most]
    return Need(need_of(prompt, model), tuple((name, round(share, 3)) for name, share in because if abs(share) >= 5e-4))


def _shares(prompt: str, model: Model) -> tuple[dict[str, float], dict[str, float], float]:
    """What each feature, and each known word before the norm, adds to the log-odds; and the norm of the words."""
    text = prompt[:MOST_CHARACTERS]
    found = words_of(text)
    shares = dict[str, float]()
    for name, value in measure(prompt, text, found).items():
        weight, mean, deviation, least, most = model.features[name]
        shares[name] = weight * (min(max(value, least), most) - mean) / deviation
    by_word = dict[str, float]()
    square = 0.0
    for word, factor in _times(found).items():
        known = model.words.get(word)
        if known is not None:
            part = known[1] * factor
            square += part * part
            by_word[word] = known[0] * part
    return shares, by_word, math.sqrt(square) or 1.0


def _times(words: list[str]) -> dict[str, float]:
    """Each word once, in order, with what its count makes of it: 1 + log(count)."""
    once = dict.fromkeys(words, 1.0)
    if len(once) == len(words):
        return once
    return {word: 1.0 + math.log(count) for word, count in Counter(words).items()}


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, in order."""
    return _WORD.findall(text.lower())


def measure(prompt: str, text: str, words: list[str]) -> dict[str, float]:
    """The features of a prompt; `text` is its beginning, `words` the words of that."""
    return dict(zip(FEATURES, _values(prompt, text, words), strict=True))


def _values(prompt: str, text: str, words: list[str]) -> tuple[float, ...]:
    length = len(text) or 1
    lines = text.split("\n")
    capitals, symbols, has_numbers = _characters(text)
    numbers = _NUMBER.findall(text) if has_numbers else []
    count = len(words)
    log = math.log1p
    return (
        log(len(prompt)),
        log(count),
        log(len(lines)),
        log(max(map(len, lines))),
        log(len(_SENTENCE.findall(text))),
        sum(map(len, words)) / count if count else 0.0,
        len(set(words)) / count if count else 0.0,
        log(len(numbers)),
        sum(map(len, numbers)) / length,
        symbols / length,
        capitals / length,
        code_share(lines),
        float(min(len(_OPTION.findall(text)), 10)),
        float(min(text.count("?"), 5)),
        float("__" in text),
        float(min(text.count('"'), 10)),
    )


def _characters(text: str) -> tuple[int, int, bool]:
    """How many capitals and symbols a text has, and whether it may have numbers."""
    if not text.isascii():
        return sum(map(str.isupper, text)), sum(map(text.count, _SYMBOLS)), True
    data = text.encode("ascii")
    small = data.translate(None, _CAPITALS)
    plain = small.translate(None, _PLAIN_SYMBOLS)
    return len(data) - len(small), len(small) - len(plain), len(plain.translate(None, b"0123456789")) < len(plain)


def code_share(lines: list[str]) -> float:
    """The share of the lines with something on them that look like code.

    >>> code_share(["def add(a, b):", "    return a + b", "", "adds two numbers", "and that is all"])
    0.5
    """
    full = [line for line in lines if line.strip()]
    return sum(1 for line in full if _CODE_LINE.match(line)) / len(full) if full else 0.0


@cache
def trained() -> Model:
    """The weights that come with aqe."""
    found = json.loads((files("aqe.engine.routing") / "data" / "need.json").read_text(encoding="utf-8"))
    return read_model(found)


def read_model(found: Mapping[str, Any]) -> Model:
    """A model from the object that the training wrote."""
    features = {
        name: (float(weight), float(mean), float(deviation), float(least), float(most))
        for name, (weight, mean, deviation, least, most) in found["features"].items()
    }
    words = {word: (float(weight), float(rarity)) for word, (weight, rarity) in found["words"].items()}
    return Model(float(found["bias"]), features, words, found.get("provenance", {}))


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, x))))
