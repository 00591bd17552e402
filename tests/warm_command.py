"""The real `aqe` command without its start: a process that has imported it forks for each run.

A fork has its own working folder, environment and descriptors, and nothing that an earlier run left; the process that
forks never runs a command itself. Where there is no fork a new interpreter is started each time. What a test says about
the start itself, about signals, or about what a command imports needs a process of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(("AQE_", "PYTHONPATH"))}
"""What was set before any test changed it."""

FIRST = """
import functools, importlib, json, os, signal, subprocess, sys
from aqe.agents.registry import AGENTS, resolve
from aqe.server.cli import app
from aqe.server.cli.verbs import VERBS
made = functools.cache(app.load)
app.load = lambda verb, words=(): made(verb)
for verb in VERBS:
    app.load(verb)
for agent in AGENTS.values():
    resolve(agent.request), resolve(agent.run)
for module in (
    "aqe.engine.settings", "aqe.engine.memory.opening", "aqe.engine.memory.transfer", "aqe.engine.engine",
    "aqe.engine.embedding.static", "aqe.engine.learning.prior", "aqe.engine.index.indexing", "rich.console",
):
    importlib.import_module(module)
for line in sys.stdin:
    asked = json.loads(line)
    for script in asked["before"]:
        subprocess.run(["sh", "-ec", script, asked["cwd"]], stdin=subprocess.DEVNULL, stdout=2, check=True)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        for script in asked["after"]:
            subprocess.run(["sh", "-ec", script, asked["cwd"]], stdin=subprocess.DEVNULL, stdout=2, check=True)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    os.setsid()
    for number, name in enumerate(("in", "out", "err")):
        os.dup2(os.open(asked[name], os.O_RDONLY if name == "in" else os.O_WRONLY), number)
    sys.stdin = open(0, encoding="utf-8")
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    signal.alarm(asked["limit_s"])
    sys.argv = ["aqe", *asked["words"]]
    status = 3
    try:
        status = app.main(asked["words"])
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass
        os._exit(status)
"""


class WarmCommand:
    """Runs `aqe` in forks of one process; close it, or use it as a context manager.

    `start` gives what stands before the process's own command line, such as `unshare --mount`; it is asked once.
    """

    def __init__(self, start: Callable[[], Sequence[str]] = tuple) -> None:
        self._start = start
        self._process: subprocess.Popen[str] | None = None

    def run(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limit_s: int = 90,
        before: Sequence[str] = (),
        after: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """One run of the command with an empty stdin; ended by SIGALRM after `limit_s` seconds.

        `before` and `after` are scripts of sh that the forking process runs around it, with `cwd` as $0.
        """
        if not hasattr(os, "fork"):
            command = [sys.executable, "-m", "aqe.server.cli", *words]
            return subprocess.run(
                command, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=limit_s, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="aqe-warm-") as name:
            out, err = Path(name, "out"), Path(name, "err")
            out.touch()
            err.touch()
            asked: dict[str, Any] = {"words": list(words), "cwd": str(cwd), "env": dict(env), "limit_s": limit_s}
            asked |= {"before": list(before), "after": list(after)}
            status = self._ask({**asked, "in": os.devnull, "out": str(out), "err": str(err)})
            said = [path.read_text(encoding="utf-8", errors="surrogateescape") for path in (out, err)]
        return subprocess.CompletedProcess(list(words), status, *said)

    def _ask(self, asked: Mapping[str, Any]) -> int:
        if self._process is None:
            self._process = subprocess.Popen(
                [*self._start(), sys.executable, "-c", FIRST],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=_ENVIRON,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.communicate()
            self._process = None

    def __enter__(self) -> WarmCommand:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@functools.cache
def warm_command() -> WarmCommand:
    """The one that the tests of a worker share; its process ends with the worker's."""
    warm = WarmCommand()
    atexit.register(warm.close)
    return warm
