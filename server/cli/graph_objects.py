"""The JSON objects of the commands about what joins memories: the models behind their schemas in docs/schemas."""

from __future__ import annotations

from dataclasses import dataclass

from aqe.engine.memory.graph.building import GraphReport
from aqe.engine.memory.graph.edges import Edge, GraphFigures, Kind, Neighbour


@dataclass(frozen=True)
class WeightsShown:
    """Weights of a project's own: from how many functions they were learned, on how many queries of others they were
    tried, and by how much the mean of 1 / the rank of the first right test grew there (`low`: the tenth percentile of
    its bootstrap). `learned_at` is null where they were not kept."""

    learned_at: str | None
    functions: int
    held_out: int
    gain: float
    low: float


@dataclass(frozen=True)
class GraphShown(GraphFigures):
    """What `aqe memory graph --json` prints: edges by kind and by what said so; `built` with --build. `weights` are the
    project's own (null: those that came with aqe order its searches), `tried` what --learn came to (null: the recorded
    runs tell of too few functions)."""

    built: GraphReport | None
    weights: WeightsShown | None
    tried: WeightsShown | None


@dataclass(frozen=True)
class NeighbourShown(Neighbour):
    """A memory at the other end of an edge. `outward`: the edge starts at the memory asked about (null: the kind has
    no direction); `members` counts the memories of the edge; `via` is the id before it on a way of `depth` edges."""

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
class EdgeShown:
    """One edge as it was given."""

    kind: Kind
    weight: float
    members: list[Member]


@dataclass(frozen=True)
class Linked(EdgeShown):
    """What `aqe memory link --json` prints; `new` unless they were joined already."""

    new: bool


@dataclass(frozen=True)
class Unlinked(EdgeShown):
    """What `aqe memory unlink --json` prints; `removed` where there was such an edge."""

    removed: bool


def members_of(edge: Edge) -> list[Member]:
    """The memories of an edge."""
    return [Member(namespace, id) for namespace, id in edge.members]
