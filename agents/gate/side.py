"""The side folder: aqe's own installed pytest and coverage, copied for a project's Python that has none."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import platformdirs

from aqe.agents.gate.probing import Interpreter
from aqe.engine.errors import InternalError, UserError
from aqe.engine.project import aqe_dir

PYTEST = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
PYTEST_BEFORE_3_11 = ("exceptiongroup", "tomli", "typing_extensions")
COVERAGE = ("coverage",)
COMPILED = (".so", ".pyd", ".dylib", ".pyc")


def side_folder(interpreter: Interpreter, project: Path) -> str | None:
    """A folder to put last on `sys.path` so that pytest and coverage can be imported; None when nothing is missing.

    What aqe has installed goes in only where it runs on that Python too; coverage may be left out that way.
    Raises `UserError` (no-pytest) on 3.9 without pytest.
    """
    if interpreter.has_pytest and (interpreter.has_coverage or interpreter.version < (3, 10)):
        return None
    if interpreter.version < (3, 10):
        raise UserError(
            f"{interpreter.executable} (Python {interpreter.version_text}) has no pytest, and aqe's own copy needs "
            "Python 3.10.",
            code="no-pytest",
            fix=f"Install it: {interpreter.executable} -m pip install pytest coverage",
        )
    copies = {name: metadata.distribution(name) for name in _wanted(interpreter)}
    copies = {name: copy for name, copy in copies.items() if _runs_on(copy, interpreter)}
    if not copies:
        return None
    text = "|".join(f"{name}=={copies[name].version}" for name in copies)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    for parent in _parents(project):
        target = parent / key
        if target.is_dir():
            return str(target)
        try:
            return str(_make(target, list(copies.values())))
        except OSError:
            continue
    raise InternalError(
        "No folder could be written for aqe's own copies of pytest and coverage.",
        code="internal",
        fix=f"Install them in the project's environment: {interpreter.executable} -m pip install pytest coverage",
    )


def _runs_on(copy: metadata.Distribution, interpreter: Interpreter) -> bool:
    from packaging.specifiers import SpecifierSet

    wanted = copy.metadata.get_all("Requires-Python") or [""]
    return SpecifierSet(wanted[0]).contains(interpreter.version_text)


def _wanted(interpreter: Interpreter) -> tuple[str, ...]:
    names: tuple[str, ...] = ()
    if not interpreter.has_pytest:
        names += PYTEST
        if interpreter.version < (3, 11):
            names += PYTEST_BEFORE_3_11
    if not interpreter.has_coverage:
        names += COVERAGE
    return names


def _parents(project: Path) -> Iterator[Path]:
    yield Path(platformdirs.user_cache_dir("aqe")) / "side"
    yield aqe_dir(project) / "side"


def _make(target: Path, distributions: list[metadata.Distribution]) -> Path:
    """Copy beside the target, then rename: nobody sees a half-made folder."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
    try:
        for distribution in distributions:
            _copy(distribution, draft)
        os.chmod(draft, 0o755)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _copy(distribution: metadata.Distribution, folder: Path) -> None:
    for file in distribution.files or ():
        if ".." in file.parts or file.name.endswith(COMPILED) or file.is_absolute():
            continue
        source = Path(str(distribution.locate_file(file)))
        if source.is_file():
            copy = folder / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
