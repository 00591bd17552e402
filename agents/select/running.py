"""Collects the tests of files, and runs a selection, by the project's own pytest with the plugin injected."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aqe.agents.execute import WITH_SIDE, ExecuteRequest, execute, raise_for_status, suite_environ
from aqe.agents.gate.interpreter import Interpreter, side_folder
from aqe.agents.select.report import SelectReport, SelectRequest
from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken, Progress

NO_TESTS = 5
END_S = 5.0  # after the budget: the test that runs is given up


def collect(
    project: Path, interpreter: Interpreter, files: Sequence[str] | None, cancel: CancelToken
) -> dict[str, str]:
    """Each test's id and file (relative to the project) in these files, or in the whole suite.

    Raises `UserError` (suite-not-collected, pytest-usage; no-tests for the whole suite) and `GateFailed` (suite-died).
    """
    with tempfile.TemporaryDirectory(prefix="aqe-select-") as name:
        folder = Path(name)
        plan, listed, answer = folder / "plan.json", folder / "listed.json", folder / "report.json"
        plan.write_text(json.dumps({"tests": [], "list": str(listed)}), encoding="utf-8")
        side = side_folder(interpreter, project)
        start = ["-m", "pytest"] if side is None or interpreter.has_pytest else ["-c", WITH_SIDE.format(side=side)]
        plugin = ["-p", "_aqe_inject.plugin", f"--aqe-selection={plan}", f"--aqe-report={answer}"]
        command = [interpreter.executable, *start, *plugin, "--collect-only", "-q", *(files or ())]
        process = subprocess.Popen(
            command, cwd=project, env=suite_environ(project), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
        forget = cancel.on_cancel(process.kill)
        try:
            output, _ = process.communicate()
        finally:
            forget()
        cancel.check()
        told = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
        if process.returncode != NO_TESTS or files is None:
            raise_for_status(process.returncode, told, output)
        found = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else []
    return {nodeid: _relative(path, project) for nodeid, path in found}


def run_selected(
    request: SelectRequest,
    report: SelectReport,
    project: Path,
    started: float,
    progress: Progress,
    cancel: CancelToken,
) -> SelectReport:
    """Run the report's tests in its order, until the budget is spent; raises what `execute` raises."""
    nodeids = [test.nodeid for test in report.tests]
    left_s = None if request.budget_s is None else max(0.0, request.budget_s - (time.monotonic() - started))
    with tempfile.TemporaryDirectory(prefix="aqe-select-") as name:
        folder = Path(name)
        plan, told = folder / "plan.json", folder / "told.jsonl"
        until = None if left_s is None else time.time() + left_s
        plan.write_text(json.dumps({"tests": nodeids, "until": until, "told": str(told)}), encoding="utf-8")
        files = tuple(dict.fromkeys(nodeid.partition("::")[0] for nodeid in nodeids))
        named = not report.whole_suite and all((project / file).exists() for file in files)
        wanted = ExecuteRequest(
            project=str(project),
            paths=files if named else (),
            pytest_args=(f"--aqe-selection={plan}",),
            python=request.python,
            isolated=request.isolated,
        )
        run = None
        with _ended_after(left_s, cancel) as stop:
            try:
                run = execute(wanted, progress=progress, cancel=stop)
            except Cancelled:
                cancel.check()
        done = _done(told)
    not_run = tuple(nodeid for nodeid in nodeids if nodeid not in done)
    why = report.why
    if not_run and request.budget_s is not None:
        why += f" The budget of {request.budget_s:g} s left {len(not_run)} of them not run."
    evidence = replace(report.evidence, runs=1, duration_s=round(time.monotonic() - started, 3))
    return replace(report, run=run, not_run=not_run, partial=bool(not_run), why=why, evidence=evidence)


@contextlib.contextmanager
def _ended_after(left_s: float | None, cancel: CancelToken) -> Iterator[CancelToken]:
    """A token that is cancelled with `cancel`, or some seconds after the time is up: a test may hang."""
    stop = CancelToken()
    forget = cancel.on_cancel(stop.cancel)
    timer = None if left_s is None else threading.Timer(left_s + END_S, stop.cancel)
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield stop
    finally:
        forget()
        if timer is not None:
            timer.cancel()


def _done(told: Path) -> set[str]:
    """The tests that ended, as the plugin told them one by one."""
    if not told.exists():
        return set()
    return {json.loads(line) for line in told.read_text(encoding="utf-8").splitlines() if line.endswith('"')}


def _relative(path: str, project: Path) -> str:
    return os.path.relpath(os.path.realpath(path), os.path.realpath(project)).replace(os.sep, "/")
