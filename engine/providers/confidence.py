"""How sure it is that one of the quotes answers: a logistic model of a few figures that come with every answer.

Fitted and judged by benchmarks/fit_answers.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from aqe.engine.providers.answer_forms import NEEDS, forms_of, is_particular, needs_missing, share_offered
from aqe.engine.providers.prepared import Floats
from aqe.engine.providers.question import Question
from aqe.engine.providers.scoring import RANKING, Field, Scored, share_of

EVIDENCE = (
    "in the unit",
    "in its lead",
    "in the passage",
    "meant in the unit",
    "meant in its lead",
    "meaning",
    "passage meaning",
    "search",
    "passage cosine",
    "key",
    "near",
    "near in the passage",
)
"""The figures that tell how much of the question stands there; the others tell which of several units it is. They are
what the confidence in an entry of the knowledge is made of."""

COVERED = ("in the unit", "in its lead", "meant in the unit")

RIVAL = 0.02
"""A unit is a rival of the best one that comes as near to the question, or by this share of it less."""

UNMET = ("unmet here", "unmet anywhere")
"""The figures that say which words of the question are not met, and not only how many; one row of `unmet_weights` is
for each."""


def features(
    asked: Question,
    field: Field,
    best: Scored,
    quotes: Sequence[str],
    unmet: Floats | None = None,
) -> dict[str, float]:
    """The figures that the confidence is made of, for the best unit and the quotes that are given.

    The score by which the unit is the best one; the share of the question that stands in the unit or what leads to it,
    and of its pairs of words; what share of all units, beside it, comes as near to the question; whether the unit is of
    a test, as those are found by a word or two; what share of the kinds of things asked for the unit does not offer,
    and what share none of the quotes does; what cannot be missing in an answer and is (`needs_missing`); what the
    weightiest word weighs that nothing found comes near to, and how much the one tells, however common, that the
    unit's own passage does not come near to; what share of the question's numbers and identifiers the passage lacks;
    and what the general words mean that the unit does not come near to, and those that no unit does, since some make
    the question another one when they are missing ("large", "whole") and others do not ("supposed", "seems").

    `unmet` (2, d) of the last two is that of `fit_answers.py` unless it is given.
    """
    passage, figures = best.passage, best.figures
    around = " ".join((passage.text, passage.name, passage.file or ""))
    forms = forms_of(asked.text)
    lacking = np.einsum("ij,ij->i", unmet_weights() if unmet is None else unmet, unmet_words(asked, field, best.place))
    needs = needs_missing(asked.text, best.unit.text, "\n".join(quotes))
    return {
        "score": best.score,
        "covered": sum(figures[name] for name in COVERED),
        "phrases": figures["phrases"],
        "rivals": (float(np.count_nonzero(field.reach >= field.reach[best.place] - RIVAL)) - 1.0) / len(field.reach),
        "tests": figures["tests"],
        "form missing": 1.0 - figures["asked for"] if forms else 0.0,
        "forms missing": 1.0 - share_offered(forms, "\n".join(quotes)) if forms else 0.0,
        **{f"{name} missing": needs[name] for name in NEEDS},
        "word missing": field.missing,
        "word missing here": float((field.telling * (1.0 - field.around[best.place])).max(initial=0.0)),
        "keys missing": 1.0 - share_of(asked.keys, around) if asked.keys else 0.0,
        **dict(zip(UNMET, lacking.tolist(), strict=True)),
    }


def unmet_words(asked: Question, field: Field, place: int) -> Floats:
    """The sum of the question's general words as vectors, each as far as the unit at `place` does not come near to it,
    and the same for all units together (2, d). What the words of one project's subject mean tells nothing of another
    project."""
    general = [at for at, term in enumerate(field.terms) if term in asked.general]
    if not general:
        return np.zeros((len(UNMET), field.means.shape[1]))
    near = field.near[:, general]
    far = 1.0 - np.array([near[place], np.maximum.reduce(near, axis=0)])
    return np.asarray(np.einsum("ij,jk->ik", far, field.means[general]), np.float64)


@cache
def unmet_weights() -> Floats:
    """What it tells that words of some meaning are not met (2, d), from `data/unmet_words.npy`."""
    path = Path(str(files("aqe.engine.providers"))) / "data" / "unmet_words.npy"
    found: Any = np.load(path, allow_pickle=False)
    return np.asarray(found, np.float64)


WEIGHTS: dict[str, float] = {
    "score": 0.27,
    "phrases": 1.70,
    "rivals": -2.65,
    "tests": -1.17,
    "form missing": 0.41,
    "forms missing": -1.17,
    "reason missing": -1.78,
    "person missing": -1.88,
    "number missing": -0.97,
    "plan missing": -3.45,
    "measure missing": -1.83,
    "count missing": -1.24,
    "word missing": -0.87,
    "word missing here": -1.70,
    "keys missing": -1.45,
    "unmet here": 1.00,
    "unmet anywhere": 1.00,
}
BIAS = -3.43
"""Fitted by benchmarks/fit_answers.py."""


def confidence_of(
    found: Mapping[str, float], weights: Mapping[str, float] = WEIGHTS, bias: float | None = None
) -> float:
    """How likely one of the quotes answers, by the figures of `features`."""
    sum_of = (BIAS if bias is None else bias) + sum(weight * found[name] for name, weight in weights.items())
    return 1.0 / (1.0 + math.exp(-sum_of))


def known_features(asked: Question, field: Field, best: Scored) -> dict[str, float]:
    """The figures that the confidence in an entry of the knowledge is made of: an entry is short and knows one thing,
    so that how much of the question stands in all of it tells most, and what the question asks for tells little."""
    figures = best.figures
    return {
        "evidence": sum(RANKING[name] * figures[name] for name in EVIDENCE),
        "covered": sum(figures[name] for name in COVERED),
        "phrases": figures["phrases"],
        "near in the passage": figures["near in the passage"],
        "passage meaning": figures["passage meaning"],
        "nearest": max(passage.vector_score or 0.0 for passage, _ in field.units),
        "word missing": field.missing,
        "matched": float(np.einsum("j,j->", field.weights, field.around[best.place])),
        "particular": float(is_particular(asked.text)),
    }


KNOWN_WEIGHTS: dict[str, float] = {
    "evidence": 0.24,
    "covered": 0.34,
    "phrases": 3.12,
    "near in the passage": 1.49,
    "passage meaning": 3.52,
    "nearest": 4.77,
    "word missing": -1.98,
    "matched": 0.29,
    "particular": -2.27,
}
KNOWN_BIAS = -8.25
"""Fitted by benchmarks/fit_knowledge.py, so that the same threshold serves."""
