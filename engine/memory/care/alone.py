"""One repair of a store at a time: another one waits until it is done, and looks again then.

The lock is the system's, on a file beside the store, since a damaged store keeps no lease; it goes with its process.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.marker import try_lock
from aqe.engine.memory.care.place import Place
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import unwritable

LOCK = "repair.lock"
"""The empty file that is there while a repair runs, with the rights of the store: what a killed repair left of it keeps
nobody else of a team away."""

LOOK_S = 0.1


@contextlib.contextmanager
def alone(place: Place, *, progress: Progress = silent, cancel: CancelToken | None = None) -> Iterator[bool]:
    """The only repair of the store for the length of the block; yields whether another one had to end first.

    Raises `UserError` (project-read-only, disk-full) and `Cancelled`.
    """
    path, has_waited = place.path.with_name(LOCK), False
    while (descriptor := _taken(path, place.path)) is None:
        has_waited = True
        if cancel is not None:
            cancel.check()
        progress("Waiting for another repair of this store")
        time.sleep(LOOK_S)
    try:
        yield has_waited
    finally:
        with contextlib.suppress(OSError):  # where an open file cannot be removed it stays
            path.unlink()
        os.close(descriptor)


def _taken(path: Path, store: Path) -> int | None:
    """The descriptor of the lock; None while another repair has it, or where it has just removed the file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        if not (os.path.exists(path) and os.access(path.parent, os.W_OK)):
            raise unwritable(path, error) from error
        raise UserError(
            f"The lock of repairs {str(path)!r} is another user's.",
            code="project-read-only",
            fix="When no repair of theirs runs, remove that file and try again.",
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error
    with contextlib.suppress(OSError):  # it may be another user's
        path.chmod(stat.S_IMODE(store.stat().st_mode) | stat.S_IRUSR | stat.S_IWUSR)
    try:
        is_ours = try_lock(descriptor) and os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        is_ours = False
    except OSError:
        is_ours = True  # a file system without locks holds nobody off, as before
    if not is_ours:
        os.close(descriptor)
    return descriptor if is_ours else None
