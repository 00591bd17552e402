"""What tests of boxes share: a project with one module of cases, and a box that is open for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.gate import Box, BoxSpec

SUBJECT = """
import os, sys, time

def double(args, emit):
    emit({"step": 1})
    print("printed")
    print("warned", file=sys.stderr)
    return {"value": args["value"] * 2}

def fail(args, emit):
    raise ValueError("wrong input")

def unanswerable(args, emit):
    return object()

def sleep(args, emit):
    time.sleep(60)

def warm(args, emit):
    return os.environ.setdefault("WARM", str(os.getpid()))

def facts(args, emit):
    return {
        "hash_seed": os.environ["PYTHONHASHSEED"], "flag": os.environ.get("FLAG"), "cwd": os.getcwd(),
        "path": sys.path[0], "draft": open(os.path.join(args["scratch"], "drafts", "a.txt")).read(),
        "home": os.path.expanduser("~"), "version": list(sys.version_info[:2]), "secret": os.environ.get("SECRET"),
        "stdin": sys.stdin.read(), "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    }

def server(args, emit):
    import socket, threading
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].sendall(b"hi"), daemon=True).start()
        with socket.create_connection(listener.getsockname()) as client:
            return client.recv(2).decode()

def processes(args, emit):
    import concurrent.futures, multiprocessing
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(abs, [-1, -2]))

def needs_package(args, emit):
    import only_there
    return only_there.NAME

def huge(args, emit):
    return "x" * args["size"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one module; pytest's folders are closed to others (mode 0700)."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "subject.py").write_text(SUBJECT, "utf-8")
    return tmp_path / "project"


@pytest.fixture
def spec_of() -> Callable[..., BoxSpec]:
    """Makes the spec of a box for a project under aqe's own Python; keywords change it."""

    def make(project: Path, **changes: Any) -> BoxSpec:
        return BoxSpec(**{"python": sys.executable, "project": str(project), "path": (str(project),), **changes})

    return make


@pytest.fixture
def box(project: Path, spec_of: Callable[..., BoxSpec]) -> Iterator[Box]:
    """An open box on the rung that this machine gives."""
    with Box.open(spec_of(project)) as box:
        yield box
