"""Resource limits of a box: those that the kernel holds per process and those that a watcher holds over the tree."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping

try:  # now, since inside a box of another interpreter aqe's own library is out of reach
    import resource
except ImportError:  # POSIX alone has it, and this module is imported everywhere
    pass

MIB = 1 << 20
ADDRESS_SPACE_ABOVE_MB = 512  # maps that are not memory: libraries, thread stacks, allocator arenas
CPU_S = 3600


def set_limits(limits: Mapping[str, int], *, processes_now: int = 0) -> None:
    """Put the per-process limits on this process and all that it starts.

    `processes_now` is what the kernel already counts for this user, where it counts the whole host.
    """
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: (limits["memory_mb"] + ADDRESS_SPACE_ABOVE_MB) * MIB,
        resource.RLIMIT_FSIZE: limits["scratch_mb"] * MIB,
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_NPROC: processes_now + limits["processes"],
        resource.RLIMIT_CPU: CPU_S,
    }
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):
            if kind != resource.RLIMIT_AS:  # macOS refuses this one
                raise


def count_tasks(uid: int) -> int:
    """How many threads of `uid` the host runs, as RLIMIT_NPROC counts them outside a user namespace."""
    count = 0
    for pid in _pids():
        try:
            if os.stat(f"/proc/{pid}").st_uid == uid:
                count += len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            continue
    return count


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


class Watcher:
    """Sums private memory and scratch over the processes of a box and kills what is over the cap.

    `members` lists the pids to watch, the zygote's among them; `used_mb` tells what the scratch folder holds.
    """

    def __init__(
        self, limits: Mapping[str, int], members: Callable[[], list[int]], scratch_bytes: Callable[[], int]
    ) -> None:
        self._cap = limits["memory_mb"] * MIB
        self._scratch_cap = limits["scratch_mb"] * MIB
        self._processes = limits["processes"]
        self._members = members
        self._scratch_bytes = scratch_bytes
        self._page = os.sysconf("SC_PAGE_SIZE")

    def excess(self) -> str:
        """ "memory", "scratch" or "processes" when the box uses more than it may, else empty."""
        pids = self._members()
        scratch = self._scratch_bytes()
        if scratch > self._scratch_cap:
            return "scratch"
        if len(pids) > 2 * self._processes + 8:
            return "processes"
        if sum(self._resident(pid) for pid in pids) + scratch <= self._cap:
            return ""
        return "memory" if sum(self._private(pid) for pid in pids) + scratch > self._cap else ""

    def _resident(self, pid: int) -> int:
        """Resident memory that no file backs; pages shared with a parent after fork count in both."""
        try:
            with open(f"/proc/{pid}/statm", "rb") as stream:
                fields = stream.read().split()
        except OSError:
            return 0
        return (int(fields[1]) - int(fields[2])) * self._page if len(fields) > 2 else 0

    def _private(self, pid: int) -> int:
        """Memory that only this process has."""
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as stream:
                lines = stream.read().split(b"\n")
        except OSError:
            return self._resident(pid)
        sizes = [int(line.split()[1]) for line in lines if line.startswith((b"Private_", b"Swap:"))]
        return sum(sizes) * 1024


def kill_all(pids: list[int], spare: int) -> None:
    """SIGKILL for all but one."""
    for pid in pids:
        if pid != spare:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


def folder_bytes(folder: str, *, at_most: int, files_at_most: int, every_s: float = 0.25) -> Callable[[], int]:
    """A function that tells what `folder` holds, measured anew at most every `every_s` seconds.

    More than `files_at_most` files count as more than `at_most` bytes.
    """
    known = [0.0, 0]

    def measure() -> int:
        now = time.monotonic()
        if now - known[0] >= every_s:
            known[1] = _walk(folder, at_most, files_at_most)
            known[0] = time.monotonic() + 4 * (time.monotonic() - now)
        return int(known[1])

    return measure


def _walk(folder: str, at_most: int, files_at_most: int) -> int:
    total = files = 0
    open_folders = [folder]
    while open_folders:
        try:
            with os.scandir(open_folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    if files > files_at_most:
                        return at_most + 1
                    if entry.is_dir(follow_symlinks=False):
                        open_folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total
