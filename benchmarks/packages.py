"""`aqe generate` on public packages beyond the six of testgen.py: `python benchmarks/packages.py [--budget S]`.

Makes a virtual environment with the pinned packages, runs the real command on a fresh project for each module, and
prints a table of what it reports: the figures are those of the evidence that comes with the written file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from environments import environment

PACKAGES = {
    "humanize.number": "humanize==4.12.1",
    "packaging.version": "packaging==24.2",
    "boltons.strutils": "boltons==25.0.0",
}
PYTEST = "pytest==8.4.2"


def main() -> int:
    """Run the command on each module; exit 1 when one of them gives no tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", nargs="+", default=list(PACKAGES), choices=list(PACKAGES), metavar="MODULE")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that keeps the generated tests")
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "packages"
    parser.add_argument("--venv", type=Path, default=cache, help="where the environment is made")
    options = parser.parse_args()
    python = environment(options.venv, [*PACKAGES.values(), PYTEST, "coverage"])
    print("| module | package | lines % | branches % | mutants killed | tests | suspects | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    status = 0
    for module in options.modules:
        answer, seconds = generate(module, python, options)
        print(row(module, answer, seconds), flush=True)
        status = status if answer.get("tests") else 1
    return status


def generate(module: str, python: Path, options: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """The command's JSON object for one module in a fresh project, and its wall time in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "pyproject.toml").write_text('[project]\nname = "subjects"\nversion = "0"\n', encoding="utf-8")
        command = [sys.executable, "-m", "aqe.server.cli", "generate", module, "--python", str(python), "--json"]
        command += ["--budget", f"{options.budget:g}", "--seed", str(options.seed)]
        start = time.monotonic()
        done = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, text=True, check=False)
        seconds = time.monotonic() - start
        answer: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
        if options.keep is not None:
            for name in answer.get("files", ()):
                target = options.keep / module / Path(name).name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((project / name).read_bytes())
        return answer, seconds


def row(module: str, answer: Mapping[str, Any], seconds: float) -> str:
    """One line of the table."""
    evidence = answer.get("evidence")
    if not evidence:
        return (
            f"| `{module}` | {PACKAGES[module]} | - | - | - | 0 | {len(answer.get('suspects', ()))} | {seconds:.0f} |"
        )
    lines = percent(evidence, "lines")
    branches = percent(evidence, "branches")
    killed = f"{evidence['mutants_killed']} of {evidence['mutants_total']}"
    return (
        f"| `{module}` | {PACKAGES[module]} | {lines} | {branches} | {killed} | {answer['tests']} | "
        f"{len(answer['suspects'])} | {seconds:.0f} |"
    )


def percent(evidence: Mapping[str, Any], what: str) -> str:
    covered = sum(subject[f"{what}_covered"] for subject in evidence["subjects"])
    total = sum(subject[f"{what}_total"] for subject in evidence["subjects"])
    return f"{100 * covered / total:.0f} ({covered} of {total})" if total else "-"


if __name__ == "__main__":
    sys.exit(main())
