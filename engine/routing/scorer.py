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
    total = model.bias
    features, words, norm = _shares(prompt, model)
    for share in features.values():
        total += share
    for share in words.values():
        total += share / norm
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
    shares, by_word = dict[str, float](), dict[str, float]()
    for name, value in measure(prompt, text, found).items():
        weight, mean, deviation, least, most = model.features[name]
        shares[name] = weight * (min(max(value, least), most) - mean) / deviation
    square = 0.0
    for word, count in Counter(found).items():
        known = model.words.get(word)
        if known is not None:
            part = known[1] if count == 1 else known[1] * (1.0 + math.log(count))
            square += part * part
            by_word[word] = known[0] * part
    return shares, by_word, math.sqrt(square) or 1.0


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, in order."""
    return _WORD.findall(text.lower())


def measure(prompt: str, text: str, words: list[str]) -> dict[str, float]:
    """The features of a prompt; `text` is its beginning, `words` the words of that."""
    length = len(text) or 1
    lines = text.split("\n")
    numbers = _NUMBER.findall(text)
    options = len(_OPTION.findall(text))
    count = len(words)
    return {
        "length": math.log1p(len(prompt)),
        "words": math.log1p(count),
        "lines": math.log1p(len(lines)),
        "longest line": math.log1p(max(map(len, lines))),
        "sentences": math.log1p(len(_SENTENCE.findall(text))),
        "word length": sum(map(len, words)) / count if count else 0.0,
        "different words": len(set(words)) / count if count else 0.0,
        "numbers": math.log1p(len(numbers)),
        "digits": sum(map(len, numbers)) / length,
        "symbols": 0.0 if _SYMBOLS.isdisjoint(text) else sum(map(text.count, _SYMBOLS)) / length,
        "capitals": sum(map(str.isupper, text)) / length,
        "code share": code_share(lines),
        "options": float(min(options, 10)),
        "questions": float(min(text.count("?"), 5)),
        "blanks": float("__" in text),
        "quotes": float(min(text.count('"'), 10)),
    }


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
