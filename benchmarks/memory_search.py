"""The search part of memory.py: time and recall of `Vectors.search` beside its peers, filters, opening, bandwidth."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from chunks import Corpus, open_corpus
from numpy.typing import NDArray
from peers import GRAPHS, PEERS, MissingPeer, Peer

from aqe import simd
from aqe.simd import Vectors

Floats = NDArray[np.float32]
TIE = 1e-5
WISHED = 0.99
_AT_ONCE = 50_000
_SLOW_MS = 20.0


@dataclass
class Answers:
    """The exact scores that answers are judged by: for each query its best, highest first."""

    queries: Floats
    best: Floats

    def recall(self, ids: Sequence[NDArray[np.int64]], rows: Floats, k: int) -> list[float]:
        """By query the share of the k nearest that stands in the answer; equal to 1e-5 is as good."""
        found = []
        for query, given, best in zip(self.queries, ids, self.best, strict=False):
            given = np.unique(given[:k])
            scores = np.asarray(rows[given]) @ query
            found.append(float(np.minimum(np.count_nonzero(scores >= best[k - 1] - TIE) / k, 1)))
        return found


@dataclass(frozen=True)
class Calls:
    """Seconds of single calls: by the clock, and of the processor over all threads."""

    wall: list[float]
    worked: list[float]


@dataclass
class Timed:
    """One engine at one k: seconds of each call by round, by the clock and of the processor (which other programs
    hardly lengthen, so that ratios are taken of it)."""

    engine: Peer
    k: int
    rounds: list[Calls] = field(default_factory=list)

    @property
    def figures(self) -> dict[str, float]:
        """Milliseconds."""
        p50 = statistics.median(statistics.median(part.wall) for part in self.rounds)
        p99 = float(np.quantile([one for part in self.rounds for one in part.wall], 0.99))
        worked = statistics.median(statistics.median(part.worked) for part in self.rounds)
        return {"p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3, "processor_ms": worked * 1e3}

    def ratio_to(self, other: Timed) -> float:
        """How many times as long as another engine it works, by round."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return statistics.median(statistics.median(a.worked) / statistics.median(b.worked) for a, b in pairs)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All sizes, smallest first; figures by size."""
    corpus = open_corpus(options.corpus, max(options.sizes))
    floor = bandwidth()
    print(f"path {simd.active()}, reading memory on one thread: {floor / 1e9:.1f} GB/s", flush=True)
    report: dict[str, Any] = {"path": simd.active(), "bytes_per_s": floor, "sizes": {}}
    for count in sorted(options.sizes):
        if count > len(corpus.vectors):
            print(f"{count} rows: the packages hold only {len(corpus.vectors)}", file=sys.stderr)
            continue
        report["sizes"][str(count)] = measure_size(corpus, count, floor, options)
    return report


def bandwidth() -> float:
    """Bytes a second that one thread reads from memory: the best of some passes over half a gigabyte."""
    block = np.ones((1 << 29) // 8, np.uint64)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        np.bitwise_or.reduce(block)
        best = max(best, block.nbytes / (time.perf_counter() - start))
    return best


def measure_size(corpus: Corpus, count: int, floor: float, options: argparse.Namespace) -> dict[str, Any]:
    """One size: build everything, judge it, time it in turn."""
    rows = corpus.vectors[:count]
    sets = {name: answers_of(rows, part, max(options.ks)) for name, part in corpus.queries(options.queries).items()}
    ours, building = build(rows)
    print(f"\n{count:,} rows: {building['structure']}, built in {building['add_s'] + building['build_s']:.1f} s")
    figures: dict[str, Any] = {"building": building, "floor_ms": floor_ms(count, rows.shape[1], floor)}
    print("  floor of reading: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in figures["floor_ms"].items()))
    engines = [Peer("aqe", lambda query, k: ours.search(query, k)[0], setting=ours.structure)]
    engines += [linear(ours)] if ours.structure == "ivf" else []
    engines += peers(rows, count, options, figures)
    figures["engines"] = compare(engines, sets, rows, options)
    figures["shares"] = shares(ours, sets)
    figures["filter"] = filters(ours, rows, sets, options)
    figures["opening"] = opening(ours, sets["q1"].queries[0])
    return figures


def answers_of(rows: Floats, queries: Floats, most: int) -> Answers:
    """The exact best of each query, by products with a part of the rows at a time."""
    best = np.full((len(queries), 0), -np.inf, np.float32)
    for at in range(0, len(rows), _AT_ONCE):
        scores = np.concatenate([best, queries @ np.asarray(rows[at : at + _AT_ONCE]).T], axis=1)
        best = np.partition(scores, max(0, scores.shape[1] - most), axis=1)[:, -most:]
    return Answers(queries, np.sort(best, axis=1)[:, ::-1])


def build(rows: Floats) -> tuple[Vectors, dict[str, Any]]:
    """Our own, with the inverted file where the size calls for it."""
    ours = Vectors(rows.shape[1])
    start = time.perf_counter()
    for at in range(0, len(rows), _AT_ONCE):
        part = np.asarray(rows[at : at + _AT_ONCE])
        ours.add(np.arange(at, at + len(part)), part)
    added = time.perf_counter()
    if len(rows) > 200_000:
        ours.build()
    built = time.perf_counter()
    seconds = {"add_s": round(added - start, 2), "build_s": round(built - added, 2)}
    return ours, {**seconds, "structure": ours.structure, "bytes": ours.nbytes}


def floor_ms(count: int, dimension: int, floor: float) -> dict[str, float]:
    """How long reading each form of all rows takes at the measured bandwidth."""
    sizes = {"float32": 4 * dimension, "int8": dimension, "codes": dimension // 8 + 4}
    return {name: round(count * item / floor * 1e3, 4) for name, item in sizes.items()}


def linear(ours: Vectors) -> Peer:
    """Our own without the inverted file: all ids are allowed, and what is allowed is scanned in one pass."""
    return Peer("aqe linear", restricted(ours, ours.ids), setting="all ids allowed")


def restricted(ours: Vectors, ids: NDArray[np.int64]) -> Callable[[Floats, int], NDArray[np.int64]]:
    """Our search among these ids alone."""
    allowed = ours.allowed(ids)
    return lambda query, k: ours.search(query, k, allow=allowed)[0]


def peers(rows: Floats, count: int, options: argparse.Namespace, figures: dict[str, Any]) -> list[Peer]:
    """The peers that are wanted and there; what is left out is said."""
    if unknown := set(options.peers or ()) - PEERS.keys():
        raise SystemExit(f"No such peers: {', '.join(sorted(unknown))}. There are {', '.join(PEERS)}.")
    found = []
    figures["left_out"] = {}
    for name in PEERS if options.peers is None else options.peers:
        if name in GRAPHS and count > options.graphs_to:
            figures["left_out"][name] = f"graphs are built up to {options.graphs_to:,} rows (--graphs-to)"
        else:
            start = time.perf_counter()
            try:
                found.append(PEERS[name](rows))
                figures["building"][name + "_s"] = round(time.perf_counter() - start, 2)
            except MissingPeer as missing:
                figures["left_out"][name] = str(missing)
    for name, why in figures["left_out"].items():
        print(f"  {name} is left out: {why}")
    return found


def compare(
    engines: Sequence[Peer], sets: dict[str, Answers], rows: Floats, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row for each k and engine; each engine with a width runs at the first one that reaches the recall."""
    print(
        f"  {'k':>4} {'engine':44}{'recall q1':>10}{'q2':>7}{'worst':>7}{'p50 ms':>10}{'p99 ms':>10}"
        f"{'processor':>11}{'x aqe':>8}"
    )
    found = []
    for k in options.ks:
        recalls = [settle(engine, sets, rows, k) for engine in engines]
        timed = in_turn(engines, sets, k, options.rounds)
        for engine, (judged, setting), times in zip(engines, recalls, timed, strict=True):
            row = {"k": k, "engine": engine.name, "setting": setting, **judged}
            row |= {**times.figures, "ratio": times.ratio_to(timed[0])}
            found.append(row)
            named = f"{engine.name} {setting}".strip()
            print(
                f"  {k:4} {named:44}{row['recall_q1']:10.4f}{row['recall_q2']:7.4f}{row['worst']:7.2f}"
                f"{row['p50_ms']:10.4f}{row['p99_ms']:10.4f}{row['processor_ms']:11.4f}{row['ratio']:8.2f}",
                flush=True,
            )
    return found


def settle(engine: Peer, sets: dict[str, Answers], rows: Floats, k: int) -> tuple[dict[str, float], str]:
    """The recall on both sets at the first width that reaches .99 on both (else the last), and the setting in words."""
    for width in engine.widths or [0]:
        if engine.widen is not None:
            engine.widen(max(width, k))
        judged = judge(engine, sets, rows, k)
        if min(judged["recall_q1"], judged["recall_q2"]) >= WISHED:
            break
    return judged, f"{engine.setting} width {max(width, k)}" if engine.widths else engine.setting


def judge(engine: Peer, sets: dict[str, Answers], rows: Floats, k: int) -> dict[str, float]:
    judged: dict[str, float] = {"worst": 1.0}
    for name, answers in sets.items():
        start = time.perf_counter()
        engine.search(answers.queries[0], k)
        fewer = time.perf_counter() - start > _SLOW_MS / 1e3
        asked = answers.queries[:20] if fewer else answers.queries
        by_query = answers.recall([engine.search(query, k) for query in asked], rows, k)
        judged[f"recall_{name}"] = statistics.fmean(by_query)
        judged["worst"] = min(judged["worst"], *by_query)
    return judged


def in_turn(engines: Sequence[Peer], sets: dict[str, Answers], k: int, rounds: int) -> list[Timed]:
    """Each engine answers some queries of both sets, one engine after the other, and so on for some rounds."""
    every = np.concatenate([answers.queries for answers in sets.values()])
    timed = [Timed(engine, k) for engine in engines]
    for number in range(rounds):
        for one in timed:
            one.rounds.append(calls(one.engine.search, np.roll(every, 37 * number, axis=0), k))
    return timed


def calls(search: Callable[[Floats, int], object], queries: Floats, k: int) -> Calls:
    """Single calls, for a seventh of a second or five of them, after two to warm up."""
    found = Calls([], [])
    for query in queries[:2]:
        search(query, k)
    while sum(found.wall) < 0.15 or len(found.wall) < 5:
        query = queries[len(found.wall) % len(queries)]
        start, worked = time.perf_counter(), time.process_time()
        search(query, k)
        found.worked.append(time.process_time() - worked)
        found.wall.append(time.perf_counter() - start)
    return found


def shares(ours: Vectors, sets: dict[str, Answers]) -> dict[str, float]:
    """The mean share of the codes that a search for ten looks at."""
    found = {}
    for name, answers in sets.items():
        looked = []
        for query in answers.queries:
            ours.search(query, 10)
            looked.append(ours.last_scanned)
        found[name] = round(statistics.fmean(looked), 4)
    print("  share of the codes looked at: " + ", ".join(f"{name} {share:.3f}" for name, share in found.items()))
    return found


def filters(ours: Vectors, rows: Floats, sets: dict[str, Answers], options: argparse.Namespace) -> dict[str, Any]:
    """A tenth of the rows is allowed, by chance and by content, beside the linear pass over all."""
    count = len(rows)
    by_chance = np.sort(np.random.default_rng(1).choice(count, count // 10, replace=False))
    towards = np.concatenate([np.asarray(rows[at : at + _AT_ONCE]) @ rows[3] for at in range(0, count, _AT_ONCE)])
    by_content = np.sort(np.argpartition(-towards, count // 10)[: count // 10])
    engines = [linear(ours)]
    found: dict[str, Any] = {}
    for name, chosen in (("chance", by_chance), ("content", by_content)):
        engine = Peer(name, restricted(ours, chosen))
        engines.append(engine)
        inside = np.ascontiguousarray(rows[chosen])
        for which, answers in sets.items():
            exact = answers_of(inside, answers.queries, 10)
            ids = [engine.search(query, 10) for query in answers.queries]
            strangers = sum(int((~np.isin(given, chosen)).sum()) for given in ids)
            recall = statistics.fmean(exact.recall(ids, rows, 10))
            found[f"{name} {which}"] = {"recall": recall, "outside": strangers}
    timed = in_turn(engines, sets, 10, options.rounds)
    for one in timed:
        ratio = one.ratio_to(timed[0])
        found[f"{one.engine.name} time"] = {**one.figures, "ratio": ratio}
        print(f"  filter: {one.engine.name:12} {one.figures['p50_ms']:.4f} ms, {ratio:.2f} of the linear pass")
    for name in ("chance q1", "chance q2", "content q1", "content q2"):
        print(f"  filter: {name:12} recall {found[name]['recall']:.4f}, {found[name]['outside']} from outside")
    return found


def opening(ours: Vectors, query: Floats) -> dict[str, float]:
    """Milliseconds from the file to the first answer, the file in the page cache: the median of five."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors"
        start = time.perf_counter()
        ours.save(path)
        saved = time.perf_counter() - start
        times = []
        for _ in range(5):
            start = time.perf_counter()
            opened = Vectors.open(path)
            opened.search(query, 10)
            times.append(time.perf_counter() - start)
        found = {"save_s": saved, "open_and_first_ms": statistics.median(times) * 1e3, "bytes": path.stat().st_size}
    print(f"  open and first answer {found['open_and_first_ms']:.1f} ms, saving {saved:.1f} s")
    return found
