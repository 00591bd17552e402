"""Train the score of need for a strong model, and say how good it is on prompts and subjects that it never saw.

python benchmarks/train_router.py [--tune] [--no-write] [--data FILE] [--json]

The data are prompts of MMLU and GSM8K with what a weak (Mixtral-8x7B) and a strong model (GPT-4-1106) made of them.

Label. Strong is needed (1) where weak is wrong and strong right; else it is not (0), also where both are wrong: paying
more would have changed nothing there. A prompt that weak alone gets right counts five times as not needed, since
sending it on makes the answer worse. The classes are balanced, so that 0.5 means "as likely needed as not".

Split. Subjects whose hash falls on it (14 of 50) are held out whole: "14 subjects held out". Of the others a fifth of
the prompts, by the hash of their normalised text, is held out: "new prompts". Since subjects differ more than prompts,
one set of subjects says little; so "draws" repeats it: each of 12 draws holds out 8 random subjects whole, and 15 % of
the prompts of the others, trains anew, and compares with length alone on both. The choice (CHOSEN) was made by
cross-validation on the rest of the first split (--tune), but for the weight of length, which was chosen on ten other
draws. What ships is fitted to all rows in the same way.

Figures. AUC of "needed" against the rest. Area of quality by share: send the share of prompts with the highest scores
to the strong model, take the part of the accuracy gap between the two models that this recovers, and average it over
all shares from 0 to 1 (RouteLLM's APGR on an even grid); chance is 0.5. Intervals are 95 % by bootstrap over prompts.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.engine.routing.scorer import Model, need_of, read_model
from aqe.simd import TextOdds

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "benchmarks" / "data" / "routing_train.jsonl.gz"
WEIGHTS = ROOT / "engine" / "routing" / "data" / "need.json"
SOURCE = "github.com/lm-sys/RouteLLM at 0b64fdafe049 (Apache-2.0); prompts of MMLU and GSM8K (MIT)"
LEAST_PROMPTS = 5  # a word stands in at least so many training prompts
FOLDS = 8
DRAWS = 12
HELD_SUBJECTS = 8
HELD_PROMPTS = 0.15
RESAMPLES = 1000
Array = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """What is chosen by cross-validation: components of the words' space, ridge on features and on components, and how
    often a prompt counts that only the weak model gets right, ridge on the subjects' own intercepts, and how many
    deviations of the score length is given on top: the one feature that holds across subjects."""

    components: int
    ridge_features: float
    ridge_words: float
    only_weak: float
    ridge_subjects: float
    more_length: float


CHOSEN = Choice(20, ridge_features=30.0, ridge_words=300.0, only_weak=5.0, ridge_subjects=30.0, more_length=1.0)
GRID = [
    Choice(components, features, words, only_weak, subjects, more_length)
    for components in (10, 20, 40)
    for features, words in ((30.0, 300.0), (300.0, 2000.0))
    for only_weak in (2.5, 5.0)
    for subjects in (30.0, 1e9)
    for more_length in (0.0, 1.0, 2.0)
]


@dataclass(frozen=True)
class Words:
    """The vocabulary with its inverse document frequencies and the directions of its space."""

    place: dict[str, int]
    rarity: Array
    directions: Array


def main() -> int:
    """Train, print the table, write the weights; 1 where the score is not above length alone on new prompts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tune", action="store_true", help="print the cross-validation that the choice rests on")
    parser.add_argument("--no-write", action="store_true", help="report, leave the shipped weights alone")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = read(asked.data)
    train, new, unseen = split(rows)
    if asked.tune:
        tune(train)
        return 0
    model = read_model(fit_model(train, CHOSEN))
    figures: dict[str, Any] = {
        "new prompts": figures_of(scores_of(model, new), new),
        "14 subjects held out": figures_of(scores_of(model, unseen), unseen),
        "draws": draws_of(rows),
    }
    if not asked.no_write:
        written = fit_model(rows, CHOSEN)
        written["provenance"] = provenance(asked.data, rows, train, unseen) | {"figures": figures}
        WEIGHTS.parent.mkdir(exist_ok=True)
        WEIGHTS.write_text(json.dumps(written, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    shown = {**figures, "microseconds a decision": microseconds(model, new)}
    show(shown, as_json=asked.json)
    return int(figures["draws"]["new prompts"]["above length"]["area"] <= 0)


def read(path: Path) -> list[Row]:
    """The rows of the data."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def split(rows: list[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Training rows, new prompts of the same subjects, and subjects held out whole (never GSM8K)."""
    held = {row["domain"] for row in rows if row["domain"] != "gsm8k" and _hash("domain:" + row["domain"]) % 6 == 0}
    unseen = [row for row in rows if row["domain"] in held]
    rest = [row for row in rows if row["domain"] not in held]
    elsewhere = {_normal(row["prompt"]) for row in unseen}
    train = [row for row in rest if _hash(_normal(row["prompt"])) % 5 and _normal(row["prompt"]) not in elsewhere]
    return train, [row for row in rest if _hash(_normal(row["prompt"])) % 5 == 0], unseen


def fit_model(rows: list[Row], choice: Choice) -> dict[str, Any]:
    """The object of need.json for these rows, without its provenance."""
    features, names = features_of(rows)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    words = learn_words(rows, choice.components)
    inside = tfidf(rows, words) @ words.directions
    spread = inside.std(axis=0)
    matrix = np.hstack([(features - mean) / deviation, inside / spread])
    weights = fit(matrix, rows, choice)
    of_words = words.directions @ (weights[len(names) : -1] / spread)
    table = {word: [_short(of_words[at]), _short(words.rarity[at])] for word, at in sorted(words.place.items())}
    edges = features.min(axis=0), features.max(axis=0)
    columns = zip(weights[: len(names)], mean, deviation, *edges, strict=True)
    return {
        "bias": _short(weights[-1]),
        "features": {name: [_short(x) for x in column] for name, column in zip(names, columns, strict=True)},
        "words": table,
    }


def fit(matrix: Array, rows: list[Row], choice: Choice) -> Array:
    """Weights of the columns and the bias (last). While fitting, each subject has an intercept of its own, which is
    dropped afterwards: what merely tells the subjects apart then counts for less than what holds within them."""
    subjects = sorted({row["domain"] for row in rows})
    inside = np.array([[float(row["domain"] == subject) for subject in subjects] for row in rows])
    label, weight = labels(rows, choice)
    ridge = np.append(
        ridge_of(choice, matrix.shape[1] - choice.components), np.full(len(subjects), choice.ridge_subjects)
    )
    found = logistic(np.hstack([matrix, inside]), label, weight, ridge)
    weights = found[: matrix.shape[1]]
    weights[0] += choice.more_length * (matrix @ weights).std()
    return np.append(weights, found[-1])


def labels(rows: list[Row], choice: Choice) -> tuple[Array, Array]:
    """The label of each row and its weight."""
    weak, strong = _outcomes(rows)
    needed = (strong > weak).astype(np.float64)
    sizes = Counter(row["domain"] for row in rows)
    mean = len(rows) / len(sizes)
    weight = np.array([np.sqrt(mean / sizes[row["domain"]]) for row in rows])  # no subject speaks for all
    weight *= np.where(needed == 1, (needed == 0).sum() / needed.sum(), np.where(strong < weak, choice.only_weak, 1.0))
    return needed, weight


def features_of(rows: list[Row]) -> tuple[Array, list[str]]:
    """The features of each row's prompt, and their names."""
    found = [TextOdds.shape(row["prompt"]) for row in rows]
    return np.array([list(one.values()) for one in found]), list(found[0])


def learn_words(rows: list[Row], components: int) -> Words:
    """The vocabulary, and the strongest directions of its tf-idf space (latent semantic analysis, Deerwester 1990)."""
    prompts = Counter(word for row in rows for word in set(TextOdds.words(row["prompt"])))
    place = {word: at for at, word in enumerate(sorted(w for w, n in prompts.items() if n >= LEAST_PROMPTS))}
    rarity = np.array([np.log((1 + len(rows)) / (1 + prompts[word])) + 1 for word in place])
    words = Words(place, rarity, np.zeros((len(place), components)))
    matrix = tfidf(rows, words)
    basis = np.random.default_rng(0).standard_normal((len(place), components + 20))
    for _ in range(6):  # subspace iteration
        basis, _ = np.linalg.qr(matrix.T @ (matrix @ basis))
    _, _, right = np.linalg.svd(matrix @ basis, full_matrices=False)
    return Words(place, rarity, basis @ right[:components].T)


def tfidf(rows: list[Row], words: Words) -> Array:
    """Unit rows of (1 + log count) * rarity over the vocabulary."""
    matrix = np.zeros((len(rows), len(words.place)), np.float32)
    for at, row in enumerate(rows):
        for word, count in Counter(TextOdds.words(row["prompt"][: TextOdds.MOST_CHARACTERS])).items():
            if word in words.place:
                matrix[at, words.place[word]] = (1 + np.log(count)) * words.rarity[words.place[word]]
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms == 0, 1, norms))


def ridge_of(choice: Choice, features: int) -> Array:
    """The ridge of each weight; length, the first feature, is nearly free: it is what the others must improve on."""
    return np.array([1.0] + [choice.ridge_features] * (features - 1) + [choice.ridge_words] * choice.components)


def logistic(matrix: Array, label: Array, weight: Array, ridge: Array, steps: int = 30) -> Array:
    """Weights and bias (last) of ridge logistic regression, by Newton's method."""
    matrix = np.hstack([matrix, np.ones((len(matrix), 1))])
    ridge = np.append(ridge, 0.0)
    found = np.zeros(matrix.shape[1])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-matrix @ found))
        slope = matrix.T @ (weight * (chance - label)) + ridge * found
        bend = (matrix * (weight * chance * (1 - chance) + 1e-9)[:, None]).T @ matrix + np.diag(ridge)
        step = np.linalg.solve(bend, slope)
        found -= step
        if np.abs(step).max() < 1e-8:
            break
    return found


def tune(train: list[Row]) -> None:
    """Cross-validated figures of each choice, over subjects and over prompts, beside length alone."""
    features, _ = features_of(train)
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    by_subject = folds_of_subjects(train)
    by_prompt = np.array([_hash("fold:" + row["prompt"]) % FOLDS for row in train])
    weak, strong = _outcomes(train)
    needed = strong > weak
    most = learn_words(train, max(choice.components for choice in GRID))
    inside = tfidf(train, most) @ most.directions
    inside /= inside.std(axis=0)
    print("choice: subjects area, AUC; prompts area, AUC")
    length = lengths(train)
    print(f"length alone: {area(length, weak, strong):.4f} {auc(length, needed):.4f}")
    for choice in GRID:
        matrix = np.hstack([scaled, inside[:, : choice.components]])
        told = []
        for folds in (by_subject, by_prompt):
            score = np.zeros(len(train))
            for fold in range(FOLDS):
                kept = folds != fold
                found = fit(matrix[kept], [row for row, keep in zip(train, kept, strict=True) if keep], choice)
                score[~kept] = matrix[~kept] @ found[:-1] + found[-1]
            told += [area(score, weak, strong), auc(score, needed)]
        print(choice, " ".join(f"{one:.4f}" for one in told), flush=True)


def folds_of_subjects(rows: list[Row]) -> NDArray[np.int64]:
    """The fold of each row: all rows of a subject in one, about as many subjects in each."""
    order = sorted({row["domain"] for row in rows}, key=lambda subject: _hash("order:" + subject))
    place = {subject: at % FOLDS for at, subject in enumerate(order)}
    return np.array([place[row["domain"]] for row in rows])


def scores_of(model: Model, rows: list[Row]) -> Array:
    """The score of each prompt."""
    return np.array([need_of(row["prompt"], model) for row in rows])


def draws_of(rows: list[Row]) -> dict[str, Any]:
    """Means over the draws, on unseen subjects and on new prompts, of score and length, and how often it was above."""
    subjects = sorted({row["domain"] for row in rows})
    told: dict[str, list[list[float]]] = {"unseen subjects": [], "new prompts": []}
    for draw in range(DRAWS):
        random = np.random.default_rng(1000 + draw)
        held = {subjects[at] for at in random.choice(len(subjects), HELD_SUBJECTS, replace=False)}
        new = random.random(len(rows)) < HELD_PROMPTS
        kept = [row for row, out in zip(rows, new, strict=True) if row["domain"] not in held and not out]
        model = read_model(fit_model(kept, CHOSEN))
        for name, part in (
            ("unseen subjects", [row for row in rows if row["domain"] in held]),
            ("new prompts", [row for row, out in zip(rows, new, strict=True) if out and row["domain"] not in held]),
        ):
            weak, strong = _outcomes(part)
            told[name].append(
                [
                    figure
                    for score in (scores_of(model, part), lengths(part))
                    for figure in (auc(score, strong > weak), area(score, weak, strong))
                ]
                + [float((strong - weak).sum())]
            )
    return {name: _mean_of_draws(np.array(figures)) for name, figures in told.items()}


def _mean_of_draws(figures: Array) -> dict[str, Any]:
    """Means over the draws; an area counts by the gap that it is a part of: a part of next to nothing is noise."""
    gap = figures[:, 4]
    above = figures[:, :2] - figures[:, 2:4]

    def mean(auc: Array, area: Array) -> dict[str, float]:
        return {"auc": _short(auc.mean()), "area": _short(float(np.average(area, weights=gap)))}

    return {
        "score": mean(figures[:, 0], figures[:, 1]),
        "length": mean(figures[:, 2], figures[:, 3]),
        "above length": mean(above[:, 0], above[:, 1]),
        "draws above length": {"auc": int((above[:, 0] > 0).sum()), "area": int((above[:, 1] > 0).sum())},
        "draws": len(figures),
    }


def figures_of(score: Array, rows: list[Row]) -> dict[str, Any]:
    """AUC and area of the score, of length, of a shuffle, and of the score above length; [value, low, high] each."""
    weak, strong = _outcomes(rows)
    needed = strong > weak
    random = np.random.default_rng(1)
    scores = {
        "score": score,
        "length": lengths(rows),
        "chance": random.random(len(rows)),
    }
    drawn = [random.integers(0, len(rows), len(rows)) for _ in range(RESAMPLES)]
    found: dict[str, Any] = {
        "rows": len(rows),
        "accuracy": {"weak": _short(weak.mean()), "strong": _short(strong.mean())},
    }
    samples = {}
    for name, score in scores.items():
        samples[name] = np.array([(auc(score[at], needed[at]), area(score[at], weak[at], strong[at])) for at in drawn])
        found[name] = _interval(np.array([auc(score, needed), area(score, weak, strong)]), samples[name])
    value = np.array([found["score"][key][0] - found["length"][key][0] for key in ("auc", "area")])
    found["above length"] = _interval(value, samples["score"] - samples["length"])
    order = np.argsort(-scores["score"], kind="stable")
    gained = np.append(0, np.cumsum((strong - weak)[order])) / (strong - weak).sum()
    found["part of the gap by share"] = {
        f"{share:.0%}": _short(gained[round(share * len(rows))]) for share in (0.1, 0.2, 0.3, 0.5, 0.7)
    }
    return found


def lengths(rows: list[Row]) -> Array:
    """The baseline: longer prompts to the strong model."""
    return np.array([float(len(row["prompt"])) for row in rows])


def auc(score: Array, needed: NDArray[np.bool_]) -> float:
    """The chance that a prompt that needed the strong model scores above one that did not; ties count half."""
    order = np.argsort(score, kind="stable")
    _, first, count = np.unique(score[order], return_index=True, return_counts=True)
    ranks = np.empty(len(score))
    ranks[order] = np.repeat(first + (count + 1) / 2, count)
    positive = int(needed.sum())
    return float((ranks[needed].sum() - positive * (positive + 1) / 2) / (positive * (len(score) - positive)))


def area(score: Array, weak: Array, strong: Array) -> float:
    """The mean part of the gap that is recovered, over all shares of strong calls."""
    gained = np.append(0, np.cumsum((strong - weak)[np.argsort(-score, kind="stable")]))
    return float(np.trapezoid(gained, dx=1 / len(score)) / gained[-1])


def microseconds(model: Model, rows: list[Row]) -> float:
    """The median processor time of one decision."""
    times = []
    for row in rows[:500]:
        start = time.process_time_ns()
        need_of(row["prompt"], model)
        times.append((time.process_time_ns() - start) / 1000)
    return _short(float(np.median(times)))


def provenance(data: Path, rows: list[Row], train: list[Row], unseen: list[Row]) -> dict[str, Any]:
    """Where the weights come from."""
    return {
        "made_by": "benchmarks/train_router.py",
        "made_on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": data.name,
        "data_sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
        "source": SOURCE,
        "notice": "LICENSES/routing_train.txt",
        "choice": vars(CHOSEN),
        "rows": len(rows),
        "rows_chosen_on": len(train),
        "subjects_held_out": sorted({row["domain"] for row in unseen}),
    }


def show(figures: dict[str, Any], *, as_json: bool) -> None:
    """Print the table, or everything as JSON."""
    if as_json:
        print(json.dumps(figures))
        return
    print(f"{'':26}{'AUC':^24}{'area of quality by share':^26}")
    for name in ("new prompts", "14 subjects held out"):
        print(f"{name} ({figures[name]['rows']} rows)")
        for what in ("score", "length", "chance", "above length"):
            cells = [figures[name][what][key] for key in ("auc", "area")]
            print(f"  {what:<24}" + "".join(f"{v:6.3f} [{low:6.3f}, {high:6.3f}]  " for v, low, high in cells))
        shares = ", ".join(f"{share} {part:.2f}" for share, part in figures[name]["part of the gap by share"].items())
        print(f"  part of the gap at a share of strong calls: {shares}")
    for name, told in figures["draws"].items():
        print(f"{name}, mean of {told['draws']} draws")
        for what in ("score", "length", "above length", "draws above length"):
            print(f"  {what:<24}{told[what]['auc']:6.3g}{'':18}{told[what]['area']:6.3g}")
    print(f"a decision: {figures['microseconds a decision']} us (median, processor time)")


def _outcomes(rows: list[Row]) -> tuple[Array, Array]:
    return np.array([float(row["weak"]) for row in rows]), np.array([float(row["strong"]) for row in rows])


def _interval(value: Array, samples: Array) -> dict[str, list[float]]:
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    return {key: [_short(value[at]), _short(low[at]), _short(high[at])] for at, key in enumerate(("auc", "area"))}


def _normal(prompt: str) -> str:
    return " ".join(prompt.lower().split())


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def _short(x: float) -> float:
    return float(f"{float(x):.5g}")


if __name__ == "__main__":
    sys.exit(main())
