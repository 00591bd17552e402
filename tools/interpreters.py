"""Find the CPythons of this machine that really start, one for each minor version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PROBE = """
import platform, sys
print(platform.python_implementation(), "%d.%d" % sys.version_info[:2], sys.executable, sep="|")
"""


def _candidates(minor: str) -> Iterator[str]:
    """Yield what could be `python<minor>`: every hit on PATH, then what pyenv keeps behind its shims."""
    name = f"python{minor}"
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if hit := shutil.which(name, path=folder):
            yield hit
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
        for path in sorted(Path(root or os.devnull, "versions").glob(f"{minor}.*/bin/{name}"), reverse=True):
            yield str(path)


def _real(candidate: str, minor: str) -> str | None:
    """Return the executable that `candidate` starts, or None when it does not start as CPython `minor`."""
    try:
        probe = subprocess.run([candidate, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if probe.returncode != 0:
        return None
    implementation, version, executable = probe.stdout.strip().split("|", 2)
    return executable if (implementation, version) == ("CPython", minor) else None


def find(minor: str) -> str | None:
    """Return a CPython of that minor version ("3.12") that starts, or None."""
    return next((real for candidate in _candidates(minor) if (real := _real(candidate, minor))), None)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]:
        print(wanted, find(wanted) or "not found")
