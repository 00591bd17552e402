"""The HTTP face: the same tools for those who hold the token, nothing for anybody else."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from aqe.engine.errors import UserError
from aqe.server.http.app import BearerToken, create_app
from aqe.server.http.listen import open_port
from aqe.server.http.token import token_of
from aqe.server.mcp.app import make_tool

LOCAL = {"Host": "127.0.0.1:80"}


@pytest.mark.parametrize("mode", [pytest.param("legacy", marks=pytest.mark.services), "auto"])
def test_client_with_the_token_uses_the_tools(http_server: Any, mode: str) -> None:
    """Over HTTP both protocols list the tools, read and write the memory, and get the same errors."""

    async def use() -> None:
        async with http_server.client(mode) as client:
            assert len((await client.list_tools()).tools) == 12
            await client.call_tool("memory_add", {"text": f"HTTP speaks {mode}", "id": mode})
            found = await client.call_tool("memory_search", {"query": "HTTP speaks"})
            assert mode in {row["id"] for row in found.structured_content["found"]}
            wrong = await client.call_tool("stats", {"projet": 1})
            assert "[unknown-argument]" in wrong.content[0].text

    anyio.run(use)


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        pytest.param("none", LOCAL, 401, id="no token"),
        pytest.param("wrong", LOCAL, 401, id="wrong token"),
        pytest.param("cut", LOCAL, 401, id="most of the token"),
        pytest.param("right", {"Host": "evil.example"}, 421, id="another host"),
        pytest.param("right", {"Host": "127.0.0.1.evil.example:80"}, 421, id="a host that begins like loopback"),
        pytest.param("right", {**LOCAL, "Origin": "http://evil.example"}, 403, id="another origin"),
        pytest.param("right", {**LOCAL, "Origin": "http://localhost.evil.example:1"}, 403, id="a near origin"),
    ],
)
def test_strangers_are_refused(http_server: Any, token: str, headers: dict[str, str], status: int) -> None:
    """Without the very token, or from another host or origin, a request gets its refusal and no answer."""
    tokens = {"none": None, "wrong": "x" * 43, "cut": http_server.token[:-1], "right": http_server.token}
    assert http_server.post(tokens[token], **headers) == status


@pytest.mark.parametrize("headers", [LOCAL, {"Host": "localhost:99"}, {**LOCAL, "Origin": "http://localhost:5173"}])
def test_loopback_hosts_and_origins_pass(http_server: Any, headers: dict[str, str]) -> None:
    """A loopback Host and Origin with the token reach the server (which then asks for a session)."""
    assert http_server.post(http_server.token, **headers) not in (401, 403, 421)


def test_token_is_made_once_for_its_owner_only(http_server: Any, tmp_path: Path) -> None:
    """The token file is readable by its owner only, stays the same, and is put right when its mode was not."""
    path = http_server.project / ".aqe" / "token"
    assert path.read_text().strip() == http_server.token
    first = token_of(tmp_path)
    assert len(first) >= 43
    (tmp_path / ".aqe" / "token").chmod(0o644)
    assert token_of(tmp_path) == first
    for file in (path, tmp_path / ".aqe" / "token"):
        assert os.name == "nt" or stat.S_IMODE(file.stat().st_mode) == 0o600


def test_servers_that_start_together_agree_on_the_token(tmp_path: Path) -> None:
    """Twelve first starts at once give one token and leave no other file."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(token_of(tmp_path))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(set(found)) == 1
    assert sorted(path.name for path in (tmp_path / ".aqe").iterdir()) == [".gitignore", "token"]


@pytest.mark.parametrize("brought", ["x" * 43, "copied", "link"])
def test_token_that_a_clone_brought_opens_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, brought: str
) -> None:
    """A token that was not made here by this user, or was made for another folder, is replaced, and that is said."""
    clone, other = tmp_path / "clone", tmp_path / "other"
    (clone / ".aqe").mkdir(parents=True)
    other.mkdir()
    known = token_of(other) if brought != "x" * 43 else brought
    path = clone / ".aqe" / "token"
    if brought == "link":
        path.symlink_to(other / ".aqe" / "token")
    else:
        path.write_text(f"{known}\n")
    assert caplog.records == []
    made = token_of(clone)
    assert made != known
    assert "was not made by you" in caplog.text
    assert token_of(clone) == made
    if brought != "x" * 43:
        assert token_of(other) == known


def test_token_of_another_user_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that counts for one user is replaced when another starts the server in the same folder."""
    first = token_of(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody-else"))
    assert token_of(tmp_path) != first


def test_broken_token_file_is_said(tmp_path: Path) -> None:
    """A file that holds no token is an error with its fix, never an open door."""
    token_of(tmp_path)
    (tmp_path / ".aqe" / "token").write_text("\n")
    with pytest.raises(UserError, match="bad-token"):
        token_of(tmp_path)
    with pytest.raises(ValueError):
        BearerToken("")


def test_port_in_use_and_no_port_are_said(aqe: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """A port that is taken or no port at all ends the command with one sentence and status 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = aqe("serve", "--http", "--port", str(port), "--project", str(project))
        assert (run.returncode, run.stdout) == (2, "")
        fix = "Give another one with --port, or 0 for any free one. [port-in-use]"
        assert run.stderr == f"Port {port} is in use. {fix}\n"
    with pytest.raises(UserError, match="70000 is not a port"):
        open_port(70_000)


@pytest.mark.services
def test_server_leaves_when_told(start_http: Callable[[Path], Any], project: Path) -> None:
    """SIGTERM ends the HTTP server with status 0, and its port is free again."""
    server = start_http(project)
    port = int(server.url.split(":")[2].split("/")[0])
    assert server.close() == 0
    open_port(port).close()


async def _echo(word: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=word)])


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application on a free port in a thread; gives the endpoint."""
    listener = open_port(0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def test_same_transport_carries_other_tools() -> None:
    """`create_app` mounts any tools behind the same token and checks."""
    tool = make_tool(_echo, title="Echo", read_only=True, description="Say it again.")
    tool = tool.model_copy(update={"name": "echo"})

    async def call(url: str) -> None:
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer sesame"}) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert [found.name for found in (await client.list_tools()).tools] == ["echo"]
            assert (await client.call_tool("echo", {"word": "hello"})).content[0].text == "hello"
            assert "[missing-argument]" in (await client.call_tool("echo", {})).content[0].text

    with serving(create_app([tool], BearerToken("sesame"))) as url:
        anyio.run(call, url)
        assert httpx2.post(url, json={}, headers={"Authorization": "Bearer other"}).status_code == 401
