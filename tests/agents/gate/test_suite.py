"""The `suite` profile: the project's own run, on a shielded tree, with what it left behind reported."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import pytest

from aqe.agents.gate.suite import ChangedFile, SuiteRun, run_suite
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken

Way = Literal["overlay", "copy"]
WAYS: list[Way] = ["overlay", "copy"]

TEST_FILE = """
import os, subprocess, sys

def test_suite():
    os.remove("gone.txt")
    open("data.txt", "a").write("more")
    open("new.txt", "w").write("new")
    open(".aqe/spool.txt", "w").write("kept")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    assert os.environ["FLAG"] == "on"
    assert os.path.expanduser("~") == os.environ["REAL_HOME"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a test that changes its tree and leaves a process."""
    root = tmp_path / "project, with: odd name"
    (root / ".aqe").mkdir(parents=True)
    (root / "gone.txt").write_text("g", "utf-8")
    (root / "data.txt").write_text("d", "utf-8")
    (root / "test_it.py").write_text(TEST_FILE, "utf-8")
    return root


def run(project: Path, code: str, way: Way, **options: Any) -> SuiteRun:
    """Run Python `code` in the project."""
    return run_suite([sys.executable, "-c", code], project, isolation=way, **options)


@pytest.mark.parametrize("way", WAYS)
def test_sockets_and_pipes_of_the_tree_stop_no_run(project: Path, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be copied, as a server's socket and a pipe, is there no hindrance."""
    monkeypatch.chdir(project)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("server.sock")
        os.mkfifo("pipe")
        done = run(project, "print(open('data.txt').read())", way)
    assert (done.exit_status, done.output.strip(), done.changed_files) == (0, "d", ())


@pytest.mark.parametrize("way", WAYS)
def test_suite_passes_and_the_tree_stays_as_it_was(project: Path, way: Way) -> None:
    """A suite that writes to its project passes, what it did is reported, and the tree is unchanged but `.aqe/`."""
    environ = {**os.environ, "FLAG": "on", "REAL_HOME": os.path.expanduser("~")}
    pieces: list[bytes] = []
    done = run_suite(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        project,
        environ=environ,
        isolation=way,
        on_output=pieces.append,
    )
    assert done.exit_status == 0, done.output
    assert "1 passed" in done.output
    assert b"1 passed" in b"".join(pieces)
    assert (done.leftovers, done.isolation, done.ended_by) == (1, way, "")
    assert done.changed_files == (
        ChangedFile("data.txt", "changed"),
        ChangedFile("gone.txt", "deleted"),
        ChangedFile("new.txt", "added"),
    )
    names = {path.name for path in project.iterdir()} - {"__pycache__"}
    assert names == {".aqe", "data.txt", "gone.txt", "test_it.py"}
    assert (project / "data.txt").read_text("utf-8") == "d"
    assert (project / ".aqe" / "spool.txt").read_text("utf-8") == "kept"


@pytest.mark.parametrize("way", WAYS)
def test_exit_status_is_the_runs_own(project: Path, way: Way) -> None:
    """The exit status is the program's; a signal is negative; a program that is not there gives 127."""
    assert run(project, "raise SystemExit(5)", way).exit_status == 5
    assert run(project, "import os; os.kill(os.getpid(), 11)", way).exit_status == -11
    assert run_suite(["no-such-program"], project, isolation=way).exit_status == 127


@pytest.mark.parametrize("way", WAYS)
def test_wall_clock_ends_the_run(project: Path, way: Way) -> None:
    """A run that never ends is ended, and what it changed until then is still reported."""
    done = run(project, "open('x.txt', 'w').close()\nwhile True: pass", way, wall_s=1.0)
    assert (done.exit_status, done.ended_by) == (None, "wall clock")
    assert done.changed_files == (ChangedFile("x.txt", "added"),)


@pytest.mark.parametrize("way", WAYS)
def test_memory_cap_ends_the_run(project: Path, way: Way) -> None:
    """A run that takes more memory than it may is ended and says so."""
    done = run(project, "import time; hoard = b'x' * (300 << 20); time.sleep(30)", way, memory_mb=100)
    assert done.ended_by == "memory"


@pytest.mark.parametrize("way", WAYS)
def test_offline_run_has_no_outside_network(project: Path, way: Way) -> None:
    """With `offline` the run cannot reach a server of the host; without it, it can."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), timeout=2)"
        assert run(project, code, way).exit_status == 0
        assert run(project, code, way, offline=True).exit_status == 1


def test_cancelled_run_raises_and_leaves_nothing(project: Path) -> None:
    """A cancelled run ends with Cancelled."""
    token = CancelToken()
    threading.Timer(0.5, token.cancel).start()
    with pytest.raises(Cancelled):
        run_suite([sys.executable, "-c", "import time; time.sleep(60)"], project, cancel=token)


def test_root_of_the_file_system_is_no_project() -> None:
    """The root of the file system is refused, never copied."""
    with pytest.raises(UserError) as caught:
        run_suite([sys.executable, "-c", ""], Path("/"))
    assert caught.value.code == "no-sandbox"


FOLDERS = """
import os, shutil
shutil.rmtree("replaced")
os.makedirs("replaced/inner")
open("replaced/same.txt", "w").write("same")
open("replaced/other.txt", "w").write("new")
os.mkdir("empty")
os.makedirs("full/deep")
open("full/deep/file.txt", "w").close()
shutil.rmtree("whole")
os.rmdir("hollow")
os.makedirs("made/__pycache__")
os.remove("file")
os.mkdir("file")
shutil.rmtree("tree")
open("tree", "w").close()
os.chmod("mode.txt", 0o755)
os.remove("link")
os.symlink("elsewhere", "link")
if os.path.isdir(".git"):
    open(".git/refs/heads/main", "w").write("another commit")
    open(".git/index", "w").write("times")
"""


@pytest.mark.parametrize("way", WAYS)
def test_folders_and_the_repository_itself_are_watched(project: Path, way: Way) -> None:
    """Replaced, emptied and new folders, links and modes are told, and so is what the run did to git's own files."""
    for name in ("replaced/deep", "whole/deep", "hollow", "tree", ".git/refs/heads"):
        (project / name).mkdir(parents=True)
    texts = {"replaced/gone.txt": "g", "replaced/same.txt": "same", "replaced/other.txt": "o", "replaced/deep/d": "d"}
    texts |= {"whole/a.txt": "a", "whole/deep/b.txt": "b", "file": "f", "tree/leaf": "l", "mode.txt": "m"}
    texts |= {".git/refs/heads/main": "a commit", ".git/index": "timex"}
    for name, text in texts.items():
        (project / name).write_text(text, "utf-8")
    (project / "link").symlink_to("data.txt")
    done = run(project, FOLDERS, way)
    assert done.exit_status == 0, done.output
    told = {change.path: change.kind for change in done.changed_files}
    if way == "copy":  # it has no repository, and what is written again has another time
        assert told.pop("replaced/same.txt") == "changed"
        told[".git/refs/heads/main"] = "changed"
    assert told == {
        ".git/refs/heads/main": "changed",
        "empty/": "added",
        "file/": "changed",
        "full/deep/file.txt": "added",
        "hollow/": "deleted",
        "link": "changed",
        "made/": "added",
        "mode.txt": "changed",
        "replaced/deep/": "deleted",
        "replaced/gone.txt": "deleted",
        "replaced/inner/": "added",
        "replaced/other.txt": "changed",
        "tree": "changed",
        "whole/": "deleted",
    }


CLOSER = """
import os
os.mkdir("made")
open("made/file.txt", "w").close()
os.chmod("made", 0)
os.chmod("closed", 0)
"""


@pytest.mark.parametrize("way", WAYS)
def test_folders_that_the_run_closed_are_looked_into(project: Path, way: Way) -> None:
    """A folder that nobody may list any more is told as changed, with what is in it, and the outcome still stands."""
    (project / "closed").mkdir()
    (project / "closed" / "stays.txt").write_text("s", "utf-8")
    done = run(project, CLOSER, way)
    assert done.exit_status == 0, done.output
    told = {(change.path, change.kind) for change in done.changed_files}
    assert told == {("made/file.txt", "added"), ("closed/", "changed")}
