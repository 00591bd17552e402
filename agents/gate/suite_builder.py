"""The builder of the `suite` profile, run by aqe's own Python (`-I -S`): overlay or copy, PID namespace, report.

It reads its plan from stdin, which stays open as the lifeline, and writes one JSON line: "exit", "leftovers",
"changed", "ended_by", or "failed" when the tree could not be shielded (then nothing was run).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import stat
import tempfile
from typing import Any

from aqe.agents.gate import entering, kernel, limits, namespaces, seccomp
from aqe.agents.gate.suite_changes import changes_in_upper, changes_since, snapshot
from aqe.agents.gate.supervisor import read_plan, say
from aqe.agents.inject._aqe_inject.zygote import descendants, open_pidfd

TICK_S = 0.05
SWEEPS = 2000


def main() -> None:
    """Build, run, report."""
    plan = read_plan()
    for name in ("report", "output"):
        os.set_inheritable(plan[name], False)
    try:
        if plan["way"] == "overlay":
            _with_overlay(plan)
        else:
            _with_copy(plan)
    except (OSError, ValueError, shutil.Error) as error:
        say(plan, {"failed": str(error) or type(error).__name__})
    os._exit(0)


# -- overlay ----------------------------------------------------------------------------------------------------------


def _with_overlay(plan: dict[str, Any]) -> None:
    staging = tempfile.mkdtemp(prefix="aqe-suite-")
    try:
        namespaces.leave(as_root=os.geteuid() == 0, network=not plan["offline"])
        first = os.fork()
        if first == 0:
            _be_pid_1(plan, staging)
        entering.close_all_but({0, 1, 2})
        _wait(first)
    finally:
        try:
            kernel.umount(staging, kernel.MNT_DETACH)
        except OSError:
            pass  # nothing was mounted
        os.rmdir(staging)


def _wait(child: int) -> None:
    handle = os.pidfd_open(child)
    while True:
        readable, _, _ = select.select([0, handle], [], [])
        if handle in readable:
            break
        if not os.read(0, 1):
            select.select([handle], [], [], 2.0)  # pid 1 sees the same cut, ends the run and reports
            break
    try:
        os.kill(child, signal.SIGKILL)
    except OSError:
        pass
    os.waitpid(child, 0)


def _be_pid_1(plan: dict[str, Any], staging: str) -> None:
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        lower = os.open(plan["project"], os.O_RDONLY | os.O_DIRECTORY)
        upper = _lay_over(plan, staging)
        if plan["offline"]:
            kernel.loopback_up()
        suite = os.fork()
        if suite == 0:
            _become_suite(plan, plan["argv"], plan["project"], plan["env"])
        outcome = _watch(plan, suite, _everybody)
        say(plan, {**outcome, "changed": changes_in_upper(upper, lower)})
    except BaseException as error:
        say(plan, {"failed": str(error) or type(error).__name__})
    os._exit(0)


def _everybody() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]


def _lay_over(plan: dict[str, Any], staging: str) -> str:
    """Put an overlay over the project's own path; returns the upper folder, in which its changes appear.

    What is mounted below the project, `.aqe/` and the folders to keep are bound again on top, as they are.
    """
    project = plan["project"]
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    through = [os.path.join(project, ".aqe"), *plan["keep_paths"], *_mounts_below(project)]
    inside = sorted({path for path in through if path.startswith(project + "/") and os.path.exists(path)})
    trees = {path: kernel.open_tree(path) for path in inside}
    original = os.stat(project)
    kernel.mount("aqe", staging, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode=700,size={plan['tree_mb']}m")
    upper, work = os.path.join(staging, "upper"), os.path.join(staging, "work")
    os.mkdir(upper)
    os.mkdir(work)
    os.chmod(upper, stat.S_IMODE(original.st_mode))
    if os.geteuid() == 0:
        os.chown(upper, original.st_uid, original.st_gid)
    options = f"lowerdir={_escaped(project)},upperdir={upper},workdir={work}"
    if os.geteuid() != 0:
        options += ",userxattr"
    kernel.mount("aqe", project, "overlay", 0, options)
    for path, tree in trees.items():
        kernel.move_mount(tree, path)
        os.close(tree)
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    return upper


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _mounts_below(folder: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        points = [line.split()[4].replace("\\040", " ") for line in stream]
    return [point for point in points if point.startswith(folder.rstrip("/") + "/")]


# -- copy -------------------------------------------------------------------------------------------------------------


def _with_copy(plan: dict[str, Any]) -> None:
    if os.uname().sysname == "Linux":
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    project = plan["project"]
    staging = tempfile.mkdtemp(prefix="aqe-suite-")
    copy = os.path.join(staging, os.path.basename(project) or "project")
    try:
        shutil.copytree(project, copy, symlinks=True, ignore=_left_out)
        for kept in [os.path.join(project, ".aqe"), *plan["keep_paths"]]:
            _link_through(kept, project, copy)
        before = snapshot(copy)
        argv = [_moved(word, project, copy) for word in plan["argv"]]
        environment = {name: _moved(value, project, copy) for name, value in plan["env"].items()}
        suite = os.fork()
        if suite == 0:
            _become_suite(plan, argv, copy, environment)
        outcome = _watch(plan, suite, lambda: descendants(os.getpid()))
        report = {**outcome, "changed": changes_since(before, snapshot(copy))}
    finally:
        entering.remove_tree(staging)
    say(plan, report)


def _left_out(folder: str, names: list[str]) -> list[str]:
    """What no run needs, and what cannot be copied: sockets and pipes, and what this user may not read, nor could a
    run."""
    return [name for name in names if name in (".aqe", ".git", "__pycache__") or not _can_copy(f"{folder}/{name}")]


def _can_copy(path: str) -> bool:
    kind = os.lstat(path).st_mode
    if stat.S_ISDIR(kind):
        return os.access(path, os.R_OK | os.X_OK)
    return stat.S_ISLNK(kind) or (stat.S_ISREG(kind) and os.access(path, os.R_OK))


def _link_through(kept: str, project: str, copy: str) -> None:
    if not kept.startswith(project + "/") or not os.path.exists(kept):
        return
    place = copy + kept[len(project) :]
    if os.path.isdir(place) and not os.path.islink(place):
        shutil.rmtree(place)
    elif os.path.lexists(place):
        os.remove(place)
    os.symlink(kept, place)


def _moved(text: str, project: str, copy: str) -> str:
    """`text` with each path in the project (but not into its environment) changed to the copy."""
    parts = []
    for part in text.split(os.pathsep):
        inside = part == project or part.startswith(project + "/")
        parts.append(copy + part[len(project) :] if inside and not _is_program(part) else part)
    return os.pathsep.join(parts)


def _is_program(path: str) -> bool:
    """An interpreter keeps its own path: a copied environment would still name the old one."""
    return os.path.isfile(path) and os.access(path, os.X_OK)


# -- running ----------------------------------------------------------------------------------------------------------


def _become_suite(plan: dict[str, Any], argv: list[str], folder: str, environment: dict[str, str]) -> None:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(plan["output"], 1)
        os.dup2(plan["output"], 2)
        entering.close_all_but({0, 1, 2})
        os.chdir(folder)
        if os.getuid() != 0 and plan["way"] == "overlay":
            kernel.drop_capabilities()
        if plan["offline"] and plan["way"] == "copy":  # no network namespace here: no sockets at all
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            seccomp.install(refuse_sockets=True)
        os.execvpe(argv[0], argv, environment)
    except BaseException as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
    os._exit(127)


def _watch(plan: dict[str, Any], suite: int, members: Any) -> dict[str, Any]:
    """Wait for the suite, then kill and count what it left."""
    handle = open_pidfd(suite)
    caps = {"memory_mb": plan["memory_mb"], "scratch_mb": 1 << 40, "processes": 1 << 20}
    watcher = limits.Watcher(caps, members, lambda: 0)
    status, ended_by = None, ""
    while status is None and not ended_by:
        readable, _, _ = select.select([0] if handle is None else [0, handle], [], [], TICK_S)
        if 0 in readable and not os.read(0, 1):
            ended_by = "lifeline"
        elif watcher.excess():
            ended_by = "memory"
        status = _reap(suite)
    leftovers = _end_all(members, suite if status is None else 0)
    exit_status = os.waitstatus_to_exitcode(status) if status is not None else None
    return {"exit": exit_status, "leftovers": leftovers, "ended_by": ended_by}


def _reap(wanted: int) -> int | None:
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == wanted:
            found = status


def _end_all(members: Any, suite: int) -> int:
    """Kill whatever still lives; how many there were, the suite itself not counted."""
    killed: set[int] = set()
    for _ in range(SWEEPS):
        found = [pid for pid in members() if _lives(pid)]
        if not found:
            break
        killed.update(found)
        limits.kill_all(found, 0)
        _reap(0)
        select.select([], [], [], 0.001)
    return len(killed - {suite})


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return stream.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False
