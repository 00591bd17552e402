"""The memory beside its peers: `python benchmarks/memory.py [--parts search ...] [--sizes 10k 100k] [--json FILE]`.

The first run downloads packages of public Python code from the package index and makes its corpus of them, in the
folder --corpus; one that is there and large enough is used as it is. Each part is a module of its own that prints its
table and returns its figures. Everything runs on one thread, and what is compared runs in turn in one process. Peers
are used where they are installed (`python -m pip install usearch hnswlib faiss-cpu`, `--peers-from DIR` for a folder
that pip was told to install them to).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

PARTS = {
    "search": ("memory_search", "search from Python beside sqlite-vec, usearch, hnswlib, faiss and NumPy"),
    "store": ("memory_store", "keeping, deleting and finding memories, opening a store, and bytes"),
    "hard": ("memory_hard", "queries that are unlike all rows, over all codes and over an inverted file"),
    "growth": ("memory_growth", "the cost of a search from 1k to 1M vectors, and the plot of it"),
}
"""By name: the module, and what it measures. A module has `measure(options) -> figures`."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> int:
    """Run the parts that were asked for, one after the other."""
    options = parse_arguments()
    if not ONE_THREAD.items() <= os.environ.items():  # read by NumPy when it is imported, so start anew
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    if options.peers_from is not None:
        sys.path.append(str(options.peers_from))
    report: dict[str, Any] = {"numpy": np.__version__}
    for part in options.parts:
        report[part] = importlib.import_module(PARTS[part][0]).measure(options)
        if options.json is not None:  # after each part: a run of hours that is stopped keeps what it has
            options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:10} {text}" for name, (_, text) in PARTS.items())
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"parts:\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    corpus = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "memory"
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=["search"], metavar="PART")
    parser.add_argument("--sizes", nargs="+", type=size, default=[10_000, 100_000], help="10k, 250k, 1M; how many rows")
    parser.add_argument("--ks", nargs="+", type=int, default=[1, 5, 10, 50, 100], help="how many answers")
    parser.add_argument("--queries", type=int, default=300, help="of each of the two sets")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds")
    parser.add_argument(
        "--corpus",
        type=Path,
        default=corpus,
        help="folder of the vectors (made by chunks.py, which downloads packages)",
    )
    parser.add_argument("--peers", nargs="*", help="which of them (all of them if left out, none if empty)")
    parser.add_argument("--peers-from", type=Path, help="folder that pip installed the peers to")
    parser.add_argument("--graphs-to", type=size, default=size("100k"), help="largest size that graphs are built for")
    parser.add_argument("--lists", type=int, help="make so many lists, whatever the size (hard)")
    parser.add_argument("--out", type=Path, help="file for the plot (growth)")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


def size(text: str) -> int:
    """A number of rows as one says it: 10k, 1M.

    >>> size("250k")
    250000
    """
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    return int(float(text[:-1] if factor > 1 else text) * factor)


if __name__ == "__main__":
    sys.exit(main())
