"""Whether the starter knowledge answers what it is there for: `python benchmarks/knowledge.py [--json]`.

The 30 questions of benchmarks/data/knowledge_questions.toml, written before any search had been run on them, are asked
of an engine on an empty project without a model: how often the right entry is the first or among the first three that
the search finds, how often the answer quotes it, and how many are answered with the knowledge switched off (they
should not be: nothing else can know).
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

QUESTIONS = Path(__file__).with_name("data") / "knowledge_questions.toml"


async def ask(questions: list[dict[str, str]], *, enabled: bool) -> dict[str, Any]:
    """Ask all questions of a fresh project; counts, and the questions that were not answered by their entry."""
    with tempfile.TemporaryDirectory() as folder:
        setting = f"[tool.aqe]\nknowledge.enabled = {str(enabled).lower()}\n"
        (Path(folder) / "pyproject.toml").write_text(setting)
        first = third = answered = quoted = 0
        missed = []
        async with await Engine.open(folder, providers=()) as engine:
            for question in questions:
                hits = (await engine.search(question["text"], namespace="knowledge/", k=3)).hits
                ids = [hit.memory.id for hit in hits]
                first += ids[:1] == [question["entry"]]
                third += question["entry"] in ids
                answer = await engine.query(question["text"])
                right = question["entry"] in {citation.id for citation in answer.citations}
                answered, quoted = answered + answer.answered, quoted + right
                if not right:
                    missed.append(question["text"])
    return {
        "questions": len(questions),
        "entry found first": first,
        "entry among the first three": third,
        "answered": answered,
        "answered by its entry": quoted,
        "missed": missed,
    }


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    questions = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
    answers = {name: anyio.run(lambda on=on: ask(questions, enabled=on)) for name, on in (("on", True), ("off", False))}
    if args.json:
        print(json.dumps(answers, indent=2))
        return
    print(f"{'knowledge':<30}{'on':>5}{'off':>5}")
    for name in answers["on"]:
        if name != "missed":
            print(f"{name:<30}{answers['on'][name]:>5}{answers['off'][name]:>5}")
    print("not answered by their entry:")
    for text in answers["on"]["missed"]:
        print(f"  {text}")


if __name__ == "__main__":
    main()
