"""What a question is answered from: the passages of the store, or those that its session found before.

A follow-up about the same things finds its passages among those that its session has at hand: they are ranked anew by
words and meaning. The store is asked instead when a memory changed meanwhile, when a telling word of the question
stands in none of them, or when none is as near to the question as the store's best was to the one they were found
for.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aqe.engine.index.indexing import index_scope
from aqe.engine.knowledge.shelf import TREE as KNOWLEDGE
from aqe.engine.learning.prior import success_prior
from aqe.engine.memory import vectors
from aqe.engine.memory.store import Store
from aqe.engine.memory.text import subtokens
from aqe.engine.providers.extractive import Passage, passage_of
from aqe.engine.retrieval import find

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Hit
    from aqe.engine.settings import Settings

CACHED_TEXTS = 2048
POOLS = 64
POOL_PASSAGES = 120
NEARLY = 0.9
"""A pool serves a question whose nearest passage is this near, against the store's best for the question before."""

TELLING = 0.5
"""A term this rare tells what a question is about (1: it stands nowhere)."""

VECTOR_SHARE = 0.75
KNOWLEDGE_NEAR = 0.35
"""The cosine from which an entry of the knowledge is one for the question; chosen on half a of benchmarks/answers.py,
whose questions are about projects."""


class CachedEmbedder:
    """An embedder that remembers the last texts it was given; `hits` and `misses` count."""

    def __init__(self, embedder: Embedder, *, size: int = CACHED_TEXTS) -> None:
        self._embedder = embedder
        self._size = size
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    @property
    def id(self) -> str:
        """The space of the vectors."""
        return self._embedder.id

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self._embedder.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row for each text; a text that was given lately is not computed again."""
        with self._lock:
            known = {text: self._known[text] for text in texts if text in self._known}
            for text in known:
                self._known.move_to_end(text)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            made = np.asarray(self._embedder.embed(missing), dtype=np.float32)
            known |= dict(zip(missing, made, strict=True))
        with self._lock:
            self.hits += len(texts) - len(missing)
            self.misses += len(missing)
            for text in missing:
                self._known[text] = known[text]
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)


@dataclass(frozen=True)
class Recalled:
    """The passages for a question, best first; the question's vector; how telling its terms are; whether the session's
    own passages were enough; and the time that embedding and finding took, in milliseconds."""

    passages: tuple[Passage, ...]
    vector: NDArray[np.float32]
    rarity: dict[str, float]
    reused: bool
    embed_ms: float
    retrieve_ms: float


@dataclass
class _Pool:
    """What a session's questions found, newest first: passages, their vectors (read at the first follow-up) and terms,
    the store's count of changes then, and how near the best was to the last question that the store was asked."""

    passages: tuple[Passage, ...]
    changes: int
    nearest: float
    vectors: NDArray[np.float32] | None = None
    terms: tuple[frozenset[str], ...] = ()


class Recall:
    """Finds passages in one store; blocking, safe between threads. `pooled` of the `asked` questions were served by
    their session's own passages."""

    def __init__(self, store: Store, embedder: CachedEmbedder, settings: Callable[[], Settings]) -> None:
        self._store = store
        self._embedder = embedder
        self._settings = settings
        self._pools: OrderedDict[str, _Pool] = OrderedDict()
        self._lock = threading.Lock()
        self.asked = 0
        self.pooled = 0

    def recall(self, question: str, *, k: int, namespace: str | None = None, session: str | None = None) -> Recalled:
        """The `k` best passages of the project index and of what was remembered, or those of one `namespace`; and what
        is known about testing, where that is nearer to the question.

        A `session` (its id) is served from what its questions found before, where that is enough.
        """
        start = time.perf_counter()
        vector = self._embedder.embed([question])[0]
        embedded = time.perf_counter()
        rarity = self._store.rarity(question)
        passages = self._from_pool(session, vector, rarity, k) if session and namespace is None else None
        reused = passages is not None
        if passages is None:
            passages = self._from_store(question, vector, k, namespace, session)
        with self._lock:
            self.asked += 1
            self.pooled += reused
        done = time.perf_counter()
        return Recalled(passages, vector, rarity, reused, 1000 * (embedded - start), 1000 * (done - embedded))

    def forget(self, session: str) -> None:
        """Let go of what a session has at hand."""
        with self._lock:
            self._pools.pop(session, None)

    def _from_store(
        self, question: str, vector: NDArray[np.float32], k: int, namespace: str | None, session: str | None
    ) -> tuple[Passage, ...]:
        changes = self._store.changes()
        prior = success_prior(self._store, self._settings())
        places = (index_scope(self._store), None) if namespace is None else (namespace,)

        def look(place: str | None) -> tuple[Hit, ...]:
            near = vector.tolist() if vector.any() else None
            return find(self._store, self._embedder, question, k=k, namespace=place, vector=near, prior=prior).hits

        found = [hit for place in places for hit in look(place)]
        if namespace is None and self._settings().knowledge.enabled:
            found += _near_knowledge(look(KNOWLEDGE), found)
        passages = tuple(passage_of(hit) for hit in sorted(found, key=lambda hit: -hit.score))
        if session and namespace is None:
            self._keep_pool(session, passages, changes)
        return passages

    def _keep_pool(self, session: str, passages: tuple[Passage, ...], changes: int) -> None:
        nearest = max((passage.vector_score or 0.0 for passage in passages), default=0.0)
        with self._lock:
            before = self._pools.pop(session, None)
            if before is not None and before.changes == changes:
                here = {(passage.namespace, passage.id) for passage in passages}
                passages += tuple(one for one in before.passages if (one.namespace, one.id) not in here)
            self._pools[session] = _Pool(passages[:POOL_PASSAGES], changes, nearest)
            while len(self._pools) > POOLS:
                self._pools.popitem(last=False)

    def _from_pool(
        self, session: str, vector: NDArray[np.float32], rarity: Mapping[str, float], k: int
    ) -> tuple[Passage, ...] | None:
        """The best of the session's passages, or None where the store has to be asked."""
        with self._lock:
            pool = self._pools.get(session)
        if pool is None or not pool.passages or not vector.any() or pool.changes != self._store.changes():
            return None
        if pool.vectors is None:
            pool.terms = tuple(_terms_of(passage) for passage in pool.passages)
            pool.vectors = self._read_vectors(pool.passages)
        telling = [term for term, weight in rarity.items() if TELLING <= weight < 1.0]
        if any(all(term not in terms for terms in pool.terms) for term in telling):
            return None
        near = pool.vectors @ vector
        if float(near.max()) < NEARLY * pool.nearest:
            return None
        words = np.array([sum(rarity[term] for term in telling if term in terms) for terms in pool.terms])
        scores = _shares(near) * VECTOR_SHARE + _shares(words) * (1 - VECTOR_SHARE)
        best = [int(place) for place in np.argsort(-scores, kind="stable")[:k]]
        return tuple(replace(pool.passages[at], score=float(scores[at]), vector_score=float(near[at])) for at in best)

    def _read_vectors(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """The stored unit vector of each passage, zero where it has none of this embedder."""
        rows = np.zeros((len(passages), self._embedder.dimension), np.float32)
        with self._store.reading() as connection:
            table = vectors.find_table(connection, self._embedder.id, self._embedder.dimension)
            if table is None:
                return rows
            sql = "SELECT row FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
            for place, passage in enumerate(passages):
                row = connection.execute(sql, (passage.namespace, passage.id)).get
                packed = None if row is None else vectors.read(connection, table, row)
                if packed is not None:
                    rows[place] = np.frombuffer(packed, np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(np.divide(rows, lengths, out=rows, where=lengths > 0))


def _near_knowledge(known: Sequence[Hit], found: Sequence[Hit]) -> list[Hit]:
    """What is known about testing, where the question is about that: near enough, and nearer than the project's own."""
    least = max([KNOWLEDGE_NEAR, *(hit.vector_score or 0.0 for hit in found)])
    return [hit for hit in known if (hit.vector_score or 0.0) >= least]


def _terms_of(passage: Passage) -> frozenset[str]:
    return frozenset((*subtokens(passage.text), *subtokens(passage.name), *subtokens(passage.file or "")))


def _shares(scores: NDArray[Any]) -> NDArray[Any]:
    """Scores as shares of the best one, none below zero."""
    best = float(scores.max(initial=0.0))
    return np.maximum(scores, 0.0) / best if best > 0 else np.zeros(len(scores))
