"""Fits how answers are ranked and how sure they are: `python benchmarks/fit_answers.py [--folds]`.

Every question of benchmarks/data/answers_[abcd].toml is fitted on (benchmarks/answers.py has what they are); files that
are given to that program alone are not read here. The ranking is a conditional logit over the quotable units of a
question: the share of the right ones, by Newton's method with a ridge. The confidence is a logistic model of "one of
the quotes is right" on figures of questions that the ranking was not fitted on. Printed are first the figures that
tell of an unknown project: each of the four in turn is judged by a ranking, a confidence and a threshold that were
fitted on the other three. Then the weights for engine/providers/scoring.py and the threshold for extractive.py.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from answers import ROOT, is_right, load, the_embedder
from numpy.typing import NDArray

from aqe.engine.index import index_project
from aqe.engine.index.evidence import find_passages
from aqe.engine.memory import Store
from aqe.engine.providers import scoring
from aqe.engine.providers.extractive import choose, quote_of
from aqe.engine.providers.question import Question, read_question

HALVES = ("a", "b", "c1", "c2", "d")
PARTS = {"shop and relay, near (a, b)": "ab", "sprout and quill, far (c)": "c", "all four, far (d)": "d", "all": "abcd"}
RANKING_PULL = 1.0
CONFIDENCE_PULL = 15.0

BAR, ALLOWED = 0.10, 0.07
"""The share of the unanswerable questions that may be answered, and the one for which the threshold is chosen: of a
project that it was not chosen on, more are answered."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A question with its units and which of them are right (n,)."""

    half: str
    question: dict[str, Any]
    read: Question
    field: scoring.Field
    right: NDArray[np.bool_]

    @property
    def project(self) -> str:
        return str(self.question["project"])

    @property
    def is_answerable(self) -> bool:
        return "right" in self.question


@dataclass(frozen=True)
class Judged:
    """A question with the confidence in its quotes and whether one of them is right."""

    asked: Asked
    confidence: float
    right: bool


@dataclass(frozen=True)
class Confidence:
    """The weights of the confidence and its bias."""

    weights: dict[str, float]
    bias: float


@dataclass(frozen=True)
class Model:
    """The weights of the ranking, the confidence, and the threshold."""

    ranking: dict[str, float]
    confidence: Confidence
    threshold: float


def main() -> None:
    """Cross-validate by project, then fit on everything; print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folds", action="store_true", help="only the figures of unknown projects")
    options = parser.parse_args()
    questions = read_questions()
    tell_unknown(questions)
    if options.folds:
        return
    model = fit(questions)
    print("\nRANKING = {" + "".join(f'\n    "{name}": {weight:.2f},' for name, weight in model.ranking.items()) + "\n}")
    named = model.confidence.weights.items()
    print("WEIGHTS = {" + "".join(f'\n    "{name}": {weight:.2f},' for name, weight in named) + "\n}")
    print(f"BIAS = {model.confidence.bias:.2f}\nDEFAULT = {model.threshold:.2f}")


def tell_unknown(questions: Sequence[Asked]) -> None:
    """Each project by what was fitted on the others; then halves a and b, each by a threshold chosen on the other."""
    judged: list[tuple[Judged, float]] = []
    for project in dict.fromkeys(one.project for one in questions):
        model = fit([one for one in questions if one.project != project])
        judged += [(judge(one, model), model.threshold) for one in questions if one.project == project]
    print(f"{'fitted on other projects':<30}  right in quotes   right   unanswerable answered   right at 10 %")
    for name, halves in PARTS.items():
        tell(name, [(one, threshold) for one, threshold in judged if one.asked.half[0] in halves])
    for chosen, asked in (("a", "b"), ("b", "a")):
        no = [one.confidence for one, _ in judged if one.asked.half == chosen and not one.asked.is_answerable]
        threshold = threshold_of(no, BAR)
        tell(f"{asked}, threshold of {chosen}", [(one, threshold) for one, _ in judged if one.asked.half == asked])


def tell(name: str, judged: Sequence[tuple[Judged, float]]) -> None:
    """A line of some questions, each with the threshold that it is judged by."""
    yes = [(one, threshold) for one, threshold in judged if one.asked.is_answerable]
    no = [(one, threshold) for one, threshold in judged if not one.asked.is_answerable]
    among = np.mean([one.right for one, _ in yes])
    told = np.mean([one.right and one.confidence >= threshold for one, threshold in yes])
    wrong = np.mean([one.confidence >= threshold for one, threshold in no])
    least = threshold_of([one.confidence for one, _ in no], BAR)
    at_bar = np.mean([one.right and one.confidence >= least for one, _ in yes])
    print(f"{name:<30}{among:17.3f}{told:8.3f}{wrong:24.3f}{at_bar:17.3f}")


def read_questions(halves: Sequence[str] = HALVES) -> list[Asked]:
    """The questions that are fitted on, with every unit that could be quoted."""
    embedder = the_embedder()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        stores: dict[str, Store] = {}
        for half, asked in [(name, one) for name in halves for one in load(name)]:
            if asked["project"] not in stores:
                store = stores[asked["project"]] = Store.open(Path(folder) / f"{asked['project']}.db")
                index_project(store, embedder, ROOT / "fixtures" / asked["project"])
            store = stores[asked["project"]]
            passages = find_passages(store, embedder, asked["ask"])
            read = read_question(asked["ask"], store.rarity(asked["ask"]))
            field = scoring.field_of(read, passages)
            if field is not None:
                every = sorted(scoring.rank(field, most=len(field.units)), key=lambda one: place(field, one))
                right = np.array([is_right(asked, quote_of(one)) for one in every], bool)
                found.append(Asked(half, asked, read, field, right))
        for store in stores.values():
            store.close()
    return found


def place(field: scoring.Field, one: scoring.Scored) -> int:
    """Where a ranked unit stands among the units."""
    return next(at for at, (passage, unit) in enumerate(field.units) if passage is one.passage and unit is one.unit)


def fit(questions: Sequence[Asked]) -> Model:
    """The model of some questions; its threshold lets no more than `ALLOWED` of the unanswerable ones through, each
    judged by what was fitted on the other projects."""
    found, marks = held_out(questions)
    chances = [0.0] * len(found)
    for kept, left in by_project(questions):
        other = fit_confidence([found[at] for at in kept], marks[kept])
        for at in left:
            chances[at] = scoring.confidence_of(found[at], other.weights, other.bias)
    no = [chances[at] for at, one in enumerate(questions) if not one.is_answerable]
    ranking = dict(zip(scoring.FIGURES, map(float, fit_ranking(questions)), strict=True))
    return Model(ranking, fit_confidence(found, marks), threshold_of(no, ALLOWED))


def by_project(questions: Sequence[Asked]) -> list[tuple[list[int], list[int]]]:
    """For each project where the other questions stand, and where its own do."""
    return [
        (
            [at for at, one in enumerate(questions) if one.project != project],
            [at for at, one in enumerate(questions) if one.project == project],
        )
        for project in dict.fromkeys(one.project for one in questions)
    ]


def threshold_of(confidences: Sequence[float], share: float) -> float:
    """The least threshold that no more than a share of some confidences reach."""
    ordered = sorted(confidences, reverse=True)
    return float(ordered[int(share * len(ordered))]) + 1e-9


def judge(one: Asked, model: Model) -> Judged:
    """A question by a model."""
    found, right = features_of(one, model.ranking)
    return Judged(one, scoring.confidence_of(found, model.confidence.weights, model.confidence.bias), right)


def features_of(one: Asked, ranking: dict[str, float]) -> tuple[dict[str, float], bool]:
    """The figures of the confidence, and whether one of the quotes is right."""
    ranked = scoring.rank(one.field, ranking)
    right = any(is_right(one.question, quote) for quote in choose(ranked))
    return scoring.features(one.read, one.field, ranked, ranking), right


def fit_ranking(questions: Sequence[Asked]) -> Floats:
    """The weights under which the right units have most of the chances."""
    known = [(one.field.figures, one.right) for one in questions if one.right.any()]
    size = known[0][0].shape[1]
    weights = np.zeros(size)
    for _ in range(100):
        slope, curve = RANKING_PULL * weights, RANKING_PULL * np.eye(size)
        for figures, right in known:
            odds = np.exp(figures @ weights - (figures @ weights).max())
            chance, among = odds / odds.sum(), right * odds / (right * odds).sum()
            mean = figures.T @ chance
            slope = slope + mean - figures.T @ among
            curve = curve + (figures.T * chance) @ figures - np.outer(mean, mean)
        step = np.linalg.solve(curve, slope)
        weights = weights - step * min(1.0, 2.0 / float(np.abs(step).max()))
        if float(np.abs(step).max()) < 1e-5:
            break
    return weights


def held_out(questions: Sequence[Asked]) -> tuple[list[dict[str, float]], Floats]:
    """For each question the figures of the confidence and whether a quote is right; the ranking is fitted on other
    projects."""
    found: list[dict[str, float]] = [{} for _ in questions]
    marks = np.zeros(len(questions))
    for kept, left in by_project(questions):
        weights = fit_ranking([questions[at] for at in kept])
        ranking = dict(zip(scoring.FIGURES, map(float, weights), strict=True))
        for at in left:
            found[at], marks[at] = features_of(questions[at], ranking)
    return found, marks


def fit_confidence(found: Sequence[dict[str, float]], marks: Floats) -> Confidence:
    """Logistic regression with a ridge on figures of equal spread, by Newton's method; the bias is not pulled."""
    rows = np.array([[one[name] for name in scoring.WEIGHTS] for one in found])
    middle, spread = rows.mean(0), rows.std(0) + 1e-9
    x = np.hstack([np.ones((len(rows), 1)), (rows - middle) / spread])
    ridge = np.diag([1e-6] + [CONFIDENCE_PULL] * (x.shape[1] - 1))
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (chance - marks) + ridge @ weights
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + ridge
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-9:
            break
    plain = weights[1:] / spread
    return Confidence(dict(zip(scoring.WEIGHTS, plain.tolist(), strict=True)), float(weights[0] - plain @ middle))


if __name__ == "__main__":
    main()
