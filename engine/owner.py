"""Which process holds a lock or runs a job, told apart from a later process with the same number."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process: its number, when it started (an opaque text) and the machine and PID namespace it runs in."""

    pid: int
    started: str
    host: str

    def is_dead(self) -> bool:
        """Whether the process is surely gone; False where that cannot be known (another machine)."""
        if self.host != _host():
            return False
        return process_start(self.pid) != self.started


def current_owner() -> Owner:
    """This process."""
    pid = os.getpid()
    return Owner(pid, process_start(pid), _host())


@functools.cache
def _host() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{platform.node()} {namespace}".strip()


def process_start(pid: int) -> str:
    """When the process started, as a text to compare; "" when it does not run."""
    if pid <= 0:
        return ""
    if sys.platform == "win32":
        return _windows_start(pid)
    stat = Path(f"/proc/{pid}/stat")
    try:
        fields = stat.read_text(errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _ps_start(pid)
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _ps_start(pid: int) -> str:
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def _windows_start(pid: int) -> str:
    if sys.platform != "win32":
        return ""
    import ctypes

    kernel = ctypes.WinDLL("kernel32")
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return ""
    times = [ctypes.c_uint64() for _ in range(4)]
    try:
        kernel.GetProcessTimes(handle, *(ctypes.byref(time) for time in times))
    finally:
        kernel.CloseHandle(handle)
    return "" if times[1].value else str(times[0].value)
