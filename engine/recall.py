"""What a question is answered from: the passages of the store, or those that its session found before.

A follow-up about the same things finds its passages among those that its session has at hand: they are ranked anew by
words and meaning. The store is asked instead when a memory changed meanwhile, when no passage has the question's
telling words together, or when none that has them is near enough to the question.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from aqe import simd
from aqe.engine.index.indexing import index_scope
from aqe.engine.knowledge.shelf import TREE as KNOWLEDGE
from aqe.engine.learning.prior import MarkedFeedback, has_prior, success_prior
from aqe.engine.memory.embeddings import Before
from aqe.engine.memory.search.lookups import Lookup
from aqe.engine.memory.store import Store
from aqe.engine.pools import Held, Pool, Pools, pool_of
from aqe.engine.providers.extractive import Passage, passage_of
from aqe.engine.providers.plain_words import general_words, small_words
from aqe.engine.providers.question import widened
from aqe.engine.retrieval import catch_up, find_each

if TYPE_CHECKING:
    import apsw
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Hit
    from aqe.engine.memory.search.hybrid import Found
    from aqe.engine.settings import Settings

CACHED_TEXTS = 2048
POOL_FOUND = 40
"""Passages of each place that a session keeps of what one question found, the best of which answer it."""

COVERED = 0.9
"""A pool serves a question when one of its passages has this share of what the question's telling words weigh together.
Of signs that are known before an answer is made this is the one that goes with an answer like the store's."""

NEARLY = 0.5
"""And when the nearest of them is this near, against the store's best for the question before."""

POOL_SHARE = 3
"""A follow-up is answered from so many times fewer passages of its session than a question of the store's: they were
chosen twice."""

VECTOR_SHARE = 0.75
KNOWLEDGE_NEAR = 0.35
"""The cosine from which an entry of the knowledge is one for the question; chosen on half a of benchmarks/answers.py,
whose questions are about projects."""

_LEAST = {KNOWLEDGE: KNOWLEDGE_NEAR}
_BY_SCORE = attrgetter("score")
T = TypeVar("T")
_SCORE = itemgetter(1)
MOST_LOOKUPS = 64


class CachedEmbedder(Before):
    """An embedder that remembers the last texts it was given; `hits` and `misses` count."""

    def __init__(self, embedder: Embedder, *, size: int = CACHED_TEXTS) -> None:
        super().__init__(embedder)
        self._size = size
        self._one: Callable[[str], NDArray[np.float32]] | None = getattr(embedder, "vector_of", None)
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row for each text; a text that was given lately is not computed again."""
        if len(texts) == 1:
            return np.array([self.vector_of(texts[0])])
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
            self._keep({text: known[text] for text in missing})
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)

    def vector_of(self, text: str) -> NDArray[np.float32]:
        """The unit vector of one text, or zeros; nobody may write into it, since it is the one that is kept."""
        with self._lock:
            row = self._known.get(text)
            if row is not None:
                self._known.move_to_end(text)
                self.hits += 1
                return row
        if self._one is not None:
            made = self._one(text)
        else:
            made = np.asarray(self._embedder.embed([text]), dtype=np.float32)[0]
        if made.flags.writeable:
            made.flags.writeable = False
        with self._lock:
            self._keep({text: made})
        return made

    def _keep(self, made: dict[str, NDArray[np.float32]]) -> None:
        self.misses += len(made)
        self._known.update(made)
        while len(self._known) > self._size:
            self._known.popitem(last=False)


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


class Recall:
    """Finds passages in one store; blocking, safe between threads. `pooled` of the `asked` questions were served by
    their session's own passages."""

    def __init__(
        self,
        store: Store,
        embedder: CachedEmbedder,
        settings: Callable[[], Settings],
        *,
        pools: Pools | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._settings = settings
        self._index = index_scope(store)
        self._marked = MarkedFeedback()
        self._pools = Pools() if pools is None else pools
        self._lookups: dict[tuple[int, str | None, bool], Lookup] = {}
        self._lock = threading.Lock()
        self.asked = 0
        self.pooled = 0

    def recall(
        self,
        question: str,
        *,
        k: int,
        namespace: str | None = None,
        session: str | None = None,
        before: Recalled | None = None,
    ) -> Recalled:
        """The `k` best passages of the project index and of what was remembered, or those of one `namespace`; and what
        is known about testing, where that is nearer to the question.

        A `session` (its id) is served from what its questions found before, where that is enough. Where it turned out
        that it was not, `before` is what it gave: then the store is asked, with all that is known of the question.
        """
        store, embedder = self._store, self._embedder
        store.remake_with(embedder)
        start = time.perf_counter()
        vector = embedder.vector_of(question) if before is None else before.vector
        embedded = time.perf_counter()
        found, waited = None, 0.0
        with store.reading():
            if before is not None or store.is_settled(embedder.id, embedder.dimension):
                found = self._found(question, vector, k, namespace, session, before)
        if found is None:
            began = time.perf_counter()
            catch_up(store, embedder)
            waited = time.perf_counter() - began
            with store.reading():
                found = self._found(question, vector, k, namespace, session, before)
        passages, rarity, reused = found
        with self._lock:
            self.asked += 1
            self.pooled += reused
        done = time.perf_counter()
        return Recalled(passages, vector, rarity, reused, 1000 * (embedded - start), 1000 * (done - embedded - waited))

    def lookup(self, k: int, namespace: str | None, settings: Settings) -> Lookup:
        """How a question without a session is looked up on the spot; the same until the settings say otherwise."""
        with_knowledge = namespace is None and settings.knowledge.enabled
        known = self._lookups.get((k, namespace, with_knowledge))
        if known is not None:
            return known
        places = [(self._index, k, 0.0), (None, k, 0.0)] if namespace is None else [(namespace, k, 0.0)]
        if with_knowledge:
            places.append((KNOWLEDGE, k, KNOWLEDGE_NEAR))
        embedder = self._embedder
        made = Lookup(tuple(places), embedder.id, embedder.dimension, widened, without=KNOWLEDGE)
        if len(self._lookups) >= MOST_LOOKUPS:
            self._lookups.clear()
        self._lookups[k, namespace, with_knowledge] = made
        return made

    def at_hand(
        self, connection: apsw.Connection, question: str, lookup: Lookup, settings: Settings
    ) -> tuple[list[Found], float] | None:
        """The rows that `recall` without a session finds, best first, and when the question was embedded (in seconds of
        `perf_counter`), within `AtHand.once`; None where that takes more than is at hand."""
        vector = self._embedder.vector_of(question)
        embedded = time.perf_counter()
        if simd.dot(vector, vector) == 0.0 or has_prior(connection, settings, self._marked):
            return None
        found = self._store.at_hand.look_up(lookup, question, vector)
        if found is None:
            return None
        with self._lock:
            self.asked += 1
        return _best_first(found, knows=lookup.places[-1][0] == KNOWLEDGE), embedded

    def _found(
        self,
        question: str,
        vector: NDArray[np.float32],
        k: int,
        namespace: str | None,
        session: str | None,
        before: Recalled | None,
    ) -> tuple[tuple[Passage, ...], dict[str, float], bool]:
        passages: tuple[Passage, ...] | None = None
        if before is not None:
            rarity = before.rarity
        else:
            rarity = self._store.rarity(question, without=KNOWLEDGE)  # what the project has no word for is a sign
            if session is not None and namespace is None:
                passages = self._from_pool(session, vector, k, rarity)
        reused = passages is not None
        if passages is None:
            passages = self._from_store(widened(question, rarity), vector, k, namespace, session)
        return passages, rarity, reused

    def _hits(
        self,
        question: str,
        vector: NDArray[np.float32],
        k: int,
        most: int,
        namespace: str | None,
        settings: Settings,
    ) -> tuple[Sequence[Hit], list[tuple[Hit, ...]]]:
        """What is known about testing, where the question is about that, and the `most` best hits of each other
        place, of which `k` count."""
        with_knowledge = namespace is None and settings.knowledge.enabled
        places = [(self._index, most), (None, most)] if namespace is None else [(namespace, most)]
        answers = find_each(
            self._store,
            self._embedder,
            question,
            [*places, (KNOWLEDGE, k)] if with_knowledge else places,
            vector=vector if simd.dot(vector, vector) != 0.0 else None,
            prior=success_prior(self._store, settings, self._marked),
            least=_LEAST,
            caught_up=True,
        )
        wide = [answer.hits for answer in answers]
        known = wide.pop() if with_knowledge else ()
        if known:
            known = tuple(
                _near_knowledge(known, [hit for hits in wide for hit in hits[:k]], attrgetter("vector_score"))
            )
        return known, wide

    def _from_store(
        self, question: str, vector: NDArray[np.float32], k: int, namespace: str | None, session: str | None
    ) -> tuple[Passage, ...]:
        is_pooled = session is not None and namespace is None
        most = max(k, POOL_FOUND) if is_pooled else k
        known, wide = self._hits(question, vector, k, most, namespace, self._settings())
        if session is not None and is_pooled:
            changes = self._store.changes()
            found = [*known, *(hit for hits in wide for hit in hits)]
            self._pools.put(session, pool_of(found, changes, self._pool(session)))
        return _passages([*known, *(hit for hits in wide for hit in hits[:k])])

    def _pool(self, session: str) -> Pool | None:
        """What a session has at hand, as long as that holds."""
        pool = self._pools.get(session)
        return pool if pool is not None and self._holds(pool) else None

    def _holds(self, pool: Pool) -> bool:
        """Whether the store would say the same of each memory: none changed, is over, or is stale now or no longer."""
        if pool.changes != self._store.changes() or pool.ends <= self._store.now():
            return False
        return all(self._store.files.is_stale(memory) == memory.stale for memory in pool.about.values())

    def _from_pool(
        self, session: str, vector: NDArray[np.float32], k: int, rarity: Mapping[str, float]
    ) -> tuple[Passage, ...] | None:
        """The best of the session's passages, or None where the store has to be asked."""
        telling = {
            term: weight for term, weight in rarity.items() if 0.0 < weight < 1.0 and term not in _words_of_no_topic()
        }
        pool = self._pool(session) if telling else None
        if pool is None or not pool.nearest or simd.dot(vector, vector) == 0.0:
            return None  # what was found by words alone is near to nothing
        enough = COVERED * sum(telling.values())
        found = pool.with_most(telling)
        by_words = [sum([telling[term] for term in telling if term in words]) for words in map(Held.stems, found)]
        if max(by_words) < enough:
            return None
        keys = [one.key for one in found]
        cosines = self._store.cosines(vector, keys, embedder_id=self._embedder.id)
        near = [cosines.get(key, 0.0) for key in keys]
        if max(near) < NEARLY * pool.nearest:
            return None
        meant, said = _shares(near, VECTOR_SHARE), _shares(by_words, 1 - VECTOR_SHARE)
        scores = [one + other for one, other in zip(meant, said, strict=True)]
        best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: max(2, k // POOL_SHARE)]
        if max([by_words[at] for at in best]) < enough:
            return None
        return tuple([found[at].passage(scores[at], near[at]) for at in best])


def _best_first(found: Sequence[Sequence[Found]], *, knows: bool) -> list[Found]:
    """The rows of all places, the best first; of what is known about testing, which is the last where one `knows`, as
    `_near_knowledge` has it."""
    known: Sequence[Found] = found[-1] if knows else ()
    rest = found[:-1] if knows else found
    if known:
        known = _near_knowledge(known, chain.from_iterable(rest), itemgetter(3))
    return sorted(chain(known, *rest), key=_SCORE, reverse=True)


def _near_knowledge(known: Sequence[T], found: Iterable[T], near: Callable[[T], float | None]) -> list[T]:
    """What is known about testing, where the question is about that: near enough, and nearer than the project's own."""
    least = max([KNOWLEDGE_NEAR, *[near(one) or 0.0 for one in found]])
    return [one for one in known if (near(one) or 0.0) >= least]


def _passages(hits: Sequence[Hit]) -> tuple[Passage, ...]:
    """Hits of several places as passages, the best first."""
    return tuple([passage_of(hit) for hit in sorted(hits, key=_BY_SCORE, reverse=True)])


@cache
def _words_of_no_topic() -> frozenset[str]:
    """The stems of words that say nothing or little about a topic."""
    return small_words() | general_words()


def _shares(scores: Sequence[float], whole: float) -> list[float]:
    """Scores as shares of the best one, which gets the `whole`, none below zero."""
    best = max(scores)
    return [max(score, 0.0) / best * whole for score in scores] if best > 0 else [0.0] * len(scores)
