"""What an engine has done and holds, as figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aqe.engine.activity import read_activity
from aqe.engine.memory.contents import StoreStats
from aqe.engine.memory.store import Store
from aqe.engine.recall import CachedEmbedder, Recall
from aqe.engine.requests import RequestTable


@dataclass(frozen=True)
class CacheFigures:
    """Since this engine was opened: texts whose vector was at hand and those embedded, questions that their session's
    passages served and all that looked for passages; `hit_rate` is the share of both together, None before any."""

    embedding_hits: int
    embedding_misses: int
    retrieval_hits: int
    retrievals: int
    hit_rate: float | None


@dataclass(frozen=True)
class EngineStats:
    """Figures of a project. `queries`, `completions`, `mean_confidence`, `cost_usd` and `providers` are of the requests
    that are kept, `reused` of them were served by their session; `signals` counts the last word on each request by
    its kind, a rating in the middle as neutral; `sessions` counts them by whether they are open; `cache` is of this
    engine alone; `store` counts memories and bytes by component."""

    queries: int
    completions: int
    mean_confidence: float | None
    reused: int
    cost_usd: float
    providers: Mapping[str, int]
    signals: Mapping[str, int]
    sessions: Mapping[str, int]
    cache: CacheFigures
    embedder: str
    store: StoreStats


def read_figures(store: Store, requests: RequestTable, embedder: CachedEmbedder, recall: Recall) -> EngineStats:
    """All figures now."""
    activity = read_activity(store, requests)
    hits, asked = embedder.hits + recall.pooled, embedder.hits + embedder.misses + recall.asked
    cache = CacheFigures(
        embedding_hits=embedder.hits,
        embedding_misses=embedder.misses,
        retrieval_hits=recall.pooled,
        retrievals=recall.asked,
        hit_rate=hits / asked if asked else None,
    )
    return EngineStats(**vars(activity), cache=cache, embedder=embedder.id, store=store.stats())
