"""Start-up and call costs as ratios of one run, by processor time: `python benchmarks/startup.py [--cold]`.

| figure | against | bar |
|---|---|---|
| `aqe --help` | `python -c pass` | 14 |
| `aqe serve` until `initialize` is answered | a bare SDK server | 1.4 |
| a call of `stats` | the bare server's no-op | 2 |

Rounds alternate; medians and tenth percentiles are shown. `--cold` also makes a fresh environment with `inflection`
and times `aqe generate` there from the command to the verified tests, with its phases.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BARS = {"help": 14.0, "initialize": 1.4, "stats": 2.0}
HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}
BARE_SERVER = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("bare", log_level="WARNING")

@server.tool()
async def noop() -> str:
    return ""

server.run("stdio")
"""


def main() -> int:
    """Run what was asked for, print the table, write the JSON; 1 where a bar is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--cold", action="store_true", help="also time the first verified test of inflection")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found: dict[str, Any] = {
            "help": _compare(_help_ms, _python_ms, asked.rounds),
            "initialize": _compare(
                lambda: _initialize_ms(_aqe_server(root)), lambda: _initialize_ms(_bare(root)), asked.rounds
            ),
            "stats": _calls(root, asked.rounds),
        }
        if asked.cold:
            found["cold"] = _cold(root)
    _print(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(found[name]["ratio"] > bar for name, bar in BARS.items()))


def _compare(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> dict[str, float]:
    """Milliseconds of processor time of both, alternating; the ratio is that of the medians."""
    pairs = [(ours(), theirs()) for _ in range(rounds + 1)][1:]
    return _summed([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _summed(ours: list[float], theirs: list[float]) -> dict[str, float]:
    def tenth(values: list[float]) -> float:
        return sorted(values)[len(values) // 10]

    return {
        "ours_ms": round(statistics.median(ours), 3),
        "theirs_ms": round(statistics.median(theirs), 3),
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
        "ratio_of_tenth_percentiles": round(tenth(ours) / tenth(theirs), 3),
        "rounds": len(ours),
    }


def _children_ms(command: list[str]) -> float:
    """Processor time of one command with all its children."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} exited with {process.returncode}")
    return (used.ru_utime + used.ru_stime) * 1000


def _help_ms() -> float:
    return _children_ms([sys.executable, str(Path(sys.executable).with_name("aqe")), "--help"])


def _python_ms() -> float:
    return _children_ms([sys.executable, "-c", "pass"])


class Server:
    """An MCP server on stdio, spoken to by hand so that the client's cost stays out of the figures."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self._number = 0
        self.ask("initialize", HELLO)

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        """One request and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "result" not in answer:
            raise SystemExit(f"{method} failed: {answer}")
        return answer["result"]

    def ready(self) -> None:
        """Tell the server that the handshake is over."""
        assert self._process.stdin is not None
        self._process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        self._process.stdin.flush()

    def used_ms(self) -> float:
        """Processor time of the process so far, all threads."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e6

    def close(self) -> None:
        """End it by the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def _aqe_server(root: Path) -> list[str]:
    project = root / "project"
    project.mkdir(exist_ok=True)
    (project / "pyproject.toml").touch()
    return [sys.executable, str(Path(sys.executable).with_name("aqe")), "serve", "--project", str(project)]


def _bare(root: Path) -> list[str]:
    script = root / "bare_server.py"
    script.write_text(BARE_SERVER)
    return [sys.executable, str(script)]


def _initialize_ms(command: list[str]) -> float:
    server = Server(command)
    used = server.used_ms()
    server.close()
    return used


def _calls(root: Path, rounds: int, batch: int = 40) -> dict[str, float]:
    """Processor time of one call in the server, from alternating batches; wall time of the client side beside it."""
    servers = {"stats": Server(_aqe_server(root)), "noop": Server(_bare(root))}
    used: dict[str, list[float]] = {"stats": [], "noop": []}
    walls: dict[str, list[float]] = {"stats": [], "noop": []}
    for server in servers.values():
        server.ready()
    for turn in range(rounds + 2):
        for name, server in servers.items():
            before = server.used_ms()
            for _ in range(batch):
                start = time.perf_counter()
                server.ask("tools/call", {"name": name, "arguments": {}})
                if turn >= 2:
                    walls[name].append((time.perf_counter() - start) * 1000)
            if turn >= 2:
                used[name].append((server.used_ms() - before) / batch)
    for server in servers.values():
        server.close()
    found = _summed(used["stats"], used["noop"])
    found["wall_p50_ms"] = round(statistics.median(walls["stats"]), 3)
    found["theirs_wall_p50_ms"] = round(statistics.median(walls["noop"]), 3)
    return found


def _cold(root: Path) -> dict[str, Any]:
    """Wall seconds from the command to verified tests of `inflection` in an environment made for it."""
    home = root / "cold"
    home.mkdir()
    (home / "pyproject.toml").write_text('[project]\nname = "cold"\nversion = "1"\n')
    venv = home / ".venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "inflection==0.5.1"], check=True
    )
    aqe = Path(sys.executable).with_name("aqe")
    command = [str(aqe), "generate", "inflection::camelize", "--out", "tests", "--budget", "2", "--json"]
    start = time.monotonic()
    run = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    whole = time.monotonic() - start
    if run.returncode not in (0, 4):
        raise SystemExit(f"generate exited with {run.returncode}: {run.stderr}")
    report = json.loads(run.stdout)
    phases = {name: round(seconds, 2) for name, seconds in report["phases_s"].items()}
    return {
        "command": " ".join(["aqe", *command[1:]]),
        "wall_s": round(whole, 2),
        "phases_s": phases,
        "start_up_and_rest_s": round(whole - sum(phases.values()), 2),
        "tests": report["tests"],
    }


def _print(found: dict[str, Any]) -> None:
    rows = {
        "help": ("`aqe --help`", "`python -c pass`"),
        "initialize": ("`aqe serve` to `initialize`", "a bare SDK server"),
        "stats": ("`stats`", "its no-op"),
    }
    print("| what | ours, ms | against | theirs, ms | ratio | bar |\n|---|---|---|---|---|---|")
    for name, (ours, theirs) in rows.items():
        row = found[name]
        print(f"| {ours} | {row['ours_ms']} | {theirs} | {row['theirs_ms']} | {row['ratio']} | {BARS[name]:g} |")
    if "cold" in found:
        cold = found["cold"]
        parts = ", ".join(f"{name} {seconds} s" for name, seconds in cold["phases_s"].items())
        print(f"\nCold: {cold['wall_s']} s from `{cold['command']}` to {cold['tests']} verified tests: {parts},")
        print(f"start of the interpreter, imports and the rest {cold['start_up_and_rest_s']} s.")


if __name__ == "__main__":
    sys.exit(main())
