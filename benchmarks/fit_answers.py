"""Fits how answers are ranked and how sure they are: `python benchmarks/fit_answers.py`.

Questions of half a and of part c1 (benchmarks/answers.py) are fitted on; half b and part c2 are not read. The ranking
is a conditional logit over the quotable units of a question: the share of the right ones, by Newton's method with a
ridge. The confidence is a logistic model of "one of the quotes is right" on figures of questions that the ranking was
not fitted on, in eight folds. Printed are the weights for engine/providers/extractive.py, then for each threshold what
questions fare like that neither was fitted on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from answers import ROOT, is_right, load, newton, sigmoid, the_embedder

from aqe.engine.index import index_project
from aqe.engine.index.evidence import find_passages
from aqe.engine.memory import Store
from aqe.engine.providers import extractive

HALVES = ("a", "c1")
FOLDS = 8
RANKING_PULL = 1.0
CONFIDENCE_PULL = 3.0


@dataclass(frozen=True)
class Question:
    """A question with its units: their figures (n, names) and which of them are right (n,)."""

    half: str
    asked: dict[str, Any]
    read: extractive._Question
    scored: list[extractive._Scored]
    figures: np.ndarray[Any, Any]
    right: np.ndarray[Any, Any]


def main() -> None:
    """Fit and print."""
    names = list(extractive.RANKING)
    questions = read_questions(names)
    for name, weight in zip(names, fit_ranking(questions), strict=True):
        print(f'    "{name}": {weight:.2f},')
    rows, marks = held_out(questions, names)
    weights = newton(rows, marks, CONFIDENCE_PULL)
    print(f"BIAS = {weights[0]:.2f}")
    for name, weight in zip(extractive.WEIGHTS, weights[1:], strict=True):
        print(f'    "{name}": {weight:.2f},')
    chances = np.zeros(len(rows))
    for fold in range(10):
        kept = [at for at in range(len(rows)) if at % 10 != fold]
        other = newton([rows[at] for at in kept], [marks[at] for at in kept], CONFIDENCE_PULL)
        for at in range(fold, len(rows), 10):
            chances[at] = sigmoid(sum(w * x for w, x in zip(other, rows[at], strict=True)))
    print("threshold" + "".join(f"{half + ' right':>12}{half + ' wrong':>12}" for half in HALVES))
    for threshold in [at / 50 for at in range(15, 36)]:
        line = f"{threshold:9.2f}"
        for half in HALVES:
            some = [at for at, one in enumerate(questions) if one.half == half]
            told = [at for at in some if chances[at] >= threshold]
            yes = sum("right" in questions[at].asked for at in some)
            right = sum(marks[at] for at in told) / yes
            wrong = sum("right" not in questions[at].asked for at in told) / (len(some) - yes)
            line += f"{right:12.3f}{wrong:12.3f}"
        print(line)


def read_questions(names: Sequence[str]) -> list[Question]:
    """The questions that are fitted on, with the figures of every unit that could be quoted."""
    embedder = the_embedder()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        stores: dict[str, Store] = {}
        for half, asked in [(name, one) for name in HALVES for one in load(name)]:
            if asked["project"] not in stores:
                store = stores[asked["project"]] = Store.open(Path(folder) / f"{asked['project']}.db")
                index_project(store, embedder, ROOT / "fixtures" / asked["project"])
            store = stores[asked["project"]]
            passages = find_passages(store, embedder, asked["ask"])
            read = extractive._read_question(asked["ask"], store.rarity(asked["ask"]))
            scored = extractive._rank(read, passages, embedder, most=100_000)
            quotes = [extractive._citation(one, *extractive._window(one.unit)) for one in scored]
            right = np.array([is_right(asked, quote) for quote in quotes], bool)
            figures = np.array([[one.figures.get(name, 0.0) for name in names] for one in scored])
            found.append(Question(half, asked, read, scored, figures, right))
        for store in stores.values():
            store.close()
    return found


def fit_ranking(questions: Sequence[Question]) -> np.ndarray[Any, Any]:
    """The weights under which the right units have most of the chances."""
    known = [(one.figures, one.right) for one in questions if one.right.any()]
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
        weights = weights - step
        if float(np.abs(step).max()) < 1e-5:
            break
    return weights


def held_out(questions: Sequence[Question], names: Sequence[str]) -> tuple[list[list[float]], list[float]]:
    """For each question the features of the confidence and whether a quote is right; the ranking is of others."""
    rows: list[list[float]] = [[] for _ in questions]
    marks = [0.0] * len(questions)
    for fold in range(FOLDS):
        weights = fit_ranking([one for at, one in enumerate(questions) if at % FOLDS != fold])
        extractive.RANKING.update(zip(names, map(float, weights), strict=True))
        for at in range(fold, len(questions), FOLDS):
            one = questions[at]
            ranked = extractive._by_score([(unit.passage, unit.unit, unit.figures) for unit in one.scored])
            features = extractive._features(one.read, ranked)
            rows[at] = [1.0, *(features[name] for name in extractive.WEIGHTS)]
            marks[at] = float(any(is_right(one.asked, quote) for quote in extractive._choose(ranked)))
    return rows, marks


if __name__ == "__main__":
    main()
