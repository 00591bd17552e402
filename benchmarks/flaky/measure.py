"""`aqe flaky` on planted suites: `python benchmarks/flaky/measure.py [--suites N] [--runs N] [--peers] [--json FILE]`.

Each suite (see planting.py) has one flaky test of each kind among stable ones; random ones fail with a probability
between `--lowest` and `--highest`. Shown: the share of planted tests found, of random ones found (bar .9), precision
(flagged tests that were planted), the share of found ones whose category is right, and of order-dependent ones found
whose polluters (or setters) are named exactly. `--peers`: the same suites with plain reruns, pytest-randomly and
pytest-flakefinder in an environment of their own, with as many runs; a test is flagged that passed and failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from environments import environment
from planting import Planted, plant

BAR = 0.9
PEERS = ("pytest==8.4.2", "pytest-randomly==3.16.0", "pytest-flakefinder==1.1.0")


def main() -> int:
    """Measure and print the table; exit 1 where fewer random flakes are found than the bar asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", type=int, default=3)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0, help="of the first suite")
    parser.add_argument("--lowest", type=float, default=0.2, help="smallest probability of a random flake")
    parser.add_argument("--highest", type=float, default=0.5)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    missed: Counter[str] = Counter()
    for number in range(options.seed, options.seed + options.suites):
        with suite(number, options) as (folder, truth):
            rows["aqe flaky"].append(score(truth, hunt(folder, options.runs, number), missed))
        if options.peers:
            for name, flags in peers(options, number):
                with suite(number, options) as (folder, truth):
                    rows[name].append(score(truth, flags(folder)))
    table = {name: total(found) for name, found in rows.items()}
    print(render(table, options))
    for text, count in sorted(missed.items()):
        print(f"{count} x {text}", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps({"options": {k: str(v) for k, v in vars(options).items()}, "table": table}))
    return 0 if table["aqe flaky"]["random found"] >= BAR else 1


@contextmanager
def suite(number: int, options: argparse.Namespace) -> Iterator[tuple[Path, dict[str, Planted]]]:
    """A project and its truth, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="planted-"))
    try:
        yield folder / "p", plant(folder / "p", number, lowest=options.lowest, highest=options.highest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hunt(folder: Path, runs: int, seed: int) -> dict[str, Any]:
    """What the real command says."""
    command = [sys.executable, "-m", "aqe.server.cli", "flaky", "--runs", str(runs), "--seed", str(seed), "--json"]
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "AQE"))}
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    found = {name: one for name, one in told["tests"].items() if one["flaky"]}
    return {"flagged": found, "seconds": time.monotonic() - start, "executions": told["executions"]}


def score(truth: Mapping[str, Planted], said: Mapping[str, Any], missed: Counter[str] | None = None) -> dict[str, Any]:
    """Counts of one suite."""
    flagged = said["flagged"]
    found = [one for name, one in truth.items() if name in flagged]
    chancy = [one for one in truth.values() if one.p]
    ordered = [one for one in found if one.category == "order"]
    right = [one for one in found if (flagged[one.nodeid] or {}).get("category") == one.category]
    named = [one for one in ordered if names_culprits(flagged[one.nodeid] or {}, one)]
    if missed is not None:
        for one in truth.values():
            if one.nodeid not in flagged:
                missed[f"missed: {one.kind} ({one.category}, p {one.p})"] += 1
            elif one not in right:
                missed[f"{one.kind} ({one.category}) called {flagged[one.nodeid]['category']}"] += 1
            elif one in ordered and one not in named:
                missed[f"{one.kind}: wrong culprits"] += 1
        for name in flagged:
            if name not in truth:
                missed[f"stable test accused: {name} {flagged[name]['category']} {flagged[name]['why']}"] += 1
    return {
        "planted": len(truth), "found": len(found), "random": len(chancy),
        "random found": sum(one.nodeid in flagged for one in chancy), "flagged": len(flagged), "right": len(right),
        "ordered": len(ordered), "named": len(named), "seconds": said["seconds"], "executions": said["executions"],
    }  # fmt: skip


def names_culprits(told: Mapping[str, Any], planted: Planted) -> bool:
    """Whether exactly the planted polluters and setters are named."""
    named = (set(told.get("polluters", ())), set(told.get("setters", ())))
    return named == (set(planted.polluters), set(planted.setters))


def total(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Shares over all suites."""
    whole = {key: sum(row[key] for row in rows) for key in rows[0]}
    precision, recall = whole["found"] / max(whole["flagged"], 1), whole["found"] / whole["planted"]
    return {
        "planted": whole["planted"],
        "found": recall,
        "random found": whole["random found"] / whole["random"],
        "precision": precision,
        "F1": 2 * precision * recall / max(precision + recall, 1e-9),
        "cause right": whole["right"] / max(whole["found"], 1),
        "culprits named": whole["named"] / max(whole["ordered"], 1),
        "sessions": whole["executions"] / len(rows),
        "seconds": whole["seconds"] / len(rows),
    }


def render(table: Mapping[str, Mapping[str, float]], options: argparse.Namespace) -> str:
    """The table in Markdown."""
    lines = [
        f"{options.suites} suites, {options.runs} runs each, random flakes: p {options.lowest} to {options.highest}",
        "",
        "| tool | planted | found | random found | precision | F1 | cause right | culprits named | sessions | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in table.items():
        causes = f"{row['cause right']:.3f} | {row['culprits named']:.3f}" if name == "aqe flaky" else "- | -"
        lines.append(
            f"| {name} | {row['planted']:.0f} | {row['found']:.3f} | {row['random found']:.3f} "
            f"| {row['precision']:.3f} | {row['F1']:.3f} | {causes} | {row['sessions']:.0f} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def peers(options: argparse.Namespace, seed: int) -> Iterator[tuple[str, Any]]:
    """Each peer's name and a function from a project to what it flags."""
    venv = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "flaky"
    python = environment(venv, PEERS)
    quiet = ["-p", "no:cacheprovider", "-p", "no:flakefinder"]
    repeated = ["-p", "no:cacheprovider", "-p", "no:randomly", "--flake-finder", f"--flake-runs={options.runs}"]
    yield "plain reruns", lambda folder: reruns(folder, python, [*quiet, "-p", "no:randomly"], options.runs, None)
    yield "pytest-randomly", lambda folder: reruns(folder, python, quiet, options.runs, seed)
    yield "pytest-flakefinder", lambda folder: reruns(folder, python, repeated, 1, None)


def reruns(folder: Path, python: Path, args: list[str], runs: int, seed: int | None) -> dict[str, Any]:
    """The tests that passed and failed over these runs, in one temporary folder, as on one machine."""
    seen: dict[str, set[str]] = defaultdict(set)
    temporary = folder.parent / "tmp"
    temporary.mkdir()
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "AQE", "PYTHONHASH"))}
    start = time.monotonic()
    for number in range(runs):
        more = [] if seed is None else ["-p", "randomly", f"--randomly-seed={1000 * seed + number}"]
        done = subprocess.run(
            [str(python), "-m", "pytest", "-rA", "-q", "--tb=no", *args, *more[2:]],
            cwd=folder, env=environ | {"TMPDIR": str(temporary)}, stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        for outcome, nodeid in re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE):
            seen[nodeid.partition("[")[0]].add("PASSED" if outcome == "PASSED" else "FAILED")
    flagged = {name: None for name, outcomes in seen.items() if len(outcomes) > 1}
    return {"flagged": flagged, "seconds": time.monotonic() - start, "executions": runs}


if __name__ == "__main__":
    raise SystemExit(main())
