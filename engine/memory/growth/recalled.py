"""What was recalled a moment ago is not stored again.

An assistant that is given a memory tends to remember it anew, in its own words or its own frame ("Remember: ..."), and
a memory fills with copies of itself. So each search and each answer notes which memories it showed, for this process
and (through the access counts) for the next ones; a text that says nothing beyond one of them is answered with that
one's id. Only what the text adds decides: one number, one name or one negation more, and it is a memory of its own.

A text from a shelf (the project index, the knowledge) that is repeated into another namespace counts too; a memory of
another ordinary namespace does not, since the caller wants it in both. An id of the caller is always a row of its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import apsw

from aqe.engine.memory.entry import Memory
from aqe.engine.memory.growth.likeness import LONGEST, Profile, adds_nothing, profile, recent_profile
from aqe.engine.memory.ranking import SHELVES
from aqe.engine.memory.rows import COLUMNS, read_memory

WINDOW_S = 3600.0
MOST = 256
"""The memories that are looked at, those recalled last."""

MOST_TEXTS = 64
"""More texts at a time are an import, not what somebody says about what they were shown."""

Key = tuple[str, str]
_lock = threading.Lock()
_lately: dict[Path, OrderedDict[Key, float]] = {}


def note_recalled(path: Path, keys: Iterable[Key]) -> None:
    """Note that memories (namespace, id) of the store at `path` were shown just now, by any part of this process."""
    now = time.monotonic()
    with _lock:
        known = _lately.setdefault(path, OrderedDict())
        for key in keys:
            known[key] = now
            known.move_to_end(key)
        while len(known) > MOST:
            known.popitem(last=False)


def lately(connection: apsw.Connection, path: Path, now: int, window_s: float = WINDOW_S) -> list[Memory]:
    """The current memories that were recalled within the window, by this process or another, the last ones first."""
    least = time.monotonic() - window_s
    with _lock:
        keys = [key for key, at in reversed(_lately.get(path, OrderedDict()).items()) if at >= least]
    found: dict[Key, Memory] = {}
    for namespace, id in keys:
        sql = f"SELECT {COLUMNS} WHERE namespace = ? AND id = ? AND valid_to IS NULL"
        row = connection.execute(sql, (namespace, id)).fetchone()
        if row is not None:
            found[namespace, id] = read_memory(row)
    newest = connection.execute("SELECT max(last_at) FROM accesses").get
    if newest is not None and newest >= now - window_s * 1e6:
        sql = (
            f"SELECT {COLUMNS} JOIN accesses ON accesses.row = memories.row WHERE last_at >= ? AND valid_to IS NULL"
            " ORDER BY last_at DESC LIMIT ?"
        )
        for row in connection.execute(sql, (int(now - window_s * 1e6), MOST)):
            memory = read_memory(row)
            found.setdefault((memory.namespace, memory.id), memory)
    return [one for one in found.values() if one.expires_at is None or one.expires_at > now][:MOST]


def said_already(text: str, namespace: str, known: Iterable[Memory]) -> Memory | None:
    """The first of the `known` memories beyond which `text` says nothing, where it would be a copy of that one."""
    if len(text) > LONGEST:
        return None
    wanted: Profile | None = None
    for memory in known:
        if memory.namespace != namespace and not memory.namespace.startswith(SHELVES):
            continue
        if memory.text == text and memory.namespace == namespace:
            return memory
        wanted = wanted or profile(text)
        if adds_nothing(wanted, recent_profile(memory.text[:LONGEST])):
            return memory
    return None
