"""The command that shows a flaky test's failure: for a POSIX shell in the project's folder, with plain pytest.

It ends with a status other than 0 when it has shown the failure.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from aqe.agents.flaky.causes import Cause
from aqe.agents.flaky.statistics import runs_to_see
from aqe.agents.gate.interpreter import Interpreter

HANG_S = 30.0


def command_for(
    test: str, cause: Cause, rate: float, interpreter: Interpreter, project: Path, plugins: Sequence[str],
    options: str = "", longest_s: float = HANG_S,
) -> str:  # fmt: skip
    """The command for a test that fails for this cause, at this rate where nothing but chance makes it fail."""
    python = _python(interpreter, project)
    settle = _settling(plugins, options, ordered=bool(cause.culprits))
    if cause.factor == "memory":
        words = [*settle, test]
        twice = f"import pytest; a = {words!r}; raise SystemExit(pytest.main(a) or pytest.main(a))"
        return f"{python} -c {shlex.quote(twice)}"
    before = [] if cause.brittle else list(cause.culprits)
    run = " ".join([*_variables(cause), python, "-m", "pytest", *settle, *map(shlex.quote, [*before, test])])
    if cause.factor in ("order", "hash", "zone"):
        return run
    if cause.category == "timeout":
        run = f"timeout {longest_s:.0f} {run}"
    times = 2 if cause.factor == "files" else runs_to_see(rate)
    return run if times == 1 else f"(for n in $(seq {times}); do {run} || exit 1; done)"


def _variables(cause: Cause) -> list[str]:
    found = [] if cause.hash_seed is None else [f"PYTHONHASHSEED={cause.hash_seed}"]
    return found + ([] if cause.zone is None else [f"TZ={shlex.quote(cause.zone)}"])


def _settling(plugins: Sequence[str], options: str, *, ordered: bool) -> list[str]:
    """Options that keep the project's plugins and settings from changing the order or hiding the failure."""
    found = ["-p", "no:randomly"] if ordered and "randomly" in plugins and "randomly" not in options else []
    found += ["-n0"] if re.search(r"(^|\s)(-n|--numprocesses)", options) else []
    return found + (["--reruns=0"] if "--reruns" in options else [])


def _python(interpreter: Interpreter, project: Path) -> str:
    """`python` where that is the interpreter, else its path, relative where it lies in the project."""
    executable = Path(interpreter.executable)
    if shutil.which("python") == str(executable):
        return "python"
    inside = executable.is_relative_to(project)
    return shlex.quote(os.path.relpath(executable, project) if inside else str(executable))
