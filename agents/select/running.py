"""Collects the tests of files, and runs a selection, by the project's own pytest with the plugin injected."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aqe.agents.execute import WITH_SIDE, ExecuteRequest, execute, raise_for_status, suite_environ
from aqe.agents.gate.interpreter import Interpreter, side_folder
from aqe.agents.gate.suite import is_strict, run_suite
from aqe.agents.select.report import SelectReport, SelectRequest
from aqe.engine.errors import Cancelled, GateFailed, OutOfTime
from aqe.engine.progress import CancelToken, Progress
from aqe.engine.scratch import scratch_folder

NO_TESTS = 5
COLLECTING_S = 600.0
LEAST_COLLECTING_S = 20.0  # whatever the budget: nothing can be said without
TAIL_BYTES = 1 << 16
END_S = 5.0  # after the budget: the test that runs is given up


def collecting_s(budget_s: float | None, started: float) -> float:
    """How long the tests may be collected, in seconds: what the budget leaves since `started` (`time.monotonic`)."""
    return COLLECTING_S if budget_s is None else max(LEAST_COLLECTING_S, budget_s - (time.monotonic() - started))


def collect(
    project: Path,
    interpreter: Interpreter,
    files: Sequence[str] | None,
    cancel: CancelToken,
    *,
    wall_s: float = COLLECTING_S,
    isolated: bool = False,
) -> dict[str, str]:
    """Each test's id and file (relative to the project) in these files, or in the whole suite.

    What the project's conftests and plugins start ends with it. `isolated`, and the privacy mode strict, collect on a
    shielded tree, as the tests are run.

    Raises `UserError` (suite-not-collected, pytest-usage, no-sandbox; no-tests for the whole suite), `GateFailed`
    (suite-died), `OutOfTime` (not collected in `wall_s` seconds) and `Cancelled`.
    """
    with scratch_folder("select") as folder:
        plan, listed, answer = folder / "plan.json", folder / "listed.json", folder / "report.json"
        plan.write_text(json.dumps({"tests": [], "list": str(listed)}), encoding="utf-8")
        side = side_folder(interpreter, project)
        start = ["-m", "pytest"] if side is None or interpreter.has_pytest else ["-c", WITH_SIDE.format(side=side)]
        plugin = ["-p", "_aqe_inject.plugin", f"--aqe-selection={plan}", f"--aqe-report={answer}"]
        command = [interpreter.executable, *start, *plugin, "--collect-only", "-q", *(files or ())]
        if isolated or is_strict(project):
            status, output = _shielded(command, project, folder, wall_s, cancel)
        else:
            status, output = _open(command, project, folder, wall_s, cancel)
        told = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
        if status != NO_TESTS or files is None:
            raise_for_status(status, told, output)
        found = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else []
    return {nodeid: os.path.normpath(path).replace(os.sep, "/") for nodeid, path in found}


def _shielded(command: list[str], project: Path, folder: Path, wall_s: float, cancel: CancelToken) -> tuple[int, str]:
    """Status and output of a command on a shielded tree."""
    run = run_suite(
        command, project, environ=suite_environ(project), wall_s=wall_s, keep=(folder,), cancel=cancel
    )  # fmt: skip
    cancel.check()
    if run.ended_by == "wall clock":
        raise _too_slow(wall_s)
    if run.ended_by:
        raise GateFailed(
            "pytest was ended while it collected: it used too much memory.",
            code="suite-died",
            fix="See what the modules of the tests load when they are imported.",
        )
    return run.exit_status or 0, run.output


def _open(command: list[str], project: Path, folder: Path, wall_s: float, cancel: CancelToken) -> tuple[int, str]:
    """Status and output of a command as its user would run it, in a session of its own that ends with it.

    The output goes to a file: what outlives the command may hold it open, and is not waited for.
    """
    said = folder / "output.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=project, env=suite_environ(project), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        forget = cancel.on_cancel(lambda: _end(process))
        try:
            status = process.wait(wall_s)
        except subprocess.TimeoutExpired:
            raise _too_slow(wall_s) from None
        finally:
            forget()
            _end(process)
    cancel.check()
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - TAIL_BYTES))
        return status, file.read().decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started in its session."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _too_slow(wall_s: float) -> OutOfTime:
    return OutOfTime(
        f"The tests were not collected within {wall_s:.0f} s.",
        code="out-of-time",
        fix="Give a larger --budget, or see with `pytest --collect-only` what it waits for.",
    )


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
    with scratch_folder("select") as folder:
        plan, told = folder / "plan.json", folder / "told.jsonl"
        until = None if left_s is None else time.time() + left_s
        plan.write_text(json.dumps({"tests": nodeids, "until": until, "told": str(told)}), encoding="utf-8")
        files = tuple(dict.fromkeys(nodeid.partition("::")[0] for nodeid in nodeids))
        named = not report.whole_suite and all(os.path.exists(project / file) for file in files)
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
        done, begun = _told(told)
    running = tuple(nodeid for nodeid in begun if nodeid not in done)
    not_run = tuple(nodeid for nodeid in nodeids if nodeid not in done)
    why = report.why
    if not_run and request.budget_s is not None:
        why += f" The budget of {request.budget_s:g} s left {len(not_run)} of them not run."
    if running:
        why += f" Still running when the time ended: {', '.join(running)}."
    evidence = replace(report.evidence, runs=1, duration_s=round(time.monotonic() - started, 3))
    return replace(report, run=run, not_run=not_run, running=running, partial=bool(not_run), why=why, evidence=evidence)


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


def _told(told: Path) -> tuple[set[str], list[str]]:
    """The tests that ended and those that began, as the plugin told them one by one; a cut last line is left out."""
    done: set[str] = set()
    begun: list[str] = []
    for line in told.read_text(encoding="utf-8").splitlines() if told.exists() else ():
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, str):
                done.add(said)
            else:
                begun.append(str(said["began"]))
    return done, begun
