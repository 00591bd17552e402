"""Vectors elsewhere: in a process that was forked from theirs, pickled for another one, and copied.

A fork carries one thread over. A lock that another one held would never be given back, so the child gets new ones; what
was half done by then nobody sees, as where a writer is broken off. Pickles and copies are what `save` writes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from aqe.simd._vectors import Vectors

PATIENCE_S = 5.0
"""How long a fork waits for what other threads publish, which takes far less."""

_known: set[ref[Vectors]] = set()
_forking = threading.local()


def locks_of(vectors: Vectors) -> tuple[threading.RLock, threading.Lock, threading.Lock]:
    """Locks for these vectors, now and in every process that is forked from this one: of writers, of what searches
    see, and of upkeep."""
    _known.add(ref(vectors, _known.discard))
    return threading.RLock(), threading.Lock(), threading.Lock()


def reduced(vectors: Vectors) -> tuple[Callable[[bytes], Vectors], tuple[bytes]]:
    """What `pickle` and `copy` make these vectors anew of: the bytes of their file."""
    with TemporaryDirectory(prefix="aqe-vectors-") as folder:
        path = Path(folder) / "vectors"
        vectors.save(path)
        return restored, (path.read_bytes(),)


def restored(content: bytes) -> Vectors:
    """The vectors of a file with this content. Raises ValueError for one that is damaged."""
    from aqe.simd._vectors import Vectors

    with TemporaryDirectory(prefix="aqe-vectors-") as folder:
        path = Path(folder) / "vectors"
        path.write_bytes(content)
        return Vectors.open(path, mapped=False)


def _every() -> list[Vectors]:
    """All that have their locks; other threads make some and let some go meanwhile."""
    return [vectors for one in list(_known) if (vectors := one()) is not None and hasattr(vectors, "_working")]


def _wait() -> None:
    """Let no fork fall into what another thread publishes: an index that is half written would stay so in the child."""
    publishing = [vectors._publishing for vectors in sorted(_every(), key=id)]  # two threads may fork at once
    _forking.held = [lock for lock in publishing if lock.acquire(timeout=PATIENCE_S)]


def _go_on() -> None:
    for lock in _forking.__dict__.pop("held", ()):
        lock.release()


def _renew() -> None:
    """Give the vectors of a forked process locks of its own; upkeep that was under way goes on in the parent alone."""
    _forking.__dict__.clear()
    for vectors in _every():
        vectors._lock, vectors._publishing, vectors._working = locks_of(vectors)
        vectors._work = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait, after_in_parent=_go_on, after_in_child=_renew)
