"""Files that aqe writes: marked, whole, one writer at a time; results and budgets beside them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.engine.budget import format_budget, parse_budget
from aqe.engine.errors import UserError
from aqe.engine.marker import is_ours, lock_target, mark, write_atomic
from aqe.engine.results import prune, read_result, write_result


def test_marked_file_is_ours_until_it_is_edited(tmp_path: Path) -> None:
    """A file as aqe wrote it is ours; one edited letter makes it somebody else's."""
    path = tmp_path / "test_x.py"
    write_atomic(path, mark("def test_x():\n    assert 1\n"))
    assert is_ours(path)
    path.write_text(path.read_text().replace("assert 1", "assert 2"))
    assert not is_ours(path)


def test_line_ends_do_not_make_a_file_foreign(tmp_path: Path) -> None:
    """A checkout with CRLF and a BOM is still ours."""
    path = tmp_path / "test_x.py"
    path.write_bytes(b"\xef\xbb\xbf" + mark("a = 1\nb = 'ü'\n").replace("\n", "\r\n").encode())
    assert is_ours(path)


@pytest.mark.parametrize("content", [b"", b"x = 1\n", b"\xff\xfe\x00", b"# Written by aqe; edit freely\nx = 1\n"])
def test_file_without_our_mark_is_not_ours(tmp_path: Path, content: bytes) -> None:
    """Empty, unmarked, undecodable and half-marked files are somebody else's, and so is a missing one."""
    path = tmp_path / "f.py"
    path.write_bytes(content)
    assert not is_ours(path)
    assert not is_ours(tmp_path / "missing.py")


def test_writing_keeps_the_mode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    """A rewritten file keeps its permissions; no temporary file stays."""
    path = tmp_path / "a.py"
    write_atomic(path, "one")
    path.chmod(0o640)
    write_atomic(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """When there is no space the old file stands whole, nothing lies beside it, and the error says disk-full."""
    path = tmp_path / "a.py"
    path.write_text("old")
    script = (
        "import resource, sys; from pathlib import Path; from aqe.engine.errors import UserError\n"
        "from aqe.engine.marker import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomic(Path(sys.argv[1]), 'new ' * 1000)\n"
        "except UserError as error: print(error.code)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "disk-full\n"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_one_error(tmp_path: Path) -> None:
    """Writing into a folder that is not there is said in one sentence."""
    with pytest.raises(UserError) as caught:
        write_atomic(tmp_path / "nowhere" / "a.py", "x")
    assert caught.value.code == "project-read-only"


def test_second_writer_of_a_target_is_told_who_writes(tmp_path: Path) -> None:
    """While one run holds a target another gets its process number; other targets are free; afterwards it is free."""
    with lock_target(tmp_path, "tests/test_a.py"), lock_target(tmp_path, "tests/test_b.py"):
        with pytest.raises(UserError, match=str(os.getpid())) as caught, lock_target(tmp_path, "tests/test_a.py"):
            pass
        assert caught.value.code == "target-busy"
    with lock_target(tmp_path, "tests/test_a.py"):
        pass


def test_lock_of_a_killed_run_holds_nobody(tmp_path: Path) -> None:
    """A run that was killed leaves no lock behind."""
    script = (
        "import os, sys; from pathlib import Path; from aqe.engine.marker import lock_target\n"
        "with lock_target(Path(sys.argv[1]), 't'): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9
    left = json.loads(next((tmp_path / ".aqe" / "locks").iterdir()).read_text())
    assert set(left) == {"pid", "since", "target"}
    with lock_target(tmp_path, "t"):
        pass


def test_result_is_kept_and_read_back(tmp_path: Path) -> None:
    """The last result of a command is whole JSON under its name, odd file names percent-encoded."""
    write_result(tmp_path, "memory search", {"file": "caf\udce9.py", "n": 1})
    path = write_result(tmp_path, "memory search", {"file": "caf\udce9.py", "n": 2})
    assert path == tmp_path / ".aqe" / "results" / "memory-search.json"
    assert read_result(tmp_path, "memory search") == {"file": "caf%E9.py", "n": 2}


def test_encrypted_project_keeps_no_clear_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AQE_DB_KEY set no result is written, and one from before is removed."""
    path = write_result(tmp_path, "verify", {"secret": 1})
    monkeypatch.setenv("AQE_DB_KEY", "k")
    write_result(tmp_path, "verify", {"secret": 2})
    assert not path.exists()


def test_missing_or_damaged_result_is_an_error(tmp_path: Path) -> None:
    """A command that has not run, or whose result is damaged, is said to be so."""
    with pytest.raises(UserError, match="aqe verify") as caught:
        read_result(tmp_path, "verify")
    assert caught.value.code == "no-result"
    write_result(tmp_path, "verify", {}).write_text("{")
    with pytest.raises(UserError) as caught:
        read_result(tmp_path, "verify")
    assert caught.value.code == "no-result"


def test_oldest_results_are_pruned(tmp_path: Path) -> None:
    """Beyond the limit the oldest files go, never the one just written."""
    for age, name in enumerate(("new", "middle", "old")):
        file = tmp_path / name
        file.write_bytes(b"x" * 100)
        os.utime(file, (1_000_000 - age, 1_000_000 - age))
    assert prune(tmp_path, 150, keep=tmp_path / "old") == 2
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("20", 20), ("20s", 20), ("2m", 120), (" 1.5M ", 90), ("0.5", 0.5), (3, 3)]
)
def test_budget_is_seconds_or_minutes(text: str | float, seconds: float) -> None:
    """20, 20s and 2m are times."""
    assert parse_budget(text) == seconds
    assert parse_budget(format_budget(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "2x", "nan", "inf", "1e9", "٢", "m", True, float("inf"), "20 s x"])
def test_budget_that_is_no_time_is_refused(text: str | float) -> None:
    """Anything that is not a positive time is an error that shows the form."""
    with pytest.raises(UserError, match="20s") as caught:
        parse_budget(text)
    assert caught.value.code == "bad-budget"


@pytest.mark.parametrize("text", ["169h", "9" * 20, 10**400, 604_801, 1e300])
def test_budget_of_more_than_a_week_is_refused(text: str | float) -> None:
    """A time that is longer than systems wait for is an error that says the longest."""
    with pytest.raises(UserError, match="168h") as caught:
        parse_budget(text)
    assert caught.value.code == "bad-budget"
    assert parse_budget("168h") == parse_budget(604_800) == 604_800
