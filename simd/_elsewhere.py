"""Vectors elsewhere: in a process that was forked from theirs, pickled for another one, and copied.

A fork carries one thread over. A lock that another one held would never be given back, so the child gets new ones; what
was half done by then nobody sees, as where a writer is broken off. Pickles and copies are what `save` writes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from operator import index
from pathlib import Path
from pickle import PickleBuffer
from typing import TYPE_CHECKING, SupportsIndex
from weakref import ref

from aqe.simd import _saved, _vectors_file

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


def reduced(
    vectors: Vectors, protocol: SupportsIndex
) -> tuple[Callable[[_vectors_file.Held], Vectors], tuple[_vectors_file.Held]]:
    """What `pickle` and `copy` make these vectors anew of: the bytes of their file, made in memory. From protocol 5 on
    they may go beside the pickle without a copy (PEP 574)."""
    content = _saved.content(*vectors._as_it_is())
    return restored, (PickleBuffer(content) if index(protocol) >= 5 else content,)


def restored(content: _vectors_file.Held) -> Vectors:
    """The vectors of a file with this content. Raises ValueError for one that is damaged."""
    from aqe.simd._vectors import Vectors

    return opened(Vectors, Path("the pickle of these vectors"), False, content)


def opened(kind: type[Vectors], path: Path, mapped: bool, held: _vectors_file.Held | None = None) -> Vectors:
    """The vectors of a file, or of the content of one, which `path` names. Raises OSError, ValueError."""
    try:
        file = _vectors_file.File(path, mapped, held)
        made = kind(*_saved.kind(file))
        made._fill(file)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as missing:
        raise ValueError(f"{path} is damaged: its header does not tell what it should ({missing})") from None
    return made


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
