"""Run every command that docs/features.md names, in a scratch copy of the tree, and fail when one fails.

`python tools/feature_commands.py [--passed-in FILE]... [ID...]` runs all of them, or those of the rows named, WORKERS
at a time, each worker in a copy of its own. A FILE lists what passed a moment ago for the same tree: whole commands,
and the tests that `pytest --passed-to FILE` wrote. Such a command is not run again; one that runs pytest still has to
find its tests, but runs only those that are in no FILE.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import installed_suite

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".work" / "features"
LIMIT_S = 600
PYTEST = "python -m pytest "


def rows(text: str) -> list[tuple[str, str, str, str]]:
    """Each row of the table: id, capability, state, command (empty where there is none)."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if len(cells) == 4 and re.fullmatch(r"[A-Z]\d+", cells[0]):
            found.append((cells[0], cells[1], cells[2], cells[3].strip("`").replace("\\|", "|")))
    return found


def commands(wanted: list[str]) -> dict[str, list[str]]:
    """Each distinct command with the ids of the rows that it shows."""
    found: dict[str, list[str]] = {}
    for name, _, _, command in rows((ROOT / "docs" / "features.md").read_text(encoding="utf-8")):
        if command and (not wanted or name in wanted):
            found.setdefault(command, []).append(name)
    return found


def run(command: str, names: list[str], tree: Path, passed: Sequence[Path] = ()) -> bool:
    """Run one command in a scratch tree; show its output only when it fails."""
    if any(command in file.read_text(encoding="utf-8").splitlines() for file in passed):
        return tell("ok", 0.0, names, f"{command} (it passed a moment ago)")
    options = "".join(f"--passed-in={shlex.quote(str(file))} " for file in passed)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "AQE_PROJECT"))}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
    start = time.monotonic()
    try:
        done = subprocess.run(
            ["bash", "-c", command.replace(PYTEST, PYTEST + options)],
            cwd=tree,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = 124, str(late)
    word = "ok" if status == 0 else f"FAILED (exit {status})"
    tell(word, time.monotonic() - start, names, command, output if status else "")
    return status == 0


def tell(word: str, took_s: float, names: list[str], command: str, output: str = "") -> bool:
    """Print one row in one piece, since others print beside it."""
    sys.stdout.write(f"{word:8} {took_s:6.1f} s  {' '.join(names)}: {command}\n{output}")
    sys.stdout.flush()
    return True


def lend_byte_code(tree: Path) -> None:
    """Copy what earlier runs compiled of the tests, which pytest rewrites at length; it counts for an equal file."""
    for cache in (ROOT / "tests").rglob("__pycache__"):
        if (folder := tree / cache.relative_to(ROOT)).parent.is_dir():
            shutil.copytree(cache, folder, dirs_exist_ok=True)


def main() -> int:
    """Copy the tree once a worker, run the commands, count the failures."""
    parser = argparse.ArgumentParser(description="Run the commands of docs/features.md.")
    parser.add_argument("--passed-in", metavar="FILE", type=Path, action="append", default=[], help="see above")
    parser.add_argument("ids", nargs="*", metavar="ID", help="rows of docs/features.md")
    told = parser.parse_args()
    passed = [file.resolve(strict=True) for file in told.passed_in]
    workers = int(os.environ.get("WORKERS", "2"))
    free: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for number in range(workers):
        installed_suite.copy_tree(SCRATCH / str(number))
        lend_byte_code(SCRATCH / str(number))
        free.put(SCRATCH / str(number))

    def run_one(row: tuple[str, list[str]]) -> bool:
        tree = free.get()
        try:
            return run(*row, tree, passed)
        finally:
            free.put(tree)

    # benchmarks take longest and come first, tests alone are short and last: no worker is left with a long one
    order = sorted(commands(told.ids).items(), key=lambda row: (row[0].startswith(PYTEST), "benchmarks/" not in row[0]))
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(run_one, order))
    print(f"{sum(results)} of {len(results)} commands of docs/features.md ended well")
    return 0 if all(results) and results else 1


if __name__ == "__main__":
    sys.exit(main())
