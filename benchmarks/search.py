"""What the search of the test generator finds by itself: `python benchmarks/search.py MODULE... [--seconds S]`.

Runs the worker's search on each module inside the sandbox, without rendering or the final evidence, and prints branch
arms, killed mutants, cases, suspicions and runs a second, with `--missing` also the arms that stayed open. All figures
go to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import linecache
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aqe.agents.gate.box import Box, BoxSpec, Limits

SEARCH_ENTRY = "_aqe_inject.search:run"


@dataclass(frozen=True)
class Row:
    """The search of one module with one seed; shares in percent, times in seconds."""

    module: str
    seed: int
    seconds: float
    branches_percent: float = 0.0
    killed_percent: float = 0.0
    arms: int = 0
    mutants: int = 0
    cases: int = 0
    suspects: int = 0
    executions: int = 0
    why: str = ""


def main() -> int:
    """Search every module; exit 1 when one gave nothing or took more than its time and two seconds."""
    options = parse_arguments()
    rows = []
    for module in options.modules:
        for seed in range(options.seed, options.seed + options.seeds):
            row, result = search(module, seed, options)
            rows.append(row)
            print(line(row), flush=True)
            if options.missing and result:
                print_missing(result, options.python)
            if options.suspects and result:
                print_suspects(result)
            if options.cases and result:
                print_cases(result)
    if len(rows) > 1:
        count = len(rows)
        branches = sum(row.branches_percent for row in rows) / count
        killed = sum(row.killed_percent for row in rows) / count
        print(f"{'mean':34} {branches:6.1f} % branches {killed:6.1f} % mutants")
    report = {"options": vars(options), "rows": [asdict(row) for row in rows]}
    options.json.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"All figures: {options.json}")
    return int(any(row.why or row.seconds > options.seconds + 2 for row in rows))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", metavar="MODULE")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each search")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one search each")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the modules")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="a folder with modules, put on the path")
    parser.add_argument("--missing", action="store_true", help="print the arms that stayed open")
    parser.add_argument("--suspects", action="store_true", help="print the suspected bugs")
    parser.add_argument("--cases", action="store_true", help="print the chosen cases")
    parser.add_argument("--json", type=Path, default=Path("search.json"), help="file for all figures")
    return parser.parse_args()


def search(module: str, seed: int, options: argparse.Namespace) -> tuple[Row, dict[str, Any]]:
    """One search; an empty answer with the reason in the row when there is none."""
    project = str(options.project.resolve())
    spec = BoxSpec(python=options.python, project=project, path=(project,), limits=Limits())
    args = {"module": module, "names": None, "budget_s": options.seconds, "evaluations": None, "seed": seed}
    with Box.open(spec) as box:
        start = time.monotonic()
        answer = box.run(SEARCH_ENTRY, {**args, "example_sources": []}, wall_s=options.seconds * 3 + 30)
        seconds = round(time.monotonic() - start, 1)
    if answer.state != "ok":
        return Row(module, seed, seconds, why=f"{answer.state}: {answer.error.strip()[-200:]}"), {}
    result: dict[str, Any] = answer.value
    return figures(Row(module, seed, seconds), result), result


def figures(row: Row, result: dict[str, Any]) -> Row:
    """The row with its figures: an arm counts when a chosen case takes it, a mutant when a chosen case fails on it."""
    arms = {arm["id"] for arm in result["arms"]}
    taken = {arm for case in result["cases"] for arm in case["arms"]} & arms
    mutants = result["mutants"]
    killed = sum(1 for mutant in mutants if mutant["killed"])
    return Row(
        row.module,
        row.seed,
        row.seconds,
        round(100 * len(taken) / max(1, len(arms)), 1),
        round(100 * killed / max(1, len(mutants)), 1),
        len(arms),
        len(mutants),
        len(result["cases"]),
        len(result["suspects"]),
        result["executions"],
        "" if result["cases"] else "no cases",
    )


def line(row: Row) -> str:
    text = f"{row.module:30} {row.seed:3} {row.branches_percent:6.1f} % of {row.arms:4} arms"
    text += f" {row.killed_percent:6.1f} % of {row.mutants:4} mutants {row.cases:4} cases {row.suspects:3} suspects"
    return text + f" {row.executions:7} runs {row.seconds:6.1f} s {row.why}"


def print_missing(result: dict[str, Any], python: str) -> None:
    """The open arms with their lines; read by the file that this Python itself finds."""
    code = "import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]).origin)"
    done = subprocess.run([python, "-c", code, result["module"]], capture_output=True, text=True, check=False)
    file = done.stdout.strip()
    for one in result["not_reached"]:
        print(
            f"    {one['function']}:{one['line']}: {linecache.getline(file, one['line']).strip()[:90]} | {one['why']}"
        )
    for function in result["functions"]:
        if function["why_not"]:
            print(f"    {function['qualname']}: {function['why_not']}")
    alive: dict[str, int] = {}
    for mutant in result["mutants"]:
        if not mutant["killed"]:
            key = f"{mutant['function']} {'reached' if mutant['reached'] else 'not reached'}"
            alive[key] = alive.get(key, 0) + 1
    print("    alive: " + ", ".join(f"{key} {count}" for key, count in sorted(alive.items(), key=lambda p: -p[1])[:20]))


def print_suspects(result: dict[str, Any]) -> None:
    for one in result["suspects"]:
        steps = "; ".join(step["expr"] for step in one["steps"])
        print(f"    {one['target']} {one['kind']}: {steps[:160]} -> {one['actual'][:100]} ({one['why'][:100]})")


def print_cases(result: dict[str, Any]) -> None:
    for case in result["cases"]:
        steps = "; ".join(step["expr"] for step in case["steps"])
        outcome = case["outcome"]["src"] or case["outcome"]["exception"] or case["outcome"]["type"]
        print(f"    {case['target']}: {steps[:150]} -> {outcome[:80]} [{case['label']}]")


if __name__ == "__main__":
    sys.exit(main())
