"""Environments with real packages for tests, made without what takes long and no test asks for: a pip inside, and byte
code before something is imported."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

INSTALL = ("install", "--quiet", "--disable-pip-version-check", "--no-compile")
LIMIT_S = 1500


def new_environment(folder: Path, *sees: Path) -> Path:
    """Make a virtual environment that sees the packages in the folders of `sees` behind its own; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    if sees:
        lines = "".join(f"import site; site.addsitedir({str(place)!r})\n" for place in sees)
        (next(folder.glob("lib/python*/site-packages")) / "zz_seen.pth").write_text(lines, encoding="utf-8")
    return folder / "bin" / "python"


def install(python: Path, *requirements: str) -> None:
    """Install packages into an interpreter's environment with this interpreter's pip."""
    _run_pip("--python", str(python), *INSTALL, *requirements)


def install_into(folder: Path, *requirements: str) -> None:
    """Install packages for this Python into a folder that is no environment."""
    _run_pip(*INSTALL, "--target", str(folder), *requirements)


def _run_pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills once a session: of several workers one does it and the others wait."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    ready = folder.with_name(f"{name}-ready")
    try:
        folder.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + LIMIT_S
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
    else:
        make(folder)
        ready.touch()
    assert ready.exists(), f"{folder} was not made"
    return folder
