"""The growth part of memory.py: what a search for ten costs from 1k to 1M rows, and the plot of it as SVG.

python benchmarks/memory.py --parts growth --sizes 1M --out docs/vectors-growth.svg

One store grows from size to size; above 200,000 rows it gets its inverted file at each. The floors are what reading
every code, and every float32 row, from memory takes at the bandwidth that the same run measured; what fits a cache of
the CPU may be below.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from chunks import open_corpus
from memory_search import Answers, answers_of, bandwidth, calls, floor_ms, judge, linear
from peers import Peer, SqliteRows, numpy_peer

from aqe import simd
from aqe.simd import Vectors

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
K = 10
COLOURS = {
    "sqlite-vec": "#8c564b",
    "NumPy": "#7f7f7f",
    "aqe, linear pass": "#1f77b4",
    "aqe": "#d62728",
    "floor: float32": "#bbbbbb",
    "floor: codes": "#9ecae1",
}
_AT_ONCE = 50_000

Lines = Mapping[str, Sequence[tuple[int, float]]]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds by engine and size; writes the plot where `--out` names a file."""
    corpus = open_corpus(options.corpus, max(options.sizes))
    floor, most = bandwidth(), min(len(corpus.vectors), max(options.sizes))
    counts = sorted({size for size in (*SIZES, *options.sizes) if size <= most})
    ours, sqlite = Vectors(corpus.vectors.shape[1]), SqliteRows(corpus.vectors.shape[1])
    lines: dict[str, list[tuple[int, float]]] = {name: [] for name in COLOURS}
    recall: dict[str, float] = {}
    print(f"{'rows':>9} {'engine':20}{'p50 ms':>10}{'recall':>9}")
    for count in counts:
        rows = corpus.vectors[:count]
        for at in range(len(ours), count, _AT_ONCE):
            part = np.asarray(rows[at : min(count, at + _AT_ONCE)])
            ours.add(np.arange(at, at + len(part)), part)
            sqlite.add(part)
        if ours.due is not None:
            ours.build()
        sets = {name: answers_of(rows, part, K) for name, part in corpus.queries(options.queries).items()}
        for engine in engines_of(ours, sqlite, rows):
            p50, found = timed(engine, sets, rows)
            lines[engine.name].append((count, p50))
            recall[f"{engine.name} {count}"] = found
            print(f"{count:9,} {engine.name:20}{p50:10.4f}{found:9.4f}", flush=True)
        floor = max(floor, bandwidth())  # the best of all, as other programs take their part
    for count, _ in lines["aqe"]:
        for name in ("float32", "codes"):
            lines[f"floor: {name}"].append((count, floor_ms(count, corpus.vectors.shape[1], floor)[name]))
    if options.out is not None:
        options.out.write_text(drawn(lines, floor), encoding="utf-8")
        print(f"Plot: {options.out}")
    return {"path": simd.active(), "bytes_per_s": floor, "p50_ms": lines, "recall": recall}


def engines_of(ours: Vectors, sqlite: SqliteRows, rows: np.ndarray[Any, Any]) -> list[Peer]:
    """What is compared at one size."""
    pass_over_all = linear(ours)
    pass_over_all.name = "aqe, linear pass"
    return [
        Peer("aqe", lambda query, k: ours.search(query, k)[0]),
        pass_over_all,
        sqlite.peer(),
        numpy_peer(rows),
    ]


def timed(engine: Peer, sets: Mapping[str, Answers], rows: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The median of the calls in milliseconds of the processor, and the lower of the two sets' recalls."""
    every = np.concatenate([answers.queries for answers in sets.values()])
    times = [second for _ in range(3) for second in calls(engine.search, every, K).worked]
    judged = judge(engine, dict(sets), rows, K)
    return statistics.median(times) * 1e3, min(judged["recall_q1"], judged["recall_q2"])


WIDE, HIGH, LEFT, BELOW, ABOVE, RIGHT = 760, 460, 70, 50, 50, 170


def drawn(lines: Lines, floor: float) -> str:
    """The plot: both axes logarithmic, milliseconds over rows."""
    points = [point for line in lines.values() for point in line]
    low = 10 ** math.floor(math.log10(min(ms for _, ms in points)))
    high = 10 ** math.ceil(math.log10(max(ms for _, ms in points)))
    fewest, most = min(count for count, _ in points), max(count for count, _ in points)
    high = max(high, 10 * low)  # one size, or one decade, is a picture too
    most = max(most, 10 * fewest)

    def place(count: float, ms: float) -> tuple[float, float]:
        across = math.log(count / fewest) / math.log(most / fewest)
        up = math.log(ms / low) / math.log(high / low)
        return LEFT + across * (WIDE - LEFT - RIGHT), HIGH - BELOW - up * (HIGH - BELOW - ABOVE)

    about = f"384-d, one thread, p50 of processor time from Python; floors: reading memory at {floor / 1e9:.0f} GB/s"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDE}" height="{HIGH}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">A search for the ten nearest of N chunks of code</text>',
        f'<text x="{LEFT}" y="38" fill="#555">{about}</text>',
    ]
    parts += _grid(place, (low, high), (fewest, most))
    parts += _curves(lines, place)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(place: Any, times: tuple[float, float], counts: tuple[int, int]) -> list[str]:
    parts = []
    ms = times[0]
    while ms <= times[1] * 1.001:
        _, y = place(counts[0], ms)
        parts.append(f'<line x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(ms)} ms</text>')
        ms *= 10
    count = counts[0]
    while count <= counts[1]:
        x, _ = place(count, times[0])
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ABOVE}" y2="{HIGH - BELOW}" stroke="#e5e5e5"/>')
        label = f"{count // 1000}k" if count < 1_000_000 else f"{count // 1_000_000}M"
        parts.append(f'<text x="{x:.1f}" y="{HIGH - BELOW + 18}" text-anchor="middle">{label}</text>')
        count *= 10
    return parts


def _short(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 1 else f"{ms:g}" if ms >= 0.001 else f"{ms:.4f}"


def _curves(lines: Lines, place: Any) -> list[str]:
    parts = []
    ends: list[float] = []
    for name, line in sorted(lines.items(), key=lambda item: -item[1][-1][1]):
        at = [place(count, ms) for count, ms in line]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        dashes = ' stroke-dasharray="5 4"' if name.startswith("floor") else ""
        colour = COLOURS[name]
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        if not dashes:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
        y = max(at[-1][1], ends[-1] + 15 if ends else 0)  # labels never lie on each other
        ends.append(y)
        text = f"{name}, {_figure(line[-1][1])} ms"
        parts.append(f'<text x="{at[-1][0] + 8:.1f}" y="{y + 4:.1f}" fill="{_ink(colour)}">{text}</text>')
    return parts


def _figure(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 10 else f"{ms:.1f}" if ms >= 1 else f"{ms:.2f}"


def _ink(colour: str) -> str:
    """Words are never paler than can be read."""
    return {"#bbbbbb": "#888888", "#9ecae1": "#5b9fc4"}.get(colour, colour)


def main() -> None:
    """Draw figures that an earlier run wrote: `python benchmarks/memory_growth.py FIGURES.json PLOT.svg`."""
    parser = argparse.ArgumentParser(
        description="Draw figures that an earlier `benchmarks/memory.py --parts growth --json FILE` wrote."
    )
    parser.add_argument("figures", type=Path, metavar="FIGURES.json")
    parser.add_argument("plot", type=Path, metavar="PLOT.svg")
    options = parser.parse_args()
    try:
        figures = json.loads(options.figures.read_text(encoding="utf-8"))["growth"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{options.figures} holds no figures of growth ({type(error).__name__}).")
    options.plot.write_text(drawn(figures["p50_ms"], figures["bytes_per_s"]), encoding="utf-8")


if __name__ == "__main__":
    main()
