"""The JSON objects of `aqe memory export` and `import`: the models behind their schemas in docs/schemas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aqe.engine.memory.transfer import Imported
from aqe.server.cli.objects import AbsentShown


@dataclass(frozen=True)
class MemoriesExported:
    """What `aqe memory export FILE --json` prints: revisions, the memories that they are of, vectors written beside,
    and bytes of all that was written; `absent` where no memory is in the namespace."""

    file: str
    format: Literal["jsonl", "markdown"]
    revisions: int
    memories: int
    vectors: int
    bytes: int
    absent: AbsentShown | None = None


@dataclass(frozen=True)
class WholeStateExported:
    """What it prints for a whole state: the rows of each part of the archive."""

    file: str
    format: Literal["state"]
    rows: dict[str, int]
    bytes: int


@dataclass(frozen=True)
class MemoriesImported(Imported):
    """What `aqe memory import FILE --json` prints. Of the memories `added` were new, `continued` got the revisions that
    they lacked, `same` were there; those that differ stayed (`kept`) or became a new revision (`taken`), the first 20
    of them in `named`; `left_out` has what could not be a memory, with why. `ended` of those there or kept had been
    deleted here (or merged, pruned, expired) and stay so, the first 20 in `ended_named`. `embedded` got a vector.
    `ignored_keys` are those of lines that nothing reads. Of a state also the rows of its other parts, by part."""

    file: str
    embedded: int
    added_rows: dict[str, int] | None = None
    same_rows: dict[str, int] | None = None
