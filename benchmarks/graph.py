"""Finding the tests of a function from its text: what the edges between memories add to a search.

`python benchmarks/retrieval.py --graph` prints the figures; `python benchmarks/graph.py --learn` learns the weights of
the attention anew from the training packages and writes them to engine/memory/graph/data/.

The query is the source of a function, searched in the tests of its package. Right is a test that executed a line of the
function's body when the package's own suite ran under coverage.py (functions that at most ten tests executed). The
graph at that time holds what the files say by themselves: names, imports, fixtures. So the truth is measured, and no
edge of it is in the graph: a test that reaches a function through others is right although it never names it, and one
that names it without running it is wrong.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from figures import Figure, figure
from numpy.typing import NDArray
from suites import Suite, read_suite

from aqe.engine.embedding import Embedder
from aqe.engine.embedding.static import built_in_path, open_static
from aqe.engine.index import index_project
from aqe.engine.memory import Hit, Store
from aqe.engine.memory.graph.attention import attend, initial, learn
from aqe.engine.memory.graph.linking import link_index
from aqe.engine.memory.graph.searching import OUTSIDE, WIDE, Hood, read_neighbourhood

MOST_TESTS = 10
QUERIES = 100
ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "engine" / "memory" / "graph" / "data" / "attention.npy"
BAR = 0.05

LEARNED_FROM = (
    "bleach==6.4.0",
    "boltons==26.2.0",
    "cachetools==8.0.1",
    "dpath==2.2.0",
    "funcy==2.1",
    "humanize==4.17.0",
    "inflection==0.5.1",
    "itsdangerous==2.2.0",
    "markdown==3.11.3",
    "parso==0.8.7",
    "python-slugify==9.2.0",
    "tabulate==0.10.0",
    "tomlkit==0.15.2",
    "toolz==1.2.0",
)
MEASURED_ON = (
    "cssselect==1.6.0",
    "furl==2.1.4",
    "glom==25.12.0",
    "isodate==0.7.2",
    "jsonschema==4.26.0",
    "marshmallow==4.4.0",
    "mistune==3.4.0",
    "more-itertools==11.2.1",
    "natsort==8.4.0",
    "pyrsistent==0.20.0",
    "sqlparse==0.6.1",
    "tinydb==4.9.0",
    "voluptuous==0.16.0",
    "webcolors==25.10.0",
)
"""Packages of which no figure was looked at before the weights were made."""


@dataclass(frozen=True)
class Case:
    """One query: what lies around its candidates, which nodes are right, and the keys of the search's own order."""

    package: str
    hood: Hood
    right: NDArray[np.bool_]
    found: tuple[tuple[str, str], ...]
    wanted: frozenset[tuple[str, str]]


def cases_of(suite: Suite, embedder: Embedder, seed: int) -> Iterator[Case]:
    """The queries of a package, drawn by the seed, each with the neighbourhood that a search would see."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "aqe.db") as store:
        index_project(store, embedder, suite.root)
        link_index(store, "index", suite.root)
        passages = {
            (namespace, memory.id): memory
            for namespace in ("index/code", "index/tests")
            for memory in store.list(namespace=namespace, limit=1_000_000)
        }
        named: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for key, memory in passages.items():
            named.setdefault((memory.provenance.file, memory.metadata["name"]), []).append(key)
        functions = [one for one, tests in sorted(suite.covered.items()) if one in named and len(tests) <= MOST_TESTS]
        draw = np.random.default_rng(seed)
        for at in sorted(draw.permutation(len(functions))[:QUERIES]):
            function = functions[at]
            first = min(named[function], key=lambda key: passages[key].provenance.line)
            wanted = frozenset(key for test in suite.covered[function] for key in named.get(test, ()))
            text = passages[first].text.partition("\n")[2]
            if wanted and text.strip():
                yield _case(store, embedder, suite.name, text, wanted)


def _case(store: Store, embedder: Embedder, package: str, text: str, wanted: frozenset[tuple[str, str]]) -> Case:
    vector = [float(number) for number in embedder.embed([text])[0]]
    asked = {"vector": vector, "embedder_id": embedder.id}
    hits = store.search(text, k=WIDE, namespace="index/tests", **asked).hits
    outside = store.search(text, k=OUTSIDE, namespace="index/", **asked).hits
    hood = read_neighbourhood(store, hits, outside, vector, embedder.id)
    if hood is None:
        raise SystemExit(f"{package}: no edge around a function's candidates, so the graph is empty.")
    right = np.array([key in wanted for key in hood.keys]) & hood.nodes.may_answer
    return Case(package, hood, right, tuple(_key(hit) for hit in hits), wanted)


def _key(hit: Hit) -> tuple[str, str]:
    return hit.memory.namespace, hit.memory.id


def reciprocal(order: Sequence[tuple[str, str]], wanted: frozenset[tuple[str, str]]) -> float:
    """1 / rank of the first right one among the first ten, else 0."""
    return next((1 / rank for rank, key in enumerate(order[:10], 1) if key in wanted), 0.0)


def reordered(case: Case, weights: NDArray[np.float64]) -> list[tuple[str, str]]:
    """The memories that may be an answer, by the scores that attention gives."""
    scores = attend(weights, case.hood.nodes)
    may = np.flatnonzero(case.hood.nodes.may_answer)
    return [case.hood.keys[at] for at in may[np.argsort(-scores[may], kind="stable")]]


def read_cases(pins: Sequence[str], cache: Path, embedder: Embedder, seed: int) -> list[Case]:
    """The cases of all packages that are to be had."""
    suites = [suite for pin in pins if (suite := read_suite(pin, cache)) is not None]
    return [case for suite in suites for case in cases_of(suite, embedder, seed)]


def measure(cases: Sequence[Case], weights: NDArray[np.float64], seed: int) -> dict[str, Figure]:
    """MRR@10 of the search, of the search with the graph, and by how much the second is above."""
    plain = np.array([reciprocal(case.found, case.wanted) for case in cases])
    graph = np.array([reciprocal(reordered(case, weights), case.wanted) for case in cases])
    return {
        "hybrid": figure(plain, seed),
        "hybrid + graph": figure(graph, seed),
        "difference": figure(graph - plain, seed),
    }


def report(options: argparse.Namespace) -> int:
    """What `retrieval.py --graph` prints; 1 where the gain is below the bar."""
    embedder = open_static(options.table)
    weights = np.asarray(np.load(WEIGHTS, allow_pickle=False), np.float64)
    cases = read_cases(MEASURED_ON, options.cache.parent / "suites", embedder, options.seed)
    found = measure(cases, weights, options.seed)
    each: dict[str, Any] = {}
    for package in dict.fromkeys(case.package for case in cases):
        own = [case for case in cases if case.package == package]
        each[package] = {"queries": len(own), **_means(own, weights)}
    held = found["difference"].mean >= BAR
    if options.json:
        shown = {name: asdict(value) for name, value in found.items()}
        print(json.dumps({"queries": len(cases), "mrr_at_10": shown, "packages": each, "held": held}, indent=1))
        return int(not held)
    print(f"\ntests of a function from its text: {len(cases)} queries, {len(each)} packages, MRR@10\n")
    print("| package | queries | hybrid | hybrid + graph |\n|---|---|---|---|")
    for package, row in each.items():
        print(f"| {package} | {row['queries']} | {row['hybrid']:.3f} | {row['hybrid + graph']:.3f} |")
    print(f"| all | {len(cases)} | {found['hybrid']} | {found['hybrid + graph']} |")
    print(f"\nthe graph adds {found['difference'].signed()}; the bar is {BAR:+.2f}: {'held' if held else 'MISSED'}")
    return int(not held)


def _means(cases: Sequence[Case], weights: NDArray[np.float64]) -> dict[str, float]:
    plain = float(np.mean([reciprocal(case.found, case.wanted) for case in cases]))
    graph = float(np.mean([reciprocal(reordered(case, weights), case.wanted) for case in cases]))
    return {"hybrid": plain, "hybrid + graph": graph}


def main() -> int:
    """Learn the weights from the training packages, a part of them held out to choose how long, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "suites"
    parser.add_argument("--learn", action="store_true", help="write the weights; else only say how they would do")
    parser.add_argument("--cache", type=Path, default=cache, help="keeps the archives, environment and recordings")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of functions and the first weights")
    parser.add_argument("--rounds", type=int, default=12, help="passes over the cases")
    parser.add_argument("--rate", type=float, default=0.01, help="step of the learning")
    parser.add_argument("--decay", type=float, default=0.02, help="how strongly weights are drawn to zero")
    options = parser.parse_args()
    started = time.monotonic()
    cases = read_cases(LEARNED_FROM, options.cache, open_static(built_in_path()), options.seed)
    names = list(dict.fromkeys(case.package for case in cases))
    how = {"rounds": options.rounds, "rate": options.rate, "decay": options.decay, "seed": options.seed}
    held_out = []
    for part in range(3):
        apart = names[part::3]
        weights = learn(initial(options.seed), [_lesson(one) for one in cases if one.package not in apart], **how)
        left = [case for case in cases if case.package in apart]
        held_out += [
            (reciprocal(case.found, case.wanted), reciprocal(reordered(case, weights), case.wanted)) for case in left
        ]
    plain, graph = np.array(held_out).T
    print(f"held out of {len(names)} packages in thirds: hybrid {figure(plain, 0)}, with the graph {figure(graph, 0)}")
    print(f"the graph adds {figure(graph - plain, 0).signed()} ({time.monotonic() - started:.0f} s)")
    if options.learn:
        weights = learn(initial(options.seed), [_lesson(case) for case in cases], **how)
        WEIGHTS.parent.mkdir(exist_ok=True)
        np.save(WEIGHTS, weights.astype(np.float32))
        print(f"{WEIGHTS.relative_to(ROOT)}: {len(weights)} weights from {len(cases)} functions")
    return 0


def _lesson(case: Case) -> Any:
    return case.hood.nodes, case.right


if __name__ == "__main__":
    raise SystemExit(main())
