"""What tiers save and lose: `python benchmarks/memory_tiers.py [--rows N] [--cold PERCENT] [--json]`.

Six-line chunks of this interpreter's own standard library and site-packages are remembered with the built-in
embedding. Accesses follow Zipf's law (exponent 1) over a random order of the memories. Then the tiers are made, all
vectors are read anew from the file, and the same queries are asked as before: held-out chunks and first sentences of
docstrings, each counting once, and each as often as its nearest memory is recalled. Recall@10 is against the exact
float32 search before; bytes are those of the vectors in the file (its pages) and of `aqe.simd.Vectors` in memory. A
search by words and meaning is timed too (the processor's time, the median of sentences): cold rows that may be among
its hits are embedded anew for it.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import statistics
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from chunks import chunks
from numpy.typing import NDArray

from aqe.engine.embedding import Embedder
from aqe.engine.embedding.static import open_static
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.growth.access import write_accesses
from aqe.engine.memory.meaning.chunks import read_space
from aqe.engine.memory.tiers import demoted
from aqe.engine.memory.tiers.figures import read_figures
from aqe.engine.memory.tiers.moving import compact_file, retier
from aqe.engine.memory.tiers.policy import Thresholds
from aqe.engine.retrieval import find, keep
from aqe.simd import Vectors

BATCH = 1000
WARM = 60  # searches before any is timed
SETTLE_S = 2.0
ACCESSES = 10  # for each memory, on average
K = 10
BARS = {"file": 0.30, "memory": 0.30, "recall": 0.01}


def main() -> int:
    """Measure and print; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="memories")
    parser.add_argument("--queries", type=int, default=300, help="of each kind")
    parser.add_argument("--cold", type=float, default=10.0, help="percent of the rows that go cold")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.rows, options.queries, options.cold)
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        show(figures)
    return 0 if all(figures["bars"].values()) else 1


def measure(rows: int, queries: int, cold: float = 10.0) -> dict[str, Any]:
    """Build, ask, move, ask again; what is not cold is shared out as by default."""
    left = (100.0 - cold) / 90.0
    thresholds = Thresholds(20.0 * left, 40.0 * left, 30.0 * left)
    texts, held_out, sentences = read_texts(rows, queries)
    embedder = open_static()
    asked = {"chunks": embedder.embed(held_out), "sentences": embedder.embed(sentences)}
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "aqe.db") as store:
        for start in range(0, len(texts), BATCH):
            batch = enumerate(texts[start : start + BATCH], start)
            keep(store, embedder, [NewMemory(text, id=str(number)) for number, text in batch])
        popularity = recall_by_zipf(store, len(texts))
        vectors = load(store)
        exact = {name: [vectors.exact(query, K)[0] for query in found] for name, found in asked.items()}
        before = {"file": file_bytes(store), "memory": sum(vectors.nbytes.values()), "by part": vectors.nbytes}
        searched = {name: recall(vectors, found, exact[name], popularity) for name, found in asked.items()}
        store.remake_with(embedder)
        took = {"before": search_us(store, embedder, sentences)}
        start_s = time.perf_counter()
        moved = retier(store, embedder, thresholds)
        moved_s = time.perf_counter() - start_s
        shrunk = compact_file(store)
        took["after"] = search_us(store, embedder, sentences)
        vectors = load(store)
        after = {"file": file_bytes(store), "memory": sum(vectors.nbytes.values()), "by part": vectors.nbytes}
        again = {name: remade_recall(store, vectors, found, exact[name], popularity) for name, found in asked.items()}
        with store.reading() as connection:
            tiers = [vars(one) for one in read_figures(connection)]
    saved = {name: 1 - after[name] / before[name] for name in ("file", "memory")}
    lost = max(searched[name][how] - again[name][how] for name in searched for how in searched[name])
    bars = {name: saved[name] >= BARS[name] for name in saved} | {"recall": lost <= BARS["recall"]}
    return {
        "memories": len(texts),
        "queries": {name: len(found) for name, found in asked.items()},
        "before": before,
        "after": after,
        "saved": saved,
        "file shrunk by": shrunk,
        "recall before": searched,
        "recall after": again,
        "most lost": lost,
        "tiers": tiers,
        "search us": took,
        "moved": moved.to,
        "kept int8": moved.kept_int8,
        "move us a memory": 1e6 * moved_s / max(1, sum(moved.to.values())),
        "bars": bars,
    }


def read_texts(rows: int, queries: int) -> tuple[list[str], list[str], list[str]]:
    """Distinct chunks to remember, others to ask with, and first sentences of docstrings."""
    files = sorted(
        {*Path(sysconfig.get_path("stdlib")).rglob("*.py"), *Path(sysconfig.get_path("purelib")).rglob("*.py")}
    )
    random.Random(3).shuffle(files)
    texts: dict[str, None] = {}
    held_out: list[str] = []
    sentences: dict[str, None] = {}
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for number, chunk in enumerate(chunks(text)):
            if number % 50 == 49 and len(held_out) < queries:
                held_out.append(chunk)
            elif len(texts) < rows:
                texts[chunk] = None
        if len(sentences) < queries:
            sentences |= dict.fromkeys(docstrings(text))
        if len(texts) >= rows and len(held_out) >= queries and len(sentences) >= queries:
            break
    return list(texts), [chunk for chunk in held_out if chunk not in texts], list(sentences)[:queries]


def docstrings(text: str) -> Iterator[str]:
    """The first lines of the docstrings of a file's functions, if they are of some words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            line = (ast.get_docstring(node) or "").split("\n")[0].strip()
            if len(line.split()) >= 5:
                yield line


def recall_by_zipf(store: Store, count: int) -> NDArray[np.float64]:
    """Write accesses by Zipf's law over a random order; returns how often each memory was recalled, by its number."""
    random_order = np.random.default_rng(11).permutation(count)
    weights = 1.0 / (1.0 + np.argsort(random_order))
    drawn = np.random.default_rng(12).choice(count, ACCESSES * count, p=weights / weights.sum())
    counts = np.bincount(drawn, minlength=count)
    with store.writing() as connection:
        keys = {("default", str(number)): int(counts[number]) for number in np.flatnonzero(counts)}
        write_accesses(connection, keys, store.now())
    return counts.astype(np.float64)


def load(store: Store) -> Vectors:
    """The vectors of the store as its searches hold them."""
    with store.reading() as connection:
        table, dimension = connection.execute("SELECT number, dimension FROM embedders").fetchone()
        vectors = Vectors(dimension)
        for ids, values in read_space(connection, table, dimension, "default"):
            vectors.add(ids, values)
        demoted.put_down(connection, vectors)
    vectors.search(np.ones(dimension, np.float32), K)
    return vectors


def file_bytes(store: Store) -> int:
    """The pages of the file that hold vectors."""
    with store.reading() as connection:
        held = "(name GLOB 'vectors_*' OR name = 'demoted')"
        return int(connection.execute(f"SELECT sum(pgsize) FROM dbstat WHERE aggregate = 1 AND {held}").get)


def recall(
    vectors: Vectors,
    queries: NDArray[np.float32],
    exact: list[NDArray[np.int64]],
    popularity: NDArray[np.float64],
    rescore: Any = None,
) -> dict[str, float]:
    """Recall@10 over the queries, and weighted by how often the nearest memory is recalled."""
    shares, weights = [], []
    for query, wanted in zip(queries, exact, strict=True):
        found, _ = vectors.search(query, K, rescore=rescore)
        shares.append(len(set(found.tolist()) & set(wanted.tolist())) / K)
        weights.append(1.0 + popularity[int(wanted[0]) - 1])
    return {"even": float(np.mean(shares)), "as recalled": float(np.average(shares, weights=weights))}


def remade_recall(
    store: Store,
    vectors: Vectors,
    queries: NDArray[np.float32],
    exact: list[NDArray[np.int64]],
    popularity: NDArray[np.float64],
) -> dict[str, float]:
    """As `recall`, with cold rows that come near embedded anew, as a search of the store does."""
    remake = demoted.remaker(open_static())
    with store.reading() as connection:
        table = int(connection.execute("SELECT number FROM embedders").get)

        def rescore(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return demoted.exact_rows(connection, table, vectors, remake, rows)

        return recall(vectors, queries, exact, popularity, rescore)


def search_us(store: Store, embedder: Embedder, sentences: Sequence[str]) -> float:
    """What a search by words and meaning takes once everything that it needs was read, in microseconds."""
    for _ in range(3):
        for sentence in sentences[: WARM // 3]:
            find(store, embedder, sentence, k=K)
        time.sleep(SETTLE_S)  # what many rows need is read in the background
    took = []
    for sentence in sentences[WARM // 3 :]:
        start_s = time.thread_time()
        find(store, embedder, sentence, k=K)
        took.append(1e6 * (time.thread_time() - start_s))
    return statistics.median(took)


def show(figures: dict[str, Any]) -> None:
    """The figures as a table."""
    print(f"{figures['memories']:,} memories, queries: {figures['queries']}")
    print(f"{'':<22}{'before':>16}{'after':>16}{'saved':>9}")
    for name, words in (("file", "bytes in the file"), ("memory", "bytes in memory")):
        before, after = figures["before"][name], figures["after"][name]
        print(f"{words:<22}{before:>16,}{after:>16,}{figures['saved'][name]:>9.1%}")
    for name, found in figures["recall before"].items():
        for how, before in found.items():
            after = figures["recall after"][name][how]
            print(f"recall@10 {name}, {how:<12}{before:>10.4f}{after:>10.4f}{before - after:>9.4f} lost")
    for tier in figures["tiers"]:
        print(f"{tier['name']:<6}{tier['form']:<6}{tier['memories']:>8,} memories {tier['file_bytes']:>12,} bytes")
    took = figures["search us"]
    print(f"a search by words and meaning: {took['before']:,.0f} us before, {took['after']:,.0f} us after")
    print(f"{figures['move us a memory']:.0f} us a memory that moved; {figures['kept int8']} cannot be made anew")
    print(", ".join(f"{name} {'met' if met else 'MISSED'}" for name, met in figures["bars"].items()))


if __name__ == "__main__":
    sys.exit(main())
