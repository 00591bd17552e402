"""Real servers for the tests of the faces: `aqe serve` in a process of its own, the SDK's client at the other end."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.warm_command import warm_command

AQE = [sys.executable, "-m", "aqe.server.cli"]
PROTOCOLS = {"legacy": "2025-11-25", "auto": "2026-07-28"}


@pytest.fixture(scope="session", autouse=True)
def _settings_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's settings folder, where the key of tokens and consents is made, is one of the tests'."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config-home")))
        yield


@pytest.fixture(params=PROTOCOLS)
def mode(request: pytest.FixtureRequest) -> str:
    """How the client connects: by the 2025 handshake, or by the 2026 protocol."""
    return str(request.param)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with one module."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "small"\nversion = "1"\n')
    (root / "ages.py").write_text(
        'def stage(age: int) -> str:\n    """The stage of life.\n\n    >>> stage(30)\n    \'adult\'\n    """\n'
        "    if age < 0:\n        raise ValueError('negative')\n    if age < 18:\n        return 'child'\n"
        "    return 'adult'\n"
    )
    return root


@pytest.fixture
def aqe() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the `aqe` command and give back what it printed and its status; with variables that Python reads as it
    starts, from its start on."""

    def run(*words: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        if any(name.startswith("PYTHON") for name in environ):
            return subprocess.run(
                [*AQE, *words],
                cwd=cwd,
                env={**os.environ, **environ},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        return warm_command().run(words, cwd=cwd or Path.cwd(), env={**os.environ, **environ}, limit_s=60)

    return run


@pytest.fixture
def in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process in an empty project without settings; gives exit status, stdout and stderr."""
    for name in [name for name in os.environ if name.startswith("AQE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text("")
    monkeypatch.chdir(project)

    def run(*words: str, stdin: str | bytes = "", providers: Any = None) -> tuple[int, str, str]:
        from aqe.server.cli import main

        if providers is not None:
            monkeypatch.setenv("AQE_PROVIDERS", json.dumps(providers))
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        status = main(list(words))
        out, err = capsys.readouterr()
        return status, out, err

    return run


@contextlib.asynccontextmanager
async def _on_stdio(project: Path, mode: str, *words: str, **options: Any) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "aqe.server.cli", "serve", "--project", str(project), *words],
        env=dict(os.environ),
    )
    async with Client(parameters, mode=mode, read_timeout_seconds=120, **options) as client:
        yield client


@pytest.fixture
def on_stdio() -> Callable[..., contextlib.AbstractAsyncContextManager[Client]]:
    """A client of a new `aqe serve` on stdio: `async with on_stdio(project, mode) as client`."""
    return _on_stdio


@contextlib.asynccontextmanager
async def _in_memory(project: Path | None, mode: str, **options: Any) -> AsyncIterator[Client]:
    from aqe.server.mcp.app import create_server
    from aqe.server.mcp.prompts import make_prompts, make_resources
    from aqe.server.mcp.service import Service
    from aqe.server.mcp.tools import make_tools

    service = Service(None if project is None else str(project))
    try:
        server = create_server(make_tools(service), resources=make_resources(service), prompts=make_prompts())
        async with Client(server, mode=mode, read_timeout_seconds=120, **options) as client:
            yield client
    finally:
        service.close()


@pytest.fixture
def in_memory() -> Callable[..., contextlib.AbstractAsyncContextManager[Client]]:
    """As `on_stdio`, but the server that it would start is in this process: for what its answers hold."""
    return _in_memory


class HttpServer:
    """A running `aqe serve --http` on a free port."""

    def __init__(self, project: Path) -> None:
        self.project = project
        command = [*AQE, "serve", "--http", "--port", "0", "--project", str(project)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/mcp", line)
        assert found, f"no address in {line!r}"
        self.url = found[0]
        self.token = (project / ".aqe" / "token").read_text().strip()
        self._await_answer()

    def _await_answer(self) -> None:
        for _ in range(100):
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(self.url)
                return
            time.sleep(0.05)
        raise AssertionError("the server does not answer")

    @contextlib.asynccontextmanager
    async def client(self, mode: str) -> AsyncIterator[Client]:
        """A connected client that holds the token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,
        ):
            yield client

    def post(self, token: str | None = None, **headers: str) -> int:
        """The status that a POST of one request gets with these headers."""
        given = {"Accept": "application/json, text/event-stream", **headers}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        return httpx2.post(self.url, json=ping, headers=given).status_code

    def close(self) -> int:
        """End the server as a service manager would; returns its status."""
        self.process.terminate()
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            if self.process.stdout is not None:
                self.process.stdout.close()


@pytest.fixture(scope="session")
def http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """One HTTP server for all tests that share one: each keeps what it remembers under ids of its own."""
    root = tmp_path_factory.mktemp("served")
    (root / "pyproject.toml").write_text('[project]\nname = "served"\nversion = "1"\n')
    server = HttpServer(root)
    yield server
    server.close()


@pytest.fixture
def start_http() -> Callable[[Path], HttpServer]:
    """Start an HTTP server for a project; the caller closes it."""
    return HttpServer
