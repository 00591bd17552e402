"""How much a prompt needs a strong model, from 0 to 1: a logistic regression over features that can be read.

The features are length, share of code, numbers and symbols, the form of the question, and the words of the task by
tf-idf (`aqe.simd.TextOdds`). Their weights stand in `data/need.json`, written by benchmarks/train_router.py with its
provenance. A prompt at 0.5 is as likely one of those that needed the strong model as one of the others. A decision
takes a few microseconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from aqe import simd
from aqe.simd import TextOdds


@dataclass(frozen=True)
class Model:
    """The weights: of `features` beside the mean and deviation that bring them to one scale and the least and most that
    training saw, where a prompt from outside is held; and of `words` beside their inverse document frequency."""

    bias: float
    features: Mapping[str, tuple[float, float, float, float, float]]
    words: Mapping[str, tuple[float, float]]
    provenance: Mapping[str, Any]

    @cached_property
    def odds(self) -> TextOdds:
        """The weights as the kernel has them."""
        return simd.text_odds(self.bias, self.features, self.words)


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
    return _logistic((_shipped() if model is None else model.odds).of(prompt))


def explain_need(prompt: str, model: Model | None = None, *, most: int = 8) -> Need:
    """The same score with the `most` features and words that moved it most."""
    model = trained() if model is None else model
    features, words, norm = _shares(prompt, model)
    moved = {**features, **{f"word {word!r}": share / norm for word, share in words.items()}}
    because = sorted(moved.items(), key=lambda share: (-abs(share[1]), share[0]))[:most]
    return Need(need_of(prompt, model), tuple((name, round(share, 3)) for name, share in because if abs(share) >= 5e-4))


def _shares(prompt: str, model: Model) -> tuple[dict[str, float], dict[str, float], float]:
    """What each feature, and each known word before the norm, adds to the log-odds; and the norm of the words."""
    shares, by_word = dict[str, float](), dict[str, float]()
    for name, value in TextOdds.shape(prompt).items():
        weight, mean, deviation, least, most = model.features[name]
        shares[name] = weight * (min(max(value, least), most) - mean) / deviation
    square = 0.0
    for word, factor in TextOdds.times(TextOdds.words(prompt[: TextOdds.MOST_CHARACTERS])).items():
        known = model.words.get(word)
        if known is not None:
            part = known[1] * factor
            square += part * part
            by_word[word] = known[0] * part
    return shares, by_word, math.sqrt(square) or 1.0


@cache
def _shipped() -> TextOdds:
    """The weights that come with aqe as the kernel has them; their names are read again by who explains."""
    found = _read()
    return simd.text_odds(found["bias"], found["features"], found["words"])


@cache
def trained() -> Model:
    """The weights that come with aqe."""
    return read_model(_read())


def _read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("aqe.engine.routing") / "data" / "need.json").read_text(encoding="utf-8"))
    return found


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
