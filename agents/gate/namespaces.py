"""The namespaces of a box and its new root, in which what is not on the allow-list does not exist."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from aqe.agents.gate import kernel

OLD_ROOT = "/.old"
BASE = "/tmp"  # any folder that is always there: the new root is built over it
# Files of the whole machine, which uid 0 may write even without a capability.
KERNEL_SWITCHES = tuple("/proc/" + name for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))
READ_ONLY = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
ALL = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS


def leave(*, as_root: bool, network: bool = False) -> None:
    """Enter new namespaces: the next child is pid 1 of its own.

    A plain user gets a user namespace in which its own ids stay what they are. `network` keeps the host's network.
    """
    flags = ALL & ~kernel.CLONE_NEWNET if network else ALL
    if as_root:
        kernel.unshare(flags)
        return
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(flags | kernel.CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


class OwnerMaps:
    """User namespaces that show files of one owner as files of the job's own user, for idmapped mounts.

    Made before the namespaces are left, while /proc still shows the pids of this process's children.
    """

    def __init__(self, uid: int, gid: int, paths: Sequence[str]) -> None:
        self._uid, self._gid = uid, gid
        self._open: dict[tuple[int, int], int] = {}
        for path in paths:
            try:
                owner = os.stat(path)
            except FileNotFoundError:  # gone since it was listed
                continue
            key = (owner.st_uid, owner.st_gid)
            if key not in self._open:
                self._open[key] = self._make(*key)

    def descriptor(self, path: str) -> int:
        """The user namespace that maps the owner of `path` to the job's user."""
        owner = os.stat(path)
        return self._open[owner.st_uid, owner.st_gid]

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in self._open.values():
            os.close(fd)

    def _make(self, uid: int, gid: int) -> int:
        ready, say_ready = os.pipe()
        stay, leave_now = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(leave_now)
                kernel.unshare(kernel.CLONE_NEWUSER)
                os.write(say_ready, b".")
                os.read(stay, 1)
            finally:
                os._exit(0)
        os.close(say_ready)
        os.close(stay)
        try:
            if os.read(ready, 1) != b".":
                raise OSError(1, "unshare for an idmapped mount")
            _write(f"/proc/{pid}/uid_map", f"{uid} {self._uid} 1")
            _write(f"/proc/{pid}/gid_map", f"{gid} {self._gid} 1")
            return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(ready)
            os.close(leave_now)
            os.waitpid(pid, 0)


def take_trees(
    paths: Sequence[str], private: Sequence[str], maps: OwnerMaps | None
) -> tuple[dict[str, int], list[str]]:
    """Detached read-only copies of the trees at `paths`.

    Those in `private` are shown as owned by the job's user where the file system can; the second value lists those
    where it cannot.
    """
    trees: dict[str, int] = {}
    unmapped: list[str] = []
    for path in paths:
        try:
            tree = kernel.open_tree(path)
        except FileNotFoundError:
            continue
        attributes = READ_ONLY & ~kernel.MOUNT_ATTR_NODEV if path.startswith("/dev/") else READ_ONLY
        mapped = False
        if path in private:
            try:
                if maps is None:
                    raise OSError(38, "no idmapped mounts here")
                kernel.set_tree_attributes(tree, attributes | kernel.MOUNT_ATTR_IDMAP, maps.descriptor(path))
                mapped = True
            except FileNotFoundError:
                os.close(tree)
                continue
            except (OSError, KeyError):
                unmapped.append(path)
        if not mapped:
            kernel.set_tree_attributes(tree, attributes)
        trees[path] = tree
    return trees, unmapped


def build_root(trees: Mapping[str, int], plan: Mapping[str, Any], uid: int, gid: int) -> None:
    """Make the new root, attach the trees and forget the old root. Called by pid 1, with full rights."""
    limits = plan["limits"]
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("aqe", BASE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=4m,nr_inodes=4096")
    os.mkdir(BASE + OLD_ROOT)
    kernel.pivot_root(BASE, BASE + OLD_ROOT)
    os.chdir("/")
    _fresh_folders(limits, uid, gid)
    for path in sorted(trees.keys() - set(plan["shown"])):
        _attach(path, trees[path])
    for path in plan["masked"]:
        _mask(path, {shown: trees[shown] for shown in plan["shown"] if shown in trees and shown.startswith(path + "/")})
    for link, target in plan["links"]:
        if not os.path.lexists(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(target, link)
    for name, text in plan["etc"].items():
        _plain_file("/etc/" + name, text.replace("{uid}", str(uid)).replace("{gid}", str(gid)))
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    for path in filter(os.path.exists, KERNEL_SWITCHES):
        make_read_only(path)
    kernel.umount(OLD_ROOT, kernel.MNT_DETACH)
    os.rmdir(OLD_ROOT)
    kernel.mount(
        "none", "/", "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    )


def _mask(path: str, shown: Mapping[str, int]) -> None:
    """Cover a folder with an empty one that has nothing but the trees `shown` in it."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("aqe", path, "tmpfs", flags, "mode=755,size=64k,nr_inodes=64")
    for inside in sorted(shown):
        _attach(inside, shown[inside])
    kernel.mount("none", path, "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | flags)


def make_read_only(path: str) -> None:
    """Mount `path` over itself, read-only."""
    kernel.mount(path, path, "", kernel.MS_BIND | kernel.MS_REC)
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("none", path, "", flags | (kernel.MS_NOEXEC if path.startswith("/proc/") else 0))


def _fresh_folders(limits: Mapping[str, int], uid: int, gid: int) -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    for name in ("proc", "tmp", "dev", "etc"):
        os.mkdir("/" + name, 0o755)
    size = f"size={limits['scratch_mb']}m,nr_inodes={limits['scratch_files']}"
    kernel.mount("aqe", "/tmp", "tmpfs", flags, f"mode=1777,{size}")
    os.mkdir("/dev/shm", 0o1777)
    kernel.mount("aqe", "/dev/shm", "tmpfs", flags, f"mode=1777,size={limits['scratch_mb']}m,nr_inodes=256")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, "/dev/" + name)
    os.mkdir("/tmp/scratch", 0o700)
    if os.geteuid() != uid:
        os.chown("/tmp/scratch", uid, gid)


def _attach(path: str, tree: int) -> None:
    kind = os.fstat(tree).st_mode
    if kind & 0o170000 == 0o040000:
        os.makedirs(path, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        if not os.path.lexists(path):
            _plain_file(path, "")
    with contextlib.suppress(FileNotFoundError):  # removed since it was taken, as one that was gone before
        kernel.move_mount(tree, path)
    os.close(tree)


def _plain_file(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
