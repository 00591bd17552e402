"""The blocking half of a query: what it is answered from, where it goes, the extractive answer, and what is kept.

`engine.py` runs these steps in worker threads and does what waits for a model in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import apsw

from aqe.engine.answer import Answer, QueryConfig, Timings
from aqe.engine.completing import route_request
from aqe.engine.errors import UserError
from aqe.engine.found import Found, interaction_of, unanswered
from aqe.engine.given import GIVEN, with_given
from aqe.engine.grounding import cited, shown_passages, support
from aqe.engine.knowledge.answering import find_entries, named, unsaid
from aqe.engine.knowledge.shelf import TREE as KNOWLEDGE
from aqe.engine.memory.care.place import UNWRITABLE
from aqe.engine.memory.entry import check_text, made
from aqe.engine.memory.store import Store
from aqe.engine.privacy import Guard
from aqe.engine.providers.extractive import (
    Citation,
    Extract,
    Passage,
    extract,
    extract_known,
    passage_of,
    quotable_text,
)
from aqe.engine.providers.protocol import CompletionRequest, Message, Usage, weigh
from aqe.engine.recall import CachedEmbedder, Recall, Recalled
from aqe.engine.request_log import PORTION, RequestLog
from aqe.engine.requests import RequestTable
from aqe.engine.retrieval import catch_up
from aqe.engine.routing import Decision, Router, RouteRequest
from aqe.engine.routing.decision import EXTRACTIVE, Tier
from aqe.engine.routing.log import insert_routes
from aqe.engine.sessions.conversations import Conversations
from aqe.engine.sessions.entry import Session, Turn
from aqe.engine.sessions.followup import leans_on_what_was_said, standalone, topic_of
from aqe.engine.sessions.table import require_open

if TYPE_CHECKING:
    from aqe.engine.memory.search.lookups import Lookup
    from aqe.engine.settings import Settings

SHOWN_TOKENS = 3000
"""The most that the passages shown to a model may weigh."""

LOOKED_BACK = 16
"""Turns of a session, the last ones, among which is what a follow-up leans on."""

AT_HAND = 2_000
"""Characters of a question that is looked up on the spot, where nothing must be read for it first."""

CONTEXT = 8
"""Memories that an answer names as what it rests on, the cited ones first."""


@dataclass(frozen=True)
class Prepared:
    """A query whose passages are found and whose route is decided; `asked` is the prompt as it was looked up,
    `texts` are those that its session was given."""

    prompt: str
    asked: str
    config: QueryConfig
    task: str | None
    request_id: str
    session: Session | None
    texts: tuple[Turn, ...]
    recalled: Recalled
    request: RouteRequest
    decision: Decision
    given: tuple[Passage, ...]
    talk: tuple[Message, ...]
    began: float
    route_ms: float

    @property
    def needs_model(self) -> bool:
        """Whether a model answers, not the passages themselves."""
        return self.decision.tier != "extractive"


@dataclass(frozen=True)
class Said:
    """What answered, before it is an `Answer`. `confidence` None: to be judged by the passages; `known` are entries of
    the knowledge that it cites."""

    text: str
    provider: str
    model: str
    tier: Tier
    usage: Usage
    cost_usd: float | None
    reason: str
    took_ms: float
    finish_reason: str = "stop"
    answered: bool = True
    confidence: float | None = None
    citations: tuple[Citation, ...] | None = None
    known: tuple[Passage, ...] = ()


class Asking:
    """The blocking steps of a query on one store; safe between threads."""

    def __init__(
        self,
        store: Store,
        embedder: CachedEmbedder,
        *,
        recall: Recall,
        requests: RequestTable,
        conversations: Conversations,
        router: Router,
        guard: Guard,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._recall = recall
        self._requests = requests
        self._conversations = conversations
        self._router = router
        self._guard = guard
        self._log: RequestLog[Found] = RequestLog(self._write, rest=store.rest_aside)
        requests.flush = self._log.flush
        self._weigh = partial(_weight, count=conversations.count_tokens)

    def close(self) -> None:
        """Write what waits to be written."""
        self._log.close()

    @property
    def count_tokens(self) -> Callable[[str], int]:
        """How texts are weighed."""
        return self._conversations.count_tokens

    def prepare(
        self,
        prompt: str,
        *,
        session: str | None,
        task: str | None,
        config: QueryConfig,
        talk: tuple[Message, ...] = (),
    ) -> Prepared:
        """Find the passages and decide the route; a session of a new name is made.

        `talk` is a conversation that the caller holds itself. Raises `UserError` (bad-text, text-too-long,
        session-ended, and what the router raises).
        """
        began = time.perf_counter()
        check_text(prompt)
        leans = leans_on_what_was_said(prompt)
        opened: Session | None = None
        turns: Sequence[Turn] = ()
        if session is not None:
            opened, turns = self._conversations.table.opened(session, last=LOOKED_BACK if leans else 0)
        texts = tuple([turn for turn in turns if turn.role == "context"])
        previous = _previous(turns[-LOOKED_BACK:], talk) if leans else None
        request = route_request(prompt, task, config)
        asked = standalone(prompt, previous)
        recalled = self._look_up(asked, config, opened, texts)
        start = time.perf_counter()
        decision = self._router.decide(request)
        route_ms = 1000 * (time.perf_counter() - start)
        given = recalled.passages
        if decision.tier != "extractive":
            given = self._shown(given, decision)
            talk = talk or (() if opened is None else self._conversations.messages(opened.id))
        return Prepared(
            *(prompt, asked, config, task, self._requests.new_id(), opened, texts, recalled, request, decision),
            *(given, talk, began, route_ms),
        )

    def at_hand(self, prompt: str, *, task: str | None, config: QueryConfig) -> Answer | None:
        """What `alone` gives, where it takes well under a millisecond, so that an event loop may wait for it; None
        where it might take longer."""
        if not isinstance(prompt, str) or len(prompt) > AT_HAND:
            return None
        return self._at_once(prompt, task, config, wait=False)

    def alone(self, prompt: str, *, task: str | None, config: QueryConfig) -> Answer:
        """What was found without a session and where the query would go. Raises as `prepare`."""
        found = None
        if isinstance(prompt, str):
            catch_up(self._store, self._embedder)
            found = self._at_once(prompt, task, config, wait=True)
        if found is None:
            found = self.found_alone(self.prepare(prompt, session=None, task=task, config=config))
        return found

    def _at_once(self, prompt: str, task: str | None, config: QueryConfig, *, wait: bool) -> Answer | None:
        settings = self._router.recent_settings()
        lookup = self._recall.lookup(config.k, config.namespace, settings)
        found = self._store.at_hand.once(
            lambda connection: self._find(connection, prompt, task, config, settings, lookup), lookup, wait=wait
        )
        if found is None:
            return None
        self._keep_soon(found)
        return found.answer

    def _find(
        self,
        connection: apsw.Connection,
        prompt: str,
        task: str | None,
        config: QueryConfig,
        settings: Settings,
        lookup: Lookup,
    ) -> Found | None:
        """A query that is looked up within `AtHand.once`; None where more is needed than is at hand."""
        began = time.perf_counter()
        check_text(prompt)
        decision = self._router.decide(route_request(prompt, task, config), settings=settings)
        routed = time.perf_counter()
        seen = self._recall.at_hand(connection, prompt, lookup, settings)
        if seen is None:
            return None
        rows, embedded = seen
        context: tuple[tuple[str, str], ...]
        if decision.tier == EXTRACTIVE:
            named = self._store.at_hand.named(rows, self._weigh)
            if named is None:
                return None
            context, weight = named
        else:
            hits = self._store.at_hand.hits(rows)
            if hits is None:
                return None
            shown = self._shown([passage_of(hit) for hit in hits], decision)
            context = tuple([(passage.namespace, passage.id) for passage in shown])
            weight = weigh([passage.text for passage in shown], self.count_tokens)
        done = time.perf_counter()
        timings = made(
            Timings,
            {
                "embed": 1000 * (embedded - routed),
                "retrieve": 1000 * (done - embedded),
                "route": 1000 * (routed - began),
                "answer": 0.0,
                "total": 1000 * (done - began),
            },
        )
        answer = unanswered(self._requests.new_id(), decision, context, weight, self.count_tokens(prompt), timings)
        return Found(prompt, task, decision, answer)

    def anew(self, prepared: Prepared) -> Prepared:
        """The same query with passages of the store, where its session's own were not enough."""
        before = prepared.recalled
        recalled = self._look_up(prepared.asked, prepared.config, prepared.session, prepared.texts, before)
        recalled = replace(
            recalled,
            embed_ms=recalled.embed_ms + before.embed_ms,
            retrieve_ms=recalled.retrieve_ms + before.retrieve_ms,
        )
        return replace(prepared, recalled=recalled, given=recalled.passages)

    def completion(self, prepared: Prepared) -> CompletionRequest:
        """What a model is asked."""
        config = prepared.config
        return CompletionRequest(
            messages=(
                *([shown_passages(prepared.given)] if prepared.given else ()),
                *prepared.talk,
                Message("user", prepared.prompt),
            ),
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            timeout_s=config.timeout_s,
            purpose="query",
        )

    def found(self, prepared: Prepared, *, reason: str = "") -> Said:
        """The extractive answer; `reason` says why no model gave one."""
        start = time.perf_counter()
        passages = [one for one in prepared.recalled.passages if not one.namespace.startswith(KNOWLEDGE)]
        extracted = extract(prepared.asked, passages, rarity=prepared.recalled.rarity)
        known: tuple[Passage, ...] = ()
        if not (extracted.answered or prepared.recalled.reused):  # what a session found is looked up anew first
            said, entries = self._from_knowledge(prepared)
            if said.answered or not extracted.nearest:
                ids = {one.id for one in said.citations}
                extracted, known = said, tuple([one for one in entries if one.id in ids])
        elif extracted.answered and self._may_know(prepared):
            told = unsaid(self._store, prepared.asked, extracted, passages, prepared.config.namespace or KNOWLEDGE)
            extracted, known = told or (extracted, known)
        count = self.count_tokens
        return Said(
            text=extracted.text,
            provider=EXTRACTIVE,
            model=EXTRACTIVE,
            tier="extractive",
            usage=Usage(count(prepared.prompt), count(extracted.text), estimated=True),
            cost_usd=0.0,
            reason=reason or prepared.decision.reason,
            took_ms=1000 * (time.perf_counter() - start),
            answered=extracted.answered,
            confidence=extracted.confidence,
            citations=extracted.citations,
            known=known,
        )

    def _may_know(self, prepared: Prepared) -> bool:
        """Whether the knowledge may answer: it is switched on, or a namespace is asked."""
        return prepared.config.namespace is not None or self._router.recent_settings().knowledge.enabled

    def _from_knowledge(self, prepared: Prepared) -> tuple[Extract, Sequence[Passage]]:
        """What the knowledge says to a question that the project does not answer, and the entries that were looked at:
        where it is switched off none, and where a namespace is asked those found in it."""
        entries = [one for one in prepared.recalled.passages if one.namespace.startswith(KNOWLEDGE)]
        namespace = prepared.config.namespace
        if not self._may_know(prepared):
            return extract_known(prepared.asked, ()), ()
        told = named(self._store, prepared.asked, namespace or KNOWLEDGE)
        if told is not None:
            return told
        if namespace is None:
            entries = find_entries(self._store, self._embedder, prepared.asked, prepared.recalled.vector)
        return extract_known(prepared.asked, entries), entries

    def answer(self, prepared: Prepared, said: Said) -> Answer:
        """The whole answer; a model's is judged by the passages that it was given."""
        count = self.count_tokens
        citations, confidence = said.citations, said.confidence
        if citations is None:
            citations = cited(said.text, prepared.given, self._embedder)
            confidence = support(said.text, prepared.given, self._embedder)
        context = _context(prepared, said, citations)
        weight = weigh([*(passage.text for passage in context), *(one.content for one in prepared.talk)], count)
        recalled, total = prepared.recalled, 1000 * (time.perf_counter() - prepared.began)
        return Answer(
            text=said.text,
            answered=said.answered,
            confidence=confidence,
            provider=said.provider,
            model=said.model,
            tier=said.tier,
            route_reason=said.reason,
            request_id=prepared.request_id,
            session=None if prepared.session is None else prepared.session.name,
            context=tuple((passage.namespace, passage.id) for passage in context if passage.namespace != GIVEN),
            context_tokens=weight,
            citations=citations,
            usage=said.usage,
            cost_usd=said.cost_usd,
            latency_ms=total,
            timings=Timings(recalled.embed_ms, recalled.retrieve_ms, prepared.route_ms, said.took_ms, total),
            finish_reason=said.finish_reason,
            reused=recalled.reused,
        )

    def found_alone(self, prepared: Prepared) -> Answer:
        """What was found and where the query would go, without an answer; it is written down a moment later, and its
        session has no turn of it."""
        recalled, passages, session = prepared.recalled, prepared.given, prepared.session
        count = self.count_tokens
        total = 1000 * (time.perf_counter() - prepared.began)
        answer = unanswered(
            prepared.request_id,
            prepared.decision,
            tuple([(one.namespace, one.id) for one in passages if one.namespace != GIVEN]),
            weigh([passage.text for passage in passages], count),
            count(prepared.prompt),
            Timings(recalled.embed_ms, recalled.retrieve_ms, prepared.route_ms, 0.0, total),
            session=None if session is None else session.name,
            reused=recalled.reused,
        )
        self._keep_soon(_found(prepared, answer))
        return answer

    def _keep_soon(self, found: Found) -> None:
        self._store.note_recalled(found.answer.context)
        if not self._store.only_reads:
            self._log.add(found)

    def keep(self, answers: Sequence[tuple[Prepared, Answer]]) -> None:
        """Store the answers, and the turns of their sessions, in one transaction; long sessions are summarised. Where
        nothing can be written answers outside a session wait in the log of requests, which tells of it; a store that is
        only read keeps none.

        Raises `UserError` (session-full, and where nothing can be written for a session); then nothing is stored.
        """
        try:
            self._keep_now(answers)
        except UserError as error:
            if error.code not in UNWRITABLE or any(prepared.session is not None for prepared, _ in answers):
                raise
            for prepared, answer in answers:
                self._keep_soon(_found(prepared, answer))

    def _keep_now(self, answers: Sequence[tuple[Prepared, Answer]]) -> None:
        grown: list[Session] = []
        with self._store.writing() as connection:
            self._insert(connection, [_found(prepared, answer) for prepared, answer in answers])
            for prepared, answer in answers:
                if prepared.session is not None:
                    session = require_open(self._conversations.table.require(connection, prepared.session.id))
                    vector = prepared.recalled.vector.tobytes() if prepared.asked == prepared.prompt else None
                    turn = self._conversations.turn
                    turns = [
                        turn("user", prepared.prompt, vector=vector),
                        turn("assistant", answer.text, request_id=answer.request_id),
                    ]
                    grown.append(self._conversations.table.append(connection, session, turns))
        self._store.note_recalled([key for _, answer in answers for key in answer.context])
        for session in grown:
            self._conversations.fit(session)

    def _insert(self, connection: apsw.Connection, answers: Sequence[Found]) -> None:
        """Write the rows of some requests, and the routes that no model's call has written."""
        self._requests.insert(connection, [interaction_of(one) for one in answers])
        routes = [
            (one.answer.request_id, one.task, one.decision, (one.answer.provider, one.answer.model))
            for one in answers
            if not one.has_route
        ]
        insert_routes(connection, routes, now=self._store.now())

    def _write(self, found: Sequence[Found], pause: Callable[[], None]) -> None:
        with self._store.writing_aside() as connection:
            for at in range(0, len(found), PORTION):
                self._insert(connection, found[at : at + PORTION])
                pause()

    def _look_up(
        self,
        asked: str,
        config: QueryConfig,
        session: Session | None,
        texts: Sequence[Turn],
        before: Recalled | None = None,
    ) -> Recalled:
        id = None if session is None else session.id
        recalled = self._recall.recall(asked, k=config.k, namespace=config.namespace, session=id, before=before)
        if session is None or not texts:
            return recalled
        passages = with_given(recalled.passages, texts, session.name, self._embedder, recalled.vector)
        return replace(recalled, passages=passages)

    def _shown(self, passages: Sequence[Passage], decision: Decision) -> tuple[Passage, ...]:
        """The passages that a model is shown: the best ones within `SHOWN_TOKENS`, and where one of the models that
        may be asked is elsewhere, none of a file that never leaves."""
        leaves = any(one.tier == "cloud" for one in decision.kept)
        left = SHOWN_TOKENS
        shown: list[Passage] = []
        for passage in passages:
            if leaves and passage.file is not None and self._guard.withholds(passage.file):
                continue
            left -= self.count_tokens(passage.text)
            if left < 0 and shown:
                break
            shown.append(passage)
        return tuple(shown)


def _previous(turns: Sequence[Turn], talk: Sequence[Message]) -> str | None:
    """What a question that leans on what was said leans on: of its session's last turns, or of the caller's talk."""
    if not turns:
        return topic_of(one.content for one in reversed(talk) if one.role == "user")
    return topic_of(turn.text for turn in reversed(turns) if turn.role == "user")


def _weight(namespace: str, text: str, *, count: Callable[[str], int]) -> int:
    """The tokens of a memory's text as a passage has it."""
    return count(quotable_text(namespace, text))


def _context(prepared: Prepared, said: Said, citations: Sequence[Citation]) -> list[Passage]:
    """The passages that the answer rests on, the cited ones first, then the best of the rest (a model's: all that it
    was shown)."""
    places = {citation.id: place for place, citation in reversed(list(enumerate(citations)))}
    known = {(one.namespace, one.id) for one in said.known}
    others = [one for one in prepared.given if (one.namespace, one.id) not in known]
    ranked = sorted([*said.known, *others], key=lambda passage: places.get(passage.id, len(places)))
    return ranked if said.tier != EXTRACTIVE else ranked[:CONTEXT]


def _found(prepared: Prepared, answer: Answer) -> Found:
    session = None if prepared.session is None else prepared.session.id
    has_route = answer.tier != EXTRACTIVE and prepared.config.answer
    return Found(prepared.prompt, prepared.task, prepared.decision, answer, session, has_route)
