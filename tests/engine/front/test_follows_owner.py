"""An engine that may only read a store sees what its owner writes meanwhile, and writes as soon as it may."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.opening import open_store
from aqe.engine.sync import Engine

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX modes")

READER = """
import ctypes, os, sys
if os.geteuid() == 0:  # root without its capabilities is bound by the rights of the folder
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
from pathlib import Path
from aqe.engine.errors import UserError
from aqe.engine.memory.opening import open_or_read
from aqe.engine.sync import Engine

def keep_reading(transaction):
    with transaction as connection:
        connection.execute("SELECT text FROM memories LIMIT 1").fetchall()
        print("reading", flush=True)
        sys.stdin.readline()
        return connection.execute("SELECT sum(length(text)) FROM memories").get

with Engine.open(sys.argv[1]) as engine, open_or_read(Path(sys.argv[1]))[0] as store:
    works = {
        "search": lambda: len(engine.search("refund rounded", namespace="default", k=400).hits),
        "vector": lambda: len(engine.search(vector=[1.0, 0.5], k=400, embedder_id="own").hits),
        "list": lambda: len(store.list(limit=1000)),
        "keep": lambda: engine.remember("A refund of a voucher is rounded.").existed,
        "ask": lambda: bool(engine.query("How is a refund rounded?").context),
        "read": lambda: keep_reading(store.reading()),
        "look": lambda: keep_reading(store.looking()),
    }
    print("open", flush=True)
    for line in sys.stdin:
        try:
            print(works[line.strip()](), flush=True)
        except UserError as error:
            print(error.code, flush=True)
"""

Ask = Callable[[str], str]


@contextmanager
def reader(project: Path) -> Iterator[Ask]:
    """A process that opened an engine and a store of a project where it may not write; what it says to each request."""
    with sealed(project):
        command = [sys.executable, "-c", READER, str(project)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        try:
            assert stdout.readline() == "open\n"

            def ask(request: str) -> str:
                stdin.write(f"{request}\n")
                stdin.flush()
                return stdout.readline().strip()

            yield ask
        finally:
            process.communicate(timeout=60)
    assert process.returncode == 0


@contextmanager
def sealed(project: Path, mode: int = 0o555) -> Iterator[None]:
    """The store of the project under other rights."""
    paths = [project / ".aqe", *(project / ".aqe").rglob("*")]
    before = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(path.stat().st_mode & mode)
    try:
        yield
    finally:
        for path, mode in zip(paths, before, strict=True):
            if path.exists():
                path.chmod(mode)


def unsealed(project: Path) -> None:
    for path in (project / ".aqe", *(project / ".aqe").rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


@contextmanager
def owned(project: Path) -> Iterator[Store]:
    """The store as its owner has it open, who alone may write."""
    unsealed(project)
    with open_store(project) as store:
        with sealed(project):
            yield store
        unsealed(project)
    for path in (project / ".aqe", *(project / ".aqe").rglob("*")):
        path.chmod(path.stat().st_mode & 0o555)


def written(store: Store, first: int, last: int) -> None:
    own = {"namespace": "default", "embedder_id": "own"}
    texts = [f"A refund is rounded half up in the case of customer {number}. " * 20 for number in range(first, last)]
    store.add_many([NewMemory(text, vector=[1.0, number / 400], **own) for number, text in enumerate(texts, first)])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a few memories."""
    (tmp_path / "pyproject.toml").write_text("[tool.aqe]\n", "utf-8")
    with open_store(tmp_path) as store:
        written(store, 0, 10)
    return tmp_path


def test_reader_sees_what_the_owner_writes(project: Path) -> None:
    """Memories that the owner adds are found at once, while the store is open there and after it was closed."""
    with reader(project) as ask:
        assert [ask("search"), *[ask("vector") for _ in range(5)]] == ["10"] * 6
        with owned(project) as store:
            written(store, 10, 60)
            assert [ask("vector"), ask("search")] == ["60", "60"]
        assert [ask("search"), ask("vector")] == ["60", "60"]
        with owned(project) as store:
            written(store, 60, 200)
        assert [ask("search"), ask("vector"), ask("ask")] == ["200", "200", "True"]


@pytest.mark.services
@pytest.mark.parametrize("way", ["read", "look"])
def test_file_that_changes_while_it_is_read_is_not_called_broken(project: Path, way: str) -> None:
    """A reader in whose transaction the owner writes into the file is told to ask again, and then finds all."""
    with reader(project) as ask:
        assert ask(way) == "reading"
        with owned(project) as store:
            written(store, 10, 300)
        assert ask("") == "database-locked"
        assert [ask("search"), ask("vector")] == ["300", "300"]


def test_reader_writes_as_soon_as_it_may(project: Path) -> None:
    """A memory is refused until the rights are there, and kept then; so are the requests that are asked."""
    with reader(project) as ask:
        assert [ask("keep"), ask("ask")] == ["project-read-only", "True"]
        unsealed(project)
        assert [ask("keep"), ask("search"), ask("ask")] == ["False", "11", "True"]
    with Engine.open(project) as engine:
        assert engine.stats().queries == 1


@pytest.mark.services
def test_copy_of_an_earlier_version_takes_nothing(project: Path, repository: Path) -> None:
    """A store of an earlier version, which is read from a copy in memory, refuses a memory instead of losing it with
    the copy, and shows what the owner has after bringing it up to date."""
    shutil.copy(repository / "tests/engine/stored/v18.db", project / ".aqe" / "aqe.db")
    with reader(project) as ask:
        before = int(ask("list"))
        assert [ask("keep"), int(ask("list"))] == ["project-read-only", before]
        with owned(project) as store:
            written(store, 0, 10)
        assert int(ask("list")) == before + 10
