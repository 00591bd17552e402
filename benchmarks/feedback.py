"""What feedback does to retrieval: `python benchmarks/feedback.py [--json] [--seed N] [--sweep]`.

A store of 2,000 functions of the standard library (their code without the docstring) is asked in the words of their
docstrings. 60 needs recur: 200 times one of them comes up, each time with other words left out, and the asker says
which of five results helped, or that none did; one mark in ten is wrong. Then the needs that recurred are asked in new
words, and 300 needs that never came up, with the success prior and without: the mean reciprocal rank of the right
function in the first ten, and the difference with a 95 % bootstrap interval. The caps were chosen with `--sweep` on
seed 1; what is reported is seed 2.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import sysconfig
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqe.engine.embedding import Embedder, open_embedder
from aqe.engine.learning import Feedback, file_feedback, prior, success_prior
from aqe.engine.memory import NewMemory, Store
from aqe.engine.requests import Interaction, RequestTable
from aqe.engine.retrieval import find, keep
from aqe.engine.settings import Settings, load_settings

FUNCTIONS, RECURRING, MARKS, NEW, WRONG, SEEN = 2_000, 60, 200, 300, 0.1, 5


@dataclass(frozen=True)
class Need:
    """A function that somebody looks for: its id in the store, its code, and what its docstring says first."""

    id: str
    code: str
    words: str


def read_needs(rng: random.Random) -> list[Need]:
    """Documented functions of the standard library, drawn by `rng`."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [path for path in sorted(root.rglob("*.py")) if not {"test", "tests", "site-packages"} & set(path.parts)]
    found: dict[str, Need] = {}
    for path in files:
        try:
            with tokenize.open(path) as file:
                source = file.read()
            tree = ast.parse(source)
        except (SyntaxError, UnicodeDecodeError, OSError):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or len(node.body) < 2:
                continue
            words = re.split(r"(?<=[.!?])\s|\n\n", " ".join((ast.get_docstring(node) or "").split()))[0]
            if len(words.split()) >= 6:
                code = ast.unparse(_bare(node))
                found.setdefault(words, Need(f"{path.stem}.{node.name}.{len(found)}", code[:4_000], words))
    return rng.sample(list(found.values()), FUNCTIONS)


def _bare(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
    node.body = node.body[1:]
    return node


def reworded(words: str, rng: random.Random) -> str:
    """The need with about a third of its words left out, in another order."""
    kept = [word for word in words.split() if rng.random() > 0.35] or words.split()
    rng.shuffle(kept)
    return " ".join(kept)


def simulate(seed: int) -> dict[str, Any]:
    """One run: marks, then the needs asked with the prior and without."""
    rng = random.Random(seed)
    needs = read_needs(rng)
    recurring, fresh = needs[:RECURRING], needs[RECURRING : RECURRING + NEW]
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "aqe.db") as store:
        settings = load_settings(Path(folder), environ={})
        embedder = open_embedder(settings)
        keep(store, embedder, [NewMemory(need.code, id=need.id) for need in needs])
        for _ in range(MARKS):
            _ask_and_mark(store, embedder, settings, recurring[min(int(rng.expovariate(0.06)), RECURRING - 1)], rng)
        answers: dict[str, Any] = {}
        for name, asked in (("recurring", recurring * 3), ("new", fresh)):
            queries = [(reworded(need.words, rng), need.id) for need in asked]
            without = [_rank(store, embedder, None, query, id) for query, id in queries]
            moved = [_rank(store, embedder, settings, query, id) for query, id in queries]
            answers[name] = _compared(without, moved, rng)
    return answers


def _ask_and_mark(store: Store, embedder: Embedder, settings: Settings, need: Need, rng: random.Random) -> None:
    query = reworded(need.words, rng)
    hits = find(store, embedder, query, k=SEEN, prior=success_prior(store, settings)).hits
    context = tuple((hit.memory.namespace, hit.memory.id) for hit in hits)
    requests = RequestTable(store)
    row = Interaction(requests.new_id(), "query", query, "", context=context)
    with store.writing() as connection:
        requests.insert(connection, [row])
    ids = [id for _, id in context]
    helped = [need.id] if need.id in ids else []
    if rng.random() < WRONG:
        helped = [] if helped else [rng.choice(ids)]
    if helped:
        file_feedback(store, embedder, Feedback(row.id, task_success=True, metadata={"used": helped}))
    else:
        file_feedback(store, embedder, Feedback(row.id, task_success=False))


def _rank(store: Store, embedder: Embedder, settings: Settings | None, query: str, id: str) -> float:
    moved = None if settings is None else success_prior(store, settings)
    ids = [hit.memory.id for hit in find(store, embedder, query, k=10, prior=moved).hits]
    return 1 / (1 + ids.index(id)) if id in ids else 0.0


def _compared(without: list[float], moved: list[float], rng: random.Random) -> dict[str, Any]:
    differences = [after - before for before, after in zip(without, moved, strict=True)]
    means = sorted(_mean(rng.choices(differences, k=len(differences))) for _ in range(2_000))
    return {
        "queries": len(without),
        "mrr_without": _mean(without),
        "mrr_with": _mean(moved),
        "difference": _mean(differences),
        "interval": [means[50], means[1949]],
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def show(title: str, answers: dict[str, Any]) -> None:
    """Print one run as a table."""
    print(f"{title}\n{'needs':<11}{'queries':>8}{'without':>9}{'with':>8}{'difference':>12}   95 % interval")
    for name, row in answers.items():
        low, high = row["interval"]
        print(
            f"{name:<11}{row['queries']:>8}{row['mrr_without']:>9.3f}{row['mrr_with']:>8.3f}"
            f"{row['difference']:>+12.3f}   [{low:+.3f}, {high:+.3f}]"
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--sweep", action="store_true", help="try other caps (use --seed 1)")
    args = parser.parse_args()
    if not args.sweep:
        answers = simulate(args.seed)
        if args.json:
            print(json.dumps({"marks": MARKS, "wrong": WRONG, "cap": prior.CAP, **answers}, indent=2))
        else:
            show(f"{MARKS} marks, {WRONG:.0%} wrong, cap {prior.CAP}", answers)
        return
    for cap in (0.1, 0.2, 0.3, 0.45, 0.6, 0.9, 1.3):
        prior.CAP, prior.STRENGTH = cap, max(prior.STRENGTH, cap)
        show(f"cap {cap}", simulate(args.seed))


if __name__ == "__main__":
    main()
