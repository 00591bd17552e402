"""The demo's first half: tests are generated for each module and verified all together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from aqe.engine.errors import AqeError, GateFailed
from aqe.server.demo.report import ModuleResult, Verification
from aqe.server.demo.session import Session
from aqe.server.demo.shop import Truth

OUT = "generated"
AT_ONCE = 2
HINTS = 6
SHARE_OF_SEARCH = 0.5
SHORTEST_SEARCH_S = 2.0
SHORTEST_VERIFYING_S = 40.0
Reports = dict[str, dict[str, Any]]


async def write_tests(session: Session, truth: Truth, budget_s: float, seed: int) -> Reports:
    """Generate tests for every module, two at a time; each gets an equal share of the search's time.

    Where the tool fails for a module, its report is empty and its step tells why.
    """
    rounds = -(-len(truth.modules) // AT_ONCE)
    share_s = max(SHORTEST_SEARCH_S, round(budget_s * SHARE_OF_SEARCH / rounds, 1))
    reports: Reports = {}
    gate = anyio.Semaphore(AT_ONCE)
    session.begin("generate")

    async def one(name: str) -> None:
        async with gate:
            arguments = {"target": f"{truth.package}/{name}.py", "out": OUT, "budget_s": share_s, "seed": seed}
            subject = f"{truth.package}.{name}"
            try:
                reports[name] = await session.job("generate_tests", arguments, generated, subject=subject)
            except AqeError as error:
                reports[name] = {"files": [], "tests": 0, "suspects": [], "executions": 0, "notes": [str(error)]}

    async with anyio.create_task_group() as group:
        for name in truth.modules:
            group.start_soon(one, name)
    return reports


def generated(report: Mapping[str, Any]) -> tuple[str, str]:
    """What the generator reported of one module."""
    suspects = len(report["suspects"])
    came = f"{report['tests']} tests, {suspects or 'no'} suspected bug{'' if suspects == 1 else 's'}"
    return came, f"{report['executions']:,} calls executed in a sandbox"


async def verify_all(session: Session, truth: Truth, reports: Reports, left_s: float) -> dict[str, Any]:
    """Have all written files judged together; raises `GateFailed` (demo-tool-failed) where none was written."""
    files = [file for module in truth.modules for file in reports[module]["files"]]
    if not files:
        said = "; ".join(note for name in truth.modules for note in reports[name]["notes"][:1])
        raise GateFailed(
            f"No test was written for any module of the shop: {said or 'no reason was given'}.",
            code="demo-tool-failed",
            fix="`aqe doctor` shows what is missing here; a larger --budget may help.",
        )
    session.begin("verify")
    subjects = [f"{truth.package}.{name}" for name in truth.modules]
    arguments = {"paths": files, "subjects": subjects, "budget_s": round(max(SHORTEST_VERIFYING_S, left_s), 1)}
    return await session.job("verify_tests", arguments, judged, subject=f"{len(files)} files")


def judged(report: Mapping[str, Any]) -> tuple[str, str]:
    """What `verify_tests` said of all files."""
    proof = verification(report)
    mutants = f"{proof.mutants_killed} of {proof.mutants_total} mutants killed"
    runs = f"{proof.runs} shuffled runs with {len(proof.hash_seeds)} hash seeds, sandbox {proof.rung}"
    return f"{proof.stable} of {proof.tests} tests stable, {mutants}", runs


def module_result(name: str, report: Mapping[str, Any], evidence: Mapping[str, Any]) -> ModuleResult:
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


def verification(report: Mapping[str, Any]) -> Verification:
    """The figures of the final verification."""
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


def excerpt_of(shop: Path, files: list[str], lines: int = 45) -> tuple[str, str]:
    """The beginning of one generated file, cut between tests."""
    if not files:
        return "", ""
    name = next((file for file in files if "pricing" in file), files[0])
    text = (shop / name).read_text(encoding="utf-8").splitlines()
    end = next(
        (n for n in range(min(lines, len(text)) - 1, 0, -1) if not text[n].strip() and not text[n - 1].strip()), lines
    )
    return name, "\n".join(text[:end]).rstrip()
