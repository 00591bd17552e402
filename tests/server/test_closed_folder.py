"""A project with a folder that the user may not enter, as a database of another user in it."""

from __future__ import annotations

import json
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


def _run(kiln: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=kiln, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def kept_by_git(kiln: Path) -> Path:
    """The same in git, with tracked files in the closed folder and two folders deep in it."""
    (kiln / "pgdata").chmod(0o700)
    (kiln / "pgdata" / "base").mkdir()
    for place in ("pgdata/near.md", "pgdata/base/deep.md"):
        (kiln / place).write_text("# Rows\n\nThe rows are blue.\n", "utf-8")
    (kiln / "oven.py").write_text("def heat():\n    return 1240\n", "utf-8")
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "The kiln"]):
        subprocess.run(["git", *words], cwd=kiln, check=True)
    (kiln / "oven.py").write_text("def heat():\n    return 1250\n", "utf-8")
    (kiln / "pgdata" / "base" / "deep.md").write_text("# Rows\n\nThe rows are green.\n", "utf-8")
    (kiln / "pgdata").chmod(0o000)
    return kiln


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["index", "--json"], '"files": 3'),
        (["review", "--json"], "oven.py"),
        pytest.param(["query", "At what heat does the kiln fire?"], "1240 degrees", marks=pytest.mark.services),
        pytest.param(["index", "pgdata"], "may not be entered", marks=pytest.mark.services),
        pytest.param(["select"], "[no-tests]", marks=pytest.mark.services),
    ],
)
def test_what_git_tracks_in_a_closed_folder_is_passed_over(kept_by_git: Path, words: list[str], said: str) -> None:
    """Questions are answered and changes reviewed without the tracked files that may not be looked at."""
    done = _run(kept_by_git, *words)
    assert "[internal]" not in done.stderr, done.stderr
    assert said in done.stdout + done.stderr


@pytest.mark.services
def test_review_of_two_folders_passes_over_files_that_may_not_be_read(
    kiln: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The tree of the base is copied without them."""
    head = tmp_path_factory.mktemp("head")
    for folder, heat in ((kiln, 1240), (head, 1250)):
        (folder / "oven.py").write_text(f"def heat():\n    return {heat}\n", "utf-8")
    (kiln / "own.py").write_text("A = 1\n", "utf-8")
    (kiln / "own.py").chmod(0o000)
    done = _run(kiln, "review", "--base", str(kiln), "--head", str(head), "--json")
    assert "[internal]" not in done.stderr, done.stderr
    assert "oven.py" in done.stdout


def test_a_pipe_named_as_the_rules_of_git_is_passed_over(kiln: Path) -> None:
    """Nobody waits for somebody to write into a pipe that is called `.gitignore`."""
    os.mkfifo(kiln / ".gitignore")
    command = [sys.executable, "-m", "aqe.server.cli", "index", "--json"]
    done = subprocess.run(command, cwd=kiln, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["files"] == 2


def test_names_of_files_reach_a_terminal_as_escapes(kiln: Path) -> None:
    """A scan shows a name that would colour the screen or begin a line of its own as what it is."""
    (kiln / "red\x1b[31m\nb.md").write_text('key = "AKIAIOSFODNN7EXAMPLQ"\n', "utf-8")
    (kiln / "bin\x1b[31m.txt").write_bytes(b"\0\0")
    command = [sys.executable, "-m", "aqe.server.cli", "privacy", "scan", ".", "bin\x1b[31m.txt"]
    done = subprocess.run(command, cwd=kiln, capture_output=True, text=True, timeout=120, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert r"red\x1b[31m\nb.md:1:" in done.stdout
    assert r"bin\x1b[31m.txt: not scanned" in done.stderr


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


@pytest.mark.services
def test_gate_fails_where_a_file_of_the_project_may_not_be_read(kiln: Path) -> None:
    """A closed file, a file of the folder that git knows and the folder itself, named, are told and fail the gate."""
    subprocess.run(["git", "init", "-q"], cwd=kiln, check=True)
    (kiln / "pgdata").chmod(0o700)
    (kiln / "pgdata" / "rows.txt").write_text("rows\n", "utf-8")
    (kiln / "pgdata" / "base").mkdir()
    (kiln / "pgdata" / "base" / "more.txt").write_text("more\n", "utf-8")
    subprocess.run(["git", "add", "-A"], cwd=kiln, check=True)
    (kiln / "pgdata").chmod(0o000)
    (kiln / "own.env").write_text("A=1\n", "utf-8")
    (kiln / "own.env").chmod(0o000)
    for words, status, said in (
        ([], 0, ["pgdata/rows.txt: not scanned", "own.env: not scanned", "nothing found in 2 files"]),
        (["--gate"], 1, ["pgdata/rows.txt: not scanned", "pgdata/base/more.txt: not", "does not pass 3 files"]),
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
