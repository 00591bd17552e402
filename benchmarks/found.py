"""What it costs to find and route without an answer, by own postings and through FTS5, and each of the two alone.

A part of `python benchmarks/query.py`: an engine without a model over N memories (six lines of the standard library
each) is asked first sentences of docstrings with `QueryConfig(answer=False)`, awaited one by one. Both engines are of
this run and take turns; what is kept in memory is there before the clock starts. `wall` is what the caller waits,
beside what the answer says of itself. `calls` counts the calls of functions that a question takes in the caller's
thread, Python's and C's: it says on a busy machine too what Python is spread over.
"""

from __future__ import annotations

import functools
import random
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import anyio

from aqe.engine.answer import Answer, QueryConfig
from aqe.engine.engine import Engine
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.search.ranking import Scope
from aqe.engine.memory.terms import postings
from aqe.engine.memory.terms.matching import Matched
from aqe.engine.memory.terms.occurrences import KnownRows
from aqe.engine.memory.terms.text import match_expression, query_terms
from aqe.engine.retrieval import keep

PARTS = ("embed", "retrieve", "route")
TERMS = (4, 8, 12)
KINDS = ("rarest", "any")
WAYS = ("own postings", "FTS5's lists", "FTS5")
TOP = 50
WARM = 400
"""Questions before the clock starts: a server's first ones touch pages and stem words that later ones find there."""

TURN = 25
"""Questions that one engine is asked before it is the other's turn."""

COUNTED = 50
"""Questions whose calls of functions are counted, after all that are timed."""

LINES, FEWEST_CHARACTERS = 6, 80
BARS_US = {"own postings": 250.0, "FTS5": 1_500.0}
NEVER = 10**9


def chunks(count: int) -> list[str]:
    """`count` different pieces of the standard library, of six lines each, in random order."""
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        pieces = ("\n".join(lines[at : at + LINES]) for at in range(0, len(lines), LINES))
        found.update(dict.fromkeys(piece for piece in pieces if len(piece.strip()) >= FEWEST_CHARACTERS))
        if len(found) > 3 * count:
            break
    mixed = [*found]
    random.Random(1).shuffle(mixed)
    return mixed[:count]


@contextmanager
def through(way: str) -> Iterator[None]:
    """Within it an engine asks FTS5 alone, or its own postings after one search."""
    before = postings.SEARCHES
    postings.SEARCHES = NEVER if way == "FTS5" else 0
    try:
        yield
    finally:
        postings.SEARCHES = before


async def measure_found(root: Path, sentences: Sequence[str], memories: int, rounds: int) -> dict[str, Any]:
    """The latencies by both ways in microseconds, and those of the text index alone."""
    (root / "pyproject.toml").write_text("[project]\nname = 'found'\n", encoding="utf-8")
    texts = chunks(memories)
    async with await Engine.open(root, providers=()) as engine:
        await anyio.to_thread.run_sync(lambda: keep(engine._store, engine._embedder, [NewMemory(one) for one in texts]))
    rng = random.Random(2)
    asked = [f"{sentence[:200]}?" for sentence in rng.sample(list(sentences), min(len(sentences), WARM + 2 * rounds))]
    config = QueryConfig(answer=False)
    waits: dict[str, list[tuple[float, float, Answer]]] = {way: [] for way in BARS_US}
    async with await Engine.open(root, providers=()) as own, await Engine.open(root, providers=()) as fts:
        engines = {"own postings": own, "FTS5": fts}
        for way, engine in engines.items():
            with through(way):
                for text in asked[:WARM]:
                    await engine.query(text, config=config)
                await anyio.sleep(1.0)
                await engine.query("warm up", config=config)
        left = asked[WARM:]
        for start in range(0, len(left), TURN):
            for way, engine in engines.items():
                with through(way):
                    waits[way] += [await _timed(engine, text, config) for text in left[start : start + TURN]]
        size = own._store._searcher.lists.nbytes
        calls: dict[str, float] = {}
        for way, engine in engines.items():
            with through(way):
                calls[way] = statistics.median(
                    [await _calls(engine, f"{text} Why?", config) for text in asked[:COUNTED]]
                )
    return {
        "memories": len(texts),
        "bytes of the postings": size,
        "without an answer": {way: {**_figures(found), "calls": calls[way]} for way, found in waits.items()},
        "text index": _alone(root / ".aqe" / "aqe.db", rounds),
    }


async def _timed(engine: Engine, text: str, config: QueryConfig) -> tuple[float, float, Answer]:
    spent, start = time.thread_time(), time.perf_counter()
    answer = await engine.query(text, config=config)
    return 1e6 * (time.perf_counter() - start), 1e6 * (time.thread_time() - spent), answer


async def _calls(engine: Engine, text: str, config: QueryConfig) -> int:
    """The calls of functions that a question takes in this thread."""
    count = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        await engine.query(text, config=config)
    finally:
        sys.setprofile(None)
    return count


def _figures(found: Sequence[tuple[float, float, Answer]]) -> dict[str, float]:
    walls = sorted(wall for wall, _, _ in found)
    figures = {f"p{share}": walls[min(len(walls) - 1, len(walls) * share // 100)] for share in (5, 50, 95, 99)}
    for part in PARTS:
        figures[part] = 1000 * statistics.median(getattr(answer.timings, part) for _, _, answer in found)
    figures["rest"] = figures["p50"] - sum(figures[part] for part in PARTS)
    figures["processor"] = statistics.median(spent for _, spent, _ in found)
    return {name: round(value, 1) for name, value in figures.items()}


def _alone(path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """The best 50 for terms of a text that is there, its rarest or any: FTS5, its lists as a query asks for them, and
    `Postings`, in turns; with the rows that the terms stand in, summed."""
    sql = "SELECT rowid, rank FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT ?"
    found: dict[str, dict[str, float]] = {}
    with Store.open(path) as store, store.reading() as connection:
        held = postings._read(connection, lambda: False)
        assert held is not None
        lists, known = held.postings, KnownRows()
        every = Scope(None, (), "", ())

        def from_lists(terms: Sequence[str]) -> object:
            return Matched(connection, terms, known).best(TOP, every)

        texts = [text for (text,) in connection.execute("SELECT text FROM memories WHERE valid_to IS NULL")]
        for kind, size in [(kind, size) for kind in KINDS for size in TERMS]:
            rng = random.Random(3)
            times: dict[str, list[float]] = {way: [] for way in (*WAYS, "rows")}
            for _ in range(min(rounds, 100)):
                drawn = query_terms(str(rng.choice(texts)))
                counts = dict(zip(drawn, lists.counts([term.encode() for term in drawn]), strict=True))
                some = rng.sample(drawn, min(size, len(drawn)))
                terms = some if kind == "any" else sorted(drawn, key=counts.__getitem__)[:size]
                packed, expression = [term.encode() for term in terms], match_expression(terms)
                from_lists(terms)  # the lengths of their rows are known to whoever asks again and again
                works: dict[str, Callable[[], object]] = {
                    "own postings": functools.partial(lists.search, packed, TOP),
                    "FTS5's lists": functools.partial(from_lists, terms),
                    "FTS5": lambda asked=expression: connection.execute(sql, (asked, TOP)).fetchall(),
                }
                for way, work in works.items():
                    times[way].append(_wall(work))
                times["rows"].append(sum(counts[term] for term in terms))
            found[f"{size} {kind}"] = {way: round(statistics.median(one), 1) for way, one in times.items()}
    return found


def _wall(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1e6 * (time.perf_counter() - start)


def show_found(found: dict[str, Any]) -> None:
    """Print the tables."""
    size = found["bytes of the postings"] / 1e6
    print(f"\nwithout an answer, over {found['memories']} memories; microseconds ({size:.1f} MB of postings)")
    head = ("p5", "p50", "p95", "p99", *PARTS, "rest", "processor", "calls")
    print(f"{'through':<14}" + "".join(f"{name:>10}" for name in head) + f"{'bar':>10}")
    for way, row in found["without an answer"].items():
        print(f"{way:<14}" + "".join(f"{row[column]:>10.0f}" for column in head) + f"{BARS_US[way]:>10.0f}")
    print("the text index alone, best 50 for the rarest terms of one text, and for any of them; microseconds")
    print(f"{'terms':<14}{'rows':>10}" + "".join(f"{way:>14}" for way in WAYS))
    for terms, row in found["text index"].items():
        print(f"{terms:<14}{row['rows']:>10.0f}" + "".join(f"{row[way]:>14.1f}" for way in WAYS))
