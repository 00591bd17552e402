"""The measuring of `benchmarks/select.py`: safety, size and cost of test selection, on mutants of a real package."""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import environment

import aqe.agents.inject
from aqe.agents.execute import ExecuteRequest, execute
from aqe.agents.select import SelectRequest, select

BAR_RUN_PERCENT = 5.0
TOOLS = ("pytest==8.4.2", "coverage==7.10.7", "pytest-cov==7.0.0", "pytest-testmon==2.1.4")
INJECT = Path(next(iter(aqe.agents.inject.__path__)))
SWAPS: dict[Any, Any] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the file (relative), the line, and the file's new text."""

    path: str
    line: int
    text: str


@dataclass(frozen=True)
class Judged:
    """How one mutant went: tests that fail by it, and what each selection named of them and in all."""

    mutant: Mutant
    failing: frozenset[str]
    aqe: frozenset[str]
    testmon: frozenset[str] | None


def main() -> int:
    """Measure, print the tables, write the JSON; 1 where a failing test was missed or too much was selected."""
    parser = argparse.ArgumentParser(prog="select.py", description=__doc__)
    parser.add_argument("--package", default="boltons==26.2.0", help="a package whose sdist holds its tests")
    parser.add_argument("--source", default="boltons", help="the folder of its modules in the sdist")
    parser.add_argument("--tests", default="tests", help="the folder of its tests in the sdist")
    parser.add_argument("--mutants", type=int, default=30, help="how many mutants that the suite kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each kind for the cost of recording; the best counts; 0: none"
    )
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one run of the suite")
    parser.add_argument("--work", type=Path, help="folder to work in and keep (else a temporary one)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aqe-select-") as name:
        bench = Bench(asked.work or Path(name), asked)
        found: dict[str, Any] = {"package": asked.package, "seed": asked.seed, "bar_run_percent": BAR_RUN_PERCENT}
        found["recording"] = bench.recording_cost(asked.runs)
        found |= bench.judge_mutants(asked.mutants, random.Random(asked.seed))
    show(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(found["aqe"]["missed"] > 0 or found["aqe"]["run_percent"] > BAR_RUN_PERCENT)


class Bench:
    """The package thrice: as it came, as the project of aqe, as the project of testmon."""

    def __init__(self, work: Path, asked: argparse.Namespace) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.asked = asked
        self.python = environment(work / "environment", TOOLS)
        self.base, self.head, self.testmon = (work / name for name in ("base", "head", "testmon"))
        for folder in (self.base, self.head, self.testmon):
            shutil.rmtree(folder, ignore_errors=True)
        unpack(asked.package, work / "sdist", self.base)
        shutil.copytree(self.base, self.head)
        shutil.copytree(self.base, self.testmon)

    def recording_cost(self, runs: int) -> dict[str, dict[str, float]]:
        """Seconds of processor time of the suite by way of recording, and their ratio to the plain suite."""
        data = str(self.testmon.parent / "cost")
        ways: dict[str, Sequence[str]] = {
            "plain": (),
            "aqe --aqe-map": ("-p", "_aqe_inject.plugin", "--aqe-map"),
            "coverage contexts": (
                "-p", "pytest_cov", f"--cov={self.asked.source}", "--cov-context=test", "--cov-report=",
            ),
            "testmon": ("-p", "testmon.pytest_testmon", "--testmon-noselect"),
        }  # fmt: skip
        best: dict[str, float] = {}
        for _ in range(runs):
            for way, options in ways.items():
                for left in (self.testmon / ".testmondata", Path(data)):
                    left.unlink(missing_ok=True)
                spent = self._run(self.testmon, options, COVERAGE_FILE=data)[1]
                best[way] = min(best.get(way, spent), spent)
        shutil.rmtree(self.testmon / ".aqe", ignore_errors=True)
        (self.testmon / ".testmondata").unlink(missing_ok=True)
        return {way: {"seconds": spent, "ratio": spent / best["plain"]} for way, spent in best.items()}

    def judge_mutants(self, wanted: int, chance: random.Random) -> dict[str, Any]:
        """Record once, then try mutants until so many were killed; the figures of both selectors."""
        wanted_report = ExecuteRequest(
            str(self.head), (self.asked.tests,), ("-q", "-p", "no:cacheprovider"), python=str(self.python), map=True
        )
        everything = execute(wanted_report).tests
        self._run(self.testmon, ("-p", "testmon.pytest_testmon", "--testmon"))
        usual = [self._outcomes(self.base) for _ in range(2)]
        unsteady = {test for test in usual[0] if usual[0][test] != "passed" or usual[1].get(test) != "passed"}
        judged: list[Judged] = []
        survived = timed_out = 0
        for mutant in mutants(self.base / self.asked.source, self.base, chance):
            if len(judged) == wanted:
                break
            outcomes = self._with(self.head, mutant, lambda: self._outcomes(self.head))
            if outcomes is None:
                timed_out += 1
                continue
            failing = frozenset(
                test
                for test in usual[0]
                if test not in unsteady and outcomes.get(test, "gone") not in ("passed", "skipped")
            )
            if not failing:
                survived += 1
                continue
            named = self._with(self.head, mutant, self._selected)
            by_testmon = self._with(self.testmon, mutant, self._by_testmon)
            judged.append(Judged(mutant, failing, named, by_testmon))
            print(told(judged[-1], everything), file=sys.stderr, flush=True)
        return {
            "tests": everything,
            "mutants": len(judged),
            "survived": survived,
            "timed_out": timed_out,
            "unsteady_tests": len(unsteady),
            "aqe": figures(judged, everything, lambda one: one.aqe),
            "testmon": figures(judged, everything, lambda one: one.testmon or frozenset()),
            "each": [each(one) for one in judged],
        }

    def _with(self, folder: Path, mutant: Mutant, do: Any) -> Any:
        """What `do` gives while the mutant stands in the folder."""
        place = folder / mutant.path
        before = place.read_bytes()
        place.write_text(mutant.text, encoding="utf-8")
        try:
            return do()
        finally:
            place.write_bytes(before)

    def _selected(self) -> frozenset[str]:
        report = select(
            SelectRequest(str(self.head), base=str(self.base), head=str(self.head), python=str(self.python))
        )
        return frozenset(test.nodeid for test in report.tests)

    def _by_testmon(self) -> frozenset[str]:
        """The tests that testmon runs for what differs from its record, which stays as it is."""
        found = self._outcomes(self.testmon, "-p", "testmon.pytest_testmon", "--testmon-nocollect")
        return frozenset(found or ())

    def _outcomes(self, folder: Path, *options: str) -> dict[str, str] | None:
        """Each test that ran with its outcome; None where the run did not end in time."""
        answer = folder.parent / "outcomes.json"
        answer.unlink(missing_ok=True)
        try:
            self._run(folder, ("-p", "_aqe_inject.plugin", f"--aqe-report={answer}", *options))
        except subprocess.TimeoutExpired:
            return None
        if not answer.exists():
            return {}
        told = json.loads(answer.read_text(encoding="utf-8"))
        return {test["nodeid"]: test["outcome"] for test in told["tests"]}

    def _run(self, folder: Path, options: Sequence[str], **more: str) -> tuple[int, float]:
        """Status and processor time of one run of the suite in the folder."""
        cache = f"cache_dir={folder.parent / 'cache'}"  # testmon does not work without the cache's plugin
        command = [str(self.python), "-m", "pytest", "-q", "-o", cache, *options, self.asked.tests]
        plain = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(INJECT)}
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **plain, **more}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        before = os.times()
        try:
            status = process.wait(self.asked.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            raise
        after = os.times()
        spent = after.children_user - before.children_user + after.children_system - before.children_system
        return status, spent


def unpack(package: str, folder: Path, target: Path) -> None:
    """Download the source distribution (once) and unpack it as `target`."""
    folder.mkdir(parents=True, exist_ok=True)
    name = package.partition("=")[0]
    if not list(folder.glob(f"{name}-*.tar.gz")):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", package]
        subprocess.run([*command, "--dest", str(folder)], check=True)
    (archive,) = folder.glob(f"{name}-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked", filter="data")
    (top,) = (folder / "unpacked").iterdir()
    top.rename(target)


def mutants(source: Path, root: Path, chance: random.Random) -> Iterator[Mutant]:
    """Every swap of an operator, a comparison, a condition or a constant inside a function, in random order."""
    places: dict[tuple[Path, int, int, str], ast.expr] = {}
    texts: dict[Path, str] = {}
    for path in sorted(source.rglob("*.py")):
        texts[path] = path.read_text(encoding="utf-8")
        for function in ast.walk(ast.parse(texts[path])):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for node in (below for statement in function.body for below in ast.walk(statement)):
                    if isinstance(node, ast.expr) and other_expression(node) is not None:
                        places[path, node.lineno, node.col_offset, type(node).__name__] = node
    mixed = list(places.items())
    chance.shuffle(mixed)
    for (path, line, _, _), node in mixed:
        changed = swapped(texts[path], node)
        if changed is not None:
            yield Mutant(path.relative_to(root).as_posix(), line, changed)


def swapped(text: str, node: ast.expr) -> str | None:
    """The text with another expression in place of the node; None where there is no swap for it."""
    segment = ast.get_source_segment(text, node)
    try:
        if segment is None or ast.dump(ast.parse(f"({segment})", mode="eval").body) != ast.dump(node):
            return None  # within an f-string positions are no help
    except SyntaxError:
        return None
    other = other_expression(node)
    if other is None:
        return None
    lines = text.splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + len(lines[node.lineno - 1].encode()[: node.col_offset].decode())
    changed = f"{text[:start]}({ast.unparse(other)}){text[start + len(segment) :]}"
    try:
        ast.parse(changed)
    except SyntaxError:
        return None
    return changed


def other_expression(node: ast.expr) -> ast.expr | None:
    """The mutant of one expression."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        return ast.BinOp(node.left, SWAPS[type(node.op)](), node.right)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        return ast.Compare(node.left, [SWAPS[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    if isinstance(node, ast.BoolOp):
        return ast.BoolOp(SWAPS[type(node.op)](), node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return ast.Constant(not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return ast.Constant(node.value + 1)
    return None


def figures(judged: Sequence[Judged], everything: int, named: Any) -> dict[str, float]:
    """Failing tests in all and missed, mutants of which none was missed, the share of tests named, mean and worst."""
    shares = [100 * len(named(one)) / everything for one in judged]
    missed = [one.failing - named(one) for one in judged]
    failing = sum(len(one.failing) for one in judged)
    return {
        "failing": failing,
        "missed": sum(map(len, missed)),
        "caught_percent": 100 * (1 - sum(map(len, missed)) / failing) if failing else 100.0,
        "safe_mutants": sum(not one for one in missed),
        "run_percent": statistics.mean(shares) if shares else 0.0,
        "worst_run_percent": max(shares, default=0.0),
    }


def each(one: Judged) -> dict[str, Any]:
    """One mutant for the JSON."""
    return {
        "path": one.mutant.path,
        "line": one.mutant.line,
        "failing": len(one.failing),
        "aqe": len(one.aqe),
        "aqe_missed": sorted(one.failing - one.aqe),
        "testmon": len(one.testmon or ()),
        "testmon_missed": len(one.failing - (one.testmon or frozenset())),
    }


def told(one: Judged, everything: int) -> str:
    """One mutant for a person who waits."""
    missed = len(one.failing - one.aqe)
    place = f"{one.mutant.path}:{one.mutant.line}"
    return f"{place}: {len(one.failing)} fail, {len(one.aqe)} of {everything} named, {missed} missed"


def show(found: Mapping[str, Any]) -> None:
    """The tables."""
    print(f"{found['package']}, {found['tests']} tests, seed {found['seed']}")
    print("\n| recording | processor time of the suite, s | x plain |\n|---|---|---|")
    for way, row in found["recording"].items():
        print(f"| {way} | {row['seconds']:.2f} | {row['ratio']:.2f} |")
    print(
        f"\n{found['mutants']} mutants that the suite kills ({found['survived']} survived, {found['timed_out']} hung)"
    )
    print("\n| selection | failing tests named | safe on | tests run, mean | worst |\n|---|---|---|---|---|")
    for name in ("aqe", "testmon"):
        row = found[name]
        print(
            f"| {name} | {row['failing'] - row['missed']} of {row['failing']} ({row['caught_percent']:.1f} %) | "
            f"{row['safe_mutants']} of {found['mutants']} | {row['run_percent']:.1f} % | "
            f"{row['worst_run_percent']:.1f} % |"
        )
