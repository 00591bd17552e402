"""Temporary folders: removed at the end, and by the next process where their own was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from aqe.engine.scratch import YOUNG_S, scratch_folder, sweep

KILLED = """
import os, signal
from aqe.engine.scratch import scratch_folder
with scratch_folder("killed") as folder:
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    print(folder, flush=True)
    input()
    os.kill(os.getpid(), signal.SIGKILL)
"""
FULL = """
import fcntl, os, resource, tempfile
from aqe.engine.scratch import scratch_folder
tempfile.gettempdir()  # which tries to make a file
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        os.open(os.devnull, os.O_RDONLY)
except OSError:
    pass
try:
    with scratch_folder("full"):
        print("made")
except OSError:
    print("refused")
"""
LATER_S = YOUNG_S + 60


def test_a_folder_ends_with_its_work() -> None:
    """The folder is there during the work and gone after it, with all that is in it."""
    with scratch_folder("work") as folder:
        (folder / "file").touch()
        assert folder == folder.resolve()
        assert folder.name.startswith("aqe-work.")
    assert not folder.exists()


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    """While the process lives its folder stays, however old; once it was killed the next sweep takes the folder, unless
    that was touched a moment ago."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert sweep(str(tmp_path), time.time() + LATER_S) == 0
        assert folder.is_dir()
        process.communicate("\n")
    assert folder.is_dir()
    assert sweep(str(tmp_path), time.time()) == 0
    assert sweep(str(tmp_path), time.time() + LATER_S) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_locked_is_not_made(tmp_path: Path) -> None:
    """A process that may open no more files gets no folder, since the sweep would take it for one of a killed one."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", FULL], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    """Folders of other names, files, and links stay, and so does what a link points at."""
    (tmp_path / "aqe-corpus").mkdir()
    (tmp_path / "aqe-demo-abcd1234").mkdir()
    (tmp_path / "aqe-work.abcd1234").touch()
    (tmp_path / "aqe-work.efgh5678").symlink_to(tmp_path / "aqe-corpus")
    assert sweep(str(tmp_path), time.time() + LATER_S) == 0
    assert len(list(tmp_path.iterdir())) == 4
