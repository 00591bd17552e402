"""The built-in embedding: `python benchmarks/embedding.py [--json FILE] [--rounds N]`.

For each path that runs here: one text of twelve words (from the string to the vector), code of ten lines with its name
part, the tokeniser alone, and a batch of texts that differ. Times are the median over the rounds. The bars: twelve
words in 30 us on a C path and 100 us without one, and 20,000 texts a second in batches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXT = "return the number of words in a parsed header of the request"
CODE = '''def parse_header(line, *, strict=True):
    """Split a header line into its name and its value."""
    name, separator, value = line.partition(":")
    if not separator:
        if strict:
            raise ValueError(f"no colon in {line!r}")
        return line.strip().lower(), ""
    if name != name.strip():
        raise ValueError(f"spaces around the name {name!r}")
    return name.lower(), value.strip()
'''
BATCH = 20_000
BARS = {"one text, us": (30.0, 100.0), "batch, texts/s": (20_000.0, 0.0)}
"""By figure: the bar with C, and without (0: none)."""


def texts(count: int) -> list[str]:
    """Texts of twelve words each, one in ten of them unknown to any vocabulary."""
    chance = random.Random(3)
    words = (TEXT + " " + CODE).split()
    invented = ["".join(chance.choices("abcdefgh_XYZ", k=9)) for _ in range(200)]
    return [
        " ".join(chance.choice(invented if chance.random() < 0.1 else words) for _ in range(12)) for _ in range(count)
    ]


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """The median time of one call over `rounds` runs of about 20 ms."""
    start = time.perf_counter()
    work()
    repeats = max(1, int(0.02 / max(1e-7, time.perf_counter() - start)))
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        found.append((time.perf_counter() - start) / repeats * 1e6)
    return round(statistics.median(found), 2)


def measure(rounds: int) -> dict[str, Any]:
    """The figures of the path that is active in this process."""
    start = time.perf_counter()
    from aqe import simd
    from aqe.engine.embedding.static import open_static

    embedder = open_static()
    opened = time.perf_counter() - start
    batch, data = texts(BATCH), TEXT.encode()
    return {
        "path": simd.active(),
        "embedder": embedder.id,
        "open, ms": round(opened * 1e3, 1),
        "one text, us": microseconds(lambda: embedder.embed([TEXT]), rounds),
        "code with its name, us": microseconds(lambda: embedder.embed([CODE]), rounds),
        "stems of the text, us": microseconds(lambda: simd.tokens(data), rounds),
        "batch, texts/s": round(BATCH / microseconds(lambda: embedder.embed(batch), min(3, rounds)) * 1e6),
    }


def bar_of(figure: str, path: str) -> float:
    """What the figure is held against on this path; 0 where it has no bar."""
    return BARS.get(figure, (0.0, 0.0))[path == "numpy"]


def main() -> int:
    """Measure each path in a process of its own and print the table; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each measurement")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.rounds)))
        return 0
    from aqe import simd

    found = [_in_process(path, options.rounds) for path in simd.paths()]
    figures = [name for name in found[0] if name not in ("path", "embedder")]
    print(f"{found[0]['embedder']} on {platform.machine()}, Python {platform.python_version()}\n")
    print(f"{'figure':<26}" + "".join(f"{one['path']:>12}" for one in found))
    for name in figures:
        print(f"{name:<26}" + "".join(f"{one[name]:>12,}" for one in found))
    missed = [f"{name} on {one['path']}" for one in found for name in figures if _misses(name, one)]
    print("\nEvery bar is met." if not missed else f"\nMissed: {', '.join(missed)}.")
    if options.json:
        options.json.write_text(json.dumps({"paths": found, "missed": missed}, indent=2) + "\n")
    return 1 if missed else 0


def _in_process(path: str, rounds: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", "--rounds", str(rounds)]
    done = subprocess.run(command, env={**os.environ, "AQE_SIMD": path}, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _misses(name: str, figures: dict[str, Any]) -> bool:
    bar = bar_of(name, figures["path"])
    return bool(bar) and (figures[name] < bar if name.endswith("/s") else figures[name] > bar)


if __name__ == "__main__":
    sys.exit(main())
