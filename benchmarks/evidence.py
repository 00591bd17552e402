"""Whether the turns of conversations that answer a question are found: `python benchmarks/evidence.py`.

The turns of hand-written conversations in data/evidence are memories, as after LoCoMo (Maharana et al., 2024, arXiv
2402.17753); each question names the turns that hold its answer. `--set projects` (about the projects in fixtures/, with
an assistant) was tuned on, and so was one conversation of `--set life` (two friends, a brother and a sister, and two
colleagues: couriers); `--folder` takes others of the same form. The table shows recall@1, 5, 10 and 20 of that evidence
and the reciprocal rank of its first turn, with 95 % bootstrap intervals, for a BM25 of its own (stems without stop
words), and for aqe's words alone, meaning alone (vectors), and both as `aqe memory search` does. The bar: both together
are never below words alone.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import snowballstemmer
from figures import Figure, figure
from found import chunks
from numpy.typing import NDArray

from aqe.engine.embedding import Embedder
from aqe.engine.embedding.static import built_in_path, open_static
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.search.shares import Shares
from aqe.engine.retrieval import find, keep

CONVERSATIONS = Path(__file__).resolve().parent / "data" / "evidence"
SETS = {"projects": CONVERSATIONS, "life": CONVERSATIONS / "life"}
NAMESPACE = "conversations"
BM25, WORDS, MEANING, BOTH = "BM25", "words", "meaning", "both"
DEPTHS = (1, 5, 10, 20)
MOST = max(DEPTHS)
MEASURES = (*(f"recall@{k}" for k in DEPTHS), "MRR@10")
JUDGED = ("recall@5", "recall@10", "MRR@10")
K1, B = 1.2, 0.75
_COMMON = """
a about an and are as at be but by can could did do does for from had has have he her his how i if in is it its me my
not of on or our she should so that the their them then there these they this to was we were what when where which who
whom whose why will with would you your
"""
COMMON = frozenset(_COMMON.split())
"""Words that a BM25 of its own leaves out."""

Found = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Turn:
    """What somebody said: its id, the day, and the text with the speaker's name in front."""

    id: str
    day: date
    text: str

    @property
    def memory(self) -> NewMemory:
        """The turn as a memory: the day in words stands before it."""
        day = f"{self.day.day} {self.day:%B %Y}"
        return NewMemory(f"{day}. {self.text}", NAMESPACE, self.id, {"day": self.day.isoformat()})


@dataclass(frozen=True)
class Question:
    """A question, what kind it is of, and the ids of the turns that hold its answer."""

    ask: str
    kind: str
    evidence: frozenset[str]


def read_conversations(folder: Path) -> tuple[list[Turn], list[Question]]:
    """All turns and questions of the TOML files in a folder."""
    turns, questions = [], []
    for path in sorted(folder.glob("*.toml")):
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        for name, session in told["session"].items():
            texts = {number: text for number, text in session.items() if number != "date"}
            turns += [Turn(f"{name}.{number}", session["date"], text) for number, text in texts.items()]
        questions += [Question(one["ask"], one["kind"], frozenset(one["evidence"])) for one in told["question"]]
    known = {turn.id for turn in turns}
    for question in questions:
        if not question.evidence <= known:
            raise SystemExit(f"{question.ask!r} names turns that are not there: {sorted(question.evidence - known)}")
    return turns, questions


def measured(found: Found, questions: Sequence[Question]) -> dict[str, NDArray[np.float64]]:
    """Each measure of each question."""
    rows = []
    for question in questions:
        ids = list(found(question.ask))
        ranks = [ids.index(id) + 1 for id in question.evidence if id in ids]
        shares = [sum(rank <= k for rank in ranks) / len(question.evidence) for k in DEPTHS]
        first = min(ranks, default=0)
        rows.append([*shares, 1 / first if 0 < first <= 10 else 0.0])
    return dict(zip(MEASURES, np.array(rows).T, strict=True))


def bm25(turns: Sequence[Turn], beside: Sequence[str] = ()) -> Found:
    """Okapi BM25 (Robertson et al., 1994) as anybody would write it: lower-case words without the common ones, stemmed
    (Porter2), k1 1.2 and b .75."""
    stem = snowballstemmer.stemmer("english").stemWord

    def terms(text: str) -> list[str]:
        return [stem(word) for word in re.findall(r"\w+", text.lower()) if word not in COMMON]

    stems = [*map(terms, [*(turn.memory.text for turn in turns), *beside])]
    ids = [turn.id for turn in turns] + [""] * len(beside)
    mean = sum(map(len, stems)) / len(stems)
    lists: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for at, of in enumerate(stems):
        for term, tf in Counter(of).items():
            lists[term].append((at, tf * (K1 + 1) / (tf + K1 * (1 - B + B * len(of) / mean))))

    def found(ask: str) -> list[str]:
        scores = np.zeros(len(stems))
        for term in set(terms(ask)):
            idf = math.log(1 + (len(stems) - len(lists[term]) + 0.5) / (len(lists[term]) + 0.5))
            for at, weight in lists[term]:
                scores[at] += idf * weight
        best = np.argsort(-scores, kind="stable")[:MOST]
        return [ids[at] for at in best if scores[at] > 0]

    return found


def ways(store: Store, embedder: Embedder) -> dict[str, Found]:
    """How evidence is looked for, by the name of its column: the ids of twenty turns, best first."""

    def words(ask: str) -> list[str]:
        return [hit.memory.id for hit in store.search(ask, k=MOST, namespace=NAMESPACE).hits]

    def meaning(ask: str) -> list[str]:
        vector = [float(number) for number in embedder.embed([ask])[0]]
        hits = store.search(vector=vector, k=MOST, namespace=NAMESPACE, embedder_id=embedder.id).hits
        return [hit.memory.id for hit in hits]

    def both(ask: str) -> list[str]:
        return [hit.memory.id for hit in find(store, embedder, ask, k=MOST, namespace=NAMESPACE).hits]

    return {WORDS: words, MEANING: meaning, BOTH: both}


def main() -> int:
    """Measure and print; 1 where both together find less than words alone in any measure that is judged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=[*SETS], default="projects", help="the conversations and questions")
    parser.add_argument("--folder", type=Path, help="those of another folder")
    parser.add_argument("--share", type=float, help="of meaning, in place of what the memories are")
    parser.add_argument("--beside", type=int, default=0, help="so many pieces of code in the same namespace")
    parser.add_argument("--table", type=Path, default=built_in_path(), help="another table than the one built in")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options = parser.parse_args()
    turns, questions = read_conversations(options.folder or SETS[options.set])
    embedder = open_static(options.table)
    code = chunks(options.beside)
    shares = Shares(options.share)
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "aqe.db", shares=shares) as store:
        keep(store, embedder, [turn.memory for turn in turns])
        keep(store, embedder, [NewMemory(text, NAMESPACE) for text in code])
        by = {BM25: bm25(turns, code), **ways(store, embedder)}
        found = {name: measured(way, questions) for name, way in by.items()}
    figures = {
        name: {measure: figure(of, options.seed) for measure, of in columns.items()} for name, columns in found.items()
    }
    above = {
        name: {measure: figure(found[BOTH][measure] - found[name][measure], options.seed) for measure in MEASURES}
        for name in (BM25, WORDS)
    }
    held = all(above[WORDS][measure].mean >= 0 for measure in JUDGED)
    kinds = by_kind(found, questions)
    if options.json:
        print(json.dumps(as_report(turns, questions, figures, above, kinds, held), indent=1))
    else:
        print_tables(turns, questions, figures, above, kinds, held)
    return int(not held)


def by_kind(
    found: dict[str, dict[str, NDArray[np.float64]]], questions: Sequence[Question]
) -> dict[str, tuple[int, dict[str, float]]]:
    """Of each kind of question how many there are, and the recall@10 of each way."""
    kinds = {}
    for kind in dict.fromkeys(question.kind for question in questions):
        mine = np.array([question.kind == kind for question in questions])
        kinds[kind] = int(mine.sum()), {name: float(of["recall@10"][mine].mean()) for name, of in found.items()}
    return kinds


def as_report(
    turns: Sequence[Turn],
    questions: Sequence[Question],
    figures: dict[str, dict[str, Figure]],
    above: dict[str, dict[str, Figure]],
    kinds: dict[str, tuple[int, dict[str, float]]],
    held: bool,
) -> dict[str, Any]:
    """The object of `--json`."""
    return {
        "turns": len(turns),
        "questions": len(questions),
        "ways": {name: {measure: asdict(value) for measure, value in of.items()} for name, of in figures.items()},
        "both_above": {name: {measure: asdict(value) for measure, value in of.items()} for name, of in above.items()},
        "kinds": {kind: {"questions": count, "recall@10": of} for kind, (count, of) in kinds.items()},
        "held": held,
    }


def print_tables(
    turns: Sequence[Turn],
    questions: Sequence[Question],
    figures: dict[str, dict[str, Figure]],
    above: dict[str, dict[str, Figure]],
    kinds: dict[str, tuple[int, dict[str, float]]],
    held: bool,
) -> None:
    """The figures as tables."""
    print(f"\n{len(questions)} questions, {len(turns)} turns\n")
    print(f"| by | {' | '.join(MEASURES)} |\n|{'---|' * (1 + len(MEASURES))}")
    for name, of in figures.items():
        print(f"| {name} | {' | '.join(str(of[measure]) for measure in MEASURES)} |")
    for name, differences in above.items():
        print(f"| both above {name} | {' | '.join(differences[measure].signed() for measure in MEASURES)} |")
    print(f"\n| kind | questions | {' | '.join(figures)} |\n|{'---|' * (2 + len(figures))}")
    for kind, (count, recall) in kinds.items():
        print(f"| {kind} | {count} | {' | '.join(f'{recall[name]:.3f}' for name in figures)} |")
    print(f"\nboth together are never below words alone ({', '.join(JUDGED)}): {'held' if held else 'MISSED'}")


if __name__ == "__main__":
    raise SystemExit(main())
