"""From what size on numexpr wins: `python benchmarks/memory_rank.py [--json]`.

An order of one's own (memory.rank, docs/memory.md) is worked out over sets of candidates by NumPy and by numexpr (one
thread each), in turn; medians of 30 rounds in microseconds. `sum` adds two products, `compound` is similarity x recency
x quality, and `logarithm` has a function too. NumPy makes a temporary for each operator; from some 16,000 numbers on
these are pages that the system may have to give anew, which a sum shows and a product, whose temporaries are used
again, hides. What `aqe.engine.memory.rank` does is set beside both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numexpr
import numpy as np
from numpy.typing import NDArray

from aqe.engine.memory import rank
from aqe.engine.memory.rank import evaluate, parse_rank

SIZES = (100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000)
EXPRESSIONS = {
    "sum": "0.8 * similarity + 0.2 * recency",
    "compound": "similarity * (0.8 + 0.2 * recency) * (0.5 + quality)",
    "logarithm": "similarity * (0.8 + 0.2 * recency) * (0.5 + quality) + 0.05 * log1p(recalls)",
}
ROUNDS = 30
Columns = dict[str, NDArray[np.float64]]


def main() -> int:
    """Measure and print; exit 1 where numexpr loses on sums of more candidates than it is asked from."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    numexpr.set_num_threads(1)
    rows = [measure(name, size) for name in EXPRESSIONS for size in SIZES]
    if options.json:
        print(json.dumps({"numexpr from": rank.NUMEXPR_FROM, "rows": rows}, indent=1))
    else:
        print(f"{'expression':<12}{'candidates':>11}{'NumPy us':>12}{'numexpr us':>12}{'aqe us':>12}  faster")
        for row in rows:
            print("{expression:<12}{candidates:>11,}{numpy:>12.1f}{numexpr:>12.1f}{aqe:>12.1f}  {faster}".format(**row))
    lost = [row for row in rows if row["candidates"] >= 2 * rank.NUMEXPR_FROM and row["expression"] == "sum"]
    return 1 if any(row["faster"] == "numpy" for row in lost) else 0


def measure(name: str, size: int) -> dict[str, Any]:
    """One expression over one size, each way in turn."""
    rng = np.random.default_rng(1)
    wanted = parse_rank(EXPRESSIONS[name])
    ways: dict[str, Callable[[Columns], object]] = {
        "numpy": lambda columns: rank.value_of(wanted, columns),
        "numexpr": lambda columns: numexpr.evaluate(wanted.text, local_dict=columns, global_dict={}),
        "aqe": lambda columns: evaluate(wanted, columns),
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, work in ways.items():
            columns = {one: rng.random(size) for one in wanted.names}  # each search has columns of its own
            start = time.perf_counter()
            work(columns)
            took[way].append(1e6 * (time.perf_counter() - start))
    medians = {way: statistics.median(times[2:]) for way, times in took.items()}
    faster = min(("numpy", "numexpr"), key=lambda way: medians[way])
    return {"expression": name, "candidates": size, **medians, "faster": faster}


if __name__ == "__main__":
    sys.exit(main())
