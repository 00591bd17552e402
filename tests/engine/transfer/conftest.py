"""Stores with everything that an export must not lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.engine.memory import Store
from aqe.engine.memory.transfer import Wanted
from aqe.engine.memory.transfer.reading import read_records


def everything(store: Store) -> list[tuple[Any, ...]]:
    """Every revision of a store with every column and its vector."""
    with store.looking() as connection:
        records = read_records(connection, Wanted(history=True, knowledge=True))
        return sorted(
            (
                *one.key,
                one.revision,
                one.text,
                sorted(one.metadata.items(), key=str),
                (one.created_at, one.valid_from, one.valid_to),
                one.id_given,
                vars(one.provenance),
                one.embedder_id,
                one.vector,
                sorted(one.more.items()),
            )
            for one in records
        )


def other(tmp_path: Path, name: str = "other") -> Store:
    """A second, empty store."""
    return Store.open(tmp_path / f"{name}.db")
