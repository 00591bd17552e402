"""How long work takes to end when it is told to: `python benchmarks/cancel.py [--rounds N] [--only NAME...]`.

Each way starts the real thing with an endless test in its sandbox, tells it to stop, and stops the clock when the last
process of it is gone: a call over stdio and over HTTP that the client cancels, a job, `verify` in this process, a
server that gets SIGTERM while a job runs, and a box that is killed. Cancelled work has to end within 1,000 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from aqe.agents.gate import Box, BoxSpec
from aqe.agents.gate.verify import VerifyRequest, verify
from aqe.agents.inject._aqe_inject.zygote import descendants
from aqe.agents.jobs import JobRunner
from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken

BAR_MS = 1000.0
AT_WORK_S = 1.5  # after the first processes of the job: by then its sandbox runs the test
ENDLESS = "import ages\nimport time\n\ndef test_endless():\n    ages.stage(1)\n    while 1:\n        time.sleep(0.01)\n"
CALL = {"paths": ["test_endless.py"], "runs": 2}
SERVE = [sys.executable, "-m", "aqe.server.cli", "serve"]


def main() -> int:
    """Run the rounds, print the table and the JSON; 1 where the slowest round of any way passes the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--only", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="NAME", help=", ".join(WAYS)
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    print(f"| what ends | median, ms | slowest, ms | bar, ms |\n|---|---|---|---|  ({asked.rounds} rounds)", flush=True)
    load = [round(one, 2) for one in os.getloadavg()]
    for name in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            root = make_project(Path(folder))
            times_ms = [1000 * WAYS[name](root) for _ in range(asked.rounds)]
        rows[name] = {"median_ms": round(statistics.median(times_ms), 1), "slowest_ms": round(max(times_ms), 1)}
        print(f"| {name} | {rows[name]['median_ms']} | {rows[name]['slowest_ms']} | {BAR_MS:.0f} |", flush=True)
    found = {"rounds": asked.rounds, "bar_ms": BAR_MS, "load_before": load, "load_after": os.getloadavg()[0], **rows}
    print(f"Load of the last minute: {load[0]} before, {os.getloadavg()[0]:.2f} after; {os.cpu_count()} processors.")
    print(json.dumps(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(row["slowest_ms"] > BAR_MS for row in rows.values()))


def make_project(root: Path) -> Path:
    """A project with one module and a test of it that never ends."""
    (root / "pyproject.toml").write_text('[project]\nname = "small"\nversion = "1"\n')
    (root / "ages.py").write_text("def stage(age: int) -> str:\n    return 'adult' if age > 17 else 'child'\n")
    (root / "test_endless.py").write_text(ENDLESS)
    (root / "endless.py").write_text("def run(args, emit):\n    emit('on')\n    while 1:\n        pass\n")
    return root


def until_gone(pid: int, before: set[int]) -> None:
    """Wait until `pid` has no descendants but those of `before`."""
    while set(descendants(pid)) - before:
        time.sleep(0.002)


def until_at_work(pid: int, before: set[int]) -> None:
    """Wait until the sandbox of a job below `pid` runs its test."""
    while len(set(descendants(pid)) - before) < 3:
        time.sleep(0.02)
    time.sleep(AT_WORK_S)


async def cancelled_call(client: Client, pid: int) -> float:
    """Seconds from the client's cancellation of a call to the end of the last process of its job."""
    await client.call_tool("stats")
    before = set(descendants(pid))
    async with anyio.create_task_group() as group:
        group.start_soon(client.call_tool, "verify_tests", CALL)
        await anyio.to_thread.run_sync(until_at_work, pid, before)
        group.cancel_scope.cancel()
    start = time.perf_counter()
    while set(descendants(pid)) - before:
        await anyio.sleep(0.002)
    return time.perf_counter() - start


def over_stdio(root: Path) -> float:
    """A call over stdio that its client cancels."""

    async def act() -> float:
        server = StdioServerParameters(command=SERVE[0], args=[*SERVE[1:], "--project", str(root)])
        async with Client(server, mode="legacy") as client:
            return await cancelled_call(client, os.getpid())

    return anyio.run(act)


class HttpServer:
    """`aqe serve --http` on a free port."""

    def __init__(self, root: Path) -> None:
        command = [*SERVE, "--http", "--port", "0", "--project", str(root)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+/mcp", self.process.stdout.readline())
        if found is None:
            raise SystemExit("the server gave no address")
        self.url = found[0]
        self.headers = {"Authorization": f"Bearer {(root / '.aqe' / 'token').read_text().strip()}"}

    async def use(self, act: Callable[[Client], Any]) -> Any:
        """Call `act` with a connected client."""
        async with (
            httpx2.AsyncClient(headers=self.headers, timeout=60) as http,
            Client(streamable_http_client(self.url, http_client=http), mode="auto") as client,
        ):
            return await act(client)

    def close(self) -> None:
        """End the server."""
        self.process.terminate()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def over_http(root: Path) -> float:
    """A call over HTTP that its client cancels."""
    server = HttpServer(root)
    try:
        return float(anyio.run(server.use, lambda client: cancelled_call(client, server.process.pid)))
    finally:
        server.close()


def of_a_job(root: Path) -> float:
    """A job that is cancelled by its id."""
    runner = JobRunner()
    before = set(descendants(os.getpid()))
    try:
        job_id, _ = runner.start(root, "verify", {"tests": ["test_endless.py"], "runs": 2})
        until_at_work(os.getpid(), before)
        start = time.perf_counter()
        runner.cancel(root, job_id)
        until_gone(os.getpid(), before)
        return time.perf_counter() - start
    finally:
        runner.close()


def of_verify(root: Path) -> float:
    """`verify` in this process whose token is set by another thread."""
    cancel, ended = CancelToken(), threading.Event()
    before = set(descendants(os.getpid()))

    def work() -> None:
        try:
            verify(VerifyRequest(tests=("test_endless.py",), project=str(root), runs=2), cancel=cancel)
        except Cancelled:
            ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    until_at_work(os.getpid(), before)
    start = time.perf_counter()
    cancel.cancel()
    thread.join()
    until_gone(os.getpid(), before)
    if not ended.is_set():
        raise SystemExit("verify ended without Cancelled")
    return time.perf_counter() - start


def of_server(root: Path) -> float:
    """A server on stdio that gets SIGTERM while a job of its client runs."""
    server = subprocess.Popen(
        [*SERVE, "--project", str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdin is not None
    assert server.stdout is not None
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "benchmark", "version": "1"}}
    server.stdin.write(line_of("initialize", hello, 1))
    server.stdin.flush()
    server.stdout.readline()
    server.stdin.write(line_of("notifications/initialized", {}))
    server.stdin.write(line_of("tools/call", {"name": "verify_tests", "arguments": CALL}, 2))
    server.stdin.flush()
    until_at_work(server.pid, set())
    known = {server.pid, *descendants(server.pid)}
    start = time.perf_counter()
    server.send_signal(signal.SIGTERM)
    server.wait()
    while any(is_alive(pid) for pid in known):
        time.sleep(0.002)
    took = time.perf_counter() - start
    server.stdin.close()
    server.stdout.close()
    return took


def line_of(method: str, params: dict[str, Any], number: int | None = None) -> bytes:
    """One message of the protocol."""
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(message if number is None else {**message, "id": number}).encode() + b"\n"


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def of_box(root: Path) -> float:
    """A box that is killed from another thread while its case runs."""
    before = set(descendants(os.getpid()))
    with Box.open(BoxSpec(python=sys.executable, project=str(root), path=(str(root),))) as box:
        runs = threading.Event()

        def case() -> None:
            box.run("endless:run", {}, wall_s=60, on_progress=lambda said: runs.set())

        thread = threading.Thread(target=case)
        thread.start()
        runs.wait()
        start = time.perf_counter()
        box.kill()
        until_gone(os.getpid(), before)
        took = time.perf_counter() - start
        thread.join()
    return took


WAYS: dict[str, Callable[[Path], float]] = {
    "call over stdio": over_stdio,
    "call over HTTP": over_http,
    "job": of_a_job,
    "verify in process": of_verify,
    "server on SIGTERM": of_server,
    "box": of_box,
}

if __name__ == "__main__":
    sys.exit(main())
