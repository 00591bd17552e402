"""Finding tests with the edges between memories: what they add to a search, and what it costs.

`python benchmarks/retrieval.py --graph` prints the figures; `python benchmarks/graph.py --cost` the time beside the
same search without edges, `--own` what weights of a project's own add, `python benchmarks/together.py` what edges from
searches would; `python benchmarks/graph.py --learn` learns the weights of the attention anew from the training packages
and writes them to engine/memory/graph/data/.

The queries are the source of a function, its name, and the first sentence of its docstring, searched in the tests of
its package. Right is a test that executed a line of the function's body when the package's own suite ran under
coverage.py (functions that at most ten tests executed). The graph at that time holds what the files say by themselves:
names, imports, fixtures. So the truth is measured, and no edge of it is in the graph: a test that reaches a function
through others is right although it never names it, and one that names it without running it is wrong. Beside them stand
queries that look for one test by its own words (its name, docstring, first lines), which edges could only spoil.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from aqe.engine.memory import Memory, Store
from aqe.engine.memory.graph.attention import Neighbourhood, attend, initial, learn
from aqe.engine.memory.graph.linking import link_index
from aqe.engine.memory.graph.own_weights import FEWEST, learned
from aqe.engine.memory.graph.searching import Around, Graph, built_in_weights

MOST_TESTS = 10
QUERIES = 100
OWN = 60
"""Tests of a package that are looked for by their own words."""

FEWEST_LETTERS = 15
ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "engine" / "memory" / "graph" / "data" / "attention.npy"
BAR = 0.05
FUNCTION = ("its source", "its name", "its sentence")
ITSELF = ("own name", "own sentence", "own lines")
"""How tests of a function are asked for, and how one test is."""

WARMING = 20
MEMORIES = 10_000
"""What the store holds whose searches are timed, at least."""

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

Key = tuple[str, str]
Asked = tuple[str, str, frozenset[Key]]
"""A query: how it asks, its text, and the memories that are right."""


@dataclass(frozen=True)
class Case:
    """One query: how it asks, what lies around its candidates (None: no edge) by key, which nodes are right, and the
    keys of the search's own order."""

    package: str
    form: str
    hood: Neighbourhood | None
    keys: tuple[Key, ...]
    right: NDArray[np.bool_]
    found: tuple[Key, ...]
    wanted: frozenset[Key]


class _Watched(Graph):
    """A graph that shows what it looked at."""

    seen: Around | None = None

    def around(self, *asked: Any) -> Around | None:
        self.seen = super().around(*asked)
        return self.seen


def cases_of(suite: Suite, embedder: Embedder, seed: int) -> Iterator[Case]:
    """The queries of a package, drawn by the seed, each with the neighbourhood that a search sees."""
    with indexed(suite, embedder) as store:
        yield from cases_in(store, embedder, suite.name, asked_of(store, suite, seed))


@contextlib.contextmanager
def indexed(suite: Suite, embedder: Embedder) -> Iterator[Store]:
    """A store with the code and the tests of a package, and the edges that its files say."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "aqe.db") as store:
        index_project(store, embedder, suite.root)
        link_index(store, "index", suite.root)
        yield store


def asked_of(store: Store, suite: Suite, seed: int) -> list[Asked]:
    """The queries of a package, drawn by the seed; those of one function stand together, by its source first."""
    passages = {
        (namespace, memory.id): memory
        for namespace in ("index/code", "index/tests")
        for memory in store.list(namespace=namespace, limit=1_000_000)
    }
    draw = np.random.default_rng(seed)
    return [*_of_functions(suite, passages, draw), *_of_tests(passages, draw)]


def cases_in(store: Store, embedder: Embedder, package: str, asked: Iterable[Asked]) -> Iterator[Case]:
    """Each query with the neighbourhood that a search of the store sees; one without a vector is left out."""
    with store.reading() as connection:
        rows = connection.execute("SELECT row, namespace, id FROM memories WHERE valid_to IS NULL")
        keys = {int(row): (str(namespace), str(id)) for row, namespace, id in rows}
    for form, text, wanted in asked:
        case = _case(store, embedder, package, form, text, wanted, keys)
        if case is not None:
            yield case


def _of_functions(suite: Suite, passages: Mapping[Key, Memory], draw: np.random.Generator) -> Iterator[Asked]:
    named: dict[tuple[str, str], list[Key]] = {}
    for key, memory in passages.items():
        named.setdefault((memory.provenance.file, memory.metadata["name"]), []).append(key)
    functions = [one for one, tests in sorted(suite.covered.items()) if one in named and len(tests) <= MOST_TESTS]
    for at in sorted(draw.permutation(len(functions))[:QUERIES]):
        function = functions[at]
        first = min(named[function], key=lambda key: passages[key].provenance.line)
        wanted = frozenset(key for test in suite.covered[function] for key in named.get(test, ()))
        text = _body(passages[first])
        if wanted and text.strip():
            yield FUNCTION[0], text, wanted
            yield FUNCTION[1], function[1], wanted
            if sentence := _sentence(text):
                yield FUNCTION[2], sentence, wanted


def _of_tests(passages: Mapping[Key, Memory], draw: np.random.Generator) -> Iterator[Asked]:
    tests = [key for key, memory in sorted(passages.items()) if key[0] == "index/tests" and _is_test(memory)]
    for at in sorted(draw.permutation(len(tests))[:OWN]):
        key = tests[at]
        text, name = _body(passages[key]), str(passages[key].metadata["name"])
        yield ITSELF[0], name.rpartition(".")[2].replace("_", " "), frozenset([key])
        if sentence := _sentence(text):
            yield ITSELF[1], sentence, frozenset([key])
        lines = "\n".join(text.splitlines()[1:6])
        if len(lines) > 2 * FEWEST_LETTERS:
            yield ITSELF[2], lines, frozenset([key])


def _is_test(memory: Memory) -> bool:
    name = str(memory.metadata["name"]).rpartition(".")[2]
    return bool(memory.metadata["kind"] == "function" and name.startswith("test"))


def _body(memory: Memory) -> str:
    """A passage without the line that says where it stands."""
    return memory.text.partition("\n")[2]


def _sentence(text: str) -> str:
    """The first sentence of the docstring of a function's source, "" where there is none to speak of."""
    try:
        node = ast.parse("if 1:\n" + "\n".join(f" {line}" for line in text.splitlines())).body[0]
        inside = node.body[0] if isinstance(node, ast.If) else None
        told = ast.get_docstring(inside) if isinstance(inside, (ast.FunctionDef, ast.AsyncFunctionDef)) else None
    except (SyntaxError, ValueError):
        return ""
    first = " ".join((told or "").partition("\n\n")[0].split()).partition(". ")[0]
    return first if len(first) >= FEWEST_LETTERS else ""


def _case(
    store: Store,
    embedder: Embedder,
    package: str,
    form: str,
    text: str,
    wanted: frozenset[Key],
    keys: Mapping[int, Key],
) -> Case | None:
    vector = embedder.embed([text])[0]
    if not vector.any():
        return None
    asked = {"vector": vector, "embedder_id": embedder.id, "namespace": "index/tests"}
    store.graph = None
    found = tuple((hit.memory.namespace, hit.memory.id) for hit in store.search(text, **asked).hits)
    store.graph = graph = _Watched(store)
    store.search(text, **asked)
    if graph.seen is None:
        return Case(package, form, None, (), np.zeros(0, bool), found, wanted)
    around = tuple(keys[row] for row in graph.seen.nodes.rows.tolist())
    right = np.array([key in wanted for key in around]) & graph.seen.hood.may_answer
    return Case(package, form, graph.seen.hood, around, right, found, wanted)


def reciprocal(order: Sequence[Key], wanted: frozenset[Key]) -> float:
    """1 / rank of the first right one among the first ten, else 0."""
    return next((1 / rank for rank, key in enumerate(order[:10], 1) if key in wanted), 0.0)


def reordered(case: Case, weights: NDArray[np.float64]) -> Sequence[Key]:
    """The memories that may be an answer, by the scores that attention gives."""
    if case.hood is None:
        return case.found
    scores = attend(weights, case.hood)
    may = np.flatnonzero(case.hood.may_answer)
    return [case.keys[at] for at in may[np.argsort(-scores[may], kind="stable")]]


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
    """What `retrieval.py --graph` prints; 1 where the gain for a function is below the bar, or a test is found worse by
    its own words."""
    embedder = open_static(options.table)
    weights = np.asarray(built_in_weights(), np.float64)
    cases = read_cases(MEASURED_ON, options.cache.parent / "suites", embedder, options.seed)
    forms = {form: [case for case in cases if case.form == form] for form in (*FUNCTION, *ITSELF)}
    found = {form: measure(own, weights, options.seed) for form, own in forms.items() if own}
    each: dict[str, Any] = {}
    for package in dict.fromkeys(case.package for case in cases):
        own = [case for case in forms[FUNCTION[0]] if case.package == package]
        each[package] = {"queries": len(own), **_means(own, weights)}
    held = found[FUNCTION[0]]["difference"].mean >= BAR
    held = held and all(found[form]["difference"].high >= 0 for form in found)
    if options.json:
        shown = {form: {name: asdict(value) for name, value in one.items()} for form, one in found.items()}
        print(json.dumps({"queries": len(cases), "mrr_at_10": shown, "packages": each, "held": held}, indent=1))
        return int(not held)
    print(f"\ntests by a function and by their own words: {len(cases)} queries, {len(each)} packages, MRR@10\n")
    print("| tests are asked for by | queries | hybrid | hybrid + graph | difference |\n|---|---|---|---|---|")
    for form, one in found.items():
        row = f"{one['hybrid']} | {one['hybrid + graph']} | {one['difference'].signed()}"
        print(f"| {'function, ' * (form in FUNCTION)}{form} | {len(forms[form])} | {row} |")
    print(f"\n| package, by {FUNCTION[0]} | queries | hybrid | hybrid + graph |\n|---|---|---|---|")
    for package, one in each.items():
        print(f"| {package} | {one['queries']} | {one['hybrid']:.3f} | {one['hybrid + graph']:.3f} |")
    print(f"\nthe bar is {BAR:+.2f} by {FUNCTION[0]} and no loss elsewhere: {'held' if held else 'MISSED'}")
    return int(not held)


def _means(cases: Sequence[Case], weights: NDArray[np.float64]) -> dict[str, float]:
    plain = float(np.mean([reciprocal(case.found, case.wanted) for case in cases]))
    graph = float(np.mean([reciprocal(reordered(case, weights), case.wanted) for case in cases]))
    return {"hybrid": plain, "hybrid + graph": graph}


def own_weights(cache: Path, embedder: Embedder, seed: int) -> None:
    """What weights of a project's own add on packages that the weights never saw: learned and tried on one half of the
    functions, as `aqe memory graph --learn` does, and where they were kept measured on the other half."""
    began = np.asarray(built_in_weights(), np.float64)
    gains: dict[str, list[float]] = {"functions": [], "by their own words": []}
    print("| package | functions | gain on those held out | kept | gain on the other half |\n|---|---|---|---|---|")
    for pin in MEASURED_ON:
        cases = read_cases([pin], cache, embedder, seed)
        functions: list[list[Case]] = []
        for case in (one for one in cases if one.form in FUNCTION):
            if case.form == FUNCTION[0]:
                functions.append([])
            functions[-1].append(case)
        order = np.random.default_rng(seed).permutation(len(functions))
        halves = [[functions[at] for at in half] for half in (order[: len(order) // 2], order[len(order) // 2 :])]
        trial = learned(began, [lessons([one for one in own if one.right.any()]) for own in halves[0]], seed=seed)
        weights = trial.weights if trial.is_won and len(halves[0]) >= FEWEST else began
        for name, left in (
            ("functions", [case for own in halves[1] for case in own]),
            ("by their own words", [case for case in cases if case.form in ITSELF]),
        ):
            gains[name] += [
                reciprocal(reordered(case, weights), case.wanted) - reciprocal(reordered(case, began), case.wanted)
                for case in left
            ]
        mean = float(np.mean(gains["functions"][-sum(map(len, halves[1])) :]))
        kept = "yes" if weights is not began else "no"
        print(
            f"| {pin} | {trial.functions} | {trial.gain:+.3f} ({trial.low:+.3f}) | {kept} | {mean:+.3f} |", flush=True
        )
    for name, found in gains.items():
        print(f"{name}: {len(found)} queries, {figure(np.array(found), seed).signed()}")


def cost(cache: Path, embedder: Embedder, *, searches: int, as_json: bool) -> None:
    """Processor time of a search for tests with and without edges, one after the other in turn, over packages put into
    one project until it holds enough."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "aqe.db") as store:
        project, held = Path(folder) / "project", 0
        for pin in (*LEARNED_FROM, *MEASURED_ON):
            suite = read_suite(pin, cache)
            if suite is not None and held < MEMORIES:
                shutil.copytree(suite.root, project / suite.name)
                index_project(store, embedder, project)
                held = store.stats().memories
        started = time.thread_time()
        came, _ = link_index(store, "index", project)
        linked_s = time.thread_time() - started
        texts = dict.fromkeys(_body(one) for one in store.list(namespace="index/code", limit=1_000_000)[::8])
        asked = [(text, embedder.embed([text])[0]) for text in [*texts][: searches + WARMING] if text.strip()]
        graph = Graph(store)
        taken: dict[bool, list[float]] = {False: [], True: []}
        for at, (text, vector) in enumerate(asked):
            for with_edges in (at % 2 == 0, at % 2 == 1):
                store.graph = graph if with_edges else None
                started_ns = time.thread_time_ns()
                store.search(text, vector=vector, embedder_id=embedder.id, namespace="index/tests")
                if at >= WARMING:
                    taken[with_edges].append((time.thread_time_ns() - started_ns) / 1000)
    added = [more - less for less, more in zip(taken[False], taken[True], strict=True)]
    rows = {"hybrid": taken[False], "hybrid + graph": taken[True], "added": added}
    shown = {
        name: [round(statistics.median(ones)), *np.percentile(ones, (5, 95)).round()] for name, ones in rows.items()
    }
    if as_json:
        print(json.dumps({"memories": held, "edges": came, "linked_s": linked_s, "microseconds": shown}, indent=1))
        return
    print(f"{held} memories, {came} edges, read from the files in {linked_s:.1f} s; us of processor time a search\n")
    print("| search for tests | median | p5 | p95 |\n|---|---|---|---|")
    for name, (median, low, high) in shown.items():
        print(f"| {name} | {median:.0f} | {low:.0f} | {high:.0f} |")


def main() -> int:
    """Learn the weights from the training packages, a part of them held out to choose how long, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "suites"
    parser.add_argument("--learn", action="store_true", help="write the weights; else only say how they would do")
    parser.add_argument("--cache", type=Path, default=cache, help="keeps the archives, environment and recordings")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of functions and the first weights")
    parser.add_argument("--rounds", type=int, default=6, help="passes over the cases")
    parser.add_argument("--rate", type=float, default=0.01, help="step of the learning")
    parser.add_argument("--decay", type=float, default=0.02, help="how strongly weights are drawn to zero")
    parser.add_argument("--own", action="store_true", help="what weights of a project's own add, and nothing else")
    parser.add_argument("--cost", action="store_true", help="time searches with and without edges, and nothing else")
    parser.add_argument("--searches", type=int, default=300, help="searches that --cost times, each both ways")
    parser.add_argument("--json", action="store_true", help="what --cost found, as JSON")
    options = parser.parse_args()
    if options.own:
        own_weights(options.cache, open_static(built_in_path()), options.seed)
        return 0
    if options.cost:
        cost(options.cache, open_static(built_in_path()), searches=options.searches, as_json=options.json)
        return 0
    started = time.monotonic()
    cases = read_cases(LEARNED_FROM, options.cache, open_static(built_in_path()), options.seed)
    names = list(dict.fromkeys(case.package for case in cases))
    how = {"rounds": options.rounds, "rate": options.rate, "decay": options.decay, "seed": options.seed}
    held_out: dict[str, list[tuple[float, float]]] = {}
    for part in range(3):
        apart = names[part::3]
        weights = learn(initial(options.seed), lessons([one for one in cases if one.package not in apart]), **how)
        for case in (one for one in cases if one.package in apart):
            both = reciprocal(case.found, case.wanted), reciprocal(reordered(case, weights), case.wanted)
            held_out.setdefault(case.form, []).append(both)
    print(f"held out of {len(names)} packages in thirds ({time.monotonic() - started:.0f} s):")
    for form, both in held_out.items():
        plain, graph = np.array(both).T
        print(f"  {form}: hybrid {figure(plain, 0)}, the graph adds {figure(graph - plain, 0).signed()}")
    if options.learn:
        weights = learn(initial(options.seed), lessons(cases), **how)
        WEIGHTS.parent.mkdir(exist_ok=True)
        np.save(WEIGHTS, weights.astype(np.float32))
        print(f"{WEIGHTS.relative_to(ROOT)}: {len(weights)} weights from {len(cases)} functions")
    return 0


def lessons(cases: Sequence[Case]) -> list[tuple[Neighbourhood, NDArray[np.bool_]]]:
    """What weights are learned from: neighbourhoods, and which of their nodes are right."""
    return [(case.hood, case.right) for case in cases if case.hood is not None]


if __name__ == "__main__":
    raise SystemExit(main())
