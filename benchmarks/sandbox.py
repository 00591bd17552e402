"""What a box costs: start of the box and one warm case on each rung, beside a plain interpreter's start; and what it
costs to ask a project's interpreter inside a box what it is.

    python benchmarks/sandbox.py [--rounds N] [--cases N] [--json FILE]

Prints a table of medians in milliseconds, the private memory of the box's processes, and the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aqe.agents.gate import Box, BoxSpec
from aqe.agents.gate.asking import ask_here, ask_in_box
from aqe.agents.gate.known_interpreters import recall
from aqe.agents.gate.probing import PROBE, probe
from aqe.engine.errors import UserError

SUBJECT = "def nothing(args, emit):\n    return None\n"
IMPORTS_NUMPY = "import numpy\ndef nothing(args, emit):\n    return None\n"


def median_ms(act: Callable[[], object], rounds: int) -> float:
    """The median of `rounds` wall times, in milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 2)


def measure_plain(rounds: int) -> dict[str, Any]:
    """A bare interpreter, the unit to compare with."""
    start = median_ms(lambda: subprocess.run([sys.executable, "-I", "-c", "pass"], check=True), rounds)
    return {"what": "python -I -c pass", "start_ms": start}


def measure_box(rung: int, project: Path, module: str, rounds: int, cases: int) -> dict[str, Any]:
    """Start, first case and warm cases of a box on `rung`; a rung that does not hold says why."""
    spec = BoxSpec(python=sys.executable, project=str(project), path=(str(project),))
    row: dict[str, Any] = {"what": f"box, rung {rung}, {module}"}
    try:
        row["start_ms"] = median_ms(lambda: Box.open(spec, rung=rung).close(), rounds)
        with Box.open(spec, rung=rung) as box:
            row["preload_ms"] = round(box.preload(f"{module}:nothing", {}, wall_s=60).duration_ms, 2)
            row["case_ms"] = median_ms(lambda: box.run(f"{module}:nothing", {}, wall_s=60), cases)
            row["memory_mb"] = round(private_bytes(box) / 2**20, 1)
            started = time.perf_counter()
            box.kill()
            row["kill_ms"] = round((time.perf_counter() - started) * 1000, 2)
    except UserError as error:
        row["why_not"] = error.message
    return row


def measure_asking(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Asking a project's interpreter what it is: outside any box, in one, and by what is remembered of it.

    `start_ms` is wall time; outside any box is how aqe asked before, and what it would cost each command.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = str(folder / "env" / "bin" / "python")
    found = probe(python, "benchmark")  # makes the answer known
    ways: dict[str, Callable[[], object]] = {
        "asking an interpreter, no box": lambda: ask_here(python, os.environ, PROBE, 20.0),
        "asking an interpreter, in a box": lambda: ask_in_box(python, os.environ, PROBE, 20.0, str(folder), False),
        "asking an interpreter, remembered": lambda: recall(found.executable),
    }
    return [{"what": what, "start_ms": median_ms(act, rounds)} for what, act in ways.items()]


def private_bytes(box: Box) -> int:
    """Memory that only the box's own processes have: supervisor, pid 1, zygote."""
    total, parents = 0, {box.pid}
    for name in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            parent = int(Path(f"/proc/{name}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[1])
            if name in parents or parent in parents:
                parents.add(name)
                lines = Path(f"/proc/{name}/smaps_rollup").read_text("ascii").splitlines()
                total += 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
        except OSError:
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "small.py").write_text(SUBJECT, "utf-8")
        (project / "with_numpy.py").write_text(IMPORTS_NUMPY, "utf-8")
        rows = [measure_plain(options.rounds)]
        rows += [measure_box(rung, project, "small", options.rounds, options.cases) for rung in (3, 2, 1, 0)]
        rows.append(measure_box(3, project, "with_numpy", options.rounds, options.cases))
        rows += measure_asking(project, options.rounds)
    columns = ("what", "start_ms", "preload_ms", "case_ms", "kill_ms", "memory_mb")
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        cells = [str(row.get(column, "")) for column in columns]
        print("| " + " | ".join(cells) + " |" + (f" {row['why_not']}" if "why_not" in row else ""))
    report = {"python": sys.version.split()[0], "kernel": os.uname().release, "cpus": os.cpu_count(), "rows": rows}
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
