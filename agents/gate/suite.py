"""The `suite` profile: the project's own tests, run as their author runs them, but on a copy of the project tree.

Environment, HOME, temp folder and network are the user's (no network with `offline`); the tree is an overlay over the
project's own path, so that nothing in it changes; the run has a session and a PID namespace of its own, so that nothing
outlives it. What it left behind, processes and files, is reported. Where namespaces are not to be had, the tree is
copied to a temp folder, the paths in arguments and environment are changed to it, and descendants are swept.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aqe.agents.gate.plan import boot, hand_over
from aqe.agents.gate.verdict import Tail
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken

OUTPUT_BYTES = 1 << 20
MEMORY_MB = 8192
TREE_MB = 2048
END_WALL_S = 5.0


@dataclass(frozen=True)
class ChangedFile:
    """A file of the project that the run made, changed or deleted. `path` is relative and posix.

    A folder's ends in "/": an empty one that was made, one that was deleted with all that it held, one that took
    the place of a file, or one whose mode changed.
    """

    path: str
    kind: Literal["added", "changed", "deleted"]


@dataclass(frozen=True)
class SuiteRun:
    """`exit_status` is negative for a signal, None when the run was ended by the wall clock or the memory cap.

    `output` is the end of stdout and stderr together; `leftovers` counts processes that outlived the run;
    `isolation` is "overlay" or "copy".
    """

    exit_status: int | None
    output: str
    leftovers: int
    changed_files: tuple[ChangedFile, ...]
    duration_s: float
    isolation: Literal["overlay", "copy"]
    ended_by: Literal["", "wall clock", "memory"] = ""


def run_suite(
    argv: Sequence[str],
    project: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    wall_s: float = 3600.0,
    offline: bool = False,
    keep: Sequence[Path] = (),
    memory_mb: int = MEMORY_MB,
    on_output: Callable[[bytes], None] | None = None,
    cancel: CancelToken | None = None,
    isolation: Literal["overlay", "copy"] | None = None,
) -> SuiteRun:
    """Run `argv` in `project`; nothing in the tree is changed but what lies in `keep` and in `.aqe/`.

    `on_output` gets the output as it comes. `isolation` forces one way. In the privacy mode strict the run is offline
    whatever `offline` says. Errors: no-sandbox (neither way works), cancelled.
    """
    if cancel is not None:
        cancel.check()
    if os.path.realpath(project) == "/":
        raise UserError(
            "The project is the root of the file system, which cannot be shielded.",
            code="no-sandbox",
            fix="Name the folder that holds the project with --project.",
        )
    ways = (isolation,) if isolation else ("overlay", "copy")
    has_no_network = offline or is_strict(project)
    why = ""
    for way in ways:
        run = _Run(list(argv), project, dict(environ), has_no_network, [str(path) for path in keep], memory_mb, way)
        untie = cancel.on_cancel(run.kill) if cancel is not None else lambda: None
        try:
            done = run.wait(wall_s, on_output)
        finally:
            run.kill()
            run.close()
            untie()
        if run.was_killed and cancel is not None and cancel.is_set:
            raise Cancelled("The run was cancelled.", code="cancelled")
        if done is not None:
            return done
        why = run.failed
    raise UserError(
        f"The project's tree could not be shielded for the run: {why or 'no answer'}.",
        code="no-sandbox",
        fix="`aqe doctor` shows what this machine gives.",
    )


def is_strict(project: Path) -> bool:
    """Whether nothing may leave the machine for this project, its own tests included: the privacy mode strict."""
    from aqe.engine.settings import load_settings

    return load_settings(project).privacy.mode == "strict"


class _Run:
    """One run under its builder."""

    def __init__(
        self,
        argv: list[str],
        project: Path,
        environ: dict[str, str],
        offline: bool,
        keep: list[str],
        memory_mb: int,
        way: str,
    ) -> None:
        self._way = way
        self.was_killed = False
        self.failed = ""
        self._lock = threading.Lock()
        self._report_fd, report_in = os.pipe()
        output_fd, output_in = os.pipe()
        self._output = Tail(output_fd, keep=OUTPUT_BYTES)
        for fd in (self._report_fd, output_fd):
            os.set_blocking(fd, False)
        plan = {
            "argv": argv,
            "project": os.path.realpath(project),
            "env": environ,
            "offline": offline,
            "keep_paths": keep,
            "memory_mb": memory_mb,
            "tree_mb": TREE_MB,
            "way": way,
            "report": report_in,
            "output": output_in,
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", boot("suite_builder")],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=output_in,
                pass_fds=(report_in, output_in),
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(report_in)
            os.close(output_in)
        hand_over(self._process, plan)

    def wait(self, wall_s: float, on_output: Callable[[bytes], None] | None) -> SuiteRun | None:
        """Until the builder's report, or None when it could not build; ends the run at the wall clock."""
        started = time.monotonic()
        deadline, ended_by = started + wall_s, ""
        reports = b""
        while b"\n" not in reports:
            left = deadline - time.monotonic()
            if left <= 0 and not ended_by:
                ended_by, deadline = "wall clock", time.monotonic() + END_WALL_S
                self._cut_lifeline()
            elif left <= 0:
                break
            ready, _, _ = select.select([self._report_fd, self._output.fd], [], [], min(max(left, 0.0), 1.0))
            self._output.drain(on_output)
            if self._report_fd in ready:
                data = os.read(self._report_fd, 1 << 20)
                if not data:
                    break
                reports += data
        self._output.drain(on_output)
        report: dict[str, Any] = json.loads(reports) if reports.endswith(b"\n") else {}
        if "failed" in report or not report:
            self.failed = report.get("failed", "the builder died")
            return None
        ended_by = ended_by or report["ended_by"]
        return SuiteRun(
            exit_status=None if ended_by else report["exit"],
            output=self._output.take(),
            leftovers=report["leftovers"],
            changed_files=tuple(ChangedFile(path, kind) for path, kind in report["changed"]),
            duration_s=time.monotonic() - started,
            isolation="overlay" if self._way == "overlay" else "copy",
            ended_by="wall clock" if ended_by == "wall clock" else "memory" if ended_by else "",
        )

    def _cut_lifeline(self) -> None:
        with self._lock:
            stdin = self._process.stdin
            if stdin is not None and not stdin.closed:
                try:
                    stdin.close()
                except OSError:
                    pass

    def kill(self) -> None:
        """End the run and all that belongs to it."""
        self.was_killed = True
        self._cut_lifeline()
        try:
            self._process.wait(END_WALL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._report_fd)
        os.close(self._output.fd)
