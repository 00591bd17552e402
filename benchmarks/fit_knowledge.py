"""Fits how sure it is that an entry of the starter knowledge answers: `python benchmarks/fit_knowledge.py`.

Asked are benchmarks/data/knowledge_train.toml (70 questions with the entry that answers, 55 about testing that none
does; none of them about an entry of knowledge_questions.toml) and the questions about public packages of
questions_[1-9].toml, which no entry answers either. They count a twentieth each, since they are many. The model is a
logistic one with a ridge; printed are what it says of each fifth of the questions when fitted on the others, at the
threshold of an answer, then the weights for engine/providers/confidence.py.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from answers import DATA, load, the_embedder
from fit_answers import FILES, Floats

from aqe.engine.embedding import Embedder
from aqe.engine.knowledge import refresh
from aqe.engine.knowledge.answering import find_entries
from aqe.engine.memory import Store
from aqe.engine.providers.confidence import KNOWN_WEIGHTS, known_features
from aqe.engine.providers.extractive import KNOWN_DEFAULT, choose
from aqe.engine.providers.question import read_question
from aqe.engine.providers.scoring import field_of, rank

TRAIN = DATA / "knowledge_train.toml"
PACKAGES_WEIGH, PULL, FOLDS = 0.05, 4.0, 5


@dataclass(frozen=True)
class Asked:
    """The figures of a question (none: not answered), whether an entry that is quoted answers it, its kind, and what
    it weighs."""

    figures: dict[str, float]
    right: bool
    kind: str
    weight: float


def main() -> None:
    """Ask, judge each fifth by the others, fit, print."""
    every = ask_all()
    asked = [one for one in every if one.figures]
    rows = np.array([[one.figures[name] for name in KNOWN_WEIGHTS] for one in asked])
    marks, weights = np.array([one.right for one in asked], float), np.array([one.weight for one in asked])
    part = np.random.default_rng(0).integers(0, FOLDS, len(asked))
    sure = np.zeros(len(asked))
    for number in range(FOLDS):
        kept = part != number
        by_name, bias = fit(rows[kept], marks[kept], weights[kept])
        sure[~kept] = chances(rows[~kept], by_name, bias)
    for kind in ("answered by an entry", "about testing, not answered", "about packages"):
        count = sum(one.kind == kind for one in every)
        told = (sure >= KNOWN_DEFAULT) & np.array([one.kind == kind for one in asked])
        print(
            f"{kind:<30}{count:>6}  answered {told.sum() / count:.3f}  right {(told & (marks > 0)).sum() / count:.3f}"
        )
    by_name, bias = fit(rows, marks, weights)
    named = zip(KNOWN_WEIGHTS, by_name, strict=True)
    print("KNOWN_WEIGHTS = {" + "".join(f'\n    "{name}": {weight:.2f},' for name, weight in named) + "\n}")
    print(f"KNOWN_BIAS = {bias:.2f}")


def ask_all() -> list[Asked]:
    """Every question, asked of a store that holds the knowledge alone."""
    embedder = the_embedder()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "knowledge.db")
        refresh(store, embedder)
        found = []
        for one in load(str(TRAIN)):
            kind = "answered by an entry" if "entry" in one else "about testing, not answered"
            found.append(ask(store, embedder, one["text"], one.get("entry"), kind, 1.0))
        for file in FILES:
            asks = [one["ask"] for one in load(str(file))]
            found += [ask(store, embedder, text, None, "about packages", PACKAGES_WEIGH) for text in asks]
        store.close()
    return found


def ask(store: Store, embedder: Embedder, text: str, entry: str | None, kind: str, weight: float) -> Asked:
    """One question; without figures where no entry is near, or it has no word that tells."""
    asked = read_question(text, None)
    entries = find_entries(store, embedder, text, embedder.embed([text])[0])
    field = field_of(asked, entries) if asked.weights else None
    if field is None:
        return Asked({}, False, kind, weight)
    chosen = choose(rank(field))
    right = entry is not None and entry in {quote.id for _, quote in chosen}
    return Asked(known_features(asked, field, chosen[0][0]), right, kind, weight)


def fit(rows: Floats, marks: Floats, weights: Floats) -> tuple[Floats, float]:
    """Weighted logistic regression with a ridge on figures of equal spread: the weights and the bias."""
    middle, spread = rows.mean(0), rows.std(0) + 1e-9
    x = np.hstack([np.ones((len(rows), 1)), (rows - middle) / spread])
    ridge = np.diag([1e-6] + [PULL] * (x.shape[1] - 1))
    found = np.zeros(x.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-x @ found))
        slope = x.T @ (weights * (chance - marks)) + ridge @ found
        curve = (x * (weights * chance * (1 - chance))[:, None]).T @ x + ridge
        step = np.linalg.solve(curve, slope)
        found = found - step
        if float(np.abs(step).max()) < 1e-9:
            break
    bare = found[1:] / spread
    return bare, float(found[0] - bare @ middle)


def chances(rows: Floats, weights: Floats, bias: float) -> Floats:
    """What a fitted model says of some figures."""
    made: Floats = 1 / (1 + np.exp(-(rows @ weights + bias)))
    return made


if __name__ == "__main__":
    main()
