"""Collecting tests: with an end, with nothing left behind, and on a shielded tree where that was asked."""

from __future__ import annotations

import socket
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from aqe.agents.gate import suite
from aqe.agents.gate.interpreter import Interpreter, find_interpreter
from aqe.agents.select import SelectRequest, select
from aqe.agents.select.running import COLLECTING_S, LEAST_COLLECTING_S, collect, collecting_s
from aqe.engine.errors import OutOfTime, UserError
from aqe.engine.progress import CancelToken
from tests.agents.select.conftest import write
from tests.alive import is_alive

TESTS = {"tests/unit/test_a.py": "def test_a():\n    assert True\n\n\ndef test_b():\n    assert True\n"}
FOUND = {f"tests/unit/test_a.py::test_{name}": "tests/unit/test_a.py" for name in "ab"}
WRITING = "import pathlib\npathlib.Path(__file__).with_name('written').write_text('x')\n"
ONLINE = "import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\n"
STARTING = "import pathlib, subprocess, sys\n{then}"
CHILD = (
    "done = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "pathlib.Path(__file__).with_name('pid').write_text(str(done.pid))\n"
)


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return find_interpreter(tmp_path_factory.mktemp("any"), sys.executable, None, trusted=True)


def ends(pid: int, patience_s: float = 30.0) -> bool:
    """Whether a process ends, which one that was killed does soon; one that nobody took yet has ended."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if not is_alive(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.services
@pytest.mark.parametrize("then", ["", pytest.param("import time; time.sleep(600)\n", id="hangs")])
def test_what_a_conftest_starts_ends_with_the_collection(tmp_path: Path, interpreter: Interpreter, then: str) -> None:
    """A process that it started is gone, whether the tests were collected or it hung until the limit."""
    write(tmp_path, {**TESTS, "conftest.py": STARTING.format(then=CHILD + then)})
    if then:
        with pytest.raises(OutOfTime, match="not collected within 8 s"):
            collect(tmp_path, interpreter, None, CancelToken(), wall_s=8)
    else:
        assert collect(tmp_path, interpreter, None, CancelToken()) == FOUND
    assert ends(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("way", ["overlay", pytest.param("copy", marks=pytest.mark.services)])
def test_isolated_collection_writes_nothing(
    tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """What a conftest writes is not in the tree afterwards, and the files are named as in the tree."""
    write(tmp_path, {**TESTS, "conftest.py": WRITING})
    run = suite.run_suite
    monkeypatch.setattr("aqe.agents.select.running.run_suite", partial(run, isolation=way))
    before = sorted(tmp_path.rglob("*"))
    assert collect(tmp_path, interpreter, None, CancelToken(), isolated=True) == FOUND
    assert sorted(path for path in tmp_path.rglob("*") if ".aqe" not in path.parts) == before


@pytest.mark.services
def test_a_selection_in_the_mode_strict_has_no_network(tmp_path: Path) -> None:
    """The suite is collected on a shielded tree without a network, though nothing was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        online = ONLINE.format(port=server.getsockname()[1])
        settings = '[tool.aqe.privacy]\nmode = "strict"\n'
        write(tmp_path / "base", TESTS)
        head = write(tmp_path / "head", {**TESTS, "conftest.py": WRITING + online, "pyproject.toml": settings})
        with pytest.raises(UserError) as caught:
            select(SelectRequest(str(head), base=str(tmp_path / "base"), head=str(head)))
    assert caught.value.code == "suite-not-collected"
    assert not (head / "written").exists()


def test_the_limit_follows_from_the_budget() -> None:
    """A budget leaves what is left of it, but enough to say anything; without one there is a limit too."""
    now = time.monotonic()
    assert collecting_s(None, now) == COLLECTING_S
    assert collecting_s(0.5, now) == LEAST_COLLECTING_S
    assert 200 < collecting_s(300, now - 50) <= 250
