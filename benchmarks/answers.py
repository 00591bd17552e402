"""Questions with and without an answer, asked of the small projects: what is answered, and what of it is right.

python benchmarks/answers.py [--words | --engine] [--half a|b|c1|c2|d|e] [--file FILE [--show]] [--at THRESHOLD]
[--misses] [--json]

Each half of benchmarks/data/answers_[ab].toml has 40 questions that its project answers and 40 near its topic that it
does not; answers_c.toml has 96 and 86 of two other projects, worded farther from their texts, answers_d.toml 60 and 60
of all four, the unanswerable ones near misses, answers_e.toml 40 and 40 like them. No weight was fitted on any of these
(benchmarks/fit_answers.py). Last come halves a and b, each by a threshold that is chosen on the other's unanswerable
questions: the lowest that lets a tenth of them through, and the one that a normal distribution of theirs gives. --file
asks the questions of another file of the same form (TOML, or JSON lines with the same keys): of them only totals are
printed, unless --show is given. An answer is right if one of its quotes is one that the question names (file and
pattern); `first` counts those whose first quote is. --words leaves the embedder out;
--engine asks as `aqe query` does, with the starter knowledge beside the project and at aqe's own threshold; --at is
another one; --misses shows each question that went wrong at aqe's own. Intervals are 95 % (Wilson 1927).
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from aqe.engine.index import index_project
from aqe.engine.index.evidence import answer
from aqe.engine.memory import Store
from aqe.engine.providers.extractive import DEFAULT, Citation, Extract

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "benchmarks" / "data"
PARTS = {"c1": "sprout", "c2": "quill"}
HALVES = ("a", "b", *PARTS, "d", "e")
BAR = {"unanswerable answered": 0.10, "answerable right": 0.70}


@dataclass(frozen=True)
class Asked:
    """A question, what came of it without a threshold, and whether a quote and the first one are right."""

    half: str
    question: Mapping[str, Any]
    found: Extract
    right: bool
    first_right: bool

    @property
    def is_answerable(self) -> bool:
        return "right" in self.question


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--words", action="store_true", help="without the embedder")
    parser.add_argument("--engine", action="store_true", help="ask through Engine.query")
    parser.add_argument("--half", choices=HALVES)
    parser.add_argument("--file", type=Path, help="other questions")
    parser.add_argument("--show", action="store_true", help="the questions of the file that went wrong, too")
    parser.add_argument(
        "--at", type=float, default=DEFAULT, metavar="THRESHOLD", help="another threshold than aqe's own"
    )
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    embedder = None if options.words else the_embedder()
    halves = [str(options.file)] if options.file else [options.half] if options.half else HALVES
    asked = ask_engines(halves) if options.engine else ask_all(halves, embedder)
    figures = {half: judge([one for one in asked if one.half == half], options.at) for half in halves}
    if options.engine:  # what came nearest to an unanswered question is no answer there
        for figure in figures.values():
            del figure["answerable right were all answered"]
    crossed = {} if options.engine or options.half or options.file else by_other_half(asked)
    if options.json:
        said = {"embedder": embedder and embedder.id, "threshold": options.at, "bar": BAR, "halves": figures}
        print(json.dumps({**said, "threshold of the other half": crossed}))
        return
    print(f"embedder {embedder.id if embedder else 'none'}, threshold {options.at}")
    for half, figure in figures.items():
        print(f"half {half}: " + ", ".join(f"{name} {value:.3f}" for name, value in figure.items()))
        tell_intervals(figure)
    for rule, half, figure in ((rule, *one) for rule, some in crossed.items() for one in some.items()):
        print(f"half {half} at {figure['threshold']:.3f}, the {rule} threshold of the other half: ", end="")
        print(", ".join(f"{name} {figure[name]:.3f}" for name in BAR))
        tell_intervals(figure)
    if options.show or (options.misses and not options.file):
        tell_misses(asked)


def by_other_half(asked: Sequence[Asked]) -> dict[str, dict[str, dict[str, float]]]:
    """By rule and half the figures of halves a and b, each at the threshold that the rule chooses on the unanswerable
    questions of the other."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, rule in RULES.items():
        for chosen, half in (("a", "b"), ("b", "a")):
            no = [one.found.confidence for one in asked if one.half == chosen and not one.is_answerable]
            threshold = rule(no)
            told = judge([one for one in asked if one.half == half], threshold)
            found.setdefault(name, {})[half] = {"threshold": threshold, **told}
    return found


def lowest_threshold(confidences: Sequence[float]) -> float:
    """The least threshold that no more than a tenth of some unanswerable questions reach.

    It follows the one question that stands there: of two halves of one size the one whose threshold is lower lets more
    than a tenth of the other's through, so that never both ways keep to a tenth.
    """
    ordered = sorted(confidences, reverse=True)
    return ordered[int(BAR["unanswerable answered"] * len(ordered))] + 1e-9


def normal_threshold(confidences: Sequence[float]) -> float:
    """The threshold that a tenth would reach if the logits of the confidence were spread as a normal distribution with
    the mean and the deviation of theirs, so that all of the questions have a say in it."""
    logits = [math.log(max(one, 1e-6) / max(1.0 - one, 1e-6)) for one in confidences]
    least = NormalDist.from_samples(logits).inv_cdf(1.0 - BAR["unanswerable answered"])
    return 1.0 / (1.0 + math.exp(-least))


Rule = Callable[[Sequence[float]], float]
RULES: Mapping[str, Rule] = {"lowest": lowest_threshold, "normal": normal_threshold}
"""How a threshold is chosen on some unanswerable questions; answer_thresholds.py compares them."""


def tell_intervals(figure: Mapping[str, float]) -> None:
    """Between what the two figures of the bar lie."""
    for name, of in (("answerable right", "answerable"), ("unanswerable answered", "unanswerable")):
        low, high = interval(figure[name], figure[of])
        print(f"    {name}: {low:.3f} to {high:.3f}")


def interval(share: float, count: float, z: float = 1.96) -> tuple[float, float]:
    """Between what the share of all such questions lies, by the share of `count` of them (Wilson 1927)."""
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - spread) / (1 + z * z / count), (middle + spread) / (1 + z * z / count)


def the_embedder() -> Any:
    """The built-in one."""
    from aqe.engine.embedding import open_embedder
    from aqe.engine.settings import load_settings

    return open_embedder(load_settings(ROOT))


def ask_all(halves: Sequence[str], embedder: Any) -> list[Asked]:
    """Every question of the halves, asked of a fresh index of its project."""
    questions = [(half, one) for half in halves for one in load(half)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        stores = {
            name: Store.open(Path(folder) / f"{name}.db") for name in sorted({q["project"] for _, q in questions})
        }
        for name, store in stores.items():
            index_project(store, embedder, ROOT / "fixtures" / name)
        for half, question in questions:
            extract = answer(stores[question["project"]], embedder, question["ask"], threshold=0.0)
            rights = [is_right(question, citation) for citation in extract.citations]
            found.append(Asked(half, question, extract, any(rights), any(rights[:1])))
        for store in stores.values():
            store.close()
    return found


def ask_engines(halves: Sequence[str]) -> list[Asked]:
    """Every question of the halves, asked of an engine over a copy of its project, with aqe's own threshold."""
    from aqe.engine.sync import Engine

    questions = [(half, one) for half in halves for one in load(half)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted({question["project"] for _, question in questions}):
            leave_out = shutil.ignore_patterns(".aqe", "__pycache__")
            copy = Path(shutil.copytree(ROOT / "fixtures" / name, Path(folder) / name, ignore=leave_out))
            with Engine.open(copy) as engine:
                engine.index()
                for half, question in questions:
                    if question["project"] == name:
                        said = engine.query(question["ask"])
                        extract = Extract(said.answered, said.text, float(said.answered), said.citations)
                        rights = [is_right(question, citation) for citation in said.citations]
                        found.append(Asked(half, question, extract, any(rights), any(rights[:1])))
    return found


def load(half: str) -> list[dict[str, Any]]:
    """The questions of a half, or those of a file."""
    if Path(half).suffix in (".jsonl", ".json"):
        return [json.loads(line) for line in Path(half).read_text(encoding="utf-8").splitlines() if line.strip()]
    if Path(half).suffix == ".toml":
        return list(tomllib.loads(Path(half).read_text(encoding="utf-8"))["question"])
    path = ROOT / "benchmarks" / "data" / f"answers_{half[0]}.toml"
    questions = list(tomllib.loads(path.read_text(encoding="utf-8"))["question"])
    return [one for one in questions if one["project"] == PARTS[half]] if half in PARTS else questions


def is_right(question: Mapping[str, Any], citation: Citation) -> bool:
    """Whether the quote is one that answers the question."""
    quote = " ".join(citation.quote.split())
    return any(one["file"] == citation.file and re.search(one["quote"], quote) for one in question.get("right", ()))


def judge(asked: Sequence[Asked], threshold: float = DEFAULT) -> dict[str, float]:
    """The figures of some questions at a threshold; shares of the answerable and of the unanswerable."""
    yes = [one for one in asked if one.is_answerable]
    no = [one for one in asked if not one.is_answerable]
    told = [one for one in yes if one.found.confidence >= threshold]
    return {
        "answerable": len(yes),
        "unanswerable": len(no),
        "answerable answered": len(told) / len(yes),
        "answerable right": sum(one.right for one in told) / len(yes),
        "answerable first right": sum(one.first_right for one in told) / len(yes),
        "answerable right were all answered": sum(one.right for one in yes) / len(yes),
        "unanswerable answered": sum(one.found.confidence >= threshold for one in no) / len(no),
    }


def tell_misses(asked: Sequence[Asked]) -> None:
    """Each question that went wrong, with the first quote and the features."""
    for one in asked:
        told = one.found.confidence >= DEFAULT
        if told if not one.is_answerable else not (told and one.right):
            what = "unanswerable" if not one.is_answerable else "wrong" if not one.right else "silent"
            quote = one.found.citations[0] if one.found.citations else None
            print(f"\n{what:<13}{one.found.confidence:.2f} {one.question['project']}: {one.question['ask']}")
            print(f"    {quote.file}:{quote.line} {' '.join(quote.quote.split())[:150]}" if quote else "    nothing")
            print("    " + ", ".join(f"{name} {value:.2f}" for name, value in one.found.features.items()))


if __name__ == "__main__":
    sys.exit(main())
