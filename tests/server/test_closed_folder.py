"""A project with a folder that the user may not enter, as a database of another user in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX modes")

RUN = """
import ctypes, os, sys
if os.geteuid() == 0:  # root without its capabilities is bound by the rights of the folder
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
from aqe.server.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def kiln(tmp_path: Path) -> Iterator[Path]:
    """A project outside git with such a folder."""
    (tmp_path / "README.md").write_text("# Kiln\n\nThe kiln fires at 1240 degrees.\n", "utf-8")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'kiln'\nversion = '1'\n", "utf-8")
    closed = tmp_path / "pgdata"
    closed.mkdir(mode=0o000)
    yield tmp_path
    closed.chmod(0o700)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["query", "At what heat does the kiln fire?"], "1240 degrees"),
        (["privacy", "scan"], "nothing found in 2 files"),
    ],
)
def test_a_folder_that_may_not_be_entered_is_passed_over(kiln: Path, command: list[str], said: str) -> None:
    """Questions are answered from the rest of the project, and the rest is scanned."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command], cwd=kiln, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr


def test_gate_fails_where_a_folder_may_not_be_listed(kiln: Path) -> None:
    """Outside git too a folder that nobody looked into is told, and fails the gate."""
    for words, status in (([], 0), (["--gate"], 1)):
        done = subprocess.run(
            [sys.executable, "-c", RUN, "privacy", "scan", *words],
            cwd=kiln,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, "pgdata: not scanned" in done.stderr) == (status, True), done.stderr


def test_gate_fails_where_a_file_of_the_project_may_not_be_read(kiln: Path) -> None:
    """A closed file, a file of the folder that git knows and the folder itself, named, are told and fail the gate."""
    subprocess.run(["git", "init", "-q"], cwd=kiln, check=True)
    (kiln / "pgdata").chmod(0o700)
    (kiln / "pgdata" / "rows.txt").write_text("rows\n", "utf-8")
    subprocess.run(["git", "add", "-A"], cwd=kiln, check=True)
    (kiln / "pgdata").chmod(0o000)
    (kiln / "own.env").write_text("A=1\n", "utf-8")
    (kiln / "own.env").chmod(0o000)
    for words, status, said in (
        ([], 0, ["pgdata/rows.txt: not scanned", "own.env: not scanned", "nothing found in 2 files"]),
        (["--gate"], 1, ["pgdata/rows.txt: not scanned", "own.env: not scanned", "does not pass 2 files"]),
        (["--gate", "own.env"], 1, ["own.env: not scanned", "does not pass 1 file"]),
        (["--gate", "pgdata"], 1, ["pgdata: not scanned", "does not pass 1 file"]),
        (["--gate", "README.md"], 0, ["nothing found in 1 file"]),
    ):
        done = subprocess.run(
            [sys.executable, "-c", RUN, "privacy", "scan", *words],
            cwd=kiln,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stderr
        for one in said:
            assert one in done.stderr
