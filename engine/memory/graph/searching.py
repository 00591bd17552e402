"""The graph beside a search: neighbours of what was found are looked at, and what is found together is counted.

The candidates of a search, the best of the tree that its namespace is in, and what edges join them with make one small
neighbourhood. A walk with restarts from what the query is near to (personalised PageRank, Page et al., 1999) tells how
much leads to each node; attention (`attention`) makes of that, of the scores and of the kinds of edges what is added to
each score. A memory that only an edge leads to can be found so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import apsw

from aqe.engine.memory import vectors
from aqe.engine.memory.entry import Hit, SearchAnswer, check_embedder, check_limit
from aqe.engine.memory.graph.edges import DIRECTED, Key, edges_among
from aqe.engine.memory.graph.together import Together
from aqe.engine.memory.growth.staleness import by_freshness
from aqe.engine.memory.rows import COLUMNS, read_memory
from aqe.engine.memory.searching import MOST_HITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.entry import Numbers
    from aqe.engine.memory.graph.attention import Floats, Neighbourhood
    from aqe.engine.memory.store import Prior, Store
    from aqe.engine.memory.tiers.demoted import Remake

WIDE = 50
"""Candidates that are looked at, at least."""

STARTS = 32
"""The best candidates, whose edges are read; and as many of the best nodes that these led to, whose are read too."""

OUTSIDE = 8
"""The best of the whole tree that a namespace is in, which are looked at too: a function among tests."""

MOST_EDGES = 400
MOST_NODES = 400
SPREAD = 4.0
"""The worst and the best candidate are about so many standard deviations apart."""

_WALKED, _RESTART, _SHARPNESS = 3, 0.3, 12.0


class Graph:
    """The graph of an open store, for its searches."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._together = Together(store)

    def search(
        self,
        query: str,
        vector: Numbers,
        places: Sequence[tuple[str | None, int]],
        *,
        embedder_id: str | None,
        prior: Prior | None = None,
        least: Mapping[str, float] | None = None,
    ) -> tuple[SearchAnswer, ...]:
        """As `Store.search_each`, in the order that the neighbourhood of what is found gives; what one place finds
        together is counted. Raises what that raises."""
        for _, k in places:
            check_limit(k, MOST_HITS)
        space = check_embedder(embedder_id)
        wide = [(namespace, max(k, WIDE)) for namespace, k in places]
        trees = [(tree, OUTSIDE) for tree in dict.fromkeys(_tree(namespace) for namespace, _ in places) if tree]
        found = self._store.search_each(
            query, vector=vector, places=[*wide, *trees], embedder_id=embedder_id, prior=prior, least=least
        )
        around = {tree: answer.hits for (tree, _), answer in zip(trees, found[len(wide) :], strict=True)}
        answers = []
        for (namespace, k), answer in zip(places, found, strict=False):
            if answer.mode == "hybrid" and len(answer.hits) > 1:
                outside = around.get(_tree(namespace), ())
                hits = self.reranked(answer.hits, outside, vector, space, k=k)
                self._together.note([_key(hit) for hit in hits])
                answers.append(replace(answer, hits=hits))
            else:
                answers.append(replace(answer, hits=answer.hits[:k]))
        return tuple(answers)

    def reranked(
        self, hits: Sequence[Hit], outside: Sequence[Hit], vector: Numbers, space: str, *, k: int
    ) -> tuple[Hit, ...]:
        """The `k` best of `hits` and of the memories of their namespaces that edges lead to; `vector` is the query's in
        the embedder's `space`, `outside` what the search found around the namespace."""
        from aqe.engine.memory.graph.attention import attend

        hood = read_neighbourhood(self._store, hits, outside, vector, space)
        if hood is None:
            return tuple(hits[:k])
        policy = self._store.growth.stale
        most = k if policy == "mark" else max(k, WIDE)
        return by_freshness(_as_hits(self._store, hood, attend(built_in_weights(), hood.nodes), most), policy, k)

    def close(self) -> None:
        """Write what was counted."""
        self._together.close()


class Hood:
    """A neighbourhood with the memory that each node is, and the hits among them."""

    def __init__(self, keys: Sequence[Key], nodes: Neighbourhood, hits: Mapping[Key, Hit], near: Floats) -> None:
        self.keys = keys
        self.nodes = nodes
        self.hits = hits
        self.near = near


def read_neighbourhood(
    store: Store, hits: Sequence[Hit], outside: Sequence[Hit], vector: Numbers, space: str
) -> Hood | None:
    """What lies around the candidates of a search; None where no edge does."""
    found = {_key(hit): hit for hit in (*outside, *hits)}
    mine = {_key(hit) for hit in hits}
    inside = {hit.memory.namespace for hit in hits}
    now = store.now()
    with store.reading() as connection:
        starts = [_key(hit) for hit in (*outside, *hits[:STARTS])]
        edges = edges_among(connection, list(dict.fromkeys(starts)), MOST_EDGES, now)
        if not edges:
            return None
        further = [other for _, other, *_ in edges if other not in found]
        edges += edges_among(connection, list(dict.fromkeys(further))[:STARTS], MOST_EDGES, now)
        keys = list(dict.fromkeys([*found, *(other for _, other, *_ in edges)]))[:MOST_NODES]
        known = {key: hit.vector_score for key, hit in found.items() if hit.vector_score is not None}
        near = _cosines(connection, [key for key in keys if key not in known], vector, space, store.remake)
    cosines = [known.get(key, near.get(key)) for key in keys]
    may = [key in mine or key[0] in inside for key in keys]
    return _hood(keys, found, mine, cosines, may, edges)


def _hood(
    keys: Sequence[Key],
    found: Mapping[Key, Hit],
    mine: set[Key],
    cosines: Sequence[float | None],
    may: Sequence[bool],
    edges: Sequence[tuple[Key, Key, str, bool, float]],
) -> Hood:
    import numpy as np

    from aqe.engine.memory.graph.attention import FEATURES, Neighbourhood

    place = {key: at for at, key in enumerate(keys)}
    least = min((one for one in cosines if one is not None), default=0.0)
    near = np.array([least if one is None else one for one in cosines])
    words = np.array([(found[key].text_score or 0.0) if key in found else 0.0 for key in keys])
    scores = _base_scores([found[key].score if key in mine else None for key in keys], near, words)
    joined = _relations(place, edges)
    features = np.zeros((len(keys), len(FEATURES)))
    features[:, 0] = scores / SPREAD
    features[:, 1] = words / (words.max() or 1.0)
    features[:, 2] = near
    features[:, 3] = [key in mine for key in keys]
    features[:, 4] = [key[0].endswith("/tests") for key in keys]
    features[:, 5] = [key[0].endswith("/code") for key in keys]
    features[:, 6] = _walk(near, joined)
    features[:, 7] = 1.0
    nodes = Neighbourhood.of(features, scores, np.array(may), joined)
    return Hood(keys, nodes, found, near)


def _base_scores(given: Sequence[float | None], near: Floats, words: Floats) -> Floats:
    """The score of each node by what the search said; of the others by how its scores depend on meaning and words."""
    import numpy as np

    at = np.array([place for place, score in enumerate(given) if score is not None])
    scores = np.array([score for score in given if score is not None])
    terms = np.stack([near, words, np.ones(len(near))], axis=1)
    slopes = np.linalg.lstsq(terms[at], scores, rcond=1e-6)[0]
    found = np.clip(terms @ slopes, -0.5, 1.0)
    found[at] = scores
    return np.asarray(SPREAD * found)


def _relations(
    place: Mapping[Key, int], edges: Sequence[tuple[Key, Key, str, bool, float]]
) -> list[tuple[int, int, str, float]]:
    """Each edge as seen from both its ends, once, the strongest of equal ones."""
    joined: dict[tuple[int, int, str], float] = {}
    for here, there, kind, outward, weight in edges:
        if here not in place or there not in place:
            continue
        way, back = (f"{kind} out", f"{kind} in") if kind in DIRECTED else (kind, kind)
        if not outward and kind in DIRECTED:
            way, back = back, way
        for pair in ((place[here], place[there], way), (place[there], place[here], back)):
            joined[pair] = max(weight, joined.get(pair, 0.0))
    return [(*pair, weight) for pair, weight in joined.items()]


def _walk(near: Floats, joined: Sequence[tuple[int, int, str, float]]) -> Floats:
    """How much a walk that begins near the query comes by each node, as a share of the most."""
    import numpy as np

    start = np.exp(_SHARPNESS * (near - near.max()))
    start /= start.sum()
    source = np.array([edge[1] for edge in joined], np.int64)
    target = np.array([edge[0] for edge in joined], np.int64)
    weight = np.array([edge[3] for edge in joined])
    leaving = np.zeros(len(near))
    np.add.at(leaving, source, weight)
    there = start.copy()
    for _ in range(_WALKED):
        step = np.zeros(len(near))
        np.add.at(step, target, there[source] * weight / leaving[source])
        there = _RESTART * start + (1 - _RESTART) * step
    return np.asarray(np.sqrt(there / there.max()))


def _cosines(
    connection: apsw.Connection, keys: Sequence[Key], vector: Numbers, space: str, remake: Remake | None
) -> dict[Key, float]:
    """The cosine similarity of the query to each of `keys` that has a vector of its space."""
    import numpy as np

    query = np.asarray(vector, np.float32)
    table = vectors.find_table(connection, space, len(query))
    if table is None:
        return {}
    rows: dict[int, Key] = {}
    for namespace in {key[0] for key in keys}:
        ids = [key[1] for key in keys if key[0] == namespace]
        sql = "SELECT row, id FROM memories WHERE namespace = ? AND valid_to IS NULL AND id IN "
        found = connection.execute(f"{sql}({','.join('?' * len(ids))})", (namespace, *ids))
        rows |= {int(row): (namespace, str(id)) for row, id in found}
    near = vectors.similarities(connection, table, query.tobytes(), list(rows), remake)
    return {rows[row]: cosine for row, cosine in near.items()}


def _as_hits(store: Store, hood: Hood, scores: Floats, k: int) -> tuple[Hit, ...]:
    """The best nodes that may be an answer, their scores brought to 0 for the worst and 1 for the best."""
    import numpy as np

    wanted = np.flatnonzero(hood.nodes.may_answer)
    best = wanted[np.argsort(-scores[wanted], kind="stable")]
    low, span = float(scores[best[-1]]), float(scores[best[0]] - scores[best[-1]]) or 1.0
    found = []
    for at in best[:k]:
        hit = hood.hits.get(hood.keys[at]) or _read(store, hood.keys[at], float(hood.near[at]))
        if hit is not None:
            found.append(replace(hit, score=(float(scores[at]) - low) / span))
    return tuple(found)


def _read(store: Store, key: Key, cosine: float) -> Hit | None:
    with store.reading() as connection:
        sql = f"SELECT {COLUMNS} WHERE namespace = ? AND id = ? AND valid_to IS NULL"
        row = connection.execute(sql, key).fetchone()
    return None if row is None else Hit(store.files.marked(read_memory(row)), 0.0, None, cosine)


def _tree(namespace: str | None) -> str:
    """The tree that a namespace is a leaf of, which is looked at too; "" where it is none."""
    if namespace is None or namespace.endswith("/") or "/" not in namespace:
        return ""
    return namespace.rpartition("/")[0] + "/"


def _key(hit: Hit) -> Key:
    return hit.memory.namespace, hit.memory.id


@lru_cache(maxsize=1)
def built_in_weights() -> NDArray[np.float64]:
    """The weights that `benchmarks/train_graph.py` learned."""
    import numpy as np

    path = files("aqe.engine.memory.graph") / "data" / "attention.npy"
    with path.open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False), np.float64)
