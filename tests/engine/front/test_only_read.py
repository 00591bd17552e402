"""An engine on a store that cannot be written answers from what is there, and says once that nothing is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.engine.sync import Engine

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX modes")

ASKS = """
import ctypes, os, sys
if os.geteuid() == 0:  # root without its capabilities is bound by the rights of the folder
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
from aqe.engine.errors import UserError
from aqe.engine.sync import Engine
with Engine.open(sys.argv[1]) as engine:
    answer = engine.query("How is a refund rounded?")
    print(answer.answered, "half up" in answer.text, len(engine.search("refund", namespace="default").hits))
    print(engine.stats().store.memories > 1, [one.name for one in engine.sessions.list()])
    for change in (
        lambda: engine.remember("another"),
        lambda: engine.query("And a voucher?", session="talk"),
        lambda: engine.index(),
    ):
        try:
            change()
        except UserError as error:
            print(error.code)
"""


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A project with a memory and a session, whose `.aqe` nobody may write to."""
    (tmp_path / "pyproject.toml").write_text("[tool.aqe]\n", "utf-8")
    with Engine.open(tmp_path) as engine:
        engine.remember("A refund is rounded half up to the cent.")
        engine.query("How is a refund rounded?", session="talk")
    for path in ((tmp_path / ".aqe").rglob("*"), (tmp_path / ".aqe",)):
        for one in path:
            one.chmod(one.stat().st_mode & 0o555)
    return tmp_path


def test_engine_answers_where_nothing_can_be_written(sealed: Path) -> None:
    """Questions, searches, figures and sessions are read; each change is refused; the log has one sentence."""
    command = [sys.executable, "-c", ASKS, str(sealed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = ["True True 1", "True ['talk']", *["project-read-only"] * 3]
    assert done.stdout.splitlines() == said, done.stderr
    (told,) = done.stderr.splitlines()
    assert told.startswith("Nothing is kept for now, what is there is only read: ")
