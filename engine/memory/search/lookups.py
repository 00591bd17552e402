"""Places that are looked up together again and again, by words and meaning: what such searches share is prepared once.

A question is looked up in the same few places as the one before it, so what does not depend on its words (which
namespaces these are, where their vectors lie, how much each side weighs) is made once and stands until a memory
changes. What is left to do for a question is to weigh its terms and to go through codes and postings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from aqe.engine.memory.graph.searching import Asked, Graph, is_served
from aqe.engine.memory.meaning.soundness import sound
from aqe.engine.memory.search import hybrid, ranking
from aqe.engine.memory.search.hybrid import Found, Ground, Texts
from aqe.engine.memory.terms.matching import ONE_PASS, Matched

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.search.searching import Searcher
    from aqe.engine.memory.terms.postings import TextPostings

MOST_PLANS = 64


@dataclass(frozen=True, eq=False)
class Lookup:
    """How questions are looked up. `places` are namespaces as `Store.search` takes them, each with how many memories
    are wanted of it and the cosine that one of them must reach (0: none has to). Vectors are of the space of
    `embedder_id` and `dimension`. `asked` gives what the words look for, of a question and of those of its terms (by
    how telling they are, 1) that no row has but of the namespaces that begin with `without`. It is made once and kept:
    no two are equal."""

    places: tuple[tuple[str | None, int, float], ...]
    embedder_id: str
    dimension: int
    asked: Callable[[str, Mapping[str, float]], str]
    without: str = ""


@dataclass(frozen=True, eq=False)
class Plan:
    """What lookups share: the table of their vectors; the store's graph; each place with how many candidates are put in
    order, and its floor; and the places, by number, that edges put in order, with how many memories are wanted of
    them."""

    table: int
    graph: Graph | None
    grounds: Sequence[tuple[Ground, int, float]]
    served: Sequence[tuple[int, str, int]]


class Lookups:
    """What one store has prepared. Whoever calls holds the store's lock and is in a read transaction."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self.codes = searcher.codes
        self._grounds: dict[tuple[str | None, int], Ground] = {}
        self._plans: dict[Lookup, Plan] = {}
        self._held = -1

    def clear(self) -> None:
        """Forget all: a memory changed."""
        self._grounds.clear()
        self._plans.clear()

    def plan(self, connection: apsw.Connection, number: int, lookup: Lookup, *, ready: bool) -> Plan | None:
        """What lookups share as of the change `number`; None where the vectors of a place are not at hand. Only one
        that is `ready` is given: nothing is read to make it, and no cold memory is embedded to look something up."""
        plan = self._standing(number, lookup)
        if plan is None and not ready:
            plan = self._made(connection, number, lookup)
        if plan is not None and ready and self.codes.remaking(connection, plan.table) is not None:
            return None
        if plan is None or plan.graph is None or not plan.served or not ready:
            return plan
        return plan if plan.graph.is_at_hand(connection) else None

    def grounds(
        self, connection: apsw.Connection, number: int, table: int, places: Sequence[tuple[str | None, float]]
    ) -> list[Ground] | None:
        """The ground of each namespace, which has a floor; None where one has none."""
        codes = self.codes
        if not codes.stands(self._held, number):
            codes.follow(connection)
            self.clear()
            self._held = codes.held
        found = []
        for namespace, floor in places:
            ground = self._grounds.get((namespace, table))
            if ground is None:
                ground = self._ground(connection, number, namespace, table, has_floor=floor > 0)
                if ground is None:
                    return None
            found.append(ground)
        return found

    @sound
    def find(
        self, connection: apsw.Connection, lookup: Lookup, question: str, vector: NDArray[np.float32]
    ) -> Sequence[Sequence[Found]] | None:
        """The best rows of each place of a lookup whose `plan` was made, best first; None where it does not stand any
        more, or FTS5 would be asked more than once."""
        searcher = self._searcher
        number = searcher.follow(connection)
        plan = self._standing(number, lookup)
        if plan is None:
            return None
        graph = plan.graph if plan.served else None
        key = (lookup, question) if graph is None else (lookup, question, graph.number(connection))
        known = searcher.found.get(key)
        if known is not None:
            return known
        lists = searcher.lists.at_hand(connection, number)
        read = None if lists is None else lists.read(question, lookup.without)
        if read is None:
            nowhere = searcher.words.nowhere(connection, number, question, lookup.without, lists)
            texts, asked = None, lookup.asked(question, nowhere)
        else:
            asked = lookup.asked(question, read[1])
            texts = read[0] if asked == question else None
        found = self.find_in(connection, number, asked, vector, lists, plan, texts)
        if found is not None:
            searcher.found.put(key, found, sum(map(len, found)))
        return found

    def find_in(
        self,
        connection: apsw.Connection,
        number: int,
        query: str,
        vector: NDArray[np.float32],
        lists: TextPostings | None,
        plan: Plan,
        texts: Texts | None = None,
    ) -> list[list[Found]] | None:
        """The best rows of each place; None where FTS5 would be asked for each by itself. `texts` is what the words
        find, where that is known."""
        searcher = self._searcher
        words, graph = None, plan.graph if plan.served else None
        if texts is None and lists is not None and (read := lists.read(query)) is not None:
            texts = read[0]
        if texts is None or graph is not None:
            words = searcher.words.words(connection, number, query, lists)
            if lists is None and words.postings > ONE_PASS:
                return None
            texts = Matched(connection, words.telling, searcher.known) if lists is None else lists.asked(words.telling)
        remaking = self.codes.remaking(connection, plan.table)
        found = hybrid.find(self.codes, texts, vector, plan.grounds, remaking)
        if graph is not None and words is not None:
            asked = Asked(words, plan.table, vector.tobytes(), self.codes, lists)
            for at, namespace, k in plan.served:
                best = graph.ordered(connection, number, namespace, asked, found[at], k)
                found[at] = [one[:4] for one in best]
        return found

    def _made(self, connection: apsw.Connection, number: int, lookup: Lookup) -> Plan | None:
        searcher = self._searcher
        table = searcher.table(connection, (lookup.embedder_id, lookup.dimension))
        wanted = [(namespace, floor) for namespace, _, floor in lookup.places]
        grounds = None if table is None else self.grounds(connection, number, table, wanted)
        if table is None or grounds is None:
            return None
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        plan = self._plans[lookup] = self.plan_of(table, grounds, lookup.places)
        return plan

    def plan_of(self, table: int, grounds: Sequence[Ground], places: Sequence[tuple[str | None, int, float]]) -> Plan:
        """The plan of places, each with its ground."""
        searcher = self._searcher
        ways = [
            (ground, searcher.looked_at(namespace, k), floor)
            for ground, (namespace, k, floor) in zip(grounds, places, strict=True)
        ]
        served = [(at, name, k) for at, (name, k, _) in enumerate(places) if is_served(name)]
        return Plan(table, searcher.graph(), ways, served)

    def _standing(self, number: int, lookup: Lookup) -> Plan | None:
        """The plan of a lookup, if it was made and still stands."""
        plan = self._plans.get(lookup)
        if plan is None or plan.graph is not self._searcher.graph():
            return None
        return plan if self.codes.stands(self._held, number) else None

    def _ground(
        self, connection: apsw.Connection, number: int, namespace: str | None, table: int, *, has_floor: bool
    ) -> Ground | None:
        """A scope where both sides are at hand; None where one is not, where some rows only have the words, or where
        each namespace is weighed by itself."""
        searcher = self._searcher
        scope = searcher.scope(connection, (namespace, "", ()))
        made = Ground(scope, (), 0.0)
        if not (scope.is_nothing or ranking.is_empty(connection, scope)):
            codes = self.codes
            parts, share = codes.ground(number, table, scope), searcher.ground_share(connection, scope)
            if not (parts and share is not None and any(len(part.vectors) for _, part in parts)):
                return None
            made = Ground(scope, parts, share, codes.few_rows(parts) if has_floor else None)
        self._grounds[namespace, table] = made
        return made
