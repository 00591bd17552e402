"""The system calls that Python 3.11 does not wrap, through ctypes; each raises OSError with the call's name."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any

_libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
MNT_DETACH = 2

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_IDMAP = 1, 2, 4, 0x00100000
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *args: int | bytes | ctypes.Array[ctypes.c_char] | None, name: str = "") -> int:
    """A raw system call; integers go as longs."""
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return _check(int(_libc.syscall(ctypes.c_long(number), *words)), name or f"syscall {number}")


def unshare(flags: int) -> None:
    """Leave the namespaces of `flags`."""
    _check(_libc.unshare(flags), "unshare")


def prctl(option: int, value: int, *, name: str = "prctl") -> None:
    """prctl(2) with one argument."""
    _check(_libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)), name)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    _check(result, f"mount {kind or 'flags'} on {target}")


def umount(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root and show the old one at `put_old`."""
    numbers = {"x86_64": 155, "aarch64": 41}
    machine = os.uname().machine
    if machine not in numbers:
        raise OSError(38, f"pivot_root: unknown machine {machine}")
    syscall(numbers[machine], os.fsencode(new_root), os.fsencode(put_old), name="pivot_root")


def open_tree(path: str) -> int:
    """A detached copy of the mount tree at `path`, as a descriptor."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    return syscall(_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags, name=f"open_tree {path}")


def set_tree_attributes(tree: int, attributes: int, user_namespace: int = 0) -> None:
    """Set mount attributes on a whole detached tree."""
    record = ctypes.create_string_buffer(struct.pack("QQQQ", attributes, 0, 0, user_namespace), 32)
    syscall(_MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH | AT_RECURSIVE, record, 32, name="mount_setattr")


def move_mount(tree: int, target: str) -> None:
    """Attach a detached tree at `target`."""
    syscall(_MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH, name=f"move_mount {target}")


def loopback_up() -> None:
    """Bring up the loopback device of this network namespace."""
    fd = _check(_libc.socket(2, 2, 0), "socket")
    try:
        request = ctypes.create_string_buffer(struct.pack("16sH", b"lo", IFF_UP | IFF_RUNNING), 40)
        _check(_libc.ioctl(fd, ctypes.c_ulong(SIOCSIFFLAGS), request), "loopback")
    finally:
        os.close(fd)


def drop_bounding_set() -> None:
    """Give up every capability for whatever is executed later."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == 22:  # past the last one that this kernel knows
                return
            raise


def drop_capabilities() -> None:
    """Give up every capability of this process."""
    numbers = {"x86_64": 126, "aarch64": 91}
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
    syscall(numbers[os.uname().machine], header, ctypes.create_string_buffer(24), name="capset")
