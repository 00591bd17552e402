"""The settings of memory: what is kept, for how long, and in what form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import check_namespace
from aqe.engine.table import Table

Share = Annotated[float, Field(ge=0, le=1)]


class MemorySettings(Table):
    """`[tool.aqe.memory]`: what is kept."""

    redact: bool = Field(
        default=False, description="true: secrets and personal data are taken out of a memory before it is written"
    )
    graph: bool = Field(
        default=True, description="false: what joins memories is not kept up to date, and orders no search for tests"
    )
    index: Literal["own", "hnsw"] = Field(
        default="own", description="what finds near vectors: aqe's own codes, or a graph of usearch (extra `hnsw`)"
    )
    hnsw_m: int = Field(default=16, ge=4, le=64, description="hnsw: neighbours that a vector keeps")
    hnsw_ef_construction: int = Field(
        default=128, ge=50, le=500, description="hnsw: vectors looked at when one is added"
    )
    hnsw_ef_search: int = Field(default=64, ge=10, le=500, description="hnsw: vectors looked at by a search, at least")
    recalled_minutes: float = Field(
        default=60, ge=0, le=1440, description="what was recalled this lately is not stored again; 0: it is"
    )
    half_life_days: float = Field(
        default=30, gt=0, le=36_500, description="after this time a recall of a memory counts half"
    )
    stale: Literal["mark", "lower", "hide"] = Field(
        default="lower", description="a memory whose file changed since is marked, ranked lower too, or not found"
    )
    merge: bool = Field(
        default=True,
        description="false: memories that say the same word for word are merged by `aqe memory merge` alone",
    )
    merge_cosine: float = Field(
        default=0.9, ge=0, le=1, description="near-duplicates have vectors at least this near, where they have any"
    )
    merge_overlap: float = Field(
        default=0.8, ge=0.5, le=1, description="near-duplicates share this much of their words and word pairs"
    )
    max_mb: float = Field(
        default=4096,
        ge=0,
        le=1_048_576,
        description="the least worth of what is remembered goes above this size, in MB; 0: never",
    )
    answer_tokens: int = Field(
        default=2000, ge=200, le=100_000, description="the longest answer of query and memory_search to an assistant"
    )
    max_count: int = Field(
        default=0, ge=0, description="the least worth goes above this many memories; 0: no number is too many"
    )
    upkeep_minutes: float = Field(
        default=15, ge=0, le=10_080, description="how often a server tends its memory in the background; 0: never"
    )
    vector_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="how much of a score is meaning, the rest is words: 1 is all; not set: .75 for code, .25 for prose",
    )
    shares: dict[str, Share] = Field(
        default={}, description="the same for single namespaces, `name/` for all below; the variable is a JSON object"
    )

    @field_validator("shares")
    @classmethod
    def _are_namespaces(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            try:
                check_namespace(name)
            except UserError as error:
                raise ValueError(error.message) from None
        return value

    tiers: bool = Field(
        default=True, description="false: a server leaves the vectors of rarely recalled memories in float32"
    )
    tiers_from: int = Field(default=20_000, ge=0, description="memories from which vectors are moved between tiers")
    hot_percent: float = Field(default=20, ge=0, le=100, description="the most recalled, whose vectors stay float32")
    warm_percent: float = Field(default=40, ge=0, le=100, description="the next, whose vectors are float16")
    int8_percent: float = Field(
        default=30, ge=0, le=100, description="the next, whose vectors are int8; what is left has 4 bits a number"
    )
    rank: str = Field(
        default="similarity",
        description="the order of what is found: an expression over similarity, recency, quality and so on",
    )
    rank_candidates: int = Field(
        default=200, ge=10, le=100_000, description="how many of the nearest memories `memory.rank` puts in order"
    )
