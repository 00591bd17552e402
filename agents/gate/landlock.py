"""Landlock: file rules that a process puts on itself and that no descendant can take off."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from aqe.agents.gate import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
ALL_V1 = (1 << 13) - 1
READ = EXECUTE | READ_FILE | READ_DIR
FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
NET_TCP = 0b11
SCOPE_ABSTRACT_UNIX, SCOPE_SIGNAL = 1, 2


def abi() -> int:
    """The Landlock version of this kernel; 0 where there is none."""
    try:
        return kernel.syscall(_CREATE, None, 0, 1, name="landlock")
    except OSError:
        return 0


def handled(version: int) -> int:
    """All file rights that this version knows."""
    return (
        ALL_V1 | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0) | (IOCTL_DEV if version >= 5 else 0)
    )


def restrict(rules: Iterable[tuple[str, int]], *, refuse_tcp: bool) -> int:
    """Allow only `rules` (path, rights) from now on; returns the version in force.

    A path that does not exist is left out. Needs no_new_privs. Raises OSError where Landlock is missing.
    """
    version = abi()
    if version < 1:
        raise OSError(38, "landlock: not in this kernel")
    rights = handled(version)
    attributes = struct.pack("Q", rights)
    if version >= 4:
        attributes += struct.pack("Q", NET_TCP if refuse_tcp else 0)
    if version >= 6:
        attributes += struct.pack("Q", SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL)
    record = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = kernel.syscall(_CREATE, record, len(attributes), 0, name="landlock_create_ruleset")
    try:
        for path, wanted in rules:
            _allow(ruleset, path, wanted & rights)
        kernel.syscall(_RESTRICT, ruleset, 0, name="landlock_restrict_self")
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(f"/proc/self/fd/{fd}"):
            rights &= FOR_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, fd), 12)
        kernel.syscall(_ADD, ruleset, 1, rule, 0, name=f"landlock_add_rule {path}")
    finally:
        os.close(fd)
