"""`aqe verify` as a user meets it: the table, the JSON object, the exit statuses."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aqe.agents.inject._aqe_inject.zygote import descendants
from aqe.server.cli.app import main

GOOD = "from sums import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
BAD = "from sums import add\n\n\ndef test_wrong():\n    assert add(2, 3) == 6\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.aqe]\n")
    (tmp_path / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "test_sums.py").write_text(GOOD)
    (tmp_path / "test_wrong.py").write_text(BAD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_verify_prints_a_table_and_totals(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verbose report has a row for each test, the totals and the sandbox that held."""
    assert main(["verify", "test_sums.py", "--runs", "2", "--verbose"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("test_sums.py::test_add"))
    assert row.split()[1:3] == ["stable", "2/2"]
    assert out.splitlines()[1].split() == ["stable", "1", "of", "1", "100.0", "%"]
    assert "100.0 %" in next(line for line in out.splitlines() if line.startswith("  lines"))
    assert "Sandbox: " in out


@pytest.mark.services
def test_verify_json_is_one_object(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json stdout holds one object with its schema, and the same object is kept in .aqe/results."""
    assert main(["verify", "test_sums.py", "test_wrong.py", "--runs", "2", "--mutants", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "aqe.verify/1"
    verdicts = {test["name"]: test["verdict"] for test in answer["evidence"]["tests"]}
    assert verdicts == {"test_sums.py::test_add": "stable", "test_wrong.py::test_wrong": "failing"}
    assert json.loads((project / ".aqe" / "results" / "verify.json").read_text()) == answer


def test_gate_fails_on_a_failing_test(project: Path) -> None:
    """With --gate the command exits 1 when a test does not hold."""
    assert main(["verify", "test_wrong.py", "--runs", "1", "--mutants", "0", "--gate"]) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nowhere.py"], "no-such-path"),
        (["sums.py", "--mutants", "many"], "usage"),
        (["test_sums.py", "--subject", "nowhere"], "module-not-found"),
        (["sums.py", "--subject", "sums"], "no-tests"),
        (["test_sums.py", "--budget", "soon"], "bad-budget"),
    ],
)
def test_mistakes_exit_2_with_a_code(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    """A mistake is one sentence with its code on stderr and exit status 2."""
    assert main(["verify", *words]) == 2
    said = capsys.readouterr().err
    assert f"[{code}]" in said
    assert "Traceback" not in said


@pytest.mark.services
def test_paths_are_found_from_here_then_from_the_project(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """With --project elsewhere, test files and subjects are found in the project; a miss names both places."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    words = ["--project", str(project), "--runs", "1", "--mutants", "0"]
    assert main(["verify", "test_sums.py", "--subject", "sums.py", *words]) == 0
    assert "stable        1 of 1" in capsys.readouterr().out
    assert main(["execute", "test_sums.py", "--project", str(project)]) == 0
    assert "1 test in" in capsys.readouterr().out
    for verb in ("verify", "execute", "generate"):
        assert main([verb, "nowhere.py", "--project", str(project)]) == 2
        said = capsys.readouterr().err
        assert f"'nowhere.py' in '{elsewhere}' or '{project}'" in said
        assert "[no-such-path]" in said


@pytest.mark.services
def test_generated_files_are_named_as_seen_from_here(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From above the project, --out lies in the project, and the path that is printed exists from where one stands."""
    monkeypatch.chdir(project.parent)
    words = ["--project", project.name, "--out", "made", "--evaluations", "20", "--json"]
    assert main(["generate", "sums.py", *words]) == 0
    (name,) = json.loads(capsys.readouterr().out)["files"]
    assert name == f"{project.name}/made/test_sums.py"
    assert Path(name).is_file()


def test_ctrl_c_ends_verify_at_once(project: Path) -> None:
    """Ctrl-C while boxes are at work ends the command with status 130, long before the test that sleeps in them, and
    leaves no process of it."""
    (project / "test_slow.py").write_text("import time, sums\ndef test_slow():\n    time.sleep(600)\n")
    command = [sys.executable, "-m", "aqe.server.cli", "verify", "test_slow.py", "--budget", "600"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(at_work := descendants(process.pid)) < 4 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "[cancelled]" in said
    end = time.monotonic() + 30
    while (left := [pid for pid in at_work if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


STUCK = """
import os
import time

from sums import add


def test_stuck_with_hash_seeds():
    time.sleep(0 if os.environ["PYTHONHASHSEED"] == "0" else 60)
    assert add(2, 3) == 5
"""


@pytest.mark.services
def test_ctrl_c_reports_the_runs_that_ended(project: Path) -> None:
    """SIGINT after one of five runs is answered at once, and the report of that run comes with status 130."""
    (project / "test_stuck.py").write_text(STUCK)
    main_end, its_end = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "aqe.server.cli", "verify", "test_stuck.py", "--gate"],
        stdout=subprocess.PIPE, stderr=its_end, text=True, start_new_session=True, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(its_end)
    shown = b""
    with contextlib.suppress(OSError):
        while b"run 1 of 5" not in shown:
            shown += os.read(main_end, 65536)
        command.send_signal(signal.SIGINT)
        while b"Stopping" not in shown:
            shown += os.read(main_end, 65536)
    threading.Thread(target=drain, args=(main_end,), daemon=True).start()
    out, _ = command.communicate(timeout=60)
    assert b"Stopping: what is known of the tests so far follows." in shown
    assert command.returncode == 130, out
    assert out.startswith("Stopped by Ctrl-C: the figures are of what was done until then.\n")
    assert "stable        1 of 1" in out
    assert "Note: stopped by Ctrl-C: 1 of 5 shuffled runs ended; not done: " in out


def drain(descriptor: int) -> None:
    """Read what a terminal still gets, so that nobody waits for room in it."""
    with contextlib.suppress(OSError):
        while os.read(descriptor, 65536):
            pass
