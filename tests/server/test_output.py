"""What verbs print: progress on terminals only, JSON that any reader can decode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from aqe.server.cli.output import as_json, json_object, print_json

SPEAKER = """
import time
from aqe.server.cli.output import terminal_progress
with terminal_progress() as progress:
    for step in range(4):
        progress(f"Trying call {step}", step, 4)
        time.sleep(0.3)
print("done")
"""


@dataclass(frozen=True)
class Part:
    """A small report."""

    path: Path
    pairs: tuple[tuple[int, int], ...]


@pytest.mark.services
def test_piped_progress_says_nothing() -> None:
    """Where stderr is no terminal, progress writes not a byte."""
    run = subprocess.run([sys.executable, "-c", SPEAKER], capture_output=True, text=True, timeout=30, check=False)
    assert (run.stdout, run.stderr) == ("done\n", "")


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_terminal_sees_each_step() -> None:
    """On a terminal the line says what is being done, and changes."""
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SPEAKER], stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:  # the end of a terminal on Linux
            pass
        assert process.wait(10) == 0
    os.close(ours)
    assert sum(f"Trying call {step}".encode() in seen for step in range(4)) >= 3


def test_reports_become_json_with_their_schema(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A dataclass is printed as one object that begins with its schema's name, and kept in `.aqe/results`."""
    report = Part(Path("a/b.py"), ((1, 2),))
    assert as_json({"all": [report]}) == {"all": [{"path": "a/b.py", "pairs": [[1, 2]]}]}
    print_json("verify", report, project=tmp_path)
    printed = capsys.readouterr().out
    assert printed == '{"schema": "aqe.verify/1", "path": "a/b.py", "pairs": [[1, 2]]}\n'
    assert json.loads((tmp_path / ".aqe" / "results" / "verify.json").read_text()) == json.loads(printed)


def test_odd_file_names_survive_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A file name that is no UTF-8 is percent-encoded instead of breaking the output."""
    print_json("verify", {"file": "caf\udce9.py"})
    assert json.loads(capsys.readouterr().out)["file"] == "caf%E9.py"


def test_unwritable_project_still_prints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A result that cannot be kept is printed all the same."""
    (tmp_path / ".aqe").write_text("in the way")
    print_json("verify", {"a": 1}, project=tmp_path)
    assert json.loads(capsys.readouterr().out) == json_object("verify", {"a": 1})
