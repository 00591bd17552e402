"""Bad input at every face of the command line: one sentence, a code, a documented status, nothing half-written.

A row of the table is a command, the function that prepares the project, the code and the exit status; each room has its
rows in a module of its own. A new command adds rows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import CODES
from bad_input import changes, clients, generate, memory, questions, suites
from bad_input.command import WARM_INSIDE, run_aqe
from bad_input.rows import FULL_DISK, MINE, MODULE, NotHere, Row

ROWS = [*generate.ROWS, *suites.ROWS, *changes.ROWS, *memory.ROWS, *questions.ROWS, *clients.ROWS]
EXIT_STATUSES = (0, 1, 2, 3, 4, 130)


def files_of(project: Path) -> dict[str, bytes]:
    """Every file but those of .aqe and of caches, with its bytes."""
    found: dict[str, bytes] = {}
    for base, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name not in {".aqe", ".pytest_cache", "__pycache__"}]
        for name in files:
            path = Path(base) / name
            found[path.relative_to(project).as_posix()] = path.read_bytes()
    return found


@pytest.fixture(scope="module", autouse=True)
def _warm() -> Iterator[None]:
    """The process in a mount namespace of its own ends with the module."""
    yield
    WARM_INSIDE.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one module and a test of it."""
    folder = tmp_path / "project"
    (folder / "tests").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("", encoding="utf-8")
    (folder / "mod.py").write_text(MODULE, encoding="utf-8")
    (folder / "tests" / "test_mine.py").write_text(MINE, encoding="utf-8")
    return folder


def parameters() -> list[Any]:
    """The rows with their ids and marks."""
    marks = {True: [pytest.mark.services], False: []}
    return [pytest.param(row, id=row.name.replace(" ", "-").replace(",", ""), marks=marks[row.slow]) for row in ROWS]


@pytest.mark.parametrize("row", parameters())
def test_mistake_is_answered_with_one_sentence_and_leaves_no_trace(project: Path, row: Row) -> None:
    """A mistake gives one line on stderr with its code, the documented status, no traceback, and loses nothing."""
    with contextlib.ExitStack() as stack:
        try:
            words = row.set_up(project, stack) or {}
            before = files_of(project)
            done = run_aqe(project, *(word.format(**words) for word in row.command), inside=row.inside)
        except NotHere as lack:
            pytest.skip(str(lack))
    assert done.returncode == row.status, done.stderr
    assert row.status in EXIT_STATUSES
    assert "Traceback" not in done.stdout + done.stderr
    assert row.words in done.stdout + done.stderr
    if row.code:
        assert row.code in CODES
        assert done.stderr.endswith(f"[{row.code}]\n")
        assert done.stderr.count("\n") == 1
    after = project.with_name("project.after") if row.inside == FULL_DISK else project
    written = {name: data for name, data in files_of(after).items() if name not in before}
    assert {name: data for name, data in files_of(after).items() if name in before} == before
    assert not written or row.status == 0
    assert all(data.startswith(b"# Written by aqe") for data in written.values())
    assert not any(path.name.endswith(".part") for path in after.rglob("*"))
    assert all(path.read_bytes() for path in (after / ".aqe").glob(".gitignore*"))
    if row.then is not None:
        row.then(after)
