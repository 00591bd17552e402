"""Asking a program that is said to be a Python what it is: inside a box, or plainly where it runs aqe itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from glob import escape, glob
from pathlib import Path

from aqe.agents.gate.probing import Interpreter
from aqe.engine.errors import UserError

KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYENV_VERSION", "PYENV_ROOT")
KEPT_OUTSIDE = (*KEPT, "PATH", "HOME", "SYSTEMROOT", "TMPDIR")

Said = tuple[int | None, str, str]


def runs_aqe(executable: str) -> bool:
    """Whether this is the very Python that runs aqe, so that nothing new runs by asking it."""
    return os.path.abspath(executable) == os.path.abspath(sys.executable)


def ask_here(executable: str, environ: Mapping[str, str], code: str, wall_s: float) -> Said:
    """Exit status, stdout and stderr of `executable -c code`, outside any box. Raises TimeoutExpired, OSError."""
    done = subprocess.run(
        [executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=wall_s,
        env={name: environ[name] for name in KEPT_OUTSIDE if name in environ},
        cwd=os.path.dirname(executable) or None,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def ask_in_box(
    executable: str, environ: Mapping[str, str], code: str, wall_s: float, project: str | None, trusted: bool
) -> Said:
    """Exit status, stdout and stderr of `executable -c code` in a box on the highest rung that holds for it.

    Raises `UserError` (weak-sandbox, no-sandbox) and TimeoutExpired.
    """
    from aqe.agents.gate.errand import run_errand
    from aqe.agents.gate.rungs import Attempts, rungs_to_try
    from aqe.agents.gate.spec import BoxSpec

    executable = os.path.abspath(executable)
    folder = os.path.dirname(executable)
    try:
        attempts = rungs_to_try(project or folder)
    except UserError as error:
        if error.code != "weak-sandbox" or not trusted:
            raise
        attempts = Attempts((0,), ())
    guess = _guess(executable, environ)
    spec = BoxSpec(
        python=executable,
        project=folder,
        readable=tuple(_homes(executable)),
        env={name: environ[name] for name in KEPT if name in environ},
    )
    failed = ""
    for rung in attempts.rungs:
        end = run_errand(spec, guess, [executable, "-c", code], rung=rung, wall_s=wall_s)
        if end.ended_by:
            raise subprocess.TimeoutExpired(executable, wall_s)
        if not end.failed:
            return end.exit_status, end.stdout, end.stderr
        failed = end.failed
    raise UserError(
        f"The sandbox in which {executable} is asked what it is could not be built: {failed}.",
        code="no-sandbox",
        fix="`aqe doctor` shows what this machine gives.",
    )


def _guess(executable: str, environ: Mapping[str, str]) -> Interpreter:
    """What the files around the program say of it before it has run."""
    real = os.path.realpath(executable)
    prefix = os.path.dirname(os.path.dirname(executable))
    base = _base_of(Path(prefix)) or os.path.dirname(os.path.dirname(real))
    user_base = environ.get("PYTHONUSERBASE") or os.path.expanduser("~/.local")
    return Interpreter(
        executable=executable,
        version=(0, 0, 0),
        prefix=prefix,
        base_prefix=base,
        sys_path=(os.path.dirname(os.path.dirname(real)), *_folders_of_pth(prefix)),
        has_pytest=False,
        has_coverage=False,
        origin="",
        user_base=user_base if os.path.isdir(os.path.join(user_base, "lib")) else "",
    )


def _homes(executable: str) -> Iterator[str]:
    """The folder over `bin/`, where a script that stands in for Python finds its own; never the whole home."""
    prefix = os.path.dirname(os.path.dirname(executable))
    home = os.path.realpath(os.path.expanduser("~"))
    real = os.path.realpath(prefix)
    if not f"{home}/".startswith(real.rstrip("/") + "/"):
        yield prefix


def _base_of(prefix: Path) -> str:
    """The installation that a virtual environment was made from, as its `pyvenv.cfg` says."""
    try:
        text = (prefix / "pyvenv.cfg").read_text("utf-8", "replace")
    except OSError:
        return ""
    found = re.search(r"^home\s*=\s*(\S.*?)\s*$", text, re.MULTILINE)
    return os.path.dirname(found[1]) if found else ""


def _folders_of_pth(prefix: str) -> Iterator[str]:
    """Folders that `.pth` files add to the path: site leaves out those that it does not see."""
    for file in glob(f"{escape(prefix)}/lib*/python3*/*-packages/*.pth"):
        try:
            lines = Path(file).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if not line.startswith(("#", "import ", "import\t")) and line.strip():
                yield os.path.normpath(os.path.join(os.path.dirname(file), line.strip()))
