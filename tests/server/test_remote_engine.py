"""The engine behind a server: the same calls, the same objects, over real MCP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.agents.counsel import consulted, open_memory
from aqe.agents.execute import ExecuteReport, TestFailure
from aqe.agents.remote import RemoteEngine, connected, open_remote
from aqe.engine import AgentEngine, Engine
from aqe.engine.answer import QueryConfig
from aqe.engine.errors import UserError

INTERRUPTED = """
import importlib.abc, os, signal, sys, threading, time

class AsTheThreadBegins(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "anyio._backends._asyncio" and threading.current_thread() is not threading.main_thread():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

url, is_early = sys.argv[1], sys.argv[2] == "early"
if is_early:
    sys.meta_path.insert(0, AsTheThreadBegins())
from aqe.agents.remote import open_remote
try:
    with open_remote(url, "token"):
        print("connected")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.services
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("moment", ["early", "connecting"])
def test_ctrl_c_ends_the_wait_for_a_server(moment: str) -> None:
    """A Ctrl-C in the moment in which the thread is there and takes no calls yet, and one while a server takes the
    connection and says nothing, end the wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mcp"
        command = [sys.executable, "-c", INTERRUPTED, url, moment]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                if moment == "connecting":
                    connection, _ = silent.accept()
                    with connection:
                        assert connection.recv(64)
                        process.send_signal(signal.SIGINT)
                        said = process.communicate(timeout=60)
                else:
                    said = process.communicate(timeout=60)
            finally:
                process.kill()
    assert said == ("interrupted\n", "")


def test_each_call_gives_the_engines_own_objects(http_server: Any) -> None:
    """What is remembered, found, asked, taught, routed and counted over MCP equals what the engine itself says."""

    async def use() -> None:
        async with connected(http_server.url, http_server.token) as remote:
            engine: AgentEngine = remote
            kept = await engine.remember("refunds round half up", namespace="notes", file="ages.py", line=2)
            found = await engine.search("how are refunds rounded", namespace="notes", k=3)
            assert (await engine.search("refunds", as_of=0)).hits == ()
            answer = await engine.query("How are refunds rounded?", config=QueryConfig(namespace="notes"))
            taught = await engine.feedback(answer.request_id, rating=5)
            there = await engine.route("Why is the sky blue?")
            figures = await engine.stats()
        async with await Engine.open(http_server.project) as own:
            assert found.hits[0].memory.id == kept.id
            assert found.hits[0].memory.provenance.file == "ages.py"
            assert (
                found.hits[0].memory == (await own.search("how are refunds rounded", namespace="notes")).hits[0].memory
            )
            assert (answer.answered, answer.citations[0].id) == (True, kept.id)
            assert taught.marked == 1
            assert there == await own.route("Why is the sky blue?")
            assert figures.queries == (await own.stats()).queries > 0

    anyio.run(use)


def test_code_without_async_uses_it_too(http_server: Any) -> None:
    """The blocking twin makes the same calls."""
    with open_remote(http_server.url, http_server.token) as engine:
        kept = engine.remember("the till closes at ten", id="till")
        assert (kept.id, kept.existed) == ("till", False)
        assert "till" in {hit.memory.id for hit in engine.search("when does the till close").hits}


def code_of(act: Any) -> str:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value.code


def test_the_servers_errors_arrive_as_they_are(http_server: Any) -> None:
    """A refusal of the server is raised here with its sentence and code."""
    with open_remote(http_server.url, http_server.token) as engine:
        assert code_of(lambda: engine.feedback("no-such-request", rating=1)) == "unknown-request"
        assert code_of(lambda: engine.remember("")) == "bad-text"


def test_what_cannot_be_sent_is_refused(http_server: Any) -> None:
    """Settings of a query and checks are not dropped in silence."""
    with open_remote(http_server.url, http_server.token) as engine:
        assert code_of(lambda: engine.query("why", config=QueryConfig(k=3))) == "bad-argument"
        assert code_of(lambda: engine.query("why", validate=bool)) == "bad-argument"
        assert code_of(lambda: engine.search(vector=[1.0, 2.0])) == "bad-argument"


def _open(url: str, token: str) -> None:
    with open_remote(url, token) as engine:
        engine.stats()


def test_a_wrong_token_and_a_silent_server_are_told(http_server: Any) -> None:
    """Neither hangs nor shows a traceback."""
    assert code_of(lambda: _open(http_server.url, "wrong")) == "engine-unreachable"
    assert code_of(lambda: _open("http://127.0.0.1:9/mcp", "any")) == "engine-unreachable"


@pytest.mark.parametrize(
    "url", ["http://example.org/mcp", "http://127.0.0.1.example.org/mcp", "ftp://127.0.0.1/mcp", "x"]
)
def test_only_loopback_is_asked(url: str) -> None:
    """An address elsewhere is refused before anything is sent, with the way there."""
    assert code_of(lambda: _open(url, "any")) == "bad-argument"


def test_a_model_is_not_shown_the_whole(http_server: Any) -> None:
    """Without the mark in the request's `_meta` the answer stays short."""

    async def use() -> None:
        async with http_server.client("auto") as client:
            said = await client.call_tool("memory_search", {"query": "x"})
            assert "aqe/whole" not in (said.meta or {})

    anyio.run(use)


def test_it_is_an_engine_to_the_type_checker(tmp_path: Path) -> None:
    """A remote engine has every call of the protocol."""
    calls = [name for name in vars(AgentEngine) if not name.startswith("_")]
    assert all(callable(getattr(RemoteEngine, name)) for name in calls)
    assert len(calls) == 6


def test_no_proxy_is_shown_the_token(http_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment names as a proxy, the server is asked without it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        _open(http_server.url, http_server.token)
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_agents_give_a_server_no_secrets(http_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent leaves on a server is redacted; in strict mode it leaves nothing and the report says why."""
    report = ExecuteReport(
        run="", python="", python_version="", pytest_version="", command=(), pytest_exit_status=1, duration_s=0.0,
        tests=1, passed=0, failed=1, errors=0, crashed=0, skipped=0, xfailed=0, xpassed=0, slowest=(), recorded=0,
        failures=(TestFailure("test_a.py::test_b", "failed", "", 1),),
    )  # fmt: skip
    monkeypatch.setenv("AQE_ENGINE_SERVER", http_server.url)
    monkeypatch.setenv("AQE_ENGINE_TOKEN", http_server.token)
    with open_memory(tmp_path) as memory:
        kept = memory.remember("the key is AKIA" + "QYLPMN5HNMZ2KJQP", namespace="agents/test")
    with open_remote(http_server.url, http_server.token) as engine:
        (hit,) = engine.search("key", namespace="agents/test").hits
        assert (hit.memory.id, hit.memory.text) == (kept.id, "the key is [redacted:aws-access-token]")
    monkeypatch.setenv("AQE_PRIVACY_MODE", "strict")
    told = consulted("execute", report, tmp_path)
    assert told.advice == ()
    assert "privacy mode is strict" in told.notes[0]


def test_a_server_that_does_not_answer_costs_a_report_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that takes connections and stays silent is given up in seconds; the report stands, with a note."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("aqe.agents.counsel.SERVER_S", 0.5)
        monkeypatch.setenv("AQE_ENGINE_SERVER", f"http://127.0.0.1:{silent.getsockname()[1]}/mcp")
        with pytest.raises(UserError) as caught, open_memory(tmp_path):
            pass
        assert caught.value.code == "engine-unreachable"
