"""Whether the starter knowledge answers what it is there for: `python benchmarks/knowledge.py [--json]`.

Two sets of questions, each written before any search had been run on the entries that it asks about, are put to an
engine on an empty project without a model: the 30 of benchmarks/data/knowledge_questions.toml, which an entry answers,
and the 40 of knowledge_fresh.toml, half of which none does. Of those with an entry are counted how often it is the
first or among the first three that the search finds, and how often the answer quotes it; of all, how many are answered,
also with the knowledge switched off (none should be: nothing else can know). Of the questions about public packages in
questions_[1-9].toml is counted how many are taken for the name of an entry, which none is about.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import anyio

from aqe.engine.engine import Engine
from aqe.engine.knowledge import refresh
from aqe.engine.knowledge.naming import named_entry
from aqe.engine.memory import Store

DATA = Path(__file__).with_name("data")
SETS = {"30 questions": "knowledge_questions.toml", "40 fresh ones": "knowledge_fresh.toml"}
KINDS = {None: "with an entry", "testing": "about testing, without one", "project": "about a project, without one"}
COUNTS = ("questions", "entry found first", "entry among the first three", "answered", "answered by its entry")


async def ask(questions: list[dict[str, str]], *, enabled: bool) -> dict[str, Any]:
    """Ask all questions of a fresh project; counts for each kind, and the questions that were not answered as they
    should have been."""
    kinds = [kind for kind in KINDS if any(one.get("about") == kind for one in questions)]
    told: dict[str, Any] = {KINDS[kind]: dict.fromkeys(COUNTS if kind is None else COUNTS[::3], 0) for kind in kinds}
    missed, mistaken = [], []
    with tempfile.TemporaryDirectory() as folder:
        setting = f"[tool.aqe]\nknowledge.enabled = {str(enabled).lower()}\n"
        (Path(folder) / "pyproject.toml").write_text(setting)
        async with await Engine.open(folder, providers=()) as engine:
            for question in questions:
                text, entry = question["text"], question.get("entry")
                counts = told[KINDS[question.get("about")]]
                answer = await engine.query(text)
                counts["questions"] += 1
                counts["answered"] += answer.answered
                if entry is None:
                    mistaken += [text] if answer.answered else []
                    continue
                ids = [hit.memory.id for hit in (await engine.search(text, namespace="knowledge/", k=3)).hits]
                is_right = entry in {citation.id for citation in answer.citations}
                counts["entry found first"] += ids[:1] == [entry]
                counts["entry among the first three"] += entry in ids
                counts["answered by its entry"] += is_right
                missed += [] if is_right else [text]
    return {**told, "not answered by their entry": missed, "answered though no entry does": mistaken}


def count_named() -> tuple[int, int]:
    """How many questions about packages are taken for the name of an entry, and of how many."""
    asks = [
        one["ask"]
        for number in range(1, 10)
        for one in tomllib.loads((DATA / f"questions_{number}.toml").read_text(encoding="utf-8"))["question"]
    ]
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "knowledge.db") as store:
        refresh(store, None)
        return sum(named_entry(store, text) is not None for text in asks), len(asks)


def show(name: str, on: dict[str, Any], off: dict[str, Any]) -> None:
    """Print what one set of questions gave."""
    print(f"{name:<42}{'on':>5}{'off':>5}")
    for kind, counts in on.items():
        if isinstance(counts, dict):
            print(f"  {kind}")
            for count, number in counts.items():
                print(f"    {count:<38}{number:>5}{off[kind][count]:>5}")
        elif counts:
            print(f"  {kind}:", *counts, sep="\n    ")


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    answers: dict[str, Any] = {}
    for name, file in SETS.items():
        questions = tomllib.loads((DATA / file).read_text(encoding="utf-8"))["question"]
        answers[name] = {
            state: anyio.run(lambda on=on, asked=questions: ask(asked, enabled=on))
            for state, on in (("on", True), ("off", False))
        }
    named, packages = count_named()
    if args.json:
        print(json.dumps({**answers, "packages": {"questions": packages, "taken for a name": named}}, indent=2))
        return
    for name, told in answers.items():
        show(name, told["on"], told["off"])
    print(f"questions about packages that are taken for the name of an entry: {named} of {packages}")


if __name__ == "__main__":
    main()
