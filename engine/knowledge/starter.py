"""The entries that aqe ships: short texts on testing, each with its source, in four namespaces."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

NAMESPACES = ("knowledge/patterns", "knowledge/quality", "knowledge/smells", "knowledge/flaky")
_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Entry:
    """One entry: `version` is that of its file, `source` says where its facts can be read up."""

    id: str
    namespace: str
    title: str
    text: str
    source: str
    version: int

    @property
    def body(self) -> str:
        """What is remembered and searched: the title, then the text."""
        return f"{self.title}\n{self.text}"


@lru_cache(maxsize=1)
def starter_entries() -> tuple[Entry, ...]:
    """All shipped entries, namespace by namespace."""
    return tuple(entry for namespace in NAMESPACES for entry in _read(namespace))


def _read(namespace: str) -> list[Entry]:
    table = tomllib.loads((_DATA / f"{namespace.rpartition('/')[2]}.toml").read_text(encoding="utf-8"))
    return [Entry(namespace=namespace, version=table["version"], **fields) for fields in table["entry"]]
