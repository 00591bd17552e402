"""How a process of the box gets in: scratch, user, limits, walls, and at last the project's Python."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from aqe.agents.gate import kernel, landlock, limits, namespaces, seccomp

SCRATCH = "/tmp/scratch"
RUNGS = {3: "3 namespaces", 2: "2 own uid", 1: "1 landlock", 0: "0 plain"}


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor of this process that is not in `keep`."""
    last = 0
    for fd in sorted(keep):
        if fd > last:
            os.closerange(last, fd)
        last = fd + 1
    os.closerange(last, 1 << 20)


def make_scratch(plan: Mapping[str, Any]) -> str:
    """A scratch folder on the host, for rungs without a new root."""
    return tempfile.mkdtemp(prefix="aqe-box-", dir=plan["scratch_parent"])


def write_files(plan: Mapping[str, Any], scratch: str) -> None:
    """Write the files that the caller gave into scratch."""
    for name, text in plan["files"].items():
        path = os.path.join(scratch, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(base64.b64decode(text))


def remove_tree(folder: str) -> None:
    """Remove scratch, whatever modes were set inside. No link is followed and nothing above `folder` is touched."""
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.isdir(folder):
            return
        _open_up(folder)


def _open_up(folder: str) -> None:
    """Give every folder of the tree back its rights, so that what is in it can be removed."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.chmod(path, 0o700)
                with os.scandir(path) as entries:
                    waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue


def make_owner_maps(plan: Mapping[str, Any], uid: int, gid: int) -> namespaces.OwnerMaps | None:
    """What shows the user's files as the job's own; None where this kernel or container cannot."""
    try:
        return namespaces.OwnerMaps(uid, gid, [*plan["private"], *plan["shown"]])
    except OSError:
        return None


def enter_new_root(plan: dict[str, Any], uid: int, gid: int, maps: namespaces.OwnerMaps | None) -> dict[str, Any]:
    """pid 1: build the new root, go there, become nobody. Returns what describes the layers."""
    as_root = os.geteuid() == 0 and plan["root"]
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    private = [*plan["private"], *plan["shown"]]
    trees, unmapped = namespaces.take_trees([*plan["system"], *private], private, maps)
    if maps is not None:
        maps.close()
    own_uid = as_root
    if as_root and not all(_others_may_read(path) for path in unmapped):
        owner = os.stat(plan["project"])  # files stay readable for their owner; writes meet read-only mounts
        uid, gid, own_uid = owner.st_uid, owner.st_gid, False
    namespaces.build_root(trees, plan, uid, gid)
    _seal_files(plan, uid, gid)
    kernel.loopback_up()
    kernel.drop_bounding_set()
    if as_root:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    check_reach(plan)
    return {"own_uid": own_uid, "landlock": landlock.abi(), "unmapped": unmapped}


def _seal_files(plan: Mapping[str, Any], uid: int, gid: int) -> None:
    """Write the caller's files into scratch and mount them read-only: no case changes what the next one runs."""
    write_files(plan, SCRATCH)
    for name in sorted({name.split("/")[0] for name in plan["files"]}):
        top = os.path.join(SCRATCH, name)
        for path in (
            top,
            *(os.path.join(here, one) for here, folders, files in os.walk(top) for one in folders + files),
        ):
            os.chmod(path, 0o700 if os.path.isdir(path) else 0o600)
            if os.geteuid() != uid:
                os.chown(path, uid, gid)
        namespaces.make_read_only(top)


def _others_may_read(path: str) -> bool:
    try:
        return os.stat(path).st_mode & 0o005 == 0o005
    except FileNotFoundError:
        return True


def change_user(plan: Mapping[str, Any], uid: int) -> None:
    """Become the job's own user for good; the project must still be reachable."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    check_reach(plan)


def check_reach(plan: Mapping[str, Any]) -> None:
    """Raise OSError when the interpreter or a folder of the list cannot be used from here."""
    if not os.access(plan["python"], os.X_OK):
        raise OSError(13, f"unreachable: {plan['python']}")
    for path in (plan["cwd"], *plan["needed"]):
        try:
            is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        except PermissionError:
            raise OSError(13, f"unreachable: {path}") from None
        except OSError:
            continue  # not there for anybody
        if not os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK):
            raise OSError(13, f"unreachable: {path}")


def become_zygote(plan: Mapping[str, Any], scratch: str, *, rung: int) -> NoReturn:
    """Put on limits and walls, then execute the project's Python with the zygote, or what the plan names, in it."""
    try:
        if sys.platform.startswith("linux"):
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd, target in ((null, 0), (plan["stdout"], 1), (plan["stderr"], 2)):
            os.dup2(fd, target)
        pipes = {plan[name] for name in ("commands", "events") if name in plan}
        close_all_but({0, 1, 2} | pipes)
        for fd in pipes:
            os.set_inheritable(fd, True)
        os.chdir(plan["cwd"])
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        environment = {key: value.replace("{scratch}", scratch) for key, value in plan["env"].items()}
        counted = rung == 1 or (rung == 0 and os.geteuid() != 0)
        limits.set_limits(plan["limits"], processes_now=limits.count_tasks(os.geteuid()) if counted else 0)
        _put_up_walls(plan, scratch, rung)
        words = plan.get("program") or [plan["python"], "-c", _boot(plan, scratch, rung)]
        os.execve(plan["python"], words, environment)
    except BaseException as error:
        os.write(2, f"{error or type(error).__name__}\n".encode())
    os._exit(71)


def _put_up_walls(plan: Mapping[str, Any], scratch: str, rung: int) -> None:
    if rung == 0:
        return
    if os.geteuid() == 0 and rung < 3:
        kernel.drop_bounding_set()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if landlock.abi():
        landlock.restrict(_rules(plan, scratch, rung), refuse_tcp=rung < 3)
    elif rung < 3:
        raise OSError(38, "landlock: not in this kernel")
    if os.geteuid() == 0:
        kernel.drop_capabilities()
    if seccomp.supported():
        seccomp.install(refuse_sockets=rung < 3)
    elif rung < 3:
        raise OSError(38, "seccomp: no table for this machine")


def _rules(plan: Mapping[str, Any], scratch: str, rung: int) -> list[tuple[str, int]]:
    everything = landlock.handled(landlock.abi())
    readable = landlock.READ
    if rung == 3:
        return [
            ("/", readable),
            ("/tmp", everything),
            ("/dev/shm", everything),
            ("/dev", readable | landlock.WRITE_FILE | landlock.TRUNCATE | landlock.IOCTL_DEV),
            ("/proc", readable),
        ]
    rules = [(path, readable) for path in (*plan["system"], "/proc", "/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd")]
    for path in plan["private"]:
        rules += _all_but(path, plan["masked"], readable)
    rules += [(path, readable) for path in plan["shown"]]
    rules += [(path, readable | landlock.WRITE_FILE | landlock.IOCTL_DEV) for path in plan["devices"]]
    return [*rules, (scratch, everything)]


def _all_but(path: str, masked: Sequence[str], rights: int) -> list[tuple[str, int]]:
    """Rules for everything below `path` except the `masked` folders; a link is no way round them."""
    if path in masked:
        return []
    inside = [one for one in masked if one.startswith(path.rstrip("/") + "/")]
    if not inside:
        return [(path, rights)]
    rules = [(path, landlock.READ_DIR)]
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.is_symlink():
                rules += _all_but(entry.path, inside, rights)
    return rules


def _boot(plan: Mapping[str, Any], scratch: str, rung: int) -> str:
    writable = ["/tmp", "/dev/shm"] if rung == 3 else [scratch]
    return (
        f"import sys; sys.path[0:1] = {plan['path']!r}; sys.argv = ['aqe'];"
        f"from _aqe_inject import zygote; zygote.main({plan['commands']}, {plan['events']}, {rung == 3}, {writable!r})"
    )


def _is_own_user(plan: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    return bool(facts["own_uid"]) or (plan["rung"] == 3 and not plan["root"])


def describe_layers(plan: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Rung, what is in force, what is missing."""
    rung = plan["rung"]
    in_force = ["wall clock", "lifeline", "process limits"]
    missing: list[str] = []

    def layer(name: str, holds: bool) -> None:
        (in_force if holds else missing).append(name)

    namespaced = rung == 3
    layer("pid namespace", namespaced)
    layer("network namespace with loopback only", namespaced)
    layer("mount namespace: a new root with an allow-list, read-only", namespaced)
    layer("ipc and uts namespaces", namespaced)
    layer("scratch limited by the file system", namespaced)
    layer("given files read-only", namespaced)
    layer("user namespace" if namespaced and not plan["root"] else "uid of its own", _is_own_user(plan, facts))
    layer("no capabilities, no_new_privs", rung > 0)
    layer(f"landlock (abi {facts['landlock']})" if facts["landlock"] else "landlock", facts["landlock"] > 0)
    layer("seccomp", rung > 0 and seccomp.supported())
    if rung < 3:
        layer("no sockets", rung > 0)
        if plan["root"] and not facts["own_uid"]:
            missing.append("a kernel's limit on processes: those of uid 0 are only watched")
    layer("memory of the whole tree watched", sys.platform.startswith("linux"))
    return {"rung": RUNGS[rung], "in_force": in_force, "missing": missing}
