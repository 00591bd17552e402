"""What edges made of what was found together would add to a search for tests: `python benchmarks/together.py`.

On each package one half of the functions is asked for first, by their sources, as in a session of work; the best three
tests of each answer count as found together, as a search counts them (engine/memory/graph/together.py), and how often
they did is the weight of an edge between each two. Then the other half is asked for, by source, name and sentence, and
tests by their own words, with these edges and without. The attention of searches has no such kind of edge, so they go
in as calls between tests, of which the files say none. Two pairs of columns: by the weights that came with aqe, and by
weights learned anew on the training packages of graph.py, each time with the edges of such sessions and without them.

The figures are MRR@10 and differences with 95 % bootstrap intervals; takes minutes once the suites were read.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from figures import Figure, figure
from graph import (
    FUNCTION,
    ITSELF,
    LEARNED_FROM,
    MEASURED_ON,
    Asked,
    Case,
    Key,
    asked_of,
    cases_in,
    indexed,
    lessons,
    reciprocal,
    reordered,
)
from numpy.typing import NDArray
from suites import Suite, read_suite

from aqe.engine.embedding import Embedder
from aqe.engine.embedding.static import built_in_path, open_static
from aqe.engine.memory import Store
from aqe.engine.memory.graph import Edge, add_edges
from aqe.engine.memory.graph.attention import initial, learn
from aqe.engine.memory.graph.searching import Graph, built_in_weights
from aqe.engine.memory.graph.together import SIZE

NAMESPACE = "index/tests"


@dataclass(frozen=True)
class Pair:
    """One query without the edges of sessions and with them."""

    without: Case
    joined: Case


def pairs_of(suite: Suite, embedder: Embedder, seed: int) -> tuple[list[Pair], int]:
    """The queries that were not asked in the session, both ways, and how many pairs of tests were found together."""
    with indexed(suite, embedder) as store:
        session, later = halves(asked_of(store, suite, seed), seed)
        without = list(cases_in(store, embedder, suite.name, later))
        edges = found_together(store, embedder, session)
        add_edges(store, edges)
        joined = list(cases_in(store, embedder, suite.name, later))
    return [Pair(a, b) for a, b in zip(without, joined, strict=True)], len(edges)


def halves(asked: Sequence[Asked], seed: int) -> tuple[list[str], list[Asked]]:
    """The sources of one half of the functions; all queries of the other half, and tests by their own words."""
    functions: list[list[Asked]] = []
    for one in asked:
        if one[0] == FUNCTION[0]:
            functions.append([])
        if one[0] in FUNCTION:
            functions[-1].append(one)
    order = np.random.default_rng(seed).permutation(len(functions))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    later = [one for at in second for one in functions[at]] + [one for one in asked if one[0] in ITSELF]
    return [functions[at][0][1] for at in first], later


def found_together(store: Store, embedder: Embedder, texts: Sequence[str]) -> list[Edge]:
    """An edge for each two of the best tests of an answer, as heavy as they were found together often."""
    store.graph = Graph(store)
    counts: Counter[tuple[Key, Key]] = Counter()
    for text in texts:
        vector = embedder.embed([text])[0]
        hits = store.search(text, vector=vector, embedder_id=embedder.id, namespace=NAMESPACE, k=SIZE).hits
        counts.update(combinations(sorted((hit.memory.namespace, hit.memory.id) for hit in hits), 2))
    return [Edge("calls", two, float(count)) for two, count in counts.items()]


def measured(
    pairs: Sequence[Pair], weights: NDArray[np.float64], joined: NDArray[np.float64], seed: int
) -> dict[str, Figure]:
    """MRR@10 without the edges by `weights`, with them by `joined`, and the difference."""
    plain = np.array([reciprocal(reordered(one.without, weights), one.without.wanted) for one in pairs])
    more = np.array([reciprocal(reordered(one.joined, joined), one.joined.wanted) for one in pairs])
    return {"without": figure(plain, seed), "with": figure(more, seed), "difference": figure(more - plain, seed)}


def read_pairs(pins: Sequence[str], cache: Path, embedder: Embedder, seed: int) -> tuple[list[Pair], int]:
    """The queries of all packages that are to be had, and how many edges their sessions made."""
    found = [pairs_of(suite, embedder, seed) for pin in pins if (suite := read_suite(pin, cache)) is not None]
    return [pair for pairs, _ in found for pair in pairs], sum(edges for _, edges in found)


def main() -> int:
    """Learn both kinds of weights, measure, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "suites"
    parser.add_argument("--cache", type=Path, default=cache, help="keeps the archives, environment and recordings")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of functions, halves and first weights")
    parser.add_argument("--rounds", type=int, default=6, help="passes over the cases when learning")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args()
    embedder, seed = open_static(built_in_path()), options.seed
    taught, _ = read_pairs(LEARNED_FROM, options.cache, embedder, seed)
    asked, edges = read_pairs(MEASURED_ON, options.cache, embedder, seed)
    how: dict[str, Any] = {"rounds": options.rounds, "rate": 0.01, "decay": 0.02, "seed": seed}
    came = np.asarray(built_in_weights(), np.float64)
    without = learn(initial(seed), lessons([one.without for one in taught]), **how)
    joined = learn(initial(seed), lessons([one.joined for one in taught]), **how)
    weights = {"the weights that came with aqe": (came, came), "weights learned for each": (without, joined)}
    found = {
        name: {form: measured(mine, *both, seed) for form in (*FUNCTION, *ITSELF) if (mine := _of(form, asked))}
        for name, both in weights.items()
    }
    if options.json:
        shown = {
            name: {form: {what: asdict(value) for what, value in one.items()} for form, one in forms.items()}
            for name, forms in found.items()
        }
        print(json.dumps({"queries": len(asked), "edges": edges, "mrr_at_10": shown}, indent=1))
        return 0
    print(f"{len(asked)} queries after sessions that joined {edges} pairs of tests; MRR@10")
    for name, forms in found.items():
        print(f"\nby {name}:\n\n| asked by | queries | without | with | difference |\n|---|---|---|---|---|")
        for form, one in forms.items():
            count = len(_of(form, asked))
            print(f"| {form} | {count} | {one['without']} | {one['with']} | {one['difference'].signed()} |")
    return 0


def _of(form: str, pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.without.form == form]


if __name__ == "__main__":
    raise SystemExit(main())
