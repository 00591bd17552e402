"""Questions one by one beside the same in a batch: `python benchmarks/batches.py [--parallel N] [--json]`.

The questions are those of benchmarks/sessions.py over the same corpus, each asked once by a loop over `Engine.query`
and once by `Engine.query_batch`, in engines of their own that start equally warm. The second pair has a model on this
machine that takes 50 ms for an answer. Figures are wall-clock milliseconds a question; the order of loop and batch
alternates and the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio
from sessions import TALKS, corpus

from aqe.engine import Engine, QueryConfig
from aqe.engine.providers.scripted import Scripted
from aqe.engine.settings import Settings

QUESTIONS = [question for talk in TALKS for question in talk]
MODEL_S = 0.05


def main() -> int:
    """Measure and print; exit 1 when a batch is slower than its loop."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parallel", type=int, default=4, help="questions that are worked on together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = anyio.run(measure, options.parallel, options.rounds)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:<30}{figure:>10.3f}")
    return int(max(figures["batch / loop"], figures["batch / loop, with a model"]) > 1)


async def measure(parallel: int, rounds: int) -> dict[str, float]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory() as folder:
        project = corpus(Path(folder) / "project")
        async with await Engine.open(project, settings=Settings(), providers=()) as engine:
            await engine.index()
        plain, asked = QueryConfig(), QueryConfig(force="local", strategy="quality")
        loop, batch = await compare(project, (), plain, parallel, rounds)
        model = Scripted(["yes"], delay_s=MODEL_S)
        slow_loop, slow_batch = await compare(project, (model,), asked, parallel, rounds)
    return {
        "questions": len(QUESTIONS),
        "parallel": parallel,
        "loop ms": loop,
        "batch ms": batch,
        "batch / loop": batch / loop,
        "loop ms, with a model": slow_loop,
        "batch ms, with a model": slow_batch,
        "batch / loop, with a model": slow_batch / slow_loop,
    }


async def compare(
    project: Path, providers: tuple[Scripted, ...], config: QueryConfig, parallel: int, rounds: int
) -> tuple[float, float]:
    """Milliseconds a question by the loop and by the batch."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * rounds):
        in_batch = number % 4 in (1, 2)
        async with await Engine.open(project, settings=Settings(), providers=providers) as engine:
            await engine.query("How is a memory added?", config=config)
            start = time.perf_counter()
            if in_batch:
                items = await engine.query_batch(QUESTIONS, parallel=parallel, config=config)
                assert all(item.answer for item in items)
            else:
                for question in QUESTIONS:
                    await engine.query(question, config=config)
            found[in_batch].append(1000 * (time.perf_counter() - start) / len(QUESTIONS))
    return statistics.median(found[False]), statistics.median(found[True])


if __name__ == "__main__":
    sys.exit(main())
