"""The store part of memory.py: what it costs to keep, delete and find a memory, to open a store, and what one takes.

"plain" is SQLite without us, step by step in turn with us: the same rows, vectors (vec0) and texts (FTS5) in three
tables, one transaction each, with the same durability and none of our checks, indexes, ids, revisions or codes.
"processor" is the time of the processor, which a busy machine changes less than the clock. "codes learn it" is what
the next search pays for a memory that was added. "Engine.search beyond" is the median of `Engine.search(vector=)` less
that of `Vectors.search` on the same vectors and queries, in turn, but each query's turns lie others apart: else the
second one finds in the processor's caches what the first one left there; and which of them comes first changes with
each query, since the one that follows finds more. Its memories were not found before ("new") or were ("known"); what is
read ahead is there before the clock starts, as on a server after its first moments. "open" is a store opened anew and
its first answer, with and without the file of codes.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from chunks import open_corpus
from numpy.typing import NDArray
from store import WORDS

from aqe.engine.engine import Engine
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.meaning.codefiles import folder_of
from aqe.engine.memory.terms.text import subtokens
from aqe.engine.settings import Settings

Floats = NDArray[np.float32]
Seconds = tuple[float, float]
APART = 20
"""Queries between two turns of one query."""

ALONE = 500
BATCH = 500


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of each size."""
    report = {}
    for count in sorted(options.sizes):
        vectors, queries = _vectors(options, count)
        with tempfile.TemporaryDirectory() as folder:
            found = anyio.run(measure_size, Path(folder), vectors, queries, count)
        report[str(count)] = found
        print(f"\n{count} memories of {vectors.shape[1]} numbers")
        for name, figure in found.items():
            print(f"  {name:<44}{figure:>14,.2f}")
    return report


async def measure_size(home: Path, vectors: Floats, queries: Floats, count: int) -> dict[str, float]:
    """All figures of one size."""
    made = memories(vectors)
    found: dict[str, float] = {}
    (home / "project").mkdir()
    async with await Engine.open(home / "project", settings=Settings(), providers=()) as engine:
        store = engine._store
        plain = Plain(home / "plain.db")
        found |= writes({"ours": Ours(store), "plain": plain}, made, count)
        plain.close()
        found |= await searches(engine, queries, count)
        path = store.path
    found |= openings(path, queries)
    found |= sizes(path, home / "plain.db", vectors, count)
    return found


class Ours:
    """Our store as the load sees it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, made: Sequence[NewMemory]) -> None:
        self.store.add_many(made)

    def delete(self, ids: Sequence[str]) -> None:
        self.store.delete_many(ids)


class Plain:
    """Three tables of SQLite."""

    def __init__(self, path: Path) -> None:
        self.connection = open_connection(path)
        self.connection.execute(
            "CREATE TABLE rows (row INTEGER PRIMARY KEY, id TEXT UNIQUE, text TEXT, metadata TEXT);"
            "CREATE VIRTUAL TABLE vectors USING vec0(embedding float[384]);"
            "CREATE VIRTUAL TABLE texts USING fts5(text, content='', contentless_delete=1, tokenize='ascii');"
        )

    def add(self, made: Sequence[NewMemory]) -> None:
        with self.connection:
            for one in made:
                self.connection.execute("INSERT INTO rows (id, text, metadata) VALUES (?, ?, '{}')", (one.id, one.text))
                row = self.connection.last_insert_rowid()
                packed = np.asarray(one.vector, np.float32).tobytes()
                self.connection.execute("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", (row, packed))
                text = " ".join(subtokens(one.text))
                self.connection.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (row, text))

    def delete(self, ids: Sequence[str]) -> None:
        with self.connection:
            for id in ids:
                row = self.connection.execute("DELETE FROM rows WHERE id = ? RETURNING row", (id,)).get
                self.connection.execute("DELETE FROM vectors WHERE rowid = ?", (row,))
                self.connection.execute("DELETE FROM texts WHERE rowid = ?", (row,))

    def close(self) -> None:
        self.connection.close()


def writes(stores: Mapping[str, Ours | Plain], made: Sequence[NewMemory], count: int) -> dict[str, float]:
    """Fill stores with `count` memories in batches; then single ones are added and deleted, and batches deleted. Each
    step is taken by one store after the other, so that what else the machine does falls on all."""
    more = made[count : count + ALONE]
    last = made[count + ALONE : count + ALONE + 4 * BATCH]
    parts = [last[at : at + BATCH] for at in range(0, len(last), BATCH)]
    ids = [[str(one.id) for one in part] for part in parts]
    filled = in_turn(stores, add, [made[at : at + BATCH] for at in range(0, count, BATCH)])
    added = in_turn(stores, add, [[one] for one in more])
    deleted = in_turn(stores, delete, [[str(one.id)] for one in more])
    in_turn(stores, add, parts)
    emptied = in_turn(stores, delete, ids)
    found: dict[str, float] = {}
    for name in stores:
        found |= named(
            name,
            {
                **rates("add, batches", filled[name]),
                **spread("add, alone", added[name]),
                **rates("delete, batches", emptied[name]),
                **spread("delete, alone", deleted[name]),
            },
        )
    return found


def add(store: Ours | Plain, made: Sequence[NewMemory]) -> None:
    store.add(made)


def delete(store: Ours | Plain, ids: Sequence[str]) -> None:
    store.delete(ids)


def in_turn(
    stores: Mapping[str, Ours | Plain], work: Callable[[Ours | Plain, Any], None], steps: Sequence[Any]
) -> dict[str, list[Seconds]]:
    """What each step takes each store."""
    found: dict[str, list[Seconds]] = {name: [] for name in stores}
    for step in steps:
        for name, store in stores.items():
            found[name].append(timed(partial(work, store, step)))
    return found


def rates(name: str, times: Sequence[Seconds]) -> dict[str, float]:
    """Rows a second in batches: of the whole run, and of the processor also for the median and the fastest twentieth
    of the batches."""
    clock, work = ([one[which] for one in times] for which in (0, 1))
    return {
        f"{name} rows/s": len(times) * BATCH / sum(clock),
        f"{name} rows/s of processor": len(times) * BATCH / sum(work),
        f"{name} rows/s of processor, median batch": BATCH / statistics.median(work),
        f"{name} rows/s of processor, fastest 5 %": BATCH / float(np.quantile(work, 0.05)),
    }


async def searches(engine: Engine, queries: Floats, count: int) -> dict[str, float]:
    """What a search of the engine costs beyond that of the vectors, and what codes learn a memory for."""
    store = engine._store

    async def asked(query: Floats) -> Seconds:
        start, worked = time.perf_counter(), time.thread_time()
        await engine.search(vector=query, embedder_id="given")
        return time.perf_counter() - start, time.thread_time() - worked

    for _ in range(3):
        for query in queries[:4]:
            await asked(query)
    await anyio.to_thread.run_sync(store._searcher.codes._background.wait)
    for thread in [one for one in threading.enumerate() if one.name == "aqe-rows"]:
        await anyio.to_thread.run_sync(thread.join)
    await asked(queries[0])
    (part,) = [part for part in store._searcher.codes._parts.values() if len(part.vectors) >= count]
    new, known, bare, learnt = [], [], [], []
    for query in queries[: 2 * APART]:
        await asked(query)
    for at, ways in zip(range(2 * APART, len(queries)), itertools.cycle(itertools.permutations(range(3)))):
        for way in ways:
            query = queries[at - way * APART]
            if way == 2:
                bare.append(timed(lambda query=query: part.vectors.search(query, 10)))
            else:
                (new, known)[way].append(await asked(query))
    for at, query in enumerate(queries[:100]):
        store.add(f"learnt {at}", id=f"learnt-{at}", vector=query)
        learnt.append(await asked(query))
    return {
        **spread("Vectors.search", bare),
        **spread("Engine.search, known", known),
        "Engine.search beyond, known us": beyond(known, bare, 0),
        "Engine.search beyond, known us of processor": beyond(known, bare, 1),
        "Engine.search beyond, new us": beyond(new, bare, 0),
        "Engine.search beyond, new us of processor": beyond(new, bare, 1),
        "codes learn it us": beyond(learnt, new, 0),
        "codes learn it us of processor": beyond(learnt, new, 1),
    }


def openings(path: Path, queries: Floats) -> dict[str, float]:
    """Milliseconds to open a store and have the first answer by a vector, with its file of codes and without."""

    def opened() -> float:
        start = time.perf_counter()
        store = Store.open(path)
        store.search(vector=queries[0])
        took = time.perf_counter() - start
        store._searcher.codes._asked.clear()  # so that closing makes no file
        store.close()
        return took

    with_file = statistics.median(opened() for _ in range(7))
    if not folder_of(path).exists():  # few vectors have no file of codes
        return {"open and first answer ms": with_file * 1e3, "the same without a file ms": with_file * 1e3}
    aside = path.with_name("aside")
    shutil.move(folder_of(path), aside)
    without = statistics.median(opened() for _ in range(3))
    shutil.move(aside, folder_of(path))
    return {"open and first answer ms": with_file * 1e3, "the same without a file ms": without * 1e3}


def sizes(ours: Path, plain: Path, vectors: Floats, count: int) -> dict[str, float]:
    """Bytes a memory on the disk: ours, SQLite's plain tables, and the files of peers, which hold vectors alone."""
    codes = sum(file.stat().st_size for file in folder_of(ours).glob("*"))
    found = {
        "bytes a memory, our database": ours.stat().st_size / count,
        "bytes a memory, our codes": codes / count,
        "bytes a memory, plain tables": plain.stat().st_size / count,
    }
    rows = np.ascontiguousarray(vectors[: min(count, 10_000)])
    for name, size in peers(rows, ours.with_name("peer")):
        found[f"bytes a vector, {name}"] = size / len(rows)
    return found


def peers(rows: Floats, file: Path) -> Iterable[tuple[str, int]]:
    """The size of each peer's file of these vectors."""
    if importlib.util.find_spec("usearch"):
        from usearch.index import Index

        index = Index(ndim=rows.shape[1], metric="cos", dtype="f16")
        index.add(np.arange(len(rows)), rows, threads=1)
        index.save(str(file))
        yield "usearch f16", file.stat().st_size
    if importlib.util.find_spec("hnswlib"):
        import hnswlib

        graph = hnswlib.Index(space="cosine", dim=rows.shape[1])
        graph.init_index(max_elements=len(rows), M=16, ef_construction=128)
        graph.add_items(rows, num_threads=1)
        graph.save_index(str(file))
        yield "hnswlib f32", file.stat().st_size
    if importlib.util.find_spec("faiss"):
        import faiss

        flat = faiss.IndexFlatIP(rows.shape[1])
        flat.add(rows)
        faiss.write_index(flat, str(file))
        yield "faiss flat", file.stat().st_size


def memories(vectors: Floats) -> list[NewMemory]:
    """One memory for each vector, of six lines' length."""
    chance = np.random.default_rng(7)
    shares = 1 / np.arange(1, len(WORDS) + 1)
    drawn = chance.choice(len(WORDS), (len(vectors), 40), p=shares / shares.sum())
    texts = (f"note {at}: " + " ".join(WORDS[word] for word in row) for at, row in enumerate(drawn))
    return [
        NewMemory(text, id=str(at), metadata={"kind": "note", "n": at}, vector=vector)
        for at, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]


def timed(work: Callable[[], object]) -> Seconds:
    """Seconds that it takes, by the clock and of the processor."""
    start, worked = time.perf_counter(), time.thread_time()
    work()
    return time.perf_counter() - start, time.thread_time() - worked


def spread(name: str, times: Sequence[Seconds]) -> dict[str, float]:
    """The median and the tails by the clock, and of the processor the fastest twentieth and the median, in
    microseconds."""
    clock, work = ([one[which] for one in times] for which in (0, 1))
    found = {f"{name} p{share} us": float(np.quantile(clock, share / 100)) * 1e6 for share in (50, 95, 99)}
    return found | {
        f"{name} p{share} us of processor": float(np.quantile(work, share / 100)) * 1e6 for share in (5, 50)
    }


def beyond(one: Sequence[Seconds], other: Sequence[Seconds], which: int) -> float:
    """How much more the one takes than the other, median by median, in microseconds."""
    more, less = (statistics.median(each[which] for each in times) for times in (one, other))
    return (more - less) * 1e6


def named(what: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{what}: {name}": figure for name, figure in figures.items()}


def _vectors(options: argparse.Namespace, count: int) -> tuple[Floats, Floats]:
    """Vectors to keep and to ask with: of chunks of code where the corpus is there, else random ones."""
    wanted = count + ALONE + 4 * BATCH
    if options.corpus.exists():
        corpus = open_corpus(options.corpus, wanted)
        if len(corpus.vectors) >= wanted:
            return np.array(corpus.vectors[:wanted], np.float32), np.array(corpus.held_out[: options.queries])
    print("no corpus of that size: random vectors, which are further apart than those of texts")
    rows = np.random.default_rng(1).standard_normal((wanted + options.queries, 384)).astype(np.float32)
    return rows[:wanted], rows[wanted:]
