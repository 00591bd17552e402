"""Ours, measured now: every figure by its name, times in microseconds, rates a second, sizes in MB.

The project is a copy of the demo's shop with thousands of memories beside its index: sentences of Python's own help
pages, of which the questions are made too. Each differs, so that caches help no more than they would a user. Figures
are medians over several rounds, or the percentile that they name.
"""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from aqe.engine.answer import Answer
from aqe.engine.embedding import open_embedder
from aqe.engine.engine import Engine
from aqe.engine.memory import NewMemory, open_store
from aqe.engine.progress import Progress, silent
from aqe.engine.retrieval import keep
from aqe.engine.settings import Settings
from aqe.server.demo.shop import copy_shop

LENGTHS = {"simple": (4, 10), "short": (20, 80), "medium": (120, 400), "long": (520, 900)}
"""Classes of questions by tokens, UTF-8 bytes / 4."""

DIMENSIONS = (128, 256, 512, 768)
RESULTS = (1, 5, 10, 20, 50, 100)
WORDS = 12
BATCH = 512
AT_ONCE = 8


@dataclass(frozen=True)
class Size:
    """How much is measured: memories beside the index, questions of each class, rounds of everything else."""

    memories: int
    questions: int
    rounds: int


FULL = Size(memories=10_000, questions=60, rounds=25)
QUICK = Size(memories=1_000, questions=15, rounds=9)


def measure(size: Size = FULL, *, progress: Progress = silent) -> dict[str, float]:
    """Every figure of ours; those that this system cannot give are missing."""
    with tempfile.TemporaryDirectory(prefix="aqe-benchmark-") as folder:
        root = copy_shop(Path(folder))
        chance = random.Random(1)
        sentences = _sentences()
        progress("Kernels and embedding", 0, 5)
        found = _kernels(size) | _embedding(sentences, chance, size)
        progress(f"Keeping {size.memories} memories", 1, 5)
        found |= _adding(root, sentences, chance, size)
        progress("Asking", 2, 5)
        found |= anyio.run(partial(_engine, root, sentences, chance, size, progress))
        progress("Starting", 4, 5)
        found |= _opening(root, size) | _resident(root) | _exporting(root)
        progress("Done", 5, 5)
    return found


def _kernels(size: Size) -> dict[str, float]:
    from aqe import simd

    found = {}
    chance = random.Random(2)
    for dimension in DIMENSIONS:
        one, other = (array("f", [chance.gauss(0, 1) for _ in range(dimension)]) for _ in range(2))
        for name, kernel in (("dot", simd.dot), ("cosine", simd.cosine), ("l2", simd.l2)):
            found[f"{name} {dimension}"] = _microseconds(partial(kernel, one, other), size.rounds)
    found["dot 768 rate"] = 1e6 / found["dot 768"]
    for name, in_place in (("normalize", simd.normalize), ("softmax", simd.softmax)):
        row = array("f", [chance.gauss(0, 1) for _ in range(768)])
        found[f"{name} 768 rate"] = 1e6 / _microseconds(partial(in_place, row, out=row), size.rounds)
    return found


def _embedding(sentences: Sequence[str], chance: random.Random, size: Size) -> dict[str, float]:
    embedder = open_embedder(Settings())
    texts = [_text(sentences, chance, WORDS) for _ in range(5_000)]
    batch = statistics.median(_took(partial(embedder.embed, texts)) for _ in range(3))
    return {
        "embed": _microseconds(partial(embedder.embed, texts[:1]), size.rounds),
        "embed batch": len(texts) / batch * 1e6,
    }


def _adding(root: Path, sentences: Sequence[str], chance: random.Random, size: Size) -> dict[str, float]:
    """Fills the store; how fast in batches, and how long one memory takes by itself."""
    settings = Settings()
    embedder = open_embedder(settings)
    new = [NewMemory(f"{_text(sentences, chance, WORDS)} {number}") for number in range(size.memories)]
    with open_store(root, settings=settings) as store:
        batches = [new[start : start + BATCH] for start in range(0, len(new), BATCH)]
        rates = [len(batch) / _took(partial(keep, store, embedder, batch)) * 1e6 for batch in batches]
        one = [
            _took(partial(keep, store, embedder, [NewMemory(f"alone {_text(sentences, chance, WORDS)}")]))
            for _ in range(size.rounds)
        ]
    return {"add batch": statistics.median(rates), "add one": statistics.median(one)}


async def _engine(
    root: Path, sentences: Sequence[str], chance: random.Random, size: Size, progress: Progress
) -> dict[str, float]:
    async with await Engine.open(root, settings=Settings(), providers=()) as engine:
        await engine.index()
        await engine.query("What does the shop sell?")
        found = await _queries(engine, sentences, chance, size)
        progress("Searching and routing", 3, 5)
        for k in RESULTS:
            asked = [_text(sentences, chance, 4) for _ in range(size.rounds)]
            found[f"search {k}"] = statistics.median(
                [await _awaited(partial(engine.search, one, k=k)) for one in asked]
            )
        asked = [_question(sentences, chance, "short") for _ in range(size.questions)]
        found |= _percentiles("route", [await _awaited(partial(engine.route, one)) for one in asked])
        return found | await _sessions(engine, sentences, chance, size)


async def _queries(engine: Engine, sentences: Sequence[str], chance: random.Random, size: Size) -> dict[str, float]:
    """Latencies by class of question, the parts of them all, and how many are answered a second, 8 at once."""
    found: dict[str, float] = {}
    answers: list[Answer] = []
    for name in LENGTHS:
        own = [await engine.query(_question(sentences, chance, name)) for _ in range(size.questions)]
        found |= _percentiles(f"query {name}", [answer.timings.total * 1000 for answer in own])
        answers += own if name == "short" else []
    for part in ("embed", "retrieve", "route", "answer"):
        found[f"part {part}"] = statistics.median(getattr(answer.timings, part) for answer in answers) * 1000
    todo = iter([_question(sentences, chance, "simple") for _ in range(2 * size.questions)])

    async def work() -> None:
        for question in todo:
            await engine.query(question)

    start = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(work)
    found["queries at 8"] = 2 * size.questions / (time.perf_counter() - start)
    return found


async def _sessions(engine: Engine, sentences: Sequence[str], chance: random.Random, size: Size) -> dict[str, float]:
    sessions = engine.sessions
    made = [await _awaited(partial(sessions.create, f"made {number}")) for number in range(size.rounds)]
    await sessions.create("talk")
    chat = [await _awaited(partial(sessions.chat, "talk", _question(sentences, chance, "simple"))) for _ in range(10)]
    export = [await _awaited(partial(sessions.export, "talk")) for _ in range(size.rounds)]
    document = await sessions.export("talk")
    names = [f"copy {number}" for number in range(size.rounds)]
    imported = [await _awaited(partial(sessions.import_session, document, name=name)) for name in names]
    return {
        "session create": statistics.median(made),
        "session chat": statistics.median(chat),
        "session export": statistics.median(export),
        "session import": statistics.median(imported),
    }


def _opening(root: Path, size: Size) -> dict[str, float]:
    async def opened() -> list[float]:
        took = []
        for _ in range(max(5, size.rounds // 3)):
            start = time.perf_counter()
            engine = await Engine.open(root, settings=Settings(), providers=())
            took.append((time.perf_counter() - start) * 1e6)
            await engine.close()
        return took

    return {"open": statistics.median(anyio.run(opened))}


def _exporting(root: Path) -> dict[str, float]:
    """How long the archive of the whole state takes, and the vectors of all memories to and from safetensors."""
    from aqe.engine.memory.transfer import export_memories, export_state
    from aqe.engine.memory.transfer.files import read_tensors
    from aqe.engine.memory.transfer.reading import Wanted

    lines, vectors = root / "memories.jsonl", root / "vectors.safetensors"
    with open_store(root, settings=Settings()) as store:
        state = _took(partial(export_state, store, root / "state.aqe"))
        written = _took(partial(export_memories, store, lines, form="jsonl", wanted=Wanted(), vectors=vectors))
    read = _took(lambda: read_tensors(vectors.read_bytes(), name=vectors.name))
    return {"state export": state, "safetensors write": written, "safetensors read": read}


def _resident(root: Path) -> dict[str, float]:
    """What a process holds, in MB, after it opened the project and answered; Linux tells it."""
    script = (
        "import sys; from aqe.engine.sync import Engine\n"
        "with Engine.open(sys.argv[1], providers=()) as engine:\n"
        "    engine.query('What does the shop sell?')\n"
        "    print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')][0])\n"
    )
    if not Path("/proc/self/status").exists():
        return {}
    done = subprocess.run([sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True)
    return {"resident": int(done.stdout) / 1024}


def _sentences() -> list[str]:
    """Sentences of the help pages that every Python brings."""
    from pydoc_data.topics import topics

    found = (" ".join(one.split()) for page in topics.values() for one in re.split(r"(?<=[.:])\s+", page))
    return sorted({one for one in found if 30 <= len(one) <= 300})


def _text(sentences: Sequence[str], chance: random.Random, count: int) -> str:
    """About `count` words in a row of some sentence."""
    words = chance.choice(sentences).split()
    start = chance.randrange(max(1, len(words) - count))
    return " ".join(words[start : start + count])


def _question(sentences: Sequence[str], chance: random.Random, name: str) -> str:
    """A question of the class that nobody asked before."""
    low, high = LENGTHS[name]
    wanted = 4 * chance.uniform(low, high)
    asked = "What is said of " + _text(sentences, chance, 3)
    while len(asked) < wanted:
        asked += " " + chance.choice(sentences)
    return asked[: 4 * high]


def _percentiles(name: str, took: Sequence[float]) -> Mapping[str, float]:
    ordered = sorted(took)
    return {f"{name} p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 95, 99)}


def _took(work: Callable[[], object]) -> float:
    """How long one call took, in microseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e6


async def _awaited(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return (time.perf_counter() - start) * 1e6


def _microseconds(work: Callable[[], object], rounds: int) -> float:
    """The median time of a short call over `rounds` runs of about 5 ms."""
    work()
    repeats = max(1, int(5_000 / max(0.05, _took(work))))

    def run() -> None:
        for _ in range(repeats):
            work()

    return statistics.median(_took(run) / repeats for _ in range(rounds))
