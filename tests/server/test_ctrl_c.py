"""Ctrl-C on a terminal while a talk begins: it ends in good order, leaves nothing behind, and never waits for ever."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import Cancelled
from aqe.engine.index import IndexReport, index_scope
from aqe.engine.lease import take_lease
from aqe.engine.memory import open_store
from aqe.engine.sessions import SessionTable
from aqe.engine.sync import Engine
from aqe.server.cli.query import refresh_index

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")

PATIENCE_S = 60
CTRL_C = b"\x03"

EARLY = """
import importlib.abc, os, signal, sys, threading, time

class AsTheThreadBegins(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "anyio._backends._asyncio" and threading.current_thread() is not threading.main_thread():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

sys.meta_path.insert(0, AsTheThreadBegins())
from aqe.server.cli import main
sys.argv = ["aqe", "sessions", "chat", "pricing", "What is a total?"]
sys.exit(main())
"""

WAITED_FOR = """
import sys, threading, time
from aqe.server.cli import main
threading.Thread(target=time.sleep, args=(600,)).start()
sys.argv = ["aqe", "sessions", "chat", "pricing"]
sys.exit(main())
"""


DONE = """
import os, signal, sys, threading, time

def press():
    while threading.main_thread().is_alive():  # which it is no more once Python waits for its threads
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(600)

from aqe.server.cli import main
threading.Thread(target=press).start()
sys.argv = ["aqe", "--version"]
sys.exit(main())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one text, and a store."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    (tmp_path / "prices.md").write_text("# Prices\n\nTotals are rounded half up to the cent.\n")
    open_store(tmp_path).close()
    return tmp_path


class Talk:
    """`aqe sessions chat` on a terminal of its own."""

    def __init__(self, project: Path, *words: str) -> None:
        import pty

        self.pid, self._ours = pty.fork()
        if not self.pid:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(project)
            os.environ["TERM"] = "xterm"
            command = [sys.executable, "-m", "aqe.server.cli", "sessions", "chat", *words]
            os.execv(sys.executable, command)
        self.seen = ""

    def until(self, pattern: str) -> None:
        """Read what it shows until that is there, or its end."""
        while not re.search(pattern, self.seen):
            if not (part := self._read()):
                raise AssertionError(f"it ended after {self.seen!r}")
            self.seen += part

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def status(self) -> int:
        """How it ended, once it has."""
        while part := self._read():
            self.seen += part
        os.close(self._ours)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> str:
        try:
            return os.read(self._ours, 4096).decode("utf-8", "replace")
        except OSError:  # the end of a terminal on Linux
            return ""


@pytest.fixture
def indexed_elsewhere(project: Path) -> Iterator[Path]:
    """A project that another process is indexing."""
    with open_store(project) as store:
        lease = take_lease(store, index_scope(store))
        assert lease is not None
        yield project
        lease.release()


def names(project: Path) -> list[str]:
    """The names of all sessions."""
    with open_store(project) as store:
        return [one.name for one in SessionTable(store).list(every=True)]


@pytest.mark.services
def test_talk_that_was_interrupted_before_its_first_question_leaves_no_session(indexed_elsewhere: Path) -> None:
    """A Ctrl-C while the project is indexed, or at the prompt, ends the talk and makes no session of its name."""
    talk = Talk(indexed_elsewhere, "pricing", "What is a total?", "--context", "Totals are in euros.")
    talk.until("Waiting for another process")
    talk.type(CTRL_C)
    assert talk.status() == 130
    assert "[cancelled]" in talk.seen
    assert names(indexed_elsewhere) == []


def test_talk_left_at_its_first_prompt_leaves_no_session(project: Path) -> None:
    """A Ctrl-C at the prompt ends the talk on a line of its own; a session is made by a question alone."""
    talk = Talk(project, "pricing")
    talk.until("> ")
    talk.type(CTRL_C)
    assert talk.status() == 130
    assert re.search(r"\^C(\x1b\[\?25h)?\r\nInterrupted\. \[cancelled\]\r\n$", talk.seen)
    assert names(project) == []


@pytest.mark.services
def test_talk_is_a_session_from_its_first_question_on(project: Path) -> None:
    """What was asked before the Ctrl-C is kept."""
    talk = Talk(project, "pricing")
    talk.until("> ")
    talk.type(b"How are totals rounded?\n")
    talk.until("half up to the cent(?s:.)*> ")
    talk.type(CTRL_C)
    assert talk.status() == 130
    assert names(project) == ["pricing"]


@pytest.mark.services
def test_ctrl_c_while_the_engines_thread_begins_ends_the_command(project: Path) -> None:
    """A Ctrl-C in the moment in which the engine's thread is there and takes no calls yet is one like any other."""
    run = subprocess.run(
        [sys.executable, "-c", EARLY], cwd=project, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "Interrupted. [cancelled]\n")


def test_first_ctrl_c_after_the_work_ends_a_command_that_waits_for_its_threads(project: Path) -> None:
    """What was asked for is done: the process ends at once, with its own status and without a word."""
    run = subprocess.run(
        [sys.executable, "-c", DONE], cwd=project, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("aqe ")


def test_ctrl_c_at_the_very_end_of_the_indexing_is_one(project: Path) -> None:
    """Pressed when the last file was read, it still keeps the question from being asked."""

    class PressedAtItsEnd(Engine):
        def index(self, *given: Any, **named: Any) -> IndexReport:
            report = super().index(*given, **named)
            os.kill(os.getpid(), signal.SIGINT)
            return report

    with PressedAtItsEnd.open(project, providers=()) as engine, pytest.raises(Cancelled):
        refresh_index(engine, quiet=True)


@pytest.mark.services
def test_second_ctrl_c_ends_a_command_that_waits_for_its_threads(project: Path) -> None:
    """Whatever Python still waits for when the work was broken off, the next Ctrl-C ends the process."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WAITED_FOR], cwd=project, text=True, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("How are totals rounded?\n")
        process.stdin.flush()
        assert "half up" in process.stdout.readline()
        while "request" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "Interrupted. [cancelled]\n"
        time.sleep(0.1)  # until Python waits for the thread, which tells nobody
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) in (130, -signal.SIGINT)
        assert process.stderr.read() == ""
