"""Runs the project's suite under coverage.py in the suite profile, or has coverage.py read a data file.

The project's coverage is used where it has one, else aqe's copy in the side folder, and the project's own coverage
settings hold; the data lies in a temporary folder, so that `.coverage` of the project stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqe.agents.coverage.measured import Measured, read_measured, unreadable
from aqe.agents.coverage.report import CoverageRequest
from aqe.agents.execute import INJECT, Lines, TestFailure, raise_for_status, suite_paths
from aqe.agents.gate.interpreter import Interpreter, side_folder
from aqe.agents.gate.suite import SuiteRun, run_suite
from aqe.engine.errors import GateFailed, OutOfTime, UserError
from aqe.engine.index.files import find_files, kind_of
from aqe.engine.progress import CancelToken, Progress
from aqe.engine.project import aqe_dir
from aqe.engine.scratch import scratch_folder

LONGEST_S = 24 * 3600.0
END_S = 10.0  # after the budget: the test that runs is given up, and what was measured is written
READ_WALL_S = 120.0
TAIL_LINES = 40
NO_COVERAGE = 126


@dataclass(frozen=True)
class CoveredRun:
    """What came of it: the measured files, the tests of the run, and how it ran (`isolation` is "" for read data).

    `running` is the test that had not ended when the time did.
    """

    measured: Measured
    tests: int
    failures: tuple[TestFailure, ...]
    pytest_version: str
    isolation: str
    partial: bool
    notes: tuple[str, ...] = ()
    running: str = ""


def run_covered(
    request: CoverageRequest,
    interpreter: Interpreter,
    progress: Progress,
    cancel: CancelToken,
    *,
    import_from: Sequence[Path] = (),
    only: Sequence[str] = (),
) -> CoveredRun:
    """Run the suite, or the tests that were named, and read what was measured.

    `import_from` are folders that come before what is installed, for a tree that the environment does not know; `only`
    are the files (from the root) to measure in place of what the project's settings say.

    Raises `UserError` (no-coverage, no-such-path, no-tests, suite-not-collected, pytest-usage, no-sandbox,
    coverage-data), `GateFailed` (suite-died), `OutOfTime` and `Cancelled`.
    """
    project = Path(request.project)
    paths = suite_paths(request.tests, project, request.cwd)
    with scratch_folder("coverage") as folder:
        answer = folder / "tests.json"
        plugins = ["-p", "_aqe_inject.plugin", f"--aqe-report={answer}", "-p", "_aqe_inject.covering"]
        command = [*_start(interpreter, project), *plugins, *paths]
        progress(f"Measuring coverage with {interpreter.executable}")
        run = run_suite(
            command,
            project,
            environ=_environ(project, folder, request.budget_s, import_from, only),
            wall_s=LONGEST_S if request.budget_s is None else request.budget_s + END_S,
            keep=(folder,),
            on_output=Lines(progress),
            cancel=cancel,
        )
        cancel.check()
        told, tests = _read_json(folder / "run.json"), _read_json(answer)
        report = folder / "coverage.json"
        text = report.read_bytes() if report.is_file() else b""
    _raise_for(run, told, tests, interpreter)
    if told["cut"] and not tests:
        tests = {"tests": [test for test in told.get("ended", ()) if test["outcome"]]}
    if not text:
        raise _nothing(str(told.get("error", "")))
    return CoveredRun(
        measured=read_measured(text, project, "the run's own report"),
        tests=len({test["nodeid"] for test in tests.get("tests", [])}),
        failures=_failures(tests),
        pytest_version=str(tests.get("pytest", "")),
        isolation=run.isolation,
        partial=bool(told["cut"]),
        notes=tuple(_notes(told, tests)),
        running=str(told.get("test") or "") if told["cut"] else "",
    )


def read_data(data: Path, shown: str, interpreter: Interpreter | None, project: Path, progress: Progress) -> CoveredRun:
    """Read a JSON report of coverage.py as it is; a data file by the project's coverage, from a copy.

    Raises `UserError` (no-such-path, coverage-data, no-coverage).
    """
    progress(f"Reading {shown}")
    try:
        content = data.read_bytes()
    except OSError as error:
        raise unreadable(shown, error.strerror or type(error).__name__) from None
    if content[:1] in (b"{", b"\xef"):
        return CoveredRun(read_measured(content, project, shown), 0, (), "", "", False)
    assert interpreter is not None
    with scratch_folder("coverage") as folder:
        shutil.copyfile(data, folder / "data")
        command = [*_start(interpreter, project), "--data", str(folder / "data"), str(folder)]
        try:
            done = subprocess.run(
                command, cwd=project, env=_environ(project, folder, None), stdin=subprocess.DEVNULL,
                capture_output=True, timeout=READ_WALL_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise unreadable(shown, f"coverage.py gave no answer in {READ_WALL_S:.0f} s") from None
        if done.returncode == NO_COVERAGE:
            raise _no_coverage(interpreter)
        told = _read_json(folder / "run.json")
        if told.get("error") or not (folder / "coverage.json").is_file():
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise unreadable(
                shown, _short(str(told.get("error") or (last[0] if last else "coverage.py failed")), folder)
            )
        text = (folder / "coverage.json").read_bytes()
    return CoveredRun(read_measured(text, project, shown), 0, (), "", "", False)


def _start(interpreter: Interpreter, project: Path) -> list[str]:
    return [interpreter.executable, "-m", "_aqe_inject.covered_run", side_folder(interpreter, project) or "-"]


def _environ(
    project: Path,
    folder: Path,
    budget_s: float | None,
    import_from: Sequence[Path] = (),
    only: Sequence[str] = (),
) -> dict[str, str]:
    """The user's environment with the plugin's folder first on the path, and the order to measure."""
    environ = dict(os.environ)
    rest = environ.get("PYTHONPATH")
    environ["PYTHONPATH"] = os.pathsep.join([str(INJECT), *map(str, import_from), *([rest] if rest else [])])
    environ["AQE_PROJECT"] = str(project)
    until = None if budget_s is None else time.monotonic() + budget_s
    beside = [] if only else source_folders(project)
    plan = {"folder": str(folder), "until": until, "only": list(only), "beside": beside}
    environ["_AQE_COVERING"] = json.dumps(plan)
    with contextlib.suppress(UserError):  # read-only: nothing is kept there
        aqe_dir(project)
    return environ


def source_folders(project: Path) -> list[str]:
    """The folders of source (from the root) that coverage.py, which walks packages alone, does not find from the root:
    `src`, and what lies in no package."""
    held = {Path(one.name).parent for one in find_files(project)[0] if kind_of(one.name) == "source"}
    packages = {folder for folder in held if (project / folder / "__init__.py").exists()}
    apart = (folder for folder in held if not packages.issuperset({folder, *folder.parents} - {Path(".")}))
    return sorted(folder.as_posix() for folder in apart)


def _raise_for(run: SuiteRun, told: Mapping[str, Any], tests: Mapping[str, Any], interpreter: Interpreter) -> None:
    """Word the ends of the run that measured nothing."""
    if run.ended_by == "memory":
        raise GateFailed(
            "pytest was ended: it used too much memory.", code="suite-died", fix="Name fewer tests with --tests."
        )
    if run.ended_by and not told:
        raise OutOfTime(
            "The time ended before any coverage could be kept.",
            code="out-of-time",
            fix="Give a larger --budget, or name fewer tests with --tests.",
        )
    if run.exit_status == NO_COVERAGE and not told:
        raise _no_coverage(interpreter)
    if told.get("cut"):
        return
    tail = "\n".join(run.output.splitlines()[-TAIL_LINES:])
    raise_for_status(run.exit_status or 0, tests, tail)


def _nothing(why: str) -> UserError:
    return UserError(
        f"The run measured no file of the project{f': {why}' if why else ''}.".replace("..", "."),
        code="nothing-measured",
        fix="Look at source, include and omit of the project's coverage settings; an installed copy is not measured.",
    )


def _no_coverage(interpreter: Interpreter) -> UserError:
    return UserError(
        f"{interpreter.executable} (Python {interpreter.version_text}) has no coverage, and aqe's own copy needs "
        "Python 3.10.",
        code="no-coverage",
        fix=f"Install it: {interpreter.executable} -m pip install coverage",
    )


def _notes(told: Mapping[str, Any], tests: Mapping[str, Any]) -> list[str]:
    notes = []
    if told["cut"]:
        during = f" while {told['test']} ran" if told.get("test") else ""
        notes.append(f"The time ended the run{during}: figures are of the tests that ran before.")
    if tests.get("trouble"):
        notes.append(str(tests["trouble"]))
    return notes


def _failures(tests: Mapping[str, Any]) -> tuple[TestFailure, ...]:
    final = {test["nodeid"]: test for test in tests.get("tests", [])}
    return tuple(
        TestFailure(test["nodeid"], test["outcome"], test["message"], test["line"])
        for test in final.values()
        if test["outcome"] in ("failed", "error", "crashed")
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _short(text: str, folder: Path) -> str:
    return text.replace(str(folder / "data"), "the file").rstrip(".")[:300]
