"""Whether the turns of conversations that answer a question are found: `python benchmarks/evidence.py`.

The turns of the hand-written conversations in data/evidence (about the projects in fixtures/) are memories, as after
LoCoMo (Maharana et al., 2024, arXiv 2402.17753); each question names the turns that hold its answer. The table shows
recall@5 and recall@10 of that evidence and the reciprocal rank of its first turn, with 95 % bootstrap intervals, for
words alone (BM25), meaning alone (vectors), and both as `aqe memory search` does. The bar: both together are never
below words alone. `--folder` takes other conversations of the same form.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, figure
from numpy.typing import NDArray

from aqe.engine.embedding import Embedder
from aqe.engine.embedding.static import built_in_path, open_static
from aqe.engine.memory import NewMemory, Store
from aqe.engine.retrieval import find, keep

CONVERSATIONS = Path(__file__).resolve().parent / "data" / "evidence"
NAMESPACE = "conversations"
WORDS, MEANING, BOTH = "words", "meaning", "both"
MEASURES = ("recall@5", "recall@10", "MRR@10")
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
        shares = [sum(rank <= k for rank in ranks) / len(question.evidence) for k in (5, 10)]
        first = min(ranks, default=0)
        rows.append([*shares, 1 / first if 0 < first <= 10 else 0.0])
    return dict(zip(MEASURES, np.array(rows).T, strict=True))


def ways(store: Store, embedder: Embedder) -> dict[str, Found]:
    """How evidence is looked for, by the name of its column: the ids of ten turns, best first."""

    def words(ask: str) -> list[str]:
        return [hit.memory.id for hit in store.search(ask, k=10, namespace=NAMESPACE).hits]

    def meaning(ask: str) -> list[str]:
        vector = [float(number) for number in embedder.embed([ask])[0]]
        hits = store.search(vector=vector, k=10, namespace=NAMESPACE, embedder_id=embedder.id).hits
        return [hit.memory.id for hit in hits]

    def both(ask: str) -> list[str]:
        return [hit.memory.id for hit in find(store, embedder, ask, k=10, namespace=NAMESPACE).hits]

    return {WORDS: words, MEANING: meaning, BOTH: both}


def main() -> int:
    """Measure and print; 1 where both together find less than words alone in any measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=CONVERSATIONS, help="conversations and questions")
    parser.add_argument("--table", type=Path, default=built_in_path(), help="another table than the one built in")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options = parser.parse_args()
    turns, questions = read_conversations(options.folder)
    embedder = open_static(options.table)
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "aqe.db") as store:
        keep(store, embedder, [turn.memory for turn in turns])
        found = {name: measured(way, questions) for name, way in ways(store, embedder).items()}
    figures = {
        name: {measure: figure(of, options.seed) for measure, of in columns.items()} for name, columns in found.items()
    }
    above = {measure: figure(found[BOTH][measure] - found[WORDS][measure], options.seed) for measure in MEASURES}
    held = all(difference.mean >= 0 for difference in above.values())
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
    above: dict[str, Figure],
    kinds: dict[str, tuple[int, dict[str, float]]],
    held: bool,
) -> dict[str, Any]:
    """The object of `--json`."""
    return {
        "turns": len(turns),
        "questions": len(questions),
        "ways": {name: {measure: asdict(value) for measure, value in of.items()} for name, of in figures.items()},
        "both_above_words": {measure: asdict(value) for measure, value in above.items()},
        "kinds": {kind: {"questions": count, "recall@10": of} for kind, (count, of) in kinds.items()},
        "held": held,
    }


def print_tables(
    turns: Sequence[Turn],
    questions: Sequence[Question],
    figures: dict[str, dict[str, Figure]],
    above: dict[str, Figure],
    kinds: dict[str, tuple[int, dict[str, float]]],
    held: bool,
) -> None:
    """The figures as tables."""
    print(f"\n{len(questions)} questions, {len(turns)} turns\n")
    print("| by | recall@5 | recall@10 | MRR@10 |\n|---|---|---|---|")
    for name, of in figures.items():
        print(f"| {name} | {' | '.join(str(of[measure]) for measure in MEASURES)} |")
    print(f"| both above words | {' | '.join(above[measure].signed() for measure in MEASURES)} |")
    print("\n| kind | questions | words | meaning | both |\n|---|---|---|---|---|")
    for kind, (count, recall) in kinds.items():
        print(f"| {kind} | {count} | {' | '.join(f'{recall[name]:.3f}' for name in figures)} |")
    print(f"\nboth together are never below words alone: {'held' if held else 'MISSED'}")


if __name__ == "__main__":
    raise SystemExit(main())
