"""The hard part of memory.py: queries that are unlike all rows, over all codes and over an inverted file.

Beside the two sets of queries that the search part asks (q1 held-out chunks, q2 sentences of docstrings) stand queries
that no text gives: random directions, the opposite of a held-out chunk, one item alone, and half a chunk and half a
random direction. After the sizes that were asked for come rows made so that codes say little: noise of which one item
is a thousand times the others, and rows at two opposite points, all but for some noise. For each: recall@10 and the
worst of it, milliseconds of processor time, and the share of the codes that a search looked at. `--lists` makes an
inverted file where the size does not call for one.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from chunks import open_corpus
from memory_search import Answers, Floats, answers_of, build, calls
from numpy.typing import NDArray

from aqe.simd import Vectors

K = 10
OUTWEIGHED = (3_000, 20_000)
"""Sizes of the noise with one large item."""

POLES = (6_000, 30_000)
"""Sizes of the rows at two opposite points."""

LARGE, SLIGHT = 1_000.0, 0.05


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All sizes with every structure that they can have; figures by size, structure and set of queries."""
    corpus = open_corpus(options.corpus, max(options.sizes))
    asked = {**corpus.queries(options.queries), **unlike(corpus.held_out[: options.queries])}
    print("\n| rows | structure | queries | recall@10 | worst | p50 ms | p95 ms | codes looked at |\n|" + "---|" * 8)
    report: dict[str, Any] = {}
    for count in sorted(options.sizes):
        rows = corpus.vectors[:count]
        ours, _ = build(rows)
        if options.lists is not None:
            ours.build(options.lists)
        sets = {name: answers_of(rows, queries, K) for name, queries in asked.items()}
        report[f"{count} chunks"] = dict(_measured(f"{count:,} chunks", ours, rows, sets))
    made = [(f"{count:,} with one large item", outweighed(count, options.queries)) for count in OUTWEIGHED]
    made += [(f"{count:,} at two poles", poles(count, options.queries)) for count in POLES]
    for told, (rows, queries) in made:
        ours, _ = build(rows)
        sets = {name: answers_of(rows, part, K) for name, part in queries.items()}
        report[told] = dict(_measured(told, ours, rows, sets))
    return report


def unlike(queries: Floats) -> dict[str, Floats]:
    """As many queries of each kind that no row is near to, of length 1."""
    draw = np.random.default_rng(5)
    noise = _unit(draw.standard_normal(queries.shape))
    alone = np.eye(queries.shape[1], dtype=np.float32)[draw.integers(0, queries.shape[1], len(queries))]
    return {
        "random": noise,
        "opposite": -queries,
        "one item": alone * draw.choice(np.float32([-1, 1]), (len(queries), 1)),
        "half random": _unit(queries + noise),
    }


def outweighed(count: int, asked: int) -> tuple[Floats, dict[str, Floats]]:
    """Noise of which one item is a thousand times the others; queries like the rows, and without the large item."""
    draw = np.random.default_rng(6)
    rows = draw.standard_normal((count, 384)).astype(np.float32)
    rows[:, 7] *= LARGE
    like = draw.standard_normal((asked, 384)).astype(np.float32)
    like[:, 7] *= LARGE
    return _unit(rows), {"like the rows": _unit(like), "random": _unit(draw.standard_normal((asked, 384)))}


def poles(count: int, asked: int) -> tuple[Floats, dict[str, Floats]]:
    """Rows at a point or its opposite but for slight noise; queries like them, with ten times the noise, and random."""
    draw = np.random.default_rng(7)
    point = draw.standard_normal(384)
    rows = point * draw.choice([-1, 1], (count + asked, 1)) + SLIGHT * draw.standard_normal((count + asked, 384))
    like, noise = rows[count:], draw.standard_normal((asked, 384))
    queries = {"like the rows": like, "with noise": like + 10 * SLIGHT * noise, "random": noise}
    return _unit(rows[:count]), {name: _unit(part) for name, part in queries.items()}


def _unit(rows: NDArray[Any]) -> Floats:
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _measured(
    told: str, ours: Vectors, rows: Floats, sets: Mapping[str, Answers]
) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of each structure and set, printed as they come."""
    everything = ours.allowed(ours.ids)
    structures = {ours.structure: None} | ({"linear": everything} if ours.structure == "ivf" else {})
    for structure, allow in structures.items():
        for name, answers in sets.items():
            found, looked = [], []
            for query in answers.queries:
                found.append(ours.search(query, K, allow=allow)[0])
                looked.append(ours.last_scanned)
            recall = answers.recall(found, rows, K)
            taken = calls(lambda query, k, allow=allow: ours.search(query, k, allow=allow), answers.queries, K).worked
            figures = {
                "recall": statistics.fmean(recall),
                "worst": min(recall),
                "p50_ms": statistics.median(taken) * 1e3,
                "p95_ms": float(np.quantile(taken, 0.95)) * 1e3,
                "share": statistics.fmean(looked),
            }
            print(
                f"| {told} | {structure} | {name} | {figures['recall']:.4f} | {figures['worst']:.1f}"
                f" | {figures['p50_ms']:.3f} | {figures['p95_ms']:.3f} | {figures['share']:.3f} |",
                flush=True,
            )
            yield f"{structure} {name}", figures
