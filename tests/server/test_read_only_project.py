"""A project of somebody else, where nothing can be written, is looked at."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aqe.engine.memory.care.restoring import change_key

pytestmark = pytest.mark.services
Run = Callable[..., tuple[int, str, str]]

LOOK = """
import ctypes, os, sys
if os.geteuid() == 0:  # root without its capabilities is bound by the rights of the folder
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
from aqe.server.cli import main
for words in sys.argv[1:]:
    print(f"[{main(words.split())}]", flush=True)
"""


def looked(*commands: str) -> list[str]:
    """What each command prints in a process that may write nothing here, with its status."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *commands], capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout.split("]\n")[:-1]


@contextmanager
def sealed() -> Iterator[None]:
    """The project in the working directory without a right to write in it."""
    paths = [Path(".").absolute(), *Path(".").absolute().rglob("*")]
    before = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(path.stat().st_mode & 0o555)
    try:
        yield
    finally:
        for path, mode in zip(paths, before, strict=True):
            path.chmod(mode)


def test_everything_that_only_looks_works_without_a_right_to_write(in_process: Run, tmp_path: Path) -> None:
    """Lists, searches, figures, exports, backups and dry runs answer as ever, and no file changes."""
    in_process("memory", "add", "dates are parsed", "--id", "first")
    in_process("memory", "snapshot", "good")
    in_process("memory", "add", "sockets are closed", "--id", "second")
    in_process("memory", "backup", str(tmp_path / "b.db"))
    before = sorted((str(path), path.stat().st_mtime_ns) for path in Path(".").rglob("*"))
    with sealed():
        found = looked(
            "memory list",
            "memory search dates",
            "memory snapshots",
            "stats",
            "memory diff good",
            f"memory export {tmp_path / 'e.jsonl'}",
            f"memory backup {tmp_path / 'i.db'} --since {tmp_path / 'b.db'}",
            f"memory restore {tmp_path / 'i.db'} --dry-run",
            "memory rollback good --dry-run",
            "memory merge --dry-run",
            "memory add another",
        )
    assert [one.rpartition("[")[2] for one in found] == ["0"] * 10 + ["2"]
    assert found[0] == "second  default  sockets are closed\nfirst  default  dates are parsed\n[0"
    assert found[1].splitlines()[0].endswith("first  default  dates are parsed")
    assert found[2].splitlines()[0].endswith("1  good")
    assert "memories    2 (2 with a vector" in found[3]
    assert "restored: 2 memories in place of 2" in found[7]
    assert sorted((str(path), path.stat().st_mtime_ns) for path in Path(".").rglob("*")) == before


def test_store_of_an_earlier_version_is_looked_at(
    in_process: Run, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the first version in such a project is brought up to date in memory, and stays as it is; an encrypted
    one is refused."""
    assert in_process("memory", "add", "to make the folder")[0] == 0
    stored = repository / "tests" / "engine" / "stored" / "v1.db"
    shutil.copyfile(stored, ".aqe/aqe.db")
    with sealed():
        listed, stats = looked("memory list", "stats")
    assert (listed.count("  default  "), listed[-2:], stats[-2:]) == (3, "[0", "[0")
    assert Path(".aqe/aqe.db").read_bytes() == stored.read_bytes()
    change_key(Path(".aqe/aqe.db"), None, "a key")
    monkeypatch.setenv("AQE_DB_KEY", "a key")
    with sealed():
        assert looked("memory list") == ["[2"]
