"""The box's builder: a small process of aqe's own Python (`-I -S`) that builds the box, watches it and ends it.

It reads its plan from stdin, which stays open as the lifeline: when aqe dies or closes it, everything in the box is
killed. It reports JSON lines on the descriptor that the plan names.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
from typing import Any

SWEEPS = 400


def read_plan() -> dict[str, Any]:
    """The plan: 4 bytes of length, then JSON."""
    (size,) = struct.unpack(">I", _read_exactly(4))
    plan = json.loads(_read_exactly(size))
    assert isinstance(plan, dict)
    return plan


def _read_exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(0, min(size - len(data), 1 << 20))
        if not chunk:
            sys.exit(1)  # aqe went away before it had said anything
        data += chunk
    return data


def main() -> None:
    """Build, watch, end."""
    plan = read_plan()
    scratch = tempfile.mkdtemp(prefix="aqe-box-", dir=plan.get("scratch_parent"))
    for fd in plan["keep"]:
        os.set_inheritable(fd, False)
    report = plan["report"]
    child = 0
    try:
        for name, text in plan["files"].items():
            path = os.path.join(scratch, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as stream:
                stream.write(base64.b64decode(text))
        child = os.fork()
        if child == 0:
            _exec_zygote(plan, scratch)
        for fd in plan["keep"]:
            if fd != report:
                os.close(fd)
        _say(report, {"scratch": scratch, "layers": {"rung": "0 plain", "in_force": [], "missing": []}})
        _say(report, _watch(child))
    finally:
        _sweep()
        shutil.rmtree(scratch, ignore_errors=True)


def _exec_zygote(plan: dict[str, Any], scratch: str) -> None:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(plan["stdout"], 1)
        os.dup2(plan["stderr"], 2)
        for fd in (plan["commands"], plan["events"]):
            os.set_inheritable(fd, True)
        environment = {key: value.replace("{scratch}", scratch) for key, value in plan["env"].items()}
        os.chdir(plan["cwd"])
        code = (
            f"import sys; sys.path[0:1] = {plan['path']!r}; sys.argv = ['aqe'];"
            f"from _aqe_inject import zygote; zygote.main({plan['commands']}, {plan['events']}, False)"
        )
        os.execve(plan["python"], [plan["python"], "-c", code], environment)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(71)


def _watch(child: int) -> dict[str, Any]:
    handle = os.pidfd_open(child)
    while True:
        readable, _, _ = select.select([0, handle], [], [])
        if handle in readable:
            _, status = os.waitpid(child, 0)
            return {"end": "died", "exit": os.waitstatus_to_exitcode(status)}
        if not os.read(0, 1):
            return {"end": "lifeline"}


def _sweep() -> None:
    """Kill every descendant; orphans come to us because we are their subreaper."""
    from aqe.agents.inject._aqe_inject.zygote import descendants

    for _ in range(SWEEPS):
        found = descendants(os.getpid())
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.001)


def _say(fd: int, message: dict[str, Any]) -> None:
    try:
        os.write(fd, json.dumps(message).encode() + b"\n")
    except OSError:
        pass
