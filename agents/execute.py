"""Run the project's own suite, in the project's interpreter and the user's environment, with the plugin injected.

The suite is run as `python -m pytest` from the project's root, not sandboxed: tests of a project may need whatever
their user's run has. Only the plugin is added; it records each test in `.aqe/spool`, from where the store takes it.
With `isolated` it runs in the suite profile (`gate.suite`): all the same, but on a shielded tree.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from aqe.agents.advice import Advice
from aqe.agents.gate.interpreter import Interpreter, find_interpreter, side_folder
from aqe.agents.gate.suite import MEMORY_MB, ChangedFile, SuiteRun, is_strict, run_suite
from aqe.engine.errors import AqeError, Cancelled, GateFailed, UserError
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import aqe_dir
from aqe.engine.scratch import scratch_folder

INJECT = Path(__file__).resolve().parent / "inject"
SLOWEST = 10
GRACE_S = 3.0
ISOLATED_WALL_S = 24 * 3600.0
TAIL_LINES = 40
_WARNING = re.compile(r":\d+: \w*Warning: ")

# With a side folder pytest is found last on sys.path, so that nothing of the project's is shadowed.
WITH_SIDE = "import sys; sys.path.append({side!r}); import pytest; raise SystemExit(pytest.main())"


@dataclass(frozen=True)
class ExecuteRequest:
    """What to run. `paths` are files, folders or node ids (from `cwd`, then from the project); none means all.

    `pytest_args` go to pytest as they are; `python` is an interpreter, an environment's folder or a name on PATH.
    `isolated` shields the project's tree and ends what the run leaves; `offline`, with it, takes the network away. In
    the privacy mode strict both hold whatever is asked. `map` also records which test executes which function, for the
    selector.
    """

    project: str
    paths: tuple[str, ...] = ()
    pytest_args: tuple[str, ...] = ()
    python: str | None = None
    cwd: str | None = None
    isolated: bool = False
    offline: bool = False
    map: bool = False


@dataclass(frozen=True)
class TestTime:
    """One test and the seconds that it took, set-up and tear-down included."""

    __test__ = False

    nodeid: str
    duration_s: float


@dataclass(frozen=True)
class TestFailure:
    """One test that did not pass, or a file that could not be collected: `outcome` is failed, error or crashed."""

    __test__ = False

    nodeid: str
    outcome: str
    message: str
    line: int


@dataclass(frozen=True)
class ExecuteReport:
    """What the run of a suite showed. `run` is the name of its files in the spool; `recorded` counts their lines.

    After an isolated run `isolation` says how the tree was shielded ("overlay" or "copy", else empty), `changed_files`
    what the run did to it, and `leftovers` how many processes outlived the run and were ended.
    """

    run: str
    python: str
    python_version: str
    pytest_version: str
    command: tuple[str, ...]
    pytest_exit_status: int
    duration_s: float
    tests: int
    passed: int
    failed: int
    errors: int
    crashed: int
    skipped: int
    xfailed: int
    xpassed: int
    failures: tuple[TestFailure, ...]
    slowest: tuple[TestTime, ...]
    recorded: int
    notes: tuple[str, ...] = ()
    isolation: Literal["", "overlay", "copy"] = ""
    leftovers: int = 0
    changed_files: tuple[ChangedFile, ...] = ()
    advice: tuple[Advice, ...] = ()

    @property
    def all_passed(self) -> bool:
        """Whether pytest was content."""
        return self.pytest_exit_status == 0


def execute(
    request: ExecuteRequest,
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
    output: Literal["inherit", "stderr", "progress"] = "progress",
) -> ExecuteReport:
    """Run the suite and report it; failing tests are a report, not an error.

    pytest's own output goes to this process's stdout ("inherit") or stderr, or line by line to `progress`.
    Raises `UserError` (no-such-path, no-interpreter, no-tests, pytest-usage, suite-not-collected, no-sandbox, ...),
    `GateFailed` (suite-died) where pytest ended without its report, and `Cancelled`.
    """
    isolated = request.isolated or is_strict(Path(request.project))
    if request.offline and not isolated:
        raise UserError(
            "Without isolation the network cannot be taken away.", code="bad-argument", fix="Add --isolated."
        )
    project = Path(request.project)
    interpreter = find_interpreter(project, request.python, python_setting(project), trusted=True)
    paths = suite_paths(request.paths, project, request.cwd)
    with scratch_folder("execute") as folder:
        answer = folder / "report.json"
        options = (*(("--aqe-map",) if request.map else ()), *request.pytest_args)
        command = _command(interpreter, side_folder(interpreter, project), answer, options, paths)
        progress(f"Running the suite with {interpreter.executable}")
        start = time.monotonic()
        suite = None
        if isolated:
            suite, tail = _run_isolated(command, request, folder, output, progress, cancel)
            status = suite.exit_status or 0
        else:
            status, tail = _run(command, project, suite_environ(project), output, progress, cancel)
        duration_s = time.monotonic() - start
        told = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    if cancel is not None:
        cancel.check()
    trouble = take_spool(project) or (_take_map(project) if request.map else "")
    raise_for_status(status, told, tail, passes_on=True)
    report = _report(interpreter, command, status, duration_s, told, trouble)
    if suite is None:
        return report
    return replace(report, isolation=suite.isolation, leftovers=suite.leftovers, changed_files=suite.changed_files)


def take_spool(project: Path) -> str:
    """Let the store take what the plugin recorded; says why where it could not (the spool then keeps it)."""
    from aqe.engine.memory.opening import open_store

    try:
        open_store(project).close()
    except AqeError as error:
        return f"the outcomes stay in .aqe/spool for now: {error.message}"
    return ""


def _take_map(project: Path) -> str:
    """Let the store take the recorded map; says why where it could not (the spool then keeps it)."""
    from aqe.agents.select.impact_map import update
    from aqe.engine.memory.opening import open_store

    try:
        with open_store(project) as store:
            update(store, project)
    except AqeError as error:
        return f"the map stays in .aqe/spool for now: {error.message}"
    return ""


def suite_paths(words: Sequence[str], project: Path, cwd: str | None) -> list[str]:
    """Test files, folders or node ids as pytest should see them from the project's root.

    Each is looked for in `cwd`, then in the project. Raises `UserError` (no-such-path).
    """
    found = []
    for word in words:
        name, colons, node = word.partition("::")
        places = [*([Path(cwd)] if cwd else []), project]
        path = next((place / name for place in places if (place / name).exists()), None)
        if path is None:
            raise UserError(
                f"There is no {name!r} in {' or '.join(dict.fromkeys(repr(str(place)) for place in places))}.",
                code="no-such-path",
                fix="Name a test file or folder; what is meant for pytest stands after `--`.",
            )
        found.append(os.path.relpath(path, project) + colons + node)
    return found


def python_setting(project: Path) -> str | None:
    """The interpreter that the project's settings name."""
    from aqe.engine.settings import load_settings

    return load_settings(project).python


def _command(
    interpreter: Interpreter, side: str | None, answer: Path, pytest_args: tuple[str, ...], paths: list[str]
) -> list[str]:
    start = ["-m", "pytest"] if side is None or interpreter.has_pytest else ["-c", WITH_SIDE.format(side=side)]
    plugin = ["-p", "_aqe_inject.plugin", "--aqe", f"--aqe-report={answer}"]
    return [interpreter.executable, *start, *plugin, *pytest_args, *paths]


def suite_environ(project: Path) -> dict[str, str]:
    """The user's own environment, with the plugin's folder first on the path and the spool's place named."""
    environ = dict(os.environ)
    rest = environ.get("PYTHONPATH")
    environ["PYTHONPATH"] = f"{INJECT}{os.pathsep}{rest}" if rest else str(INJECT)
    environ["AQE_PROJECT"] = str(project)
    environ["_AQE_HOME_PYTHON"] = sys.executable
    with contextlib.suppress(UserError):  # read-only: the plugin says so in its own line
        aqe_dir(project)
    return environ


def _run(
    command: list[str],
    project: Path,
    environ: Mapping[str, str],
    output: str,
    progress: Progress,
    cancel: CancelToken | None,
) -> tuple[int, str]:
    """Run pytest to its end and return its status and the last lines that were read.

    Ctrl-C on a terminal reaches pytest by itself: it ends its session and writes its report; we wait for that.
    """
    piped = output == "progress"
    sys.stdout.flush()
    process = subprocess.Popen(
        command,
        cwd=project,
        env=dict(environ),
        stdin=subprocess.DEVNULL if piped else None,
        stdout=subprocess.PIPE if piped else (sys.stderr if output == "stderr" else None),
        stderr=subprocess.STDOUT if piped else None,
        text=piped,
        encoding="utf-8" if piped else None,
        errors="replace" if piped else None,
        start_new_session=piped,
    )
    forget = cancel.on_cancel(lambda: _stop(process)) if cancel is not None else _nothing
    tail: list[str] = []
    try:
        with _patient():
            for line in process.stdout or ():
                tail = [*tail[1 - TAIL_LINES :], line]
                if line.strip():
                    progress(line.strip())
            status = process.wait()
    except BaseException:
        _stop(process)
        raise
    finally:
        forget()
        if process.stdout is not None:
            process.stdout.close()
    return status, "".join(tail)


def _run_isolated(
    command: list[str],
    request: ExecuteRequest,
    folder: Path,
    output: str,
    progress: Progress,
    cancel: CancelToken | None,
) -> tuple[SuiteRun, str]:
    """Run pytest in the suite profile; its report may be written to `folder` also where that lies in the project."""
    project = Path(request.project)
    lines = Lines(progress)
    stream = sys.stderr if output == "stderr" else sys.stdout

    def show(data: bytes) -> None:
        if output == "progress":
            lines(data)
        else:
            text = data.decode("utf-8", "replace")
            stream.write(text.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8"))
            stream.flush()

    suite = run_suite(
        command,
        project,
        environ=suite_environ(project),
        wall_s=ISOLATED_WALL_S,
        offline=request.offline,
        keep=(folder.resolve(),),
        on_output=show,
        cancel=cancel,
    )
    if suite.ended_by:
        limit = f"{MEMORY_MB} MB of memory" if suite.ended_by == "memory" else f"{ISOLATED_WALL_S / 3600:.0f} hours"
        raise GateFailed(
            f"pytest was ended: it used more than {limit}.",
            code="suite-died",
            fix="Run fewer tests at a time, or run without --isolated.",
        )
    return suite, "\n".join(suite.output.splitlines()[-TAIL_LINES:])


class Lines:
    """Hands whole lines of output to a progress, however the bytes come in."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._rest = ""

    def __call__(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data.decode("utf-8", "replace")).split("\n")
        for line in lines:
            if line.strip():
                self._progress(line.strip())


def _nothing() -> None:
    """Nothing to take back."""


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """While pytest runs in the foreground, the first Ctrl-C is pytest's; a second one is ours as well."""
    pressed = 0

    def pass_on(number: int, frame: Any) -> None:
        nonlocal pressed
        pressed += 1
        if pressed > 1:
            raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGINT, pass_on)
    except ValueError:  # not the main thread: no signal arrives here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _stop(process: subprocess.Popen[Any]) -> None:
    """End pytest and, where it leads a session of its own, what it started; gently first."""
    leads = os.name == "posix" and process.poll() is None and os.getpgid(process.pid) == process.pid
    for number in (signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(ProcessLookupError):
            if leads:
                os.killpg(process.pid, number)
            elif process.poll() is None:
                process.send_signal(number if os.name == "posix" else signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S if number == signal.SIGINT else None)


def raise_for_status(status: int, told: Mapping[str, Any], tail: str, *, passes_on: bool = False) -> None:
    """Word the ends of pytest that are no result of tests; `told` is the plugin's report, `tail` the last output.

    `passes_on`: words after `--` go to pytest, so that a fix may name some.

    Raises `UserError` (no-tests, pytest-usage, suite-not-collected), `Cancelled`, `GateFailed` (suite-died).
    """
    last = last_words(tail)
    seen = f" It said: {last}." if last else ""
    if status == 5:
        raise UserError(
            "pytest collected no tests.",
            code="no-tests",
            fix="Name a file or folder that holds tests, or loosen -k/-m.",
        )
    if status == 4 and (conftest := re.search(r"while loading conftest '(.+?)'", tail)):
        lines = [line[2:].strip() for line in tail.splitlines() if line.startswith("E ")]
        raise UserError(
            f"pytest could not load {os.path.basename(conftest[1])}: {lines[-1] if lines else last}.",
            code="suite-not-collected",
            fix="Mend that file.",
        )
    if status == 4:
        raise UserError(
            f"pytest did not accept its arguments or configuration.{seen}",
            code="pytest-usage",
            fix=f"What stands {'after `--` and ' if passes_on else ''}in the project's pytest settings must be "
            "what its pytest knows.",
        )
    errors = told.get("collect_errors", [])
    if status == 2 and errors:
        first = errors[0]
        more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise UserError(
            f"pytest could not collect {first['nodeid'] or 'the suite'}{more}: {first['message']}.",
            code="suite-not-collected",
            fix="Mend that file, or pass `-- --continue-on-collection-errors`." if passes_on else "Mend that file.",
        )
    if status == 2 and told:
        raise Cancelled("The test run was interrupted.", code="cancelled")
    if not told or status not in (0, 1):
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise GateFailed(
            f"pytest {how} and left no result.{seen}",
            code="suite-died",
            fix="The tests that ended before are recorded in .aqe/spool; run with `-- -v` to see which test was next."
            if passes_on
            else "Run `python -m pytest -v` to see after which test.",
        )


def last_words(tail: str) -> str:
    """What pytest said at last: its last line of an error, else its last line that belongs to no warning.

    >>> last_words("ERROR: no such folder: x\\n/a/b.py:9: CoverageWarning: No data\\n  self._warn('No data')\\n")
    'ERROR: no such folder: x'
    """
    lines = [line.rstrip() for line in tail.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "INTERNALERROR>"))]
    if errors:
        return errors[-1].removeprefix("E ").strip()
    warned = [bool(_WARNING.search(line)) for line in lines]
    kept = [
        line
        for place, line in enumerate(lines)
        if not warned[place] and not (place and warned[place - 1] and line.startswith(" "))
    ]
    return kept[-1].strip() if kept else ""


def _report(
    interpreter: Interpreter, command: list[str], status: int, duration_s: float, told: Mapping[str, Any], trouble: str
) -> ExecuteReport:
    final = {test["nodeid"]: test for test in told["tests"]}
    counts = dict.fromkeys(("passed", "failed", "error", "crashed", "skipped", "xfailed", "xpassed"), 0)
    for test in final.values():
        counts[test["outcome"]] += 1
    failures = [
        TestFailure(test["nodeid"], test["outcome"], test["message"], test["line"])
        for test in final.values()
        if test["outcome"] in ("failed", "error", "crashed")
    ]
    failures += [TestFailure(item["nodeid"], "error", item["message"], 0) for item in told["collect_errors"]]
    ranked = sorted(final.values(), key=lambda test: (-test["duration_s"], test["nodeid"]))[:SLOWEST]
    notes = [note for note in (told["trouble"], trouble) if note]
    retried = sum(test["attempt"] > 1 for test in final.values())
    if retried:
        notes.append(f"{retried} tests were run again by a plugin of the project")
    return ExecuteReport(
        run=told["run"],
        python=interpreter.executable,
        python_version=told["python"],
        pytest_version=told["pytest"],
        command=tuple(command),
        pytest_exit_status=status,
        duration_s=round(duration_s, 3),
        tests=len(final),
        passed=counts["passed"],
        failed=counts["failed"],
        errors=counts["error"],
        crashed=counts["crashed"],
        skipped=counts["skipped"],
        xfailed=counts["xfailed"],
        xpassed=counts["xpassed"],
        failures=tuple(failures),
        slowest=tuple(TestTime(test["nodeid"], test["duration_s"]) for test in ranked),
        recorded=told["recorded"],
        notes=tuple(notes),
    )
