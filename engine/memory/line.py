"""What a line of JSON says of a memory, alike where lines are added and where a file of them is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import NewMemory, Provenance
from aqe.engine.memory.growth.expiry import read_ttl

_WHENCE = ("file", "line", "commit", "run")

KEYS = ("text", "namespace", "id", "metadata", "vector", "embedder_id", *_WHENCE, "ttl")
"""What is read of a line."""


def memory_of_line(line: Mapping[str, Any], *, namespace: str = "default") -> NewMemory:
    """The memory that a line describes, in `namespace` where it names none. Raises `UserError` (bad-text, bad-ttl)."""
    if "text" not in line:
        raise UserError("The line has no key 'text'.", code="bad-text", fix='Write {"text": "..."}.')
    named = {name: line[name] for name in _WHENCE if line.get(name)}
    return NewMemory(
        text=line["text"],
        namespace=namespace if line.get("namespace") is None else line["namespace"],
        id=line.get("id"),
        metadata=line.get("metadata") or {},
        vector=line.get("vector"),
        embedder_id=line.get("embedder_id"),
        provenance=Provenance(**named) if named else None,
        ttl_s=None if line.get("ttl") is None else read_ttl(line["ttl"]),
    )
