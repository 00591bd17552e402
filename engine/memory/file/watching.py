"""A connection that tells when anybody else wrote."""

from __future__ import annotations

from pathlib import Path

import apsw

from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.file.keys import store_key


def watch_connection(path: Path, *, key: str | None = None) -> apsw.Connection:
    """A connection of its own to an existing store, whose `data_version` changes with every commit of any other.

    `key` is that of the store (`store_key`) where not given. Raises `UserError` as `Store.open` does.
    """
    return open_connection(path, key=key or store_key(path))
