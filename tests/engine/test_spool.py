"""Test outcomes from the spool: each line once, none lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.memory import Store, open_store
from aqe.engine.spool import HALF_LINE_S, LINGER_S, Ingested, ingest


def line(**facts: Any) -> bytes:
    whole = {"run": "r1", "nodeid": "tests/test_a.py::test_a", "outcome": "passed", "duration_s": 0.25, "order": 3}
    whole |= {"seed": None, "python": "3.12.1", "platform": "linux", "worker": "gw0", "started_at": 17, **facts}
    return json.dumps(whole).encode() + b"\n"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / ".aqe" / "spool"
    folder.mkdir(parents=True)
    return folder


def nodeids(store: Store) -> list[str]:
    with store.reading() as connection:
        return [nodeid for (nodeid,) in connection.execute("SELECT nodeid FROM test_runs ORDER BY row")]


def test_outcomes_are_rows_with_all_facts(store: Store, spool: Path, tmp_path: Path) -> None:
    """A line becomes a row; what has no column of its own is kept as JSON."""
    (spool / "r1-gw0.jsonl").write_bytes(line(seed=42, tz="UTC", hash_seed=7))
    assert ingest(store, tmp_path) == Ingested(files=1, outcomes=1)
    with store.reading() as connection:
        row = connection.execute(
            "SELECT run, nodeid, outcome, duration_s, position, seed, python, worker, started_at, facts FROM test_runs"
        ).fetchone()
    assert row is not None
    assert row[:9] == ("r1", "tests/test_a.py::test_a", "passed", 0.25, 3, "42", "3.12.1", "gw0", 17)
    assert json.loads(row[9]) == {"tz": "UTC", "hash_seed": 7}


def test_lines_are_taken_once(store: Store, spool: Path, tmp_path: Path) -> None:
    """A second pass takes only what was appended since."""
    (spool / "r1-main.jsonl").write_bytes(line(nodeid="a"))
    ingest(store, tmp_path)
    assert ingest(store, tmp_path) == Ingested()
    (spool / "r1-main.jsonl").write_bytes(line(nodeid="b"))
    ingest(store, tmp_path)
    assert nodeids(store) == ["a", "b"]


def test_line_written_into_a_claimed_file_is_not_lost(store: Store, spool: Path, tmp_path: Path) -> None:
    """A writer that had the file open before it was claimed still gets its line through."""
    path = spool / "r1-main.jsonl"
    path.write_bytes(line(nodeid="a"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    ingest(store, tmp_path)
    os.write(descriptor, line(nodeid="late"))
    os.close(descriptor)
    ingest(store, tmp_path)
    assert nodeids(store) == ["a", "late"]


def test_half_a_last_line_waits_for_its_rest(store: Store, spool: Path, tmp_path: Path) -> None:
    """Of a line that is half written nothing is taken until it is whole."""
    path = spool / "r1-main.jsonl"
    whole = line(nodeid="b")
    path.write_bytes(line(nodeid="a") + whole[:20])
    ingest(store, tmp_path)
    assert nodeids(store) == ["a"]
    claimed = next(spool.iterdir())
    with claimed.open("ab") as file:
        file.write(whole[20:])
    ingest(store, tmp_path)
    assert nodeids(store) == ["a", "b"]


def test_quiet_claimed_files_go(store: Store, spool: Path, tmp_path: Path) -> None:
    """A file that was read to its end goes a minute later, one with half a line after a day."""
    (spool / "done.jsonl").write_bytes(line())
    (spool / "half.jsonl").write_bytes(line() + b'{"run"')
    ingest(store, tmp_path)
    for age, left in ((LINGER_S, {"half"}), (HALF_LINE_S, set())):
        for file in spool.iterdir():
            moment = time.time() - age - 5
            os.utime(file, (moment, moment))
        ingest(store, tmp_path)
        assert {file.name.split(".")[0] for file in spool.iterdir()} == left


def test_broken_lines_are_counted_and_passed_over(store: Store, spool: Path, tmp_path: Path) -> None:
    """What is no outcome is counted; the lines around it are taken."""
    bad = b'nope\n\xff\xfe\n[1]\n{"run":"r"}\n' + line(outcome="maybe") + line(duration_s="x")
    for odd in ([], {}, 1, None):
        bad += line(outcome=odd) + line(run=odd) + line(nodeid=odd)
    (spool / "r1-main.jsonl").write_bytes(line(nodeid="a") + bad + line(nodeid="b", started_at=1e300, odd="\ud800"))
    assert ingest(store, tmp_path) == Ingested(files=1, outcomes=2, broken_lines=18)
    assert nodeids(store) == ["a", "b"]


@pytest.mark.services
def test_processes_that_ingest_together_take_each_line_once(spool: Path, tmp_path: Path) -> None:
    """Three processes open the project while lines lie in the spool; each line is one row."""
    for worker in range(4):
        (spool / f"r1-gw{worker}.jsonl").write_bytes(b"".join(line(nodeid=f"{worker}-{n}") for n in range(300)))
    script = (
        "import sys; from pathlib import Path; from aqe.engine.memory import open_store\n"
        "open_store(Path(sys.argv[1])).close()"
    )
    openers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [opener.wait(timeout=60) for opener in openers] == [0] * 3
    with open_store(tmp_path) as store:
        taken = nodeids(store)
    assert len(taken) == len(set(taken)) == 1200


def test_opening_a_project_takes_the_spool(spool: Path, tmp_path: Path) -> None:
    """`open_store` takes in what test runs left, and stats count it."""
    (spool / "r1-main.jsonl").write_bytes(line(nodeid="a") + line(nodeid="b"))
    with open_store(tmp_path) as store:
        stats = store.stats()
    assert (stats.test_runs, stats.test_outcomes) == (1, 2)


def test_empty_or_missing_spool_is_nothing(store: Store, tmp_path: Path) -> None:
    """Without a spool there is nothing to take and nothing is made."""
    assert ingest(store, tmp_path) == Ingested()
    assert not (tmp_path / ".aqe").exists()


def test_encrypted_project_spools_nothing_in_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AQE_DB_KEY set the plugin says that it records nothing, and writes no spool file."""
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    monkeypatch.setenv("AQE_DB_KEY", "k")
    command = [sys.executable, "-m", "pytest", "--aqe", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "test_a.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "aqe: AQE_DB_KEY is set" in done.stdout
    assert list(tmp_path.rglob("*.jsonl")) == []
