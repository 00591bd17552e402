"""Our kernels beside NumPy, as ratios: `python benchmarks/kernels.py [--json FILE] [--rounds N]`.

Both sides run in turn in the same process, so that a busy machine slows both; a ratio is the median over the rounds of
NumPy's time divided by ours (above 1: ours is faster). NumPy is limited to one thread, as our kernels are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from aqe import simd

Floats = np.ndarray[Any, np.dtype[np.float32]]
Work = Callable[[], object]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def numpy_cosine(a: Floats, b: Floats) -> float:
    """Cosine as one writes it with NumPy."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def numpy_distance(a: Floats, b: Floats) -> float:
    """Squared distance as one writes it with NumPy."""
    gap = a - b
    return float(gap @ gap)


def numpy_top_k(matrix: Floats, query: Floats, k: int) -> tuple[Floats, Floats]:
    """Top-k by dot product as one writes it with NumPy."""
    scores = matrix @ query
    rows = np.argpartition(-scores, k)[:k]
    rows = rows[np.argsort(-scores[rows])]
    return rows, scores[rows]


def seconds(work: Work, repeats: int) -> float:
    """Wall time of one call, from `repeats` calls in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def compare(ours: Work, theirs: Work, rounds: int) -> dict[str, float]:
    """Median times in microseconds and the median ratio over alternating rounds."""
    once = max(seconds(ours, 3), seconds(theirs, 3))
    repeats = max(1, int(0.01 / once))
    pairs = [(seconds(ours, repeats), seconds(theirs, repeats)) for _ in range(rounds)]
    return {
        "ours_us": round(statistics.median(mine for mine, _ in pairs) * 1e6, 3),
        "numpy_us": round(statistics.median(other for _, other in pairs) * 1e6, 3),
        "ratio": round(statistics.median(other / mine for mine, other in pairs), 2),
    }


def cases(path: simd.Kernels, random: np.random.Generator) -> list[tuple[str, Work, Work]]:
    """The table's rows: name, our call, NumPy's call."""
    rows: list[tuple[str, Work, Work]] = []
    for n in (128, 384, 768):
        a, b = (random.standard_normal(n).astype(np.float32) for _ in range(2))
        rows.append((f"dot {n}", lambda a=a, b=b: path.dot(a, b), lambda a=a, b=b: float(a @ b)))
        rows.append((f"cosine {n}", lambda a=a, b=b: path.cosine(a, b), lambda a=a, b=b: numpy_cosine(a, b)))
        rows.append(
            (
                f"squared_distance {n}",
                lambda a=a, b=b: path.squared_distance(a, b),
                lambda a=a, b=b: numpy_distance(a, b),
            )
        )
    for count in (1_000, 10_000, 100_000):
        matrix, query = random.standard_normal((count, 384)).astype(np.float32), a[:384].copy()
        rows.append(
            (
                f"top_k 10 of {count} x 384",
                lambda m=matrix, q=query: path.top_k(m, q, 10),
                lambda m=matrix, q=query: numpy_top_k(m, q, 10),
            )
        )
    return rows


def main() -> None:
    """Print the table of every path that runs here, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file as well")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="alternating rounds (default 15)")
    arguments = parser.parse_args()
    if not ONE_THREAD.items() <= os.environ.items():  # read by NumPy when it is imported, so start anew
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    report: dict[str, Any] = {"numpy": np.__version__, "rounds": arguments.rounds, "paths": {}}
    for name in simd.paths():
        figures = report["paths"][name] = {}
        print(f"{name:28}{'ours us':>12}{'numpy us':>12}{'numpy / ours':>15}")
        for label, ours, theirs in cases(simd.kernels(name), np.random.default_rng(1)):
            row = figures[label] = compare(ours, theirs, arguments.rounds)
            print(f"  {label:26}{row['ours_us']:12.3f}{row['numpy_us']:12.3f}{row['ratio']:15.2f}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
