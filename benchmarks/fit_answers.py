"""Fits how answers are ranked and how sure they are.

python benchmarks/fit_answers.py [--folds | --writers | --curve | --weights] [--without FIGURE ...] [--projects FOLDER]
[--kept FOLDER]

Fitted on are the questions of benchmarks/data/questions_[1-9].toml alone: 1,486 with an answer and 1,472 without one,
over 128 public packages, which are fetched as source archives (sdists.py); those over the projects in fixtures/
(answers_*.toml) are not read here. Files 6 to 9 are worded near the text, as those ask who skimmed it, the others
mostly far from it. The ranking is a conditional logit over the quotable units of a question: the share
of the right ones, by Newton's method with a ridge. The confidence is a logistic model of "one of the quotes is right"
on figures of questions that the ranking was not fitted on. Printed are first the figures that tell of an unknown
package: each sixth of the packages is judged by a ranking, a confidence and a threshold that were fitted on the others,
in three divisions. Then the weights for engine/providers/scoring.py and confidence.py and the threshold for
extractive.py; what unmet words tell is written to engine/providers/data/unmet_words.npy.

--folds prints the figures alone, and --weights what is fitted. --writers judges each file by what was fitted on the
others, whose writers did not write it, and whose packages are others too. --curve fits on a quarter, a half, three
quarters and all of the other packages. --without leaves figures of the confidence out (their names stand in
confidence.py).
--kept keeps the passages that are found for the questions in a folder and takes them from there the next time, so that
nothing is fetched or indexed; after a change of the index or of the search the folder has to be deleted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from answers import DATA, is_right, load, the_embedder
from numpy.typing import NDArray
from sdists import projects

from aqe.engine.embedding import Embedder
from aqe.engine.index import index_project
from aqe.engine.index.evidence import find_passages
from aqe.engine.memory import Store
from aqe.engine.providers import confidence, scoring
from aqe.engine.providers.extractive import DEFAULT, Passage, choose, quote_of
from aqe.engine.providers.question import Question, read_question

FILES = tuple(DATA / f"questions_{number}.toml" for number in range(1, 10))
NEAR = tuple(f"questions_{number}" for number in range(6, 10))
"""The files whose questions are worded near the text."""

UNMET_FILE = DATA.parent.parent / "engine" / "providers" / "data" / "unmet_words.npy"
FOLDS, DIVISIONS, SMALL = 6, 3, 330
"""Parts that the packages are divided into, how often they are, and the passages of a small package."""

RANKING_PULL = 1.0
LEANING = {"tests wanted": 1.5}
"""What the weights of the ranking are pulled to, 0 where nothing is said: hardly any question asks for a test."""

CONFIDENCE_PULL = 15.0
UNMET_PULL = 600.0
"""How the weights of the confidence are pulled to 0, all figures having a like spread; unmet words have many."""

SURE = 0.6
"""A near miss that is answered with this confidence misleads."""

SHARES = (0.25, 0.5, 0.75, 1.0)
BAR = 0.10
"""The share of the unanswerable questions that may be answered, for which the threshold is chosen."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A question with its units, which of them are right (n,), how many passages its project has, and its file."""

    question: dict[str, Any]
    read: Question
    field: scoring.Field
    right: NDArray[np.bool_]
    passages: int
    file: str

    @property
    def project(self) -> str:
        return str(self.question["project"])

    @property
    def is_answerable(self) -> bool:
        return "right" in self.question


@dataclass(frozen=True)
class LookedUp:
    """What the index of a project has for some questions: how many passages it has, and for each question how rare its
    terms are and the passages that were found."""

    asks: tuple[str, ...]
    passages: int
    rarities: tuple[dict[str, float], ...]
    found: tuple[tuple[Passage, ...], ...]


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
    """The weights of the confidence, its bias, and what it tells that words are not met (2, d)."""

    weights: dict[str, float]
    bias: float
    unmet: Floats


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
    parser.add_argument("--writers", action="store_true", help="the figures of unknown packages and writers")
    parser.add_argument("--curve", action="store_true", help="those of fits on fewer packages")
    parser.add_argument("--weights", action="store_true", help="only what is fitted on all of them")
    parser.add_argument("--without", nargs="+", default=(), choices=confidence.WEIGHTS, help="figures to leave out")
    parser.add_argument("--projects", type=Path, help="the unpacked source archives, where they are at hand")
    parser.add_argument("--kept", type=Path, help="a folder that keeps what is found for the questions")
    options = parser.parse_args()
    questions = read_questions(options.projects, options.kept)
    if options.curve:
        for share in SHARES:
            print(f"fitted on {share:.0%} of the others")
            tell_unknown(questions, share, options.without)
        return
    if options.writers:
        tell([judged_by_others(questions, by_file(questions), 1.0, options.without)])
        return
    if not options.weights:
        tell_unknown(questions, 1.0, options.without)
    if options.folds or options.without:
        return
    tell_weights(fit(questions))


def tell_weights(model: Model) -> None:
    """Print what goes into scoring.py and confidence.py, and write what unmet words tell."""
    print("\nRANKING = {" + "".join(f'\n    "{name}": {weight:.2f},' for name, weight in model.ranking.items()) + "\n}")
    named = model.confidence.weights.items()
    print("WEIGHTS = {" + "".join(f'\n    "{name}": {weight:.2f},' for name, weight in named) + "\n}")
    print(
        f"BIAS = {model.confidence.bias:.2f}\nthreshold of the packages {model.threshold:.2f}, aqe's own {DEFAULT:.2f}"
    )
    np.save(UNMET_FILE, model.confidence.unmet.astype(np.float32))


def read_questions(folder: Path | None = None, kept: Path | None = None) -> list[Asked]:
    """The questions that are fitted on, with every unit that could be quoted; the passages that were found for those of
    a project are kept in the folder `kept`, and taken from there where they are."""
    listed = [(one, file.stem) for file in FILES for one in load(str(file))]
    names = list(dict.fromkeys(one["project"] for one, _ in listed))
    embedder = the_embedder()
    found = []
    for name in names:
        asks = [one["ask"] for one, _ in listed if one["project"] == name]
        file = None if kept is None else kept / f"{name}.json"
        if file is not None and file.is_file():
            looked = looked_up_from(json.loads(file.read_text(encoding="utf-8")), asks, file)
        else:
            looked = look_up(projects([name])[name] if folder is None else folder / name, embedder, asks)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(asdict(looked)), encoding="utf-8")
        mine = (one for one in listed if one[0]["project"] == name)
        for (question, stem), rarity, near in zip(mine, looked.rarities, looked.found, strict=True):
            read = read_question(question["ask"], rarity)
            field = scoring.field_of(read, near)
            if field is not None:
                every = list(scoring.rank(field, most=len(field.units)))
                right = np.zeros(len(every), bool)
                for one in every:
                    right[one.place] = is_right(question, quote_of(one))
                found.append(Asked(question, read, field, right, looked.passages, stem))
    return found


def look_up(project: Path, embedder: Embedder, asks: Sequence[str]) -> LookedUp:
    """What a fresh index of a project has for some questions."""
    with tempfile.TemporaryDirectory() as work:
        store = Store.open(Path(work) / "project.db")
        passages = index_project(store, embedder, project).passages
        rarities = tuple(dict(store.rarity(ask)) for ask in asks)
        found = tuple(tuple(find_passages(store, embedder, ask)) for ask in asks)
        store.close()
    return LookedUp(tuple(asks), passages, rarities, found)


def looked_up_from(kept: dict[str, Any], asks: Sequence[str], file: Path) -> LookedUp:
    """What was kept of a project; ends where it is of other questions."""
    if kept["asks"] != list(asks):
        sys.exit(f"{file} holds what was found for other questions: delete it.")
    found = tuple(tuple(Passage(**one) for one in some) for some in kept["found"])
    return LookedUp(tuple(asks), kept["passages"], tuple(kept["rarities"]), found)


def tell_unknown(questions: Sequence[Asked], share: float, without: Sequence[str]) -> None:
    """The questions of each part of the packages by what was fitted on a share of the others."""
    tell([judged_by_others(questions, parted(questions, division), share, without) for division in range(DIVISIONS)])


def judged_by_others(
    questions: Sequence[Asked], parts: Sequence[tuple[list[int], list[int]]], share: float, without: Sequence[str]
) -> list[Judged]:
    """The questions of each part by what was fitted on those of a share of the packages of the other parts."""
    found = []
    for number, (kept, left) in enumerate(parts):
        names = sorted({questions[at].project for at in kept})
        some = set(np.random.default_rng(number).permutation(names)[: round(share * len(names))])
        model = fit([questions[at] for at in kept if questions[at].project in some], without)
        found += [judge(questions[at], model) for at in left]
    return found


def tell(judged: Sequence[Sequence[Judged]]) -> None:
    """The figures, as means of some divisions."""
    print(f"{'fitted on others':<18}{HEAD}")
    for name, belongs in ROWS.items():
        rows = [figures_of([one for one in some if belongs(one.asked)]) for some in judged]
        values = zip(np.mean(rows, 0), WIDTHS, strict=True)
        print(f"{name:<18}" + "".join(f"{value:{width}.3f}" for value, width in values))


ROWS: dict[str, Callable[[Asked], bool]] = {
    "small packages": lambda one: one.passages < SMALL,
    "others": lambda one: one.passages >= SMALL,
    "near the text": lambda one: one.file in NEAR,
    "far from it": lambda one: one.file not in NEAR,
    "all": lambda one: True,
}
HEAD = (
    "right in quotes  first quote   right   unanswerable answered   surely   right at 10 %   told apart"
    "   at aqe's own: right   unanswerable answered"
)
WIDTHS = (15, 13, 8, 24, 9, 16, 13, 23, 24)


def figures_of(judged: Sequence[Judged]) -> list[float]:
    """The figures of a line: shares of the answerable questions whose right quote is among those given, is the first,
    and is given at the threshold; of the unanswerable ones that are answered, and with a confidence of `SURE`; right
    ones at the threshold that lets a tenth of these unanswerable ones through; and of pairs of a right answer and an
    unanswerable question those in which the right one has the higher confidence; and right and unanswerable ones at the
    threshold that aqe has."""
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
        float(np.mean(wrong >= SURE)),
        float(np.mean([one.right and one.confidence >= least for one in yes])),
        float(np.mean(pairs)),
        float(np.mean([one.right and one.confidence >= DEFAULT for one in yes])),
        float(np.mean(wrong >= DEFAULT)),
    ]


def fit(questions: Sequence[Asked], without: Sequence[str] = ()) -> Model:
    """The model of some questions; its threshold lets a tenth of the unanswerable ones through, each judged by what was
    fitted on other packages."""
    weights = fit_ranking(questions)
    found, unmet, marks = held_out(questions, weights)
    chances = [0.0] * len(found)
    for kept, left in parted(questions):
        other = fit_confidence([found[at] for at in kept], unmet[kept], marks[kept], without)
        for at in left:
            lacking = np.einsum("ij,ij->i", other.unmet, unmet[at])
            known = found[at] | dict(zip(confidence.UNMET, lacking.tolist(), strict=True))
            chances[at] = confidence.confidence_of(known, other.weights, other.bias)
    no = [chances[at] for at, one in enumerate(questions) if not one.is_answerable]
    ranking = dict(zip(scoring.FIGURES, map(float, weights), strict=True))
    return Model(ranking, fit_confidence(found, unmet, marks, without), threshold_of(no, BAR))


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


def by_file(questions: Sequence[Asked]) -> list[tuple[list[int], list[int]]]:
    """For each file where the questions of the others stand, and where its own do."""
    every = range(len(questions))
    return [
        ([at for at in every if questions[at].file != name], [at for at in every if questions[at].file == name])
        for name in sorted({one.file for one in questions})
    ]


def threshold_of(confidences: Sequence[float], share: float) -> float:
    """The least threshold that no more than a share of some confidences reach."""
    ordered = sorted(confidences, reverse=True)
    return float(ordered[int(share * len(ordered))]) + 1e-9


def judge(one: Asked, model: Model) -> Judged:
    """A question by a model."""
    found, _, right, first = features_of(one, model.ranking, model.confidence.unmet)
    sure = confidence.confidence_of(found, model.confidence.weights, model.confidence.bias)
    return Judged(one, sure, model.threshold, right, first)


def features_of(
    one: Asked, ranking: dict[str, float], unmet: Floats | None = None
) -> tuple[dict[str, float], Floats, bool, bool]:
    """The figures of the confidence, the unmet words (2, d), and whether one of the quotes is right, and the first."""
    chosen = choose(scoring.rank(one.field, ranking))
    rights = [is_right(one.question, quote) for _, quote in chosen]
    quotes = [quote.quote for _, quote in chosen]
    best = chosen[0][0]
    words = confidence.unmet_words(one.read, one.field, best.place)
    table = np.zeros_like(words) if unmet is None else unmet
    found = confidence.features(one.read, one.field, best, quotes, table)
    return found, words, any(rights), rights[0]


def fit_ranking(questions: Sequence[Asked], start: Floats | None = None) -> Floats:
    """The weights under which the right units have most of the chances, found from some weights `start` on."""
    known = [one for one in questions if one.right.any()]
    figures, right = np.concatenate([one.field.figures for one in known]), np.concatenate([one.right for one in known])
    counts = np.array([len(one.right) for one in known])
    starts, of = np.cumsum(counts) - counts, np.repeat(np.arange(len(known)), counts)
    leaning = np.array([LEANING.get(name, 0.0) for name in scoring.FIGURES])
    weights = leaning if start is None else start
    for _ in range(100):
        scores = figures @ weights
        odds = np.exp(scores - np.maximum.reduceat(scores, starts)[of])
        chance = odds / np.add.reduceat(odds, starts)[of]
        among = right * odds / np.add.reduceat(right * odds, starts)[of]
        weighed = figures * chance[:, None]
        means = np.add.reduceat(weighed, starts, axis=0)
        slope = RANKING_PULL * (weights - leaning) + figures.T @ (chance - among)
        curve = RANKING_PULL * np.eye(len(weights)) + weighed.T @ figures - means.T @ means
        step = np.linalg.solve(curve, slope)
        weights = weights - step * min(1.0, 2.0 / float(np.abs(step).max()))
        if float(np.abs(step).max()) < 1e-5:
            break
    return weights


def held_out(questions: Sequence[Asked], start: Floats) -> tuple[list[dict[str, float]], Floats, Floats]:
    """For each question the figures of the confidence, its unmet words (2, d), and whether a quote is right; the
    ranking is fitted on other packages, from the weights `start` on."""
    found: list[dict[str, float]] = [{} for _ in questions]
    unmet: list[Floats] = [np.zeros(0) for _ in questions]
    marks = np.zeros(len(questions))
    for kept, left in parted(questions):
        weights = fit_ranking([questions[at] for at in kept], start)
        ranking = dict(zip(scoring.FIGURES, map(float, weights), strict=True))
        for at in left:
            found[at], unmet[at], marks[at], _ = features_of(questions[at], ranking)
    return found, np.array(unmet), marks


def fit_confidence(
    found: Sequence[dict[str, float]], unmet: Floats, marks: Floats, without: Sequence[str]
) -> Confidence:
    """Logistic regression with a ridge on figures of equal spread, by Newton's method; the bias is not pulled. The
    unmet words (n, 2, d) have one spread for each of the two."""
    plain = [name for name in confidence.WEIGHTS if name not in (*confidence.UNMET, *without)]
    unmet = unmet * np.array([name not in without for name in confidence.UNMET])[None, :, None]
    rows = np.array([[one[name] for name in plain] for one in found])
    spreads = np.repeat(np.sqrt((unmet**2).mean(axis=(0, 2))), unmet.shape[2])
    spread = np.concatenate([rows.std(0), spreads]) + 1e-9
    rows = np.hstack([rows, unmet.reshape(len(rows), -1)])
    middle = rows.mean(0)
    x = np.hstack([np.ones((len(rows), 1)), (rows - middle) / spread])
    ridge = np.diag([1e-6] + [CONFIDENCE_PULL] * len(plain) + [UNMET_PULL] * len(spreads))
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (chance - marks) + ridge @ weights
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + ridge
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-9:
            break
    bare = weights[1:] / spread
    named = dict(zip(plain, bare.tolist(), strict=False)) | dict.fromkeys(confidence.UNMET, 1.0)
    return Confidence(named, float(weights[0] - bare @ middle), bare[len(plain) :].reshape(unmet.shape[1:]))


if __name__ == "__main__":
    main()
