"""The box's builder: a small process of aqe's own Python (`-I -S`) that builds the box, watches it and ends it.

It reads its plan from stdin, which stays open as the lifeline: when aqe dies or closes it, everything in the box is
killed. It reports JSON lines on the descriptor that the plan names: "scratch" and "layers" when the box stands,
"excess" when the watcher killed something, "failed" or "end" at the end.

Rung 3 is a tree of three: this process (outside, holds the lifeline), pid 1 of the namespaces (builds the new root,
reaps, watches), the zygote. Below it this process is subreaper and watches itself.
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import sys
from typing import Any

from aqe.agents.gate import entering, kernel, landlock, limits, namespaces
from aqe.agents.inject._aqe_inject.zygote import descendants, open_pidfd

TICK_S = 0.03
PATIENCE = 8  # ticks that the zygote alone may stay over the cap
SWEEPS = 2000


def main() -> None:
    """Build, watch, end."""
    plan = read_plan()
    for fd in plan["keep"]:
        os.set_inheritable(fd, False)
    try:
        if plan["rung"] == 3:
            _with_namespaces(plan)
        else:
            _without_namespaces(plan)
    except (OSError, ValueError) as error:
        say(plan, {"failed": str(error) or type(error).__name__})
    os._exit(0)


def read_plan() -> dict[str, Any]:
    """The plan: 4 bytes of length, then JSON."""
    (size,) = struct.unpack(">I", _read_exactly(4))
    plan = json.loads(_read_exactly(size))
    if not isinstance(plan, dict):
        sys.exit(1)
    return plan


def _read_exactly(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(0, min(size - len(data), 1 << 20))
        if not chunk:
            sys.exit(1)  # aqe went away before it had said anything
        data += chunk
    return bytes(data)


def say(plan: dict[str, Any], message: dict[str, Any]) -> None:
    """One report; nobody listening is no reason to fail."""
    try:
        os.write(plan["report"], json.dumps(message).encode() + b"\n")
    except OSError:
        pass


# -- rung 3 -----------------------------------------------------------------------------------------------------------


def _with_namespaces(plan: dict[str, Any]) -> None:
    as_root = os.geteuid() == 0
    uid = plan["job_uid"] if as_root else os.getuid()
    gid = plan["job_uid"] if as_root else os.getgid()
    maps = entering.make_owner_maps(plan, uid, gid) if as_root else None
    namespaces.leave(as_root=as_root)
    first = os.fork()
    if first == 0:
        _be_pid_1(plan, uid, gid, maps)
    entering.close_all_but({0, 1, 2, plan["report"]})
    _wait_for_end(first)
    try:
        os.kill(first, signal.SIGKILL)
    except OSError:
        pass
    _, status = os.waitpid(first, 0)
    say(plan, {"end": "died", "exit": os.waitstatus_to_exitcode(status)})


def _wait_for_end(child: int) -> None:
    """Until the child ends or the lifeline is cut."""
    handle = os.pidfd_open(child)
    readable: list[int] = []
    while handle not in readable:
        readable, _, _ = select.select([0, handle], [], [])
        if 0 in readable and not os.read(0, 1):
            return


def _be_pid_1(plan: dict[str, Any], uid: int, gid: int, maps: namespaces.OwnerMaps | None) -> None:
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        facts = entering.enter_new_root(plan, uid, gid, maps)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        zygote = os.fork()
        if zygote == 0:
            entering.become_zygote(plan, entering.SCRATCH, rung=3)
        entering.close_all_but({0, 2, plan["report"]})
        say(plan, {"scratch": entering.SCRATCH, "layers": entering.describe_layers(plan, facts)})
        say(plan, _watch(plan, zygote, _all_but_us, _tmpfs_bytes))
    except BaseException as error:
        say(plan, {"failed": str(error) or type(error).__name__})
    os._exit(0)


def _all_but_us() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]


def _tmpfs_bytes() -> int:
    used = 0
    for folder in ("/tmp", "/dev/shm"):
        facts = os.statvfs(folder)
        used += (facts.f_blocks - facts.f_bfree) * facts.f_frsize
    return used


# -- rungs 2, 1, 0 ----------------------------------------------------------------------------------------------------


def _without_namespaces(plan: dict[str, Any]) -> None:
    rung = plan["rung"]
    scratch = ""
    if rung or sys.platform.startswith("linux"):
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    try:
        scratch = entering.make_scratch(plan)
        uid = plan["job_uid"] if rung == 2 else -1
        if uid >= 0:
            os.chown(scratch, uid, uid)
        zygote = os.fork()
        if zygote == 0:
            if uid >= 0:
                entering.change_user(plan, uid)
            entering.write_files(plan, scratch)
            entering.become_zygote(plan, scratch, rung=rung)
        entering.close_all_but({0, 1, 2, plan["report"]})
        facts = {"own_uid": rung == 2, "landlock": landlock.abi() if rung else 0, "unmapped": []}
        say(plan, {"scratch": scratch, "layers": entering.describe_layers(plan, facts)})
        caps = plan["limits"]
        measure = limits.folder_bytes(
            scratch, at_most=caps["scratch_mb"] * limits.MIB, files_at_most=caps["scratch_files"]
        )
        end = _watch(plan, zygote, lambda: descendants(os.getpid()), measure)
    finally:
        _sweep()
        if scratch:
            entering.remove_tree(scratch)
    say(plan, end)


def _sweep() -> None:
    """Kill every descendant; orphans come to us because we are their subreaper."""
    for _ in range(SWEEPS):
        found = descendants(os.getpid())
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        _reap()


# -- watching ---------------------------------------------------------------------------------------------------------


def _watch(plan: dict[str, Any], zygote: int, members: Any, scratch_bytes: Any) -> dict[str, Any]:
    """Until the zygote ends, the lifeline is cut or the zygote itself is over a cap."""
    watcher = limits.Watcher(plan["limits"], members, scratch_bytes)
    handle = open_pidfd(zygote)
    over = 0
    while True:
        if _lifeline_is_cut(handle):
            return {"end": "lifeline", "exit": None}
        status = _reap().get(zygote)
        if status is not None:
            return {"end": "died", "exit": os.waitstatus_to_exitcode(status)}
        excess = watcher.excess()
        if excess:
            over += 1
            if over == 1:
                say(plan, {"excess": excess})
            limits.kill_all(members(), zygote)
            if over > PATIENCE:
                return {"end": excess, "exit": None}
        else:
            over = 0


def _lifeline_is_cut(zygote: int | None) -> bool:
    """Wait one tick, less when the zygote ends."""
    readable, _, _ = select.select([0] if zygote is None else [0, zygote], [], [], TICK_S)
    return 0 in readable and not os.read(0, 1)


def _reap() -> dict[int, int]:
    """The children that ended since, with their wait status."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status
