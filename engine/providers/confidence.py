"""How sure it is that one of the quotes answers: a logistic model of a few figures that come with every answer.

Fitted and judged by benchmarks/fit_answers.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from aqe.engine.providers.answer_forms import forms_of, share_offered
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
"""The figures that tell how much of the question stands there; the others tell which of several units it is."""

COVERED = ("in the unit", "in its lead", "meant in the unit")

RIVAL = 0.02
"""A unit is a rival of the best one that comes as near to the question, or by this share of it less."""


def features(
    asked: Question, field: Field, best: Scored, quotes: Sequence[str], weights: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The figures that the confidence is made of, for the best unit and the quotes that are given.

    What of the unit's score is evidence; the share of the question that stands in the unit or what leads to it, and of
    its pairs of words; what share of all units, beside it, comes as near to the question; whether the unit is of a
    test, as those are found by a word or two; what share of the kinds of things asked for the unit does not offer, and
    what share none of the quotes does; what the weightiest word weighs that nothing found comes near to; what share of
    the question's numbers and identifiers the passage lacks.
    """
    passage = best.passage
    around = " ".join((passage.text, passage.name, passage.file or ""))
    chosen = RANKING if weights is None else weights
    forms = forms_of(asked.text)
    return {
        "evidence": sum(chosen[name] * best.figures[name] for name in EVIDENCE),
        "covered": sum(best.figures[name] for name in COVERED),
        "phrases": best.figures["phrases"],
        "rivals": (float(np.sum(field.reach >= field.reach[best.place] - RIVAL)) - 1.0) / len(field.reach),
        "tests": best.figures["tests"],
        "form missing": 1.0 - best.figures["asked for"] if forms else 0.0,
        "forms missing": 1.0 - share_offered(forms, "\n".join(quotes)) if forms else 0.0,
        "word missing": field.missing,
        "keys missing": 1.0 - share_of(asked.keys, around) if asked.keys else 0.0,
    }


WEIGHTS: dict[str, float] = {
    "evidence": 0.22,
    "covered": 0.42,
    "phrases": 2.03,
    "rivals": -2.04,
    "tests": -1.73,
    "form missing": -0.69,
    "forms missing": -1.09,
    "word missing": -1.61,
    "keys missing": -0.66,
}
BIAS = -2.43
"""Fitted by benchmarks/fit_answers.py."""


def confidence_of(
    found: Mapping[str, float], weights: Mapping[str, float] = WEIGHTS, bias: float | None = None
) -> float:
    """How likely one of the quotes answers, by the figures of `features`."""
    sum_of = (BIAS if bias is None else bias) + sum(weight * found[name] for name, weight in weights.items())
    return 1.0 / (1.0 + math.exp(-sum_of))
