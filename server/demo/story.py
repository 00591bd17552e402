"""The demo from the copy of the shop to the score: every step is a call of a tool by a real client."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from aqe.engine.errors import AqeError, GateFailed
from aqe.engine.progress import Progress, silent
from aqe.server.demo.client import call_tool, connected, finish_job
from aqe.server.demo.scoring import Score, compare, suspects_of
from aqe.server.demo.shop import Truth, copy_shop, read_truth

OUT = "generated"
AT_ONCE = 2
HINTS = 6
SHARE_OF_SEARCH = 0.5
SHORTEST_SEARCH_S = 2.0
SHORTEST_VERIFYING_S = 40.0


@dataclass(frozen=True)
class Step:
    """One call of a tool: when it began and how long it took, in seconds since the demo began."""

    tool: str
    subject: str
    start_s: float
    duration_s: float


@dataclass(frozen=True)
class ModuleResult:
    """What was generated for one module (its full name); figures of all tests together, by coverage.py and mutants."""

    module: str
    files: tuple[str, ...]
    tests: int
    lines_percent: float
    branches_percent: float
    mutants_killed: int
    mutants_total: int
    suspects: int
    executions: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """What `verify_tests` said of all written tests together."""

    tests: int
    stable: int
    runs: int
    hash_seeds: tuple[int, ...]
    lines_percent: float
    branches_percent: float
    mutants_killed: int
    mutants_total: int
    rung: str
    below_namespaces: bool
    python_version: str
    aqe_version: str
    hints: tuple[str, ...]


@dataclass(frozen=True)
class DemoReport:
    """The whole demo. `folder` holds the shop, its generated tests and the page; `excerpt` is of one test file."""

    folder: str
    page: str
    seed: int
    duration_s: float
    steps: tuple[Step, ...]
    modules: tuple[ModuleResult, ...]
    score: Score
    suspected: int
    planted: int
    met: bool
    verification: Verification
    memories: int
    jobs: Mapping[str, int]
    excerpt_file: str
    excerpt: str


def run_demo(folder: Path, *, budget_s: float, seed: int, progress: Progress = silent) -> DemoReport:
    """Copy the shop into `folder` and run the demo on it; `budget_s` is shared among searching and verifying.

    Raises `UserError` (folder-not-empty, project-read-only) and `GateFailed` (demo-tool-failed).
    """
    shop = copy_shop(folder)
    truth = read_truth()
    try:
        return anyio.run(lambda: _run(shop, truth, budget_s, seed, progress))
    except BaseExceptionGroup as group:  # the client's task groups wrap what a tool answered
        raise _first_leaf(group) from group


def _first_leaf(error: BaseException) -> BaseException:
    """Our own error inside nested groups, else the first error."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    own = error.subgroup(AqeError)
    return _first_leaf((own or error).exceptions[0])


async def _run(shop: Path, truth: Truth, budget_s: float, seed: int, progress: Progress) -> DemoReport:
    clock = _Clock()
    progress("Starting the server")
    async with connected(shop) as client:
        clock.note("initialize", "aqe serve --stdio", 0.0)
        reports = await _generate_all(client, truth, budget_s, seed, progress, clock)
        files = [file for module in truth.modules for file in reports[module]["files"]]
        if not files:
            said = "; ".join(note for name in truth.modules for note in reports[name]["notes"][:1])
            raise GateFailed(
                f"No test was written for any module of the shop: {said or 'no reason was given'}.",
                code="demo-tool-failed",
                fix="`aqe doctor` shows what is missing here; a larger --budget may help.",
            )
        start = clock.now()
        subjects = [f"{truth.package}.{name}" for name in truth.modules]
        left_s = max(SHORTEST_VERIFYING_S, 1.3 * budget_s - start)
        arguments = {"paths": files, "subjects": subjects, "budget_s": round(left_s, 1)}
        _, judged = await finish_job(client, "verify_tests", arguments, lambda text: progress(f"verify_tests: {text}"))
        clock.note("verify_tests", f"{len(files)} files", start)
        start = clock.now()
        figures = await call_tool(client, "stats", {})
        clock.note("stats", "", start)
    score = compare(truth.bugs, (bug for module in truth.modules for bug in suspects_of(reports[module])))
    excerpt_file, excerpt = _excerpt(shop, files)
    return DemoReport(
        folder=str(shop.parent),
        page="",
        seed=seed,
        duration_s=round(clock.now(), 1),
        steps=tuple(sorted(clock.steps, key=lambda step: step.start_s)),
        modules=tuple(_module(f"{truth.package}.{name}", reports[name], judged["evidence"]) for name in truth.modules),
        score=score,
        suspected=score.suspected,
        planted=len(score.found),
        met=score.met,
        verification=_verification(judged),
        memories=figures["memories"],
        jobs=figures["jobs"],
        excerpt_file=excerpt_file,
        excerpt=excerpt,
    )


class _Clock:
    """Seconds since the demo began, and the steps noted on it."""

    def __init__(self) -> None:
        self._zero = time.monotonic()
        self.steps: list[Step] = []

    def now(self) -> float:
        return time.monotonic() - self._zero

    def note(self, tool: str, subject: str, start_s: float) -> None:
        self.steps.append(Step(tool, subject, round(start_s, 2), round(self.now() - start_s, 2)))


async def _generate_all(
    client: Any, truth: Truth, budget_s: float, seed: int, progress: Progress, clock: _Clock
) -> dict[str, dict[str, Any]]:
    """Generate tests for every module, two at a time; each gets an equal share of the search's time."""
    rounds = -(-len(truth.modules) // AT_ONCE)
    share_s = max(SHORTEST_SEARCH_S, round(budget_s * SHARE_OF_SEARCH / rounds, 1))
    reports: dict[str, dict[str, Any]] = {}
    gate, done = anyio.Semaphore(AT_ONCE), itertools.count(1)
    total = len(truth.modules) + 1

    async def one(name: str) -> None:
        async with gate:
            start = clock.now()
            arguments = {"target": f"{truth.package}/{name}.py", "out": OUT, "budget_s": share_s, "seed": seed}
            say = _teller(progress, name, len(reports), total)
            _, reports[name] = await finish_job(client, "generate_tests", arguments, say)
            clock.note("generate_tests", f"{truth.package}.{name}", start)
            progress(f"generate_tests {name}: {reports[name]['tests']} tests", next(done), total)

    async with anyio.create_task_group() as group:
        for name in truth.modules:
            group.start_soon(one, name)
    return reports


def _teller(progress: Progress, name: str, done: int, total: int) -> Callable[[str], None]:
    return lambda text: progress(f"generate_tests {name}: {text}", done, total)


def _module(name: str, report: Mapping[str, Any], evidence: Mapping[str, Any]) -> ModuleResult:
    """One module: what the generator reported, and the figures of the final verification."""
    subjects = [subject for subject in evidence["subjects"] if subject["module"] == name]
    paths = {subject["path"] for subject in subjects}
    states = [mutant["state"] for mutant in evidence["mutants"] if mutant["path"] in paths]
    return ModuleResult(
        module=name,
        files=tuple(report["files"]),
        tests=report["tests"],
        lines_percent=_percent(subjects, "lines"),
        branches_percent=_percent(subjects, "branches"),
        mutants_killed=states.count("killed"),
        mutants_total=len(states) - states.count("left-out"),
        suspects=len(report["suspects"]),
        executions=report["executions"],
        notes=tuple(report["notes"]),
    )


def _verification(report: Mapping[str, Any]) -> Verification:
    evidence = report["evidence"]
    verdicts = [test["verdict"] for test in evidence["tests"]]
    return Verification(
        tests=len(verdicts),
        stable=verdicts.count("stable"),
        hints=tuple(hint for hint in report["hints"] if "survives" in hint)[:HINTS],
        hash_seeds=tuple(evidence["hash_seeds"]),
        lines_percent=_percent(evidence["subjects"], "lines"),
        branches_percent=_percent(evidence["subjects"], "branches"),
        **{
            name: evidence[name]
            for name in (
                *("runs", "mutants_killed", "mutants_total", "rung"),
                *("below_namespaces", "python_version", "aqe_version"),
            )
        },
    )


def _percent(subjects: list[dict[str, Any]], what: str) -> float:
    whole = sum(subject[f"{what}_total"] for subject in subjects)
    part = sum(subject[f"{what}_covered"] for subject in subjects)
    return round(100.0 * part / whole, 1) if whole else 0.0


def _excerpt(shop: Path, files: list[str], lines: int = 45) -> tuple[str, str]:
    """The beginning of one generated file, cut between tests."""
    if not files:
        return "", ""
    name = next((file for file in files if "pricing" in file), files[0])
    text = (shop / name).read_text(encoding="utf-8").splitlines()
    end = next(
        (n for n in range(min(lines, len(text)) - 1, 0, -1) if not text[n].strip() and not text[n - 1].strip()), lines
    )
    return name, "\n".join(text[:end]).rstrip()
