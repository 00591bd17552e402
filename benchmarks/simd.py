"""The kernels beside NumPy, numkong and plain C: `python benchmarks/simd.py [--json FILE] [--rounds N] [--only PART]`.

All sides run in turn in one process, so that a busy machine slows all of them; nanoseconds are medians over the rounds,
and a ratio is the median over the rounds of the other's time divided by ours (above 1: ours is faster). Everything runs
on one thread. numkong is a benchmark's guest and no dependency: `python -m pip install numkong` shows its columns.

The scans are set against what one thread can read of the same memory, in turn with each other, by processor time: a
share is the median over the rounds of the fastest reader's time in that round divided by the scan's. The readers are
loops of reader.c that do nothing else (1, 2 or 4 streams, lines asked for at several distances ahead or not at all),
NumPy's `bitwise_or` and `max`; the three fastest take part. Without a C compiler NumPy's alone remain, which are slower
than the memory. A share beyond 100 % says that no reader reached the ceiling, and is told as such.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aqe import simd

Array = np.ndarray[Any, Any]
Work = Callable[..., object]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
DIMENSIONS = (384, 768, 1024)
PUBLISHED = {"dot": 1_100_000, "softmax": 312_000}  # a second, of 768 items, as the system that inspired aqe states
SLICE_S = 0.004
BATCH_ROWS = 1_000
SIDES = ("ours", "numpy", "numkong", "portable")
STREAMS, AHEAD = (1, 2, 4), (0, 512, 1024, 2048, 4096)  # ways of reading; bytes
SCANNED = ("float32", "float16", "int8", "bits")
SCAN_ROUNDS, TRIED_ROUNDS, KEPT_READERS = 2, 5, 3  # the first: to each round of the kernels


@dataclass(frozen=True)
class Case:
    """One row of the table: the same work on each side, `pairs` pairs (or vectors) a call."""

    name: str
    arguments: tuple[Array, ...]
    sides: dict[str, Work]
    pairs: int = 1


def numpy_cosine(a: Array, b: Array) -> float:
    """Cosine as one writes it with NumPy."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def numpy_l2(a: Array, b: Array) -> float:
    """Squared distance as one writes it with NumPy."""
    gap = a - b
    return float(gap @ gap)


def numpy_byte_dot(a: Array, b: Array) -> int:
    """A product of int8 that does not overflow."""
    return int(np.dot(a.astype(np.int32), b.astype(np.int32)))


def numpy_hamming(a: Array, b: Array) -> int:
    """Differing bits of packed codes."""
    return int(np.bitwise_count(a ^ b).sum()) if hasattr(np, "bitwise_count") else int(np.unpackbits(a ^ b).sum())


def numpy_softmax(a: Array) -> Array:
    """Softmax as one writes it with NumPy."""
    powers = np.exp(a - a.max())
    return np.asarray(powers / powers.sum())


def numpy_normalize(a: Array) -> Array:
    """A unit vector as one writes it with NumPy."""
    return np.asarray(a / np.linalg.norm(a))


def numpy_cosines(a: Array, rows: Array) -> Array:
    """Cosines with every row as one writes them with NumPy."""
    return np.asarray(rows @ a / (np.linalg.norm(rows, axis=1) * np.linalg.norm(a)))


def numpy_distances(a: Array, rows: Array) -> Array:
    """Squared distances to every row as one writes them with NumPy."""
    gaps = rows - a
    return np.asarray(np.einsum("ij,ij->i", gaps, gaps))


def guest() -> Any:
    """numkong where it is installed, else None."""
    try:
        return importlib.import_module("numkong")
    except ImportError:
        return None


def cases(n: int, random: np.random.Generator, numkong: Any) -> list[Case]:
    """The rows of the table for vectors of n items."""
    ours, plain = simd.kernels(simd.active()), simd.kernels("portable" if "portable" in simd.paths() else "numpy")
    a, b = (random.standard_normal(n).astype(np.float32) for _ in range(2))
    halves = (a.astype(np.float16), b.astype(np.float16))
    whole = tuple(random.integers(-128, 128, n).astype(np.int8) for _ in range(2))
    bits = tuple(random.integers(0, 256, n // 8).astype(np.uint8) for _ in range(2))
    rows = random.standard_normal((BATCH_ROWS, n)).astype(np.float32)
    queries = random.standard_normal((100, n)).astype(np.float32)
    few = rows[:200].copy()
    theirs: dict[str, Work] = {}
    if numkong:
        theirs = {"dot": numkong.dot, "cosine": numkong.angular, "l2": numkong.sqeuclidean}
        theirs["hamming"] = lambda x, y, count=numkong.hamming: count(x, y, "uint1")

    def case(name: str, call: str, arguments: tuple[Array, ...], numpy: Work, pairs: int = 1) -> Case:
        sides: dict[str, Work] = {"ours": getattr(ours, call), "numpy": numpy, "portable": getattr(plain, call)}
        if call in theirs and pairs == 1:
            sides["numkong"] = theirs[call]
        return Case(name, arguments, sides, pairs)

    return [
        case("dot", "dot", (a, b), lambda x, y: float(x @ y)),
        case("cosine", "cosine", (a, b), numpy_cosine),
        case("l2", "l2", (a, b), numpy_l2),
        case("dot float16", "dot", halves, lambda x, y: float(np.dot(x, y))),
        case("dot int8", "dot", whole, numpy_byte_dot),
        case("hamming, packed", "hamming", bits, numpy_hamming),
        case("softmax", "softmax", (a,), numpy_softmax),
        case("normalize", "normalize", (a,), numpy_normalize),
        case("dot, 1 x 1000", "dot", (a, rows), lambda x, y: y @ x, BATCH_ROWS),
        case("cosine, 1 x 1000", "cosine", (a, rows), numpy_cosines, BATCH_ROWS),
        case("l2, 1 x 1000", "l2", (a, rows), numpy_distances, BATCH_ROWS),
        case("matvec, 1000 rows", "matvec", (rows, a), np.matmul, BATCH_ROWS),
        case("dot, 100 x 1000", "dot", (queries, rows), lambda x, y: x @ y.T, 100 * BATCH_ROWS),
        case(
            "l2, 100 x 200",
            "l2",
            (queries, few),
            lambda x, y: np.stack([numpy_distances(row, y) for row in x]),
            100 * 200,
        ),
    ]


def seconds(work: Work, arguments: tuple[Array, ...], repeats: int) -> float:
    """Wall time of one call, from `repeats` calls in a row."""
    span = range(repeats)
    if len(arguments) == 1:
        only = arguments[0]
        start = time.perf_counter()
        for _ in span:
            work(only)
        return (time.perf_counter() - start) / repeats
    first, second = arguments
    start = time.perf_counter()
    for _ in span:
        work(first, second)
    return (time.perf_counter() - start) / repeats


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Nanoseconds a call and a pair on each side, and the ratios, over alternating rounds."""
    repeats = {side: max(1, int(SLICE_S / seconds(work, case.arguments, 3))) for side, work in case.sides.items()}
    taken: dict[str, list[float]] = {side: [] for side in case.sides}
    for _ in range(rounds):
        for side, work in case.sides.items():
            taken[side].append(seconds(work, case.arguments, repeats[side]))
    return {
        "ns_a_call": {side: round(statistics.median(times) * 1e9, 1) for side, times in taken.items()},
        "ns_a_pair": {side: round(statistics.median(times) * 1e9 / case.pairs, 2) for side, times in taken.items()},
        "ratio": {
            side: round(statistics.median(b / a for a, b in zip(taken["ours"], times, strict=True)), 2)
            for side, times in taken.items()
            if side != "ours"
        },
    }


def compiled_reader() -> Any:
    """`aqe_read` of reader.c for this machine; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "reader.so")
        source = Path(__file__).with_name("reader.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O3", "-march=native", source, "-o", library], check=True)
        read = ctypes.CDLL(str(library)).aqe_read
    read.argtypes, read.restype = [ctypes.c_void_p, *[ctypes.c_size_t] * 3], ctypes.c_uint64
    return read


def readers(flat: Array, read: Any) -> dict[str, Work]:
    """What reads all of an array and does no more than that needs, by name."""
    words = flat.view(np.uint32)
    made: dict[str, Work] = {"bitwise_or": lambda: np.bitwise_or.reduce(words), "max": lambda: flat.max()}
    if read:
        for streams in STREAMS:
            for ahead in AHEAD:
                made[f"{streams} streams, {ahead} bytes ahead"] = lambda streams=streams, ahead=ahead: read(
                    flat.ctypes.data, flat.nbytes, streams, ahead
                )
    return made


def taken(calls: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of processor time of each call in each round, one after the other."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
    return found


def scanned(n: int, megabytes: int, kind: str) -> tuple[Array, dict[str, Work]]:
    """Rows of `kind` and what goes through all of them: the best 10 by each metric, and the product with each."""
    scale = np.random.default_rng(n)
    if kind == "bits":
        return scanned_codes(n, megabytes, scale)
    matrix = np.empty((max(1, megabytes * 1_000_000 // (np.dtype(kind).itemsize * n)), n), kind)
    if kind == "int8":
        matrix[:] = scale.integers(-128, 128, matrix.shape, np.int8)
        query = scale.integers(-128, 128, n, np.int8)
    else:
        matrix[:] = scale.standard_normal(n).astype(kind)
        matrix *= scale.uniform(0.5, 1.5, (len(matrix), 1)).astype(kind)  # so that scores differ, and the heap has work
        query = scale.standard_normal(n).astype(kind)
    work: dict[str, Work] = {
        f"topk {metric}": lambda metric=metric: simd.topk(matrix, query, 10, metric=metric)
        for metric in ("dot", "cosine", "l2")
    }
    work["matvec"] = lambda: simd.matvec(matrix, query)
    return matrix, work


def scanned_codes(n: int, megabytes: int, random: np.random.Generator) -> tuple[Array, dict[str, Work]]:
    """Packed codes of n bits and what goes through all of them: the best 10, and the differing bits of each."""
    codes = random.integers(0, 256, (max(1, megabytes * 8_000_000 // n), n // 8), np.uint8)
    query = random.integers(0, 256, n // 8, np.uint8)
    return codes, {
        "topk hamming": lambda: simd.topk(codes, query, 10, metric="hamming"),
        "hamming": lambda: simd.hamming(query, codes),
    }


def scans(n: int, megabytes: int, rounds: int, read: Any, kind: str) -> dict[str, Any]:
    """Bytes a second of the best reader and of each scan (medians), and the scans' shares of it, round by round."""
    matrix, work = scanned(n, megabytes, kind)
    plain = readers(matrix.reshape(-1).view(np.uint8)[: matrix.nbytes // 4 * 4].view(np.float32), read)
    tried = {name: min(times) for name, times in taken(plain, TRIED_ROUNDS).items()}
    kept = sorted(plain, key=lambda name: tried[name])[:KEPT_READERS]
    times = taken({name: plain[name] for name in kept} | work, rounds)
    reader = min(kept, key=lambda name: statistics.median(times[name]))
    floor = [min(times[name][at] for name in kept) for at in range(rounds)]

    def speed(name: str) -> float:
        return round(matrix.nbytes / statistics.median(times[name]) / 1e9, 2)

    found: dict[str, Any] = {"reader": reader, "read_gb_s": speed(reader)}
    for name in work:
        share = statistics.median(least / took for least, took in zip(floor, times[name], strict=True))
        of_best = min(floor) / min(times[name])
        found[name] = {"gb_s": speed(name), "share": round(share, 3), "best_of_best": round(of_best, 3)}
    found["is_ceiling"] = all(found[name]["share"] <= 1 for name in work)
    return found


def print_scans(n: int, kind: str, row: dict[str, Any]) -> None:
    """One line: what was read, and each scan beside it."""
    told = ", ".join(f"{name} {it['gb_s']} ({it['share']:.0%})" for name, it in row.items() if isinstance(it, dict))
    print(f"  {n:>4} items of {kind}: read {row['read_gb_s']} by {row['reader']}; {told}", flush=True)
    if not row["is_ceiling"]:
        print("       no reader was as fast as a scan: the shares of this line are of no ceiling")


def print_cases(n: int, figures: dict[str, dict[str, Any]], held: tuple[str, ...]) -> None:
    """The table of one dimension: nanoseconds a pair on each side, then the ratios."""
    print(f"\n{n:>4} items, ns a pair {''.join(f'{side:>10}' for side in held)}", end="")
    print("".join(f"{f'{side}/ours':>15}" for side in held[1:]))
    for name, row in figures.items():
        print(f"  {name:20}", end="")
        print("".join(f"{row['ns_a_pair'].get(side, '-'):>10}" for side in held), end="")
        print("".join(f"{row['ratio'].get(side, '-'):>15}" for side in held[1:]))


def print_published(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is published for 768 items beside what was measured here, a second."""
    beside = {}
    for name, published in PUBLISHED.items():
        ours = 1e9 / figures[name]["ns_a_call"]["ours"]
        beside[name] = {"published_a_s": published, "ours_a_s": round(ours), "ratio": round(ours / published, 1)}
        print(f"  {name}, 768 items: {ours / 1e6:.2f} million a second here, {published / 1e6:.3f} published elsewhere")
    return beside


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file as well")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="alternating rounds (default 15)")
    parser.add_argument("--only", choices=("kernels", "scans"), help="measure nothing else")
    parser.add_argument(
        "--scan-mb", type=int, default=300, metavar="N", help="megabytes that are scanned (default 300)"
    )
    return parser.parse_args()


def measure_kernels(report: dict[str, Any], options: argparse.Namespace, numkong: Any, held: tuple[str, ...]) -> None:
    """The kernels at every dimension, into `report`."""
    for n in DIMENSIONS:
        found = {case.name: measure(case, options.rounds) for case in cases(n, np.random.default_rng(n), numkong)}
        report[str(n)] = found
        print_cases(n, found, held)
    print("\npublished")
    report["published"] = print_published(report["768"])


def measure_scans(report: dict[str, Any], options: argparse.Namespace) -> None:
    """The scans of every kind of rows at every dimension, into `report`."""
    print(f"\nscans of {options.scan_mb} MB for the best 10 rows, GB/s and the share of what is read in the same round")
    read = compiled_reader()
    for kind in SCANNED:
        for n in DIMENSIONS:
            name = f"scan {kind} {n}"
            report[name] = scans(n, options.scan_mb, SCAN_ROUNDS * options.rounds, read, kind)
            print_scans(n, kind, report[name])


def main() -> None:
    """Print the tables, and write them as JSON where asked."""
    options = parsed()
    if not ONE_THREAD.items() <= os.environ.items():  # read by NumPy when it is imported, so start anew
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    numkong = guest()
    if numkong is None:
        print("numkong is missing, so its columns are: python -m pip install numkong", file=sys.stderr)
    if options.rounds < 3:
        print("Fewer than 3 rounds mislead: the first one warms up, and a median of two is a mean.", file=sys.stderr)
    held = tuple(side for side in SIDES if numkong or side != "numkong")
    version = getattr(numkong, "__version__", "installed") if numkong else None
    report: dict[str, Any] = {"path": simd.active(), "numpy": np.__version__, "numkong": version}
    print(f"path {simd.active()}, NumPy {np.__version__}, numkong {version or '- (pip install numkong shows it)'}")
    if options.only != "scans":
        measure_kernels(report, options, numkong, held)
    if options.only != "kernels":
        measure_scans(report, options)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
