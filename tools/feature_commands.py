"""Run every command that docs/features.md names, in a scratch copy of the tree, and fail when one fails.

`python tools/feature_commands.py [ID...]` runs all of them, or those of the rows named.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import installed_suite

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".work" / "features"
LIMIT_S = 600


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


def run(command: str, names: list[str]) -> bool:
    """Run one command in the scratch tree; show its output only when it fails."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "AQE_PROJECT"))}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
    start = time.monotonic()
    try:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=SCRATCH,
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
    print(f"{word:8} {time.monotonic() - start:6.1f} s  {' '.join(names)}: {command}", flush=True)
    if status:
        print(output)
    return status == 0


def main() -> int:
    """Copy the tree, run the commands, count the failures."""
    installed_suite.copy_tree(SCRATCH)
    results = [run(command, names) for command, names in commands(sys.argv[1:]).items()]
    print(f"{sum(results)} of {len(results)} commands of docs/features.md ended well")
    return 0 if all(results) and results else 1


if __name__ == "__main__":
    sys.exit(main())
