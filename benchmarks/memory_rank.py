"""Where numexpr wins: `python benchmarks/memory_rank.py [--json]`.

An order of one's own (memory.rank, docs/memory.md) is worked out over sets of candidates by NumPy and by numexpr (one
thread each), in turn, over columns made anew for each, as each search has its own. Processor time, the least of 40
rounds, in microseconds; each row in a process of its own, since what a process freed before decides whether NumPy's
temporaries are pages that the system has to give anew. `sum` adds two products, `compound` is similarity x recency x
quality, `chain` has one computed value at a time, `logarithm` a function too. What
`aqe.engine.memory.search.rank` does is set beside both; exit 1 where it asks numexpr and that loses.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.engine.memory.search import rank
from aqe.engine.memory.search.rank import evaluate, parse_rank

SIZES = (200, 1_000, 10_000, 20_000, 25_000, 32_000, 40_000, 50_000, 100_000, 1_000_000)
EXPRESSIONS = {
    "sum": "0.8 * similarity + 0.2 * recency",
    "compound": "similarity * (0.8 + 0.2 * recency) * (0.5 + quality)",
    "chain": "similarity * (0.8 + 0.2 * recency)",
    "logarithm": "similarity * (0.8 + 0.2 * recency) * (0.5 + quality) + 0.05 * log1p(recalls)",
}
ROUNDS = 40
Columns = dict[str, NDArray[np.float64]]


def main() -> int:
    """Measure and print; exit 1 where numexpr loses where it is asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if importlib.util.find_spec("numexpr") is None:
        sys.exit("numexpr is not there to be compared with: python -m pip install numexpr (the extra aqe[numexpr]).")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as one:
        rows = [one.apply(measure, (name, size)) for name in EXPRESSIONS for size in SIZES]
    if options.json:
        print(json.dumps({"numexpr from": rank.NUMEXPR_FROM, "rows": rows}, indent=1))
    else:
        print(f"{'expression':<12}{'candidates':>11}{'NumPy us':>12}{'numexpr us':>12}{'aqe us':>12}  faster   asked")
        for row in rows:
            line = "{expression:<12}{candidates:>11,}{numpy:>12.1f}{numexpr:>12.1f}{aqe:>12.1f}  {faster:<8} {asked}"
            print(line.format(**row))
    return 1 if any(row["asked"] == "numexpr" and row["faster"] == "numpy" for row in rows) else 0


def measure(name: str, size: int) -> dict[str, Any]:
    """One expression over one size, each way in turn."""
    numexpr = importlib.import_module("numexpr")
    numexpr.set_num_threads(1)
    rng = np.random.default_rng(1)
    wanted = parse_rank(EXPRESSIONS[name])
    ways: dict[str, Callable[[Columns], object]] = {
        "numpy": lambda columns: rank.value_of(wanted, columns),
        "numexpr": lambda columns: numexpr.evaluate(wanted.text, local_dict=columns, global_dict={}),
        "aqe": lambda columns: evaluate(wanted, columns),
    }
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for way, work in ways.items():
            columns = {one: rng.random(size) for one in wanted.names}
            start = time.process_time_ns()
            work(columns)
            least[way] = min(least[way], (time.process_time_ns() - start) / 1000)
    faster = min(("numpy", "numexpr"), key=lambda way: least[way])
    asked = "numexpr" if rank.asks_numexpr(wanted, size) else "numpy"
    return {"expression": name, "candidates": size, **least, "faster": faster, "asked": asked}


if __name__ == "__main__":
    sys.exit(main())
