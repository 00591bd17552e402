"""Files that aqe writes into the user's tree: marked, whole or not at all, one writer at a time.

The first line carries a hash of the rest. A file without that line, or whose rest has another hash, is somebody
else's and is never overwritten. Line ends do not count, so a checkout with CRLF is still ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.owner import current_owner
from aqe.engine.project import aqe_dir, unwritable

RETRY_S = 0.02
_MARK = re.compile(r"^\S+ Written by aqe; edit freely, aqe then leaves it alone\. \[([0-9a-f]{16})\]$")


def mark(body: str, comment: str = "#") -> str:
    """`body` under a first line that says whose it is and holds the hash of the rest.

    >>> print(mark("x = 1\\n"), end="")
    # Written by aqe; edit freely, aqe then leaves it alone. [9e26bf369911c45c]
    x = 1
    """
    return f"{comment} Written by aqe; edit freely, aqe then leaves it alone. [{_digest(body)}]\n{body}"


def is_marked(text: str) -> bool:
    """Whether `text` is what `mark` made, unchanged."""
    first, _, body = text.removeprefix("\ufeff").replace("\r\n", "\n").partition("\n")
    match = _MARK.match(first)
    return match is not None and match[1] == _digest(body)


def is_ours(path: Path) -> bool:
    """Whether aqe wrote the file and nobody changed it since; False for a file that does not exist."""
    try:
        return is_marked(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError):
        return False


def _digest(body: str) -> str:
    text = body.replace("\r\n", "\n").encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:16]


def write_atomic(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that a reader, a crash or a full disk finds the old file or the new one whole.

    Raises `UserError` (project-read-only, disk-full); then the old file stands.
    """
    write_bytes_atomic(path, text.encode("utf-8"))


def write_bytes_atomic(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """`write_atomic` for bytes; `mode` is the permission of a new file, less the umask."""
    spare = path.with_name(f".{path.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with contextlib.suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):  # renaming over a device or a pipe takes it away from everybody
                raise UserError(f"{str(path)!r} is no file.", code="bad-output", fix="Name a file.")
            mode &= 0o777
        descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(spare, path)
        _sync_folder(path.parent)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    finally:
        with contextlib.suppress(OSError):
            spare.unlink()


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems refuse this; the rename itself has happened
        pass
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def lock_target(project: Path, target: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold `target` (any text that names what is written) for this process until the block ends.

    The lock file in `.aqe/locks/` holds pid and start time; the system itself drops the lock of a process that
    dies, so no stale one blocks. Raises `UserError` (target-busy) while another run holds it, after `wait_s` seconds.
    """
    folder = aqe_dir(project) / "locks"
    path = folder / f"{hashlib.sha256(target.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}.lock"
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    try:
        last = time.monotonic() + wait_s
        while not try_lock(descriptor):
            if time.monotonic() >= last:
                raise _busy(target, path)
            time.sleep(RETRY_S)
        owner = current_owner()
        started = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps({"pid": owner.pid, "since": started, "target": target}).encode())
        except OSError as exc:
            raise unwritable(path, exc) from exc
        yield
    finally:
        os.close(descriptor)


def _busy(target: str, path: Path) -> UserError:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        who = f"by process {holder['pid']} since {holder['since']}"
    except (OSError, ValueError, KeyError):
        who = "by another process"
    return UserError(
        f"{target!r} is being written {who}.", code="target-busy", fix="Wait for that run, or end it, then try again."
    )


def try_lock(descriptor: int) -> bool:
    """Lock an open file for as long as its descriptor is open; False while another one holds it. Raises `OSError` where
    the file system has no locks."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a byte past the text, so that others can read it
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
