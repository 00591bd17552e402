"""What the memory store costs: rows a second one by one and in a batch, search at p50, beside SQLite's raw INSERT.

python benchmarks/store.py [--rows N] [--dimension D] [--json]

"raw" is the same number of rows with the same columns through the same SQLite build into a plain table, with the same
durability and without text index, vectors, checks or ids: the floor that a store on SQLite cannot pass. Times are
processor time, so that a busy machine tells the same.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.file.connection import open_connection

STEMS = [
    first + second
    for first in ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "qui", "ro", "su"]
    for second in ["rt", "nd", "lk", "mp", "st", "ng", "rm", "sk", "nt", "ld"]
]
ENDS = ["", "_id", "Handler", "ing", "_total", "Case", "s", "_limit2", "Error", "_of_test"]
WORDS = [stem + end for stem in STEMS for end in ENDS]
SHARES = [1 / (rank + 1) for rank in range(len(WORDS))]  # Zipf's law, as words of code and prose have it


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.rows, options.dimension)
    if options.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:<38}{figure:>12,.3f}")


def measure(rows: int, dimension: int) -> dict[str, float]:
    """All figures of one run, in the order of the table."""
    chance = random.Random(7)
    memories = [memory(chance, number, dimension) for number in range(rows)]
    few = memories[: max(200, rows // 10)]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        figures: dict[str, float] = {"rows": rows, "dimension": dimension}
        raw_single = rate(len(few), lambda: raw(home / "raw-single.db", few, each_alone=True))
        raw_batch = rate(rows, lambda: raw(home / "raw-batch.db", memories, each_alone=False))
        text_only = [NewMemory(one.text, metadata=one.metadata) for one in memories]
        with Store.open(home / "single.db") as store:
            single = rate(len(few), lambda: [add(store, one) for one in few])
        with Store.open(home / "text.db") as store:
            text_batch = rate(rows, lambda: store.add_many(text_only))
        with Store.open(home / "batch.db") as store:
            batch = rate(rows, lambda: store.add_many(memories))
            figures |= {
                "raw single rows/s": raw_single,
                "single rows/s": single,
                "single / raw": single / raw_single,
                "raw batch rows/s": raw_batch,
                "batch rows/s": batch,
                "batch / raw": batch / raw_batch,
                "batch of texts alone rows/s": text_batch,
                "batch of texts alone / raw": text_batch / raw_batch,
            }
            queries = [" ".join(chance.choices(WORDS, SHARES, k=4)) for _ in range(100)]
            vectors = [[chance.gauss(0, 1) for _ in range(dimension)] for _ in range(100)]
            figures |= {
                "search text p50 ms": p50_ms(lambda at: store.search(queries[at])),
                "search text, one word in all p50 ms": p50_ms(lambda at: store.search(f"note {WORDS[at + 500]}")),
                "search vector p50 ms": p50_ms(lambda at: store.search(vector=vectors[at])),
                "search both p50 ms": p50_ms(lambda at: store.search(queries[at], vector=vectors[at])),
                "get p50 ms": p50_ms(lambda at: store.get(str(at))),
            }
            figures["bytes a row"] = sum(store.stats().bytes.values()) / rows
    return figures


def memory(chance: random.Random, number: int, dimension: int) -> NewMemory:
    """A memory of six lines' length with an id, metadata and a vector."""
    text = f"note {number}: " + " ".join(chance.choices(WORDS, SHARES, k=40))
    vector = [chance.gauss(0, 1) for _ in range(dimension)]
    return NewMemory(text, id=str(number), metadata={"kind": "note", "n": number}, vector=vector)


def add(store: Store, one: NewMemory) -> None:
    store.add(one.text, id=one.id, metadata=one.metadata, vector=one.vector)


def raw(path: Path, memories: list[NewMemory], *, each_alone: bool) -> None:
    """Insert the bare columns."""
    connection = open_connection(path)
    connection.execute("CREATE TABLE plain (row INTEGER PRIMARY KEY, id TEXT UNIQUE, text TEXT, metadata TEXT) STRICT")
    insert = "INSERT INTO plain (id, text, metadata) VALUES (?, ?, ?)"
    if not each_alone:
        connection.execute("BEGIN IMMEDIATE")
    for one in memories:
        connection.execute(insert, (one.id, one.text, json.dumps(dict(one.metadata))))
    if not each_alone:
        connection.execute("COMMIT")
    connection.close()


def rate(count: int, work: Callable[[], object]) -> float:
    """Things a second."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def p50_ms(ask: Callable[[int], object]) -> float:
    """The median of 100 questions in milliseconds, after 5 to warm up."""
    for at in range(5):
        ask(at)
    times = []
    for at in range(100):
        start = time.process_time()
        ask(at)
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    sys.exit(main())
