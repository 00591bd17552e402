"""Fits how answers are ranked and how sure they are: `python benchmarks/fit_answers.py [--folds] [--projects FOLDER]`.

Fitted on are the questions of benchmarks/data/questions_[123].toml alone: 462 with an answer and 462 without one, over
42 public packages, which are fetched as source archives (sdists.py); those over the projects in fixtures/
(answers_*.toml) are not read here. The ranking is a conditional logit over the quotable units of a question: the share
of the right ones, by Newton's method with a ridge. The confidence is a logistic model of "one of the quotes is right"
on figures of questions that the ranking was not fitted on. Printed are first the figures that tell of an unknown
package: each sixth of the packages is judged by a ranking, a confidence and a threshold that were fitted on the others,
in three divisions. Then the weights for engine/providers/scoring.py and confidence.py and the threshold for
extractive.py.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from answers import DATA, is_right, load, the_embedder
from numpy.typing import NDArray
from sdists import projects

from aqe.engine.index import index_project
from aqe.engine.index.evidence import find_passages
from aqe.engine.memory import Store
from aqe.engine.providers import confidence, scoring
from aqe.engine.providers.extractive import choose, quote_of
from aqe.engine.providers.question import Question, read_question

FILES = tuple(DATA / f"questions_{number}.toml" for number in (1, 2, 3))
FOLDS, DIVISIONS, SMALL = 6, 3, 330
"""Parts that the packages are divided into, how often they are, and the passages of a small package."""

RANKING_PULL = 1.0
LEANING = {"tests wanted": 1.5}
"""What the weights of the ranking are pulled to, 0 where nothing is said: hardly any question asks for a test."""

CONFIDENCE_PULL = 15.0
BAR = 0.10
"""The share of the unanswerable questions that may be answered, for which the threshold is chosen."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A question with its units, which of them are right (n,), and how many passages its project has."""

    question: dict[str, Any]
    read: Question
    field: scoring.Field
    right: NDArray[np.bool_]
    passages: int

    @property
    def project(self) -> str:
        return str(self.question["project"])

    @property
    def is_answerable(self) -> bool:
        return "right" in self.question


@dataclass(frozen=True)
class Judged:
    """A question with the confidence in its quotes, the threshold that it is judged by, and whether one of the quotes
    is right, and the first."""

    asked: Asked
    confidence: float
    threshold: float
    right: bool
    first_right: bool


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
    """Cross-validate by package, then fit on everything; print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folds", action="store_true", help="only the figures of unknown packages")
    parser.add_argument("--projects", type=Path, help="the unpacked source archives, where they are at hand")
    options = parser.parse_args()
    questions = read_questions(options.projects)
    tell_unknown(questions)
    if options.folds:
        return
    model = fit(questions)
    print("\nRANKING = {" + "".join(f'\n    "{name}": {weight:.2f},' for name, weight in model.ranking.items()) + "\n}")
    named = model.confidence.weights.items()
    print("WEIGHTS = {" + "".join(f'\n    "{name}": {weight:.2f},' for name, weight in named) + "\n}")
    print(f"BIAS = {model.confidence.bias:.2f}\nDEFAULT = {model.threshold:.2f}")


def read_questions(folder: Path | None = None) -> list[Asked]:
    """The questions that are fitted on, with every unit that could be quoted."""
    listed = [one for file in FILES for one in load(str(file))]
    names = dict.fromkeys(one["project"] for one in listed)
    roots = projects(names) if folder is None else {name: folder / name for name in names}
    embedder = the_embedder()
    found = []
    for name in names:
        with tempfile.TemporaryDirectory() as work:
            store = Store.open(Path(work) / "project.db")
            passages = index_project(store, embedder, roots[name]).passages
            for question in (one for one in listed if one["project"] == name):
                near = find_passages(store, embedder, question["ask"])
                read = read_question(question["ask"], store.rarity(question["ask"]))
                field = scoring.field_of(read, near)
                if field is not None:
                    every = scoring.rank(field, most=len(field.units))
                    right = np.zeros(len(every), bool)
                    for one in every:
                        right[one.place] = is_right(question, quote_of(one))
                    found.append(Asked(question, read, field, right, passages))
            store.close()
    return found


def tell_unknown(questions: Sequence[Asked]) -> None:
    """The questions of each part of the packages by what was fitted on the others."""
    judged: list[list[Judged]] = []
    for division in range(DIVISIONS):
        judged.append([])
        for kept, left in parted(questions, division):
            model = fit([questions[at] for at in kept])
            judged[-1] += [judge(questions[at], model) for at in left]
    head = "right in quotes  first quote   right   unanswerable answered   right at 10 %   told apart"
    print(f"{'fitted on other packages':<26}{head}")
    for name, least, most in (("small packages", 0, SMALL), ("others", SMALL, 10**9), ("all", 0, 10**9)):
        rows = [figures_of([one for one in some if least <= one.asked.passages < most]) for some in judged]
        print(
            f"{name:<26}"
            + "".join(f"{value:{width}.3f}" for value, width in zip(np.mean(rows, 0), WIDTHS, strict=True))
        )


WIDTHS = (15, 13, 8, 24, 16, 13)


def figures_of(judged: Sequence[Judged]) -> list[float]:
    """The figures of a line: shares of the answerable questions whose right quote is among those given, is the first,
    and is given at the threshold; of the unanswerable ones that are answered; right ones at the threshold that lets a
    tenth of these unanswerable ones through; and of pairs of a right answer and an unanswerable question those in which
    the right one has the higher confidence."""
    yes = [one for one in judged if one.asked.is_answerable]
    no = [one for one in judged if not one.asked.is_answerable]
    least = threshold_of([one.confidence for one in no], BAR)
    wrong = np.array([one.confidence for one in no])
    pairs = [np.mean(one.confidence > wrong) + np.mean(one.confidence == wrong) / 2 for one in yes if one.right]
    return [
        float(np.mean([one.right for one in yes])),
        float(np.mean([one.first_right for one in yes])),
        float(np.mean([one.right and one.confidence >= one.threshold for one in yes])),
        float(np.mean([one.confidence >= one.threshold for one in no])),
        float(np.mean([one.right and one.confidence >= least for one in yes])),
        float(np.mean(pairs)),
    ]


def fit(questions: Sequence[Asked]) -> Model:
    """The model of some questions; its threshold lets a tenth of the unanswerable ones through, each judged by what was
    fitted on other packages."""
    found, marks = held_out(questions)
    chances = [0.0] * len(found)
    for kept, left in parted(questions):
        other = fit_confidence([found[at] for at in kept], marks[kept])
        for at in left:
            chances[at] = confidence.confidence_of(found[at], other.weights, other.bias)
    no = [chances[at] for at, one in enumerate(questions) if not one.is_answerable]
    ranking = dict(zip(scoring.FIGURES, map(float, fit_ranking(questions)), strict=True))
    return Model(ranking, fit_confidence(found, marks), threshold_of(no, BAR))


def parted(questions: Sequence[Asked], division: int = 0) -> list[tuple[list[int], list[int]]]:
    """For each part of the packages where the other questions stand, and where its own do."""
    names = sorted({one.project for one in questions})
    order = np.random.default_rng(division).permutation(len(names))
    part = {names[at]: number % FOLDS for number, at in enumerate(order.tolist())}
    return [
        (
            [at for at, one in enumerate(questions) if part[one.project] != number],
            [at for at, one in enumerate(questions) if part[one.project] == number],
        )
        for number in range(FOLDS)
    ]


def threshold_of(confidences: Sequence[float], share: float) -> float:
    """The least threshold that no more than a share of some confidences reach."""
    ordered = sorted(confidences, reverse=True)
    return float(ordered[int(share * len(ordered))]) + 1e-9


def judge(one: Asked, model: Model) -> Judged:
    """A question by a model."""
    found, right, first = features_of(one, model.ranking)
    sure = confidence.confidence_of(found, model.confidence.weights, model.confidence.bias)
    return Judged(one, sure, model.threshold, right, first)


def features_of(one: Asked, ranking: dict[str, float]) -> tuple[dict[str, float], bool, bool]:
    """The figures of the confidence, and whether one of the quotes is right, and the first."""
    chosen = choose(scoring.rank(one.field, ranking))
    rights = [is_right(one.question, quote) for _, quote in chosen]
    quotes = [quote.quote for _, quote in chosen]
    return confidence.features(one.read, one.field, chosen[0][0], quotes, ranking), any(rights), rights[0]


def fit_ranking(questions: Sequence[Asked]) -> Floats:
    """The weights under which the right units have most of the chances."""
    known = [(one.field.figures, one.right) for one in questions if one.right.any()]
    size = known[0][0].shape[1]
    leaning = np.array([LEANING.get(name, 0.0) for name in scoring.FIGURES])
    weights = leaning.copy()
    for _ in range(100):
        slope, curve = RANKING_PULL * (weights - leaning), RANKING_PULL * np.eye(size)
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
    packages."""
    found: list[dict[str, float]] = [{} for _ in questions]
    marks = np.zeros(len(questions))
    for kept, left in parted(questions):
        weights = fit_ranking([questions[at] for at in kept])
        ranking = dict(zip(scoring.FIGURES, map(float, weights), strict=True))
        for at in left:
            found[at], marks[at], _ = features_of(questions[at], ranking)
    return found, marks


def fit_confidence(found: Sequence[dict[str, float]], marks: Floats) -> Confidence:
    """Logistic regression with a ridge on figures of equal spread, by Newton's method; the bias is not pulled."""
    rows = np.array([[one[name] for name in confidence.WEIGHTS] for one in found])
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
    return Confidence(dict(zip(confidence.WEIGHTS, plain.tolist(), strict=True)), float(weights[0] - plain @ middle))


if __name__ == "__main__":
    main()
