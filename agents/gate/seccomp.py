"""A seccomp filter, assembled by hand: what no test of a subject needs and an escape would."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from aqe.agents.gate import kernel

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMNS = ("x86_64", "aarch64")

# name: (x86_64, aarch64)
REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "bpf": (321, 280),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "shmget": (29, 194),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount_setattr": (442, 442),
    "quotactl_fd": (443, 443),
}
# libraries try these and have another way
ABSENT = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}
CLONE = (56, 220)
IOCTL = (16, 29)
SOCKET = (41, 198)
SECCOMP = (317, 277)
FAMILIES = (1, 2, 10, 16)  # Unix, IPv4, IPv6, netlink: those that a network namespace holds; not vsock, say
NAMESPACE_BITS = (
    0x7E020000  # CLONE_NEW*: mount, cgroup, uts, ipc, user, pid, net (0x80, time, is part of clone's exit signal)
)
TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24


def supported() -> bool:
    """Whether the filter knows this machine's system call numbers."""
    return os.uname().machine in AUDIT_ARCH


def program(machine: str, *, refuse_sockets: bool) -> bytes:
    """The filter's instructions for `machine`."""
    column = _COLUMNS.index(machine)
    eperm, enosys = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
    code = [(_LD, 0, 0, _ARCH), (_JEQ, 1, 0, AUDIT_ARCH[machine]), (_RET, 0, 0, _KILL), (_LD, 0, 0, _NR)]
    if machine == "x86_64":  # the x32 table has other numbers for the same calls
        code += [(_JGE, 0, 1, 0x40000000), (_RET, 0, 0, eperm)]
    refused = [numbers[column] for numbers in REFUSED.values()]
    if refuse_sockets:
        refused.append(SOCKET[column])
    for number in refused:
        code += [(_JEQ, 0, 1, number), (_RET, 0, 0, eperm)]
    for numbers in ABSENT.values():
        code += [(_JEQ, 0, 1, numbers[column]), (_RET, 0, 0, enosys)]
    if not refuse_sockets:
        code += [(_JEQ, 0, len(FAMILIES) + 2, SOCKET[column]), (_LD, 0, 0, _ARG0)]
        code += [(_JEQ, len(FAMILIES) - place, 0, family) for place, family in enumerate(FAMILIES)]
        code += [(_RET, 0, 0, 0x00050000 | errno.EAFNOSUPPORT), (_LD, 0, 0, _NR)]
    code += [
        (_JEQ, 0, 4, CLONE[column]),
        (_LD, 0, 0, _ARG0),
        (_JSET, 0, 1, NAMESPACE_BITS),
        (_RET, 0, 0, eperm),
        (_RET, 0, 0, _ALLOW),
        (_JEQ, 0, 5, IOCTL[column]),
        (_LD, 0, 0, _ARG1),
        (_JEQ, 1, 0, TERMINAL_INJECTION[0]),
        (_JEQ, 0, 1, TERMINAL_INJECTION[1]),
        (_RET, 0, 0, eperm),
        (_RET, 0, 0, _ALLOW),
        (_RET, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def install(*, refuse_sockets: bool) -> None:
    """Put the filter on this process and all that it starts. Needs no_new_privs."""
    machine = os.uname().machine
    if machine not in AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"seccomp: no table for {machine}")
    text = program(machine, refuse_sockets=refuse_sockets)
    code = ctypes.create_string_buffer(text, len(text))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(text) // 8, ctypes.addressof(code)), 16)
    kernel.syscall(SECCOMP[_COLUMNS.index(machine)], 1, 0, head, name="seccomp")
