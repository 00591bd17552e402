"""What a query costs: `python benchmarks/query.py [--rounds N] [--files N] [--memories N] [--found] [--json FILE]`.

An engine without a model, on a project made of the fixtures' docs and the first N files of the standard library, is
asked questions of four lengths in tokens (UTF-8 bytes / 4): simple (at most 10), under 100, 100 to 500, over 500. The
table shows p50, p95 and p99 in milliseconds with their parts (embed, retrieve, route, answer; what is missing to the
total is storing) and the median of the processor's time, which a loaded machine changes less; questions a second at 1
and at 8 at once, the bytes of the store by component, and the resident memory of an idle MCP server before and after
its first query, beside a bare SDK server of the same run (bar: 120 MB). Then what it costs to find and route without
an answer over N memories, by own postings and through FTS5 (found.py); `--found` measures that alone.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import shutil
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from found import measure_found, show_found
from startup import BARE_SERVER, Server

from aqe.engine.answer import Answer
from aqe.engine.engine import Engine

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
CLASSES = {"simple": (1, 10), "under 100": (11, 99), "100 to 500": (100, 500), "over 500": (501, 1_200)}
PARTS = ("embed", "retrieve", "route", "answer")
BAR_MB = 120.0


def make_project(root: Path, files: int) -> list[str]:
    """Fill `root`; returns the first sentences of its docstrings, from which questions are made."""
    shutil.copytree(FIXTURES / "shop", root, dirs_exist_ok=True)
    library = Path(sysconfig.get_paths()["stdlib"])
    sentences = []
    for path in sorted(library.glob("*.py"))[:files]:
        source = path.read_text(encoding="utf-8", errors="replace")
        (root / path.name).write_text(source, encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                doc = " ".join((ast.get_docstring(node) or "").split())
                sentences += [doc.partition(". ")[0]] if len(doc) > 30 else []
    return sentences


def questions(sentences: Sequence[str], name: str, count: int, rng: random.Random) -> list[str]:
    """`count` different questions of a class, made of whole sentences or the first words of one."""
    low, high = CLASSES[name]
    made = []
    while len(made) < count:
        if name == "simple":
            text = "where is " + " ".join(rng.choice(sentences).split()[:4])
        else:
            text = ""
            while len(text.encode()) / 4 < rng.uniform(low, low + 0.6 * (high - low)):
                text += f" {rng.choice(sentences)}."
        text = text.strip()[: 4 * high]
        if low <= len(text.encode()) / 4 <= high:
            made.append(text)
    return made


async def measure(root: Path, sentences: Sequence[str], rounds: int) -> dict[str, Any]:
    """Latencies by class, rates, and the bytes of the store."""
    rng = random.Random(1)
    async with await Engine.open(root, providers=()) as engine:
        index = await engine.index()
        await engine.query("warm up")
        classes = {}
        for name in CLASSES:
            answers, spent = [], []
            for text in questions(sentences, name, rounds, rng):
                before = time.process_time()
                answers.append(await engine.query(text))
                spent.append(1000 * (time.process_time() - before))
            classes[name] = _latencies(answers) | {"processor": round(statistics.median(spent), 3)}
        asked = [text for name in ("simple", "under 100") for text in questions(sentences, name, rounds, rng)]
        rng.shuffle(asked)
        rates = {str(together): await _rate(engine, asked, together) for together in (1, 8)}
        stats = await engine.stats()
    return {
        "passages": index.passages,
        "classes": classes,
        "questions a second": rates,
        "bytes": dict(stats.store.bytes),
    }


def _latencies(answers: Sequence[Answer]) -> dict[str, float]:
    totals = sorted(answer.timings.total for answer in answers)
    found = {f"p{share}": totals[min(len(totals) - 1, len(totals) * share // 100)] for share in (50, 95, 99)}
    parts = {part: statistics.median(getattr(answer.timings, part) for answer in answers) for part in PARTS}
    return {name: round(value, 3) for name, value in (found | parts).items()}


async def _rate(engine: Engine, asked: Sequence[str], together: int) -> float:
    todo = iter([f"{text} {together}" for text in asked])  # not what the caches know

    async def work() -> None:
        for text in todo:
            await engine.query(text)

    start = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(together):
            group.start_soon(work)
    return round(len(asked) / (time.perf_counter() - start), 1)


def memory_mb(root: Path) -> dict[str, float]:
    """Resident memory, in MB, of an idle server after `initialize`, after one query, and of a bare SDK server."""
    script = root / "bare_server.py"
    script.write_text(BARE_SERVER)
    bare = Server([sys.executable, str(script)])
    bare.ask("tools/call", {"name": "noop", "arguments": {}})
    ours = Server([sys.executable, "-m", "aqe.server.cli", "serve", "--project", str(root)])
    found = {"bare SDK server": _resident(bare), "aqe, initialised": _resident(ours)}
    ours.ask("tools/call", {"name": "stats", "arguments": {}})
    found["aqe, after stats"] = _resident(ours)
    ours.ask("tools/call", {"name": "query", "arguments": {"prompt": "where are refunds rounded?"}})
    time.sleep(1.0)
    found["aqe, after a query"] = _resident(ours)
    bare.close()
    ours.close()
    return found


def _resident(server: Server) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    return round(int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024, 1)


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"{found['passages']} passages indexed; milliseconds")
    head = ("p50", "p95", "p99", *PARTS, "processor")
    print(f"{'query':<12}" + "".join(f"{name:>10}" for name in head))
    for name, row in found["classes"].items():
        print(f"{name:<12}" + "".join(f"{row[column]:>10.2f}" for column in head))
    for together, rate in found["questions a second"].items():
        print(f"questions a second, {together} at once: {rate}")
    print("store: " + ", ".join(f"{name} {size:,}" for name, size in found["bytes"].items()))
    for name, size in found.get("resident MB", {}).items():
        print(f"{name:<20}{size:>8.1f} MB")


def main() -> int:
    """Measure and print; 1 where the idle server holds more than the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="questions of each class")
    parser.add_argument("--files", type=int, default=120, help="files of the standard library")
    parser.add_argument("--memories", type=int, default=10_000, help="memories of the part without an answer")
    parser.add_argument("--found", action="store_true", help="only that part")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, memories = Path(folder) / "project", Path(folder) / "memories"
        root.mkdir()
        memories.mkdir()
        sentences = make_project(root, asked.files)
        found: dict[str, Any] = {}
        if not asked.found:
            found = anyio.run(measure, root, sentences, asked.rounds)
            if sys.platform == "linux":
                found["resident MB"] = memory_mb(root)
            show(found)
        found["found"] = anyio.run(measure_found, memories, sentences, asked.memories, asked.rounds)
        show_found(found["found"])
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(found.get("resident MB", {}).get("aqe, after a query", 0.0) > BAR_MB)


if __name__ == "__main__":
    sys.exit(main())
