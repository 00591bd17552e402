"""Vectors elsewhere: in a process that was forked from theirs, pickled for another one, and copied.

A forked process has them as they were last seen: what was half done by then nobody sees, as where a writer is broken
off. Pickles and copies are what `save` writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import index
from pathlib import Path
from pickle import PickleBuffer
from typing import TYPE_CHECKING, NoReturn, SupportsIndex, cast

from aqe.simd import _forks, _saved, _vectors_file

if TYPE_CHECKING:
    from aqe.simd._state import State
    from aqe.simd._table import Table
    from aqe.simd._vectors import Vectors

Locks = tuple[threading.RLock, threading.Lock, threading.Lock]


def locks_of(vectors: Vectors) -> Locks:
    """Locks for these vectors, now and in every process that is forked from this one: of writers, of what searches
    see, and of upkeep."""
    made = vectors._lock, vectors._publishing, vectors._working = _locks()
    _forks.watch(vectors, _AT_FORKS)
    return made


def _locks() -> Locks:
    return threading.RLock(), threading.Lock(), threading.Lock()


class _Torn:
    """In place of what another thread was at: whoever looks at it is told."""

    def __getattr__(self, name: str) -> NoReturn:
        raise _forks.torn("vectors")


def _hold(vectors: Vectors, patience_s: float) -> bool:
    """Have whoever publishes wait: an index that is half written would stay so in the child."""
    return vectors._publishing.acquire(timeout=patience_s)


def _let_go(vectors: Vectors) -> None:
    vectors._publishing.release()


def _begin_anew(vectors: Vectors, is_held: bool) -> None:
    """Locks of its own; upkeep that was under way goes on in the parent alone."""
    is_whole = is_held or vectors._publishing.acquire(blocking=False)
    vectors._lock, vectors._publishing, vectors._working = _locks()
    vectors._work = None
    if not is_whole:
        vectors._state, vectors._table = cast("State", _Torn()), cast("Table", _Torn())


_AT_FORKS: _forks.AtForks[Vectors] = _forks.AtForks(_hold, _let_go, _begin_anew)


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
