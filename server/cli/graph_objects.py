"""The JSON objects of the commands about what joins memories: the models behind their schemas in docs/schemas."""

from __future__ import annotations

from dataclasses import dataclass

from aqe.engine.memory.graph.building import GraphReport
from aqe.engine.memory.graph.edges import Kind, Origin


@dataclass(frozen=True)
class GraphShown:
    """What `aqe memory graph --json` prints: edges by kind and by what said so; `built` with --build."""

    edges: int
    memories: int
    kinds: dict[str, int]
    origins: dict[str, int]
    built: GraphReport | None


@dataclass(frozen=True)
class NeighbourShown:
    """A memory at the other end of an edge. `outward`: the edge starts at the memory asked about (null: the kind has
    no direction); `members` counts the memories of the edge; `via` is the id before it on a way of `depth` edges."""

    namespace: str
    id: str
    kind: Kind
    outward: bool | None
    weight: float
    origin: Origin
    members: int
    depth: int
    via: str
    text: str


@dataclass(frozen=True)
class NeighboursShown:
    """What `aqe memory neighbours --json` prints."""

    id: str
    namespace: str
    neighbours: list[NeighbourShown]


@dataclass(frozen=True)
class Member:
    """One memory of an edge."""

    namespace: str
    id: str


@dataclass(frozen=True)
class Linked:
    """What `aqe memory link --json` prints; `new` unless they were joined already."""

    kind: Kind
    weight: float
    members: list[Member]
    new: bool


@dataclass(frozen=True)
class Unlinked:
    """What `aqe memory unlink --json` prints; `removed` where there was such an edge."""

    kind: Kind
    weight: float
    members: list[Member]
    removed: bool
