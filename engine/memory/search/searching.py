"""One search of a store: its scopes, both sides, and the memories found, in one read transaction.

What depends on the memories alone (scopes of namespaces, tables of vectors, memories found lately) is kept until the
number of the last change grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import apsw

from aqe import simd
from aqe.engine.errors import AqeError
from aqe.engine.memory import spaces
from aqe.engine.memory.entry import (
    WITHOUT_MEANING,
    SearchAnswer,
    check_embedder,
    check_limit,
    check_namespace,
    pack_vector,
)
from aqe.engine.memory.file.changelog import read_number
from aqe.engine.memory.file.failures import is_damage
from aqe.engine.memory.graph.searching import Asked, Graph, is_served
from aqe.engine.memory.growth.expiry import alive, first_end
from aqe.engine.memory.growth.staleness import FileDigests
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.meaning.codes import Codes
from aqe.engine.memory.meaning.soundness import sound
from aqe.engine.memory.search import ranking
from aqe.engine.memory.search.answers import LastFound, looked_at
from aqe.engine.memory.search.filters import filter_sql
from aqe.engine.memory.search.hits import FoundMemories
from aqe.engine.memory.search.kinds import Kinds
from aqe.engine.memory.search.lookups import Lookup, Lookups
from aqe.engine.memory.search.named import NamedRows
from aqe.engine.memory.search.ranking import Scope, Scored, Sides
from aqe.engine.memory.search.shares import Shares
from aqe.engine.memory.search.weights import CODE_SHARE, PROSE_SHARE, Weights
from aqe.engine.memory.terms.occurrences import KnownRows
from aqe.engine.memory.terms.postings import TextPostings
from aqe.engine.memory.terms.text import check_query
from aqe.engine.memory.terms.words import WordCounts

if TYPE_CHECKING:
    from aqe.engine.memory.entry import Memory, Numbers
    from aqe.engine.memory.meaning.parts import Key, Part
    from aqe.engine.memory.search.hybrid import Floats, Found
    from aqe.engine.memory.search.rank import Rank

MOST_HITS = 1000
FEW_CHANGES = 32
"""So many changes are looked up on the spot."""

Prior = Callable[[Sequence[tuple[str, str]]], Mapping[tuple[str, str], float]]
"""Of memories, by namespace and id, what each is known to be worth; those left out are worth 0."""

Spot = tuple[tuple["Key", "Part"], ...]
"""Vectors that are searched where they lie."""

Wanted = tuple[str | None, str, Sequence[object]]
"""A namespace as `Store.search` takes it, and a condition on `memories` with its parameters."""


def wanted_in(namespace: str | None, filter: Mapping[str, Any] | None) -> Wanted:
    """What a caller's namespace and filter on the metadata mean. Raises `UserError` (bad-namespace, bad-filter)."""
    if filter is None and (namespace is None or namespace.__class__ is str):
        return _named(namespace)
    condition, parameters = filter_sql(filter, "memories.metadata")
    return None if namespace is None else check_namespace(namespace), condition, parameters


@lru_cache(maxsize=256)
def _named(namespace: str | None) -> Wanted:
    return None if namespace is None else check_namespace(namespace), "", ()


class Searcher:
    """Searches one store. `reading` opens its read transaction, which holds the store's lock."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[apsw.Connection]],
        codes: Codes,
        lists: TextPostings,
        kinds: Kinds,
        files: FileDigests,
        memories: FoundMemories,
        now: Callable[[], int],
        shares: Shares,
        tally: Callable[[str, int], None],
        rank: Rank | None,
        graph: Callable[[], Graph | None],
    ) -> None:
        self.words = WordCounts()
        self.codes = codes
        self.lists = lists
        self._reading = reading
        self._now = now
        self._shares = shares
        self.kinds = kinds
        self._weights = Weights()
        self._files = files
        self.memories = memories
        self.number = -1
        self.rank = rank
        self.graph = graph
        self.kept: LastFound[SearchAnswer] = LastFound(tally)
        self.found: LastFound[Sequence[Found]] = LastFound(tally)
        self.lookups = Lookups(self)
        self.moment: int | None = None
        self._first_end: int | None = None
        self._scopes: dict[str | None, Scope] = {}
        self.known = KnownRows()
        self._named = NamedRows()
        self._tables: dict[tuple[str, int], int | None] = {}
        self._settled: set[tuple[str, int]] = set()
        self._spots: dict[tuple[str | None, tuple[str, int], bool], tuple[int, Spot]] = {}

    def follow_rules(self, shares: Shares, rank: Rank | None) -> None:
        """Weigh and order otherwise from now on: what was found by the rules of before is forgotten."""
        self._shares, self.rank = shares, rank
        self.lookups.clear()
        self.kept.clear()
        self.found.clear()

    def end_moment(self) -> None:
        """The read transaction is over: what it saw may be so no more."""
        self.moment = self.codes.moment = None

    @sound
    def search(
        self,
        query: str | None,
        vector: Numbers | None,
        wanted: Sequence[tuple[Wanted, int]],
        embedder_id: str | None,
        prior: Prior | None,
        *,
        explain: bool = False,
        least: Mapping[str, float] | None = None,
    ) -> tuple[SearchAnswer, ...]:
        """The answer for each place that is wanted, with its `k`; as `Store.search`. What was asked before is answered
        as before, while no memory changes and nothing depends on the time. Where damage keeps the vectors from being
        read, the words alone answer."""
        try:
            if prior is not None or self.rank is not None or not isinstance(query, str):
                return self._anew(query, vector, wanted, embedder_id, prior, explain=explain, least=least)
            for _, k in wanted:
                check_limit(k, MOST_HITS)
            places = tuple([(name, sql, tuple(bound), k) for (name, sql, bound), k in wanted])
            packed = None if vector is None else pack_vector(vector)
            space = None if packed is None else (check_embedder(embedder_id), packed)
            asked: tuple[object, ...] = (query, space, places, explain, tuple(sorted(least.items())) if least else ())
            with self._reading() as connection:
                self.follow(connection)
                if self._has_ended():
                    return self._anew(query, vector, wanted, embedder_id, prior, explain=explain, least=least)
                graph = self.graph()
                if graph is not None and any(is_served(name) for name, *_ in places):
                    asked = (*asked, graph.number(connection))
                known = self.kept.get(asked)
                if known is not None:
                    return looked_at(known, self._files)
                found = self._anew(query, packed, wanted, embedder_id, prior, explain=explain, least=least)
                self.kept.put(asked, found, sum([len(one.hits) for one in found]))
                return found
        except (AqeError, apsw.Error) as error:
            if query is None or vector is None or not is_damage(error):
                raise
            found = self.search(query, None, wanted, None, prior, explain=explain, least=least)
            return tuple([replace(one, note=WITHOUT_MEANING) for one in found])

    def _anew(
        self,
        query: str | None,
        vector: Numbers | bytes | None,
        wanted: Sequence[tuple[Wanted, int]],
        embedder_id: str | None,
        prior: Prior | None,
        *,
        explain: bool,
        least: Mapping[str, float] | None,
    ) -> tuple[SearchAnswer, ...]:
        _check(query, vector is not None, wanted)
        floors = [(least or {}).get(namespace or "", 0.0) for (namespace, *_), _ in wanted]
        packed = vector if isinstance(vector, bytes) else b"" if vector is None else pack_vector(vector)
        space = (check_embedder(embedder_id), len(packed) // 4)
        with self._reading() as connection:
            number = self.follow(connection)
            table = self.table(connection, space) if packed else None
            lists = None if query is None else self.lists.at_hand(connection, number)
            if query is not None and table is not None and prior is None and not explain and self.rank is None:
                answers = self._at_once(connection, number, query, lists, table, packed, wanted, floors)
                if answers is not None:
                    return answers
            scopes = [(self._wide(k), self.scope(connection, one)) for one, k in wanted]
            most = [k for _, k in wanted]
            if query is None:
                found = [ranking.by_vector(connection, table, packed, k, scope, self.codes) for k, scope in scopes]
                return self._answers("vector", connection, number, found, most)
            words = self.words.words(connection, number, query, lists)
            if vector is None:
                found = [ranking.by_text(connection, words, k, scope, lists) for k, scope in scopes]
                return self._answers("text", connection, number, found, most)
            names = [None if condition else namespace for (namespace, condition, _), _ in wanted]
            asked_for = [(self.looked_at(name, k), scope) for name, (k, scope) in zip(names, scopes, strict=True)]
            about = (self.codes, lists, floors, self.known)
            sides = ranking.sides_of(connection, words, table, packed, asked_for, *about)
            parts = [self.share(connection, scope, one) for (_, scope), one in zip(scopes, sides, strict=True)]
            places = [*zip(sides, parts, [k for k, _ in scopes], strict=True)]
            asked = Asked(words, table, packed, self.codes, lists)
            if prior is None:
                fused = [
                    self._fused(connection, asked, name, one, k, share=share, explain=explain)
                    for name, (one, share, k) in zip(names, places, strict=True)
                ]
                return self._answers("hybrid", connection, number, fused, most)
            keys = [ranking.keys_of(connection, one) for one in sides]
        return self._with_prior(prior, asked, names, places, keys, most, explain=explain)

    def _at_once(
        self,
        connection: apsw.Connection,
        number: int,
        query: str,
        lists: TextPostings | None,
        table: int,
        packed: bytes,
        wanted: Sequence[tuple[Wanted, int]],
        floors: Sequence[float],
    ) -> tuple[SearchAnswer, ...] | None:
        """The answers by words and meaning where the vectors are at hand and one pass asks for all words; else None."""
        if self._has_ended() or any(condition for (_, condition, _), _ in wanted):
            return None
        places = [(namespace, k, floor) for ((namespace, *_), k), floor in zip(wanted, floors, strict=True)]
        grounds = self.lookups.grounds(connection, number, table, [(name, floor) for name, _, floor in places])
        if grounds is None:
            return None
        import numpy as np

        plan, vector = self.lookups.plan_of(table, grounds, places), np.frombuffer(packed, np.float32)
        found = self.lookups.find_in(connection, number, query, vector, lists, plan)
        if found is None:
            return None
        return tuple([SearchAnswer("hybrid", hits) for hits in self.memories.hits_each(connection, number, found)])

    def _with_prior(
        self,
        prior: Prior,
        asked: Asked,
        names: Sequence[str | None],
        places: Sequence[tuple[Sides, float | dict[int, float], int]],
        keys: Sequence[Mapping[int, tuple[str, str]]],
        most: Sequence[int],
        *,
        explain: bool,
    ) -> tuple[SearchAnswer, ...]:
        """The answers with what is known of the candidates added. That may be read from the store itself, so it is
        asked for outside of a transaction; candidates that ended meanwhile are left out."""
        added = prior([key for one in keys for key in one.values()])
        with self._reading() as connection:
            number = self.follow(connection)
            fused = []
            for name, (sides, share, k), known in zip(names, places, keys, strict=True):
                one = ranking.still_current(connection, sides, known)
                priors = {row: added.get(key, 0.0) for row, key in known.items()}
                how = {"share": share, "priors": priors, "explain": explain}
                fused.append(self._fused(connection, asked, name, one, k, **how))
            return self._answers("hybrid", connection, number, fused, most)

    def _fused(
        self, connection: apsw.Connection, asked: Asked, namespace: str | None, sides: Sides, k: int, **how: Any
    ) -> list[Scored]:
        """The `k` best candidates of a place; of tests in the order that edges give, and what these lead to."""
        graph = self.graph()
        if graph is None or not is_served(namespace) or self.rank is not None:
            return ranking.fuse(sides, k, **how)
        found = ranking.fuse(sides, self.looked_at(namespace, k), **how)
        return graph.ordered(connection, self.number, namespace, asked, found, k)

    def looked_at(self, namespace: str | None, k: int) -> int:
        """How many candidates by words and meaning are put in order for `k` results: more where edges have a say."""
        graph = self.graph()
        return k if graph is None or not is_served(namespace) or self.rank is not None else graph.wide(k)

    def _wide(self, k: int) -> int:
        return k if self.rank is None else self.rank.wide(k)

    def _answers(
        self,
        mode: Literal["text", "vector", "hybrid"],
        connection: apsw.Connection,
        number: int,
        found: Sequence[Sequence[Scored]],
        most: Sequence[int],
    ) -> tuple[SearchAnswer, ...]:
        """The memories of what was found in each place, in the order of the user's own expression if there is one."""
        if self.rank is not None:
            from aqe.engine.memory.search.rank import reordered

            rank, now = self.rank, self._now()
            found = [reordered(connection, rank, one, k, now) for one, k in zip(found, most, strict=True)]
        return tuple(SearchAnswer(mode, self.memories.hits(connection, number, one)) for one in found)

    @sound
    def at_hand(
        self, connection: apsw.Connection, vector: Floats, k: int, wanted: Wanted, space: tuple[str, int], own: bool
    ) -> tuple[list[int], list[float], list[Memory]] | None:
        """The rows found by a vector alone, their cosines and memories, where it costs well under a millisecond: None
        where anything must be read first but the memories that are found, or where some wait for a vector of this
        space, that of aqe's `own` embedder.

        The store's lock is held; no transaction is needed where nothing changed since the last search: rows never
        change but for their end, which takes them out of the answer.
        """
        if self.rank is not None:
            return None
        changed = read_number(connection) - self.number
        if changed:
            known = self._tables.get(space)
            if not 0 < changed <= FEW_CHANGES or known is None or not self.codes.has(known):
                return None
            with self._reading():
                self._catch_up(connection, known, wanted, space, own=own)
        if self._first_end is not None and self._has_ended():
            return None
        namespace, condition, _ = wanted
        held, parts = self._spots.get((namespace, space, own), (-1, None))
        if parts is None or condition or not self.codes.stands(held, self.number):
            parts = self._spot(wanted, space, own=own)
        if parts is None:
            return None
        rows, near = self.codes.search_parts(parts, vector, k)
        memories = self.memories.current(connection, self.number, rows)
        return None if memories is None else (rows, near, memories)

    def _spot(self, wanted: Wanted, space: tuple[str, int], *, own: bool) -> Spot | None:
        """What is searched where this is wanted, if it is at hand: it is until a memory changes."""
        namespace, condition, _ = wanted
        scope, table = self._scopes.get(namespace), self._tables.get(space)
        if scope is None or table is None or condition or (own and space not in self._settled):
            return None
        parts = self.codes.at_once(self.number, table, scope)
        if parts is not None:
            self._spots[namespace, space, own] = self.codes.held, parts
        return parts

    def _catch_up(
        self, connection: apsw.Connection, table: int, wanted: Wanted, space: tuple[str, int], *, own: bool
    ) -> None:
        """Look up anew what a search by a vector of this space needs, after a few changes."""
        self.follow(connection)
        self.scope(connection, wanted)
        self.table(connection, space)
        self.codes.follow(connection)
        if own:
            self.is_settled(connection, *space)

    def is_ready(self, connection: apsw.Connection, lookup: Lookup, *, at_once: bool) -> bool:
        """Whether `look_up` finds by what is at hand; `at_once` too says that nothing is read for it but what is found,
        and asks whether all words are at hand as well."""
        number = self.follow(connection)
        space = lookup.embedder_id, lookup.dimension
        if self.rank is not None or self._has_ended() or space not in self._settled:
            return False
        if at_once and self.lists.number != number:
            return False
        return self.lookups.plan(connection, number, lookup, ready=at_once) is not None

    def is_settled(self, connection: apsw.Connection, embedder_id: str, dimension: int) -> bool:
        """Whether no memory waits for a vector of this embedder; looked up once for each change."""
        self.follow(connection)
        if (embedder_id, dimension) not in self._settled:
            if spaces.count_waiting(connection, embedder_id, dimension):
                return False
            self._settled.add((embedder_id, dimension))
        return True

    def rarity(self, query: str, without: str) -> dict[str, float]:
        """As `Store.rarity`."""
        with self._reading() as connection:
            number = self.follow(connection)
            lists = self.lists.at_hand(connection, number, counts=False)
            return self.words.rarity(connection, number, query, without, lists)

    def cosines(
        self, vector: Numbers, keys: Sequence[tuple[str, str]], embedder_id: str
    ) -> dict[tuple[str, str], float]:
        """As `Store.cosines`."""
        packed = pack_vector(vector)
        found: dict[tuple[str, str], float] = {}
        with self._reading() as connection:
            number = self.follow(connection)
            table = self.table(connection, (check_embedder(embedder_id), len(packed) // 4))
            if table is None:
                return {}
            self.codes.follow(connection)
            for namespace in {namespace for namespace, _ in keys}:
                rows = self._named.find(connection, number, namespace, [id for of, id in keys if of == namespace])
                scope = self.scope(connection, (namespace, "", ()))
                near = ranking.cosines(connection, table, packed, list(rows), scope, self.codes)
                found |= {(namespace, rows[row]): cosine for row, cosine in near.items()}
        return found

    def _has_ended(self) -> bool:
        """Whether a memory is over whose row has not ended yet, so that answers depend on the time."""
        return self._first_end is not None and self._first_end <= self._now()

    def follow(self, connection: apsw.Connection) -> int:
        """The number of the last change; what was kept from before it is dropped. One transaction asks once."""
        if self.moment is not None:
            return self.moment
        number = self.moment = self.codes.moment = read_number(connection)
        if number != self.number:
            self.number, self._first_end = number, first_end(connection)
            self._scopes.clear()
            self.lookups.clear()
            self.known.forget()
            self.kept.clear()
            self.found.clear()
            self._tables.clear()
            self._settled.clear()
            self._spots.clear()
        return number

    def scope(self, connection: apsw.Connection, wanted: Wanted) -> Scope:
        """What may be found where this is wanted."""
        namespace, condition, parameters = alive(connection, wanted, self._now) if self._has_ended() else wanted
        if condition:
            return ranking.scope_of(connection, namespace, condition, parameters)
        scope = self._scopes.get(namespace)
        if scope is None:
            scope = self._scopes[namespace] = ranking.scope_of(connection, namespace, "", ())
        return scope

    def share(
        self, connection: apsw.Connection, scope: Scope, sides: Sides, *, past: bool = False
    ) -> float | dict[int, float]:
        """The share of the vector in the scores of a scope: one for all, or that of each candidate: of its namespace,
        or else by what it is. Candidates of the `past` may have ended."""
        shares = self._shares_of(connection, scope)
        common = self._common(shares, scope)
        if common is not None:
            return common
        rows = {**sides.text, **sides.near}
        prose: set[int] = set()
        if shares.vector is None:
            prose = self.kinds.among(connection, self.number, rows, past=past)
        usual = {row: PROSE_SHARE if row in prose else CODE_SHARE for row in rows}
        if not shares.named:
            return usual
        keys = ranking.keys_of(connection, sides)
        named = {row: shares.of(namespace, usual[row]) for row, (namespace, _) in keys.items()}
        return usual | named

    def _shares_of(self, connection: apsw.Connection, scope: Scope) -> Shares:
        """The shares that hold in a scope; that of all is what its memories are where nobody set it, and None where
        each has its own."""
        shares = self._shares
        if shares.vector is not None or shares.is_named(scope.within):
            return shares
        return replace(shares, vector=self._weights.vector_share(connection, scope, self.number))

    @staticmethod
    def _common(shares: Shares, scope: Scope) -> float | None:
        """The share of the vector where it is one for all of a scope."""
        return None if shares.vector is None and not shares.is_named(scope.within) else shares.common(scope.within)

    def ground_share(self, connection: apsw.Connection, scope: Scope) -> float | simd.Apart | None:
        """The same for a search by arrays; None where each namespace has its own, or what memories are is not at
        hand."""
        shares = self._shares_of(connection, scope)
        common = self._common(shares, scope)
        if common is not None or shares.vector is not None:
            return common
        if shares.named and (scope.within is None or any(shares.is_named([name]) for name in scope.within)):
            return None
        marked = self.kinds.marked(connection, self.number)
        return None if marked is None else simd.Apart(CODE_SHARE, PROSE_SHARE, marked)

    def table(self, connection: apsw.Connection, space: tuple[str, int]) -> int | None:
        """The table of the vectors of a space, by embedder and dimension; None where there is none."""
        if space not in self._tables:
            self._tables[space] = vectors.find_table(connection, *space)
        return self._tables[space]


def _check(query: str | None, has_vector: bool, wanted: Sequence[tuple[Wanted, int]]) -> None:
    """Raises `UserError` (bad-query, bad-limit)."""
    check_query(query, has_vector=has_vector)
    for _, k in wanted:
        check_limit(k, MOST_HITS)
