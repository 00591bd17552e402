"""The memory store under many processes, and under kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.file.migrations import MIGRATIONS

NAMES = ("anna", "ben", "carl", "dora", "emil", "fred", "gus", "hugo")

WRITER = """
import sys
from pathlib import Path
from aqe.engine.memory import Store
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with Store.open(path, busy_timeout_s=60) as store:
    for number in range(count):
        store.add(f"note {number} by {name}", id=f"{name}-{number}", vector=[1.0, float(number), 2.0])
"""

VICTIM = """
import json, os, sys
from pathlib import Path
from aqe.engine.memory import Store
path, log, start = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
os.write(out, b"\\n")  # the line before may be cut off
with Store.open(path) as store:
    number = start
    while True:
        vector = [1.0, float(number % 97), float(number % 89), 0.5]
        store.add(f"acknowledged word{number}", id=str(number), vector=vector)
        os.write(out, (json.dumps([number, vector]) + "\\n").encode())
        if number % 3 == 0 and number > start + 3:
            store.update(str(number - 2), metadata={"touched": number})
        number += 1
"""


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)])


@pytest.mark.services
def test_eight_processes_with_500_writes_each_lose_nothing(tmp_path: Path) -> None:
    """8 processes that begin on a missing file and write 500 memories each leave 4,000 in rows, vectors and text."""
    path = tmp_path / "aqe.db"
    writers = [start(WRITER, path, name, 500) for name in NAMES]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 8
    with Store.open(path) as store:
        assert store.stats().memories == 4000
        assert store.stats().vectors == 4000
        with store.reading() as connection:
            assert connection.execute("SELECT count(*) FROM texts").get == 4000
            assert connection.execute("SELECT count(*) FROM vectors_1").get == 4000
            assert connection.execute("SELECT count(*) FROM migrations").get == len(MIGRATIONS)
        for name in NAMES:
            assert len(store.search(name, k=1000).hits) == 500


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """A writer killed five times in the middle of writing loses no acknowledged memory in row, vec0 or FTS5."""
    path, log = tmp_path / "aqe.db", tmp_path / "acknowledged"
    log.touch()
    for killed in range(5):
        before = log.stat().st_size
        victim = start(VICTIM, path, log, killed * 100_000)
        deadline = time.monotonic() + 30
        while log.stat().st_size < before + 2000 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.013 * killed)
        victim.send_signal(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
    acknowledged = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("]]")]
    assert len(acknowledged) > 100
    with Store.open(path) as store:
        assert_whole(store)
        for number, vector in acknowledged:
            found = store.get(str(number))
            assert found is not None
            assert found.text == f"acknowledged word{number}"
            assert store.vector(str(number)) == tuple(vector)
        for number, vector in acknowledged[::25]:
            hits = store.search(f"word{number}", k=50).hits
            assert str(number) in {hit.memory.id for hit in hits}
            nearest = store.search(vector=vector, k=50).hits
            assert nearest[0].score == pytest.approx(1.0, abs=1e-5)


def assert_whole(store: Store) -> None:
    """Rows, text index and vectors hold exactly the same current rows, and SQLite finds no damage."""
    with store.reading() as connection:
        assert connection.pragma("integrity_check") == "ok"
        rows = {row for (row,) in connection.execute("SELECT row FROM memories WHERE valid_to IS NULL")}
        assert {row for (row,) in connection.execute("SELECT rowid FROM texts")} == rows
        assert {row for (row,) in connection.execute("SELECT row FROM vectors_1")} == rows


def test_two_processes_see_each_others_writes_at_once(tmp_path: Path) -> None:
    """A write that another process has acknowledged is found by an already open store, and the other way round."""
    path = tmp_path / "aqe.db"
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from aqe.engine.memory import Store\n"
            "store = Store.open(Path(sys.argv[1]))\n"
            "for line in sys.stdin:\n"
            "    found = store.search(line.strip()).hits\n"
            "    store.add('answer to ' + line.strip(), vector=[1.0, 2.0])\n"
            "    print(len(found), flush=True)\n",
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    with Store.open(path) as store:
        for word in ("alpha", "beta", "gamma"):
            store.add(f"{word} was written here")
            other.stdin.write(f"{word}\n")
            other.stdin.flush()
            assert other.stdout.readline() == "1\n"
            assert [hit.memory.text for hit in store.search(f"answer {word}", k=1).hits] == [f"answer to {word}"]
    other.stdin.close()
    other.stdout.close()
    assert other.wait(timeout=20) == 0


def test_threads_share_a_store(tmp_path: Path) -> None:
    """Threads may use one store at once; no write is lost."""
    from concurrent.futures import ThreadPoolExecutor

    with Store.open(tmp_path / "aqe.db") as store:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: store.add(f"thread note {number}", vector=[1.0, number]), range(200)))
        assert store.stats().memories == 200
        assert_whole(store)


def test_a_writer_that_was_stopped_blocks_no_reader(tmp_path: Path) -> None:
    """While one process holds the write lock, another reads on and its write fails in one sentence."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store, Store.open(path, busy_timeout_s=0.2) as other:
        store.add("seen by all", id="a")
        with store.writing():
            assert other.get("a") is not None
            with pytest.raises(UserError) as caught:
                other.add("must wait")
            assert caught.value.code == "database-locked"
        other.add("may write now")


FORKED = """
import os, sys
from pathlib import Path
from aqe.engine.memory import Store

store = Store.open(Path(sys.argv[1]))
with store.writing_aside() as kept:
    pass
if (child := os.fork()) == 0:
    with store.writing_aside() as mine:
        os._exit(3 if mine is kept else 0)
ended = os.waitpid(child, 0)[1]
store.close()
sys.exit(os.waitstatus_to_exitcode(ended))
"""


def test_forked_process_writes_aside_on_a_connection_of_its_own(tmp_path: Path) -> None:
    """What a child writes aside does not go through the connection that its parent keeps for that."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path / "aqe.db")]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
