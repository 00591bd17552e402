"""What is done with sessions beyond their rows: counting, summarising, searching, and what a model is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aqe.engine.errors import UserError
from aqe.engine.memory.file.row_sums import TURNS, change
from aqe.engine.memory.store import Store
from aqe.engine.memory.terms.text import query_terms, subtokens
from aqe.engine.providers.protocol import Message, estimated_tokens
from aqe.engine.sessions import transfer, window
from aqe.engine.sessions.entry import Session, SessionHit, Turn
from aqe.engine.sessions.summary import METHOD, sentences, summarise
from aqe.engine.sessions.table import (
    NewTurn,
    SessionLimits,
    SessionTable,
    Summary,
    new_turn,
    read_given,
    read_turns,
    require_open,
)

if TYPE_CHECKING:
    import apsw
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder

SEARCHED_TURNS = 5000
VECTOR_SHARE = 0.75


class Conversations:
    """The sessions of one store with the embedder and the counter of tokens; blocking, safe between threads."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        *,
        limits: SessionLimits | None = None,
        count_tokens: Callable[[str], int] = estimated_tokens,
    ) -> None:
        self.table = SessionTable(store, limits)
        self.count_tokens = count_tokens
        self._store = store
        self._embedder = embedder

    def turn(self, role: str, text: str, *, request_id: str | None = None, vector: bytes | None = None) -> NewTurn:
        """A turn that can be stored, its tokens counted; `vector` is its embedding where it is known already."""
        embedder_id = None if vector is None else self._embedder.id
        counted = self.count_tokens(text) if isinstance(text, str) else 0
        return new_turn(role, text, counted, request_id=request_id, embedder_id=embedder_id, vector=vector)

    def add(self, name: str, role: str, text: str) -> Session:
        """Put a turn at the end of an open session. Raises `UserError` (unknown-session, session-ended, session-full,
        bad-text)."""
        turn = self.turn(role, text)
        with self._store.writing() as connection:
            session = self.table.append(connection, require_open(self.table.require(connection, name)), [turn])
        return self.fit(session)

    def fit(self, session: Session) -> Session:
        """Summarise the oldest turns of a session that passes its budget; the turns themselves stay."""
        if session.tokens + session.turns * self.count_tokens(window.GIVEN) <= session.token_budget:
            return session  # all turns fit, so those outside the summary do
        with self._store.reading() as connection:
            session = self.table.require(connection, session.id)
            turns, given = _unsummarised(connection, session)
        over = window.overflow(session, turns, given, count_tokens=self.count_tokens)
        if over is None:
            return session
        lasting = window.lasting(session, given, count_tokens=self.count_tokens)
        kept = summarise(
            [*sentences(session.summary), *(turn.text for turn in over.turns)],
            given=[turn.text for turn in given if turn.position < over.until and turn not in lasting],
            token_budget=over.token_budget,
            embed=self._embedder.embed,
            count_tokens=self.count_tokens,
        )
        self.table.set_summary(session.id, Summary("\n".join(kept), over.until, METHOD))
        return self.table.get(session.id)

    def messages(self, name: str) -> tuple[Message, ...]:
        """The session as a model is shown it: OpenAI-style messages within its token budget."""
        with self._store.reading() as connection:
            session = self.table.require(connection, name)
            turns, given = _unsummarised(connection, session)
        return window.messages(session, turns, given, count_tokens=self.count_tokens)

    def search(self, query: str, *, k: int = 10) -> list[SessionHit]:
        """The turns of all sessions, ended ones too, that are nearest to a text by words and meaning, best first.

        The newest 5,000 turns are looked at. Raises `UserError` (bad-query, bad-limit).
        """
        if not isinstance(query, str) or not query.strip():
            raise UserError("The search has no text.", code="bad-query", fix="Give some words.")
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= 1000:
            raise UserError(f"{k!r:.40} is no number of results.", code="bad-limit", fix="Give 1 to 1000.")
        with self._store.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT turns.row, name, position, role, text, turns.tokens, turns.created_at, request_id, embedder_id,"
                " vector FROM turns JOIN sessions ON sessions.id = session ORDER BY turns.row DESC LIMIT ?",
                (SEARCHED_TURNS,),
            ).fetchall()
        if not rows:
            return []
        near = self._vectors(rows) @ self._embedder.embed([query])[0]
        words = _overlap(query_terms(query), [row[4] for row in rows])
        scores = _share(near, VECTOR_SHARE) + _share(words, 1 - VECTOR_SHARE)
        best = [int(place) for place in np.argsort(-scores, kind="stable")[:k] if scores[place] > 0]
        return [SessionHit(rows[at][1], Turn(*rows[at][2:8]), round(float(scores[at]), 5)) for at in best]

    def export(self, name: str) -> dict[str, Any]:
        """The session with all its turns as JSON types."""
        return transfer.export_session(self.table, name)

    def import_session(self, document: Mapping[str, Any] | str, *, name: str | None = None) -> Session:
        """Make the session that `export` wrote, or one of bare OpenAI-style messages; whole or not at all."""
        made = transfer.import_session(self.table, document, count_tokens=self.count_tokens, name=name)
        return self.fit(made)

    def _vectors(self, rows: Sequence[Any]) -> NDArray[np.float32]:
        """The vector of each row; those that this embedder has not made yet are made and kept."""
        missing = [row for row in rows if row[8] != self._embedder.id or row[9] is None]
        made: dict[int, NDArray[np.float32]] = {}
        if missing:
            vectors = np.asarray(self._embedder.embed([row[4] for row in missing]), dtype=np.float32)
            made = {row[0]: vector for row, vector in zip(missing, vectors, strict=True)}
            with self._store.writing() as connection:
                for row, vector in made.items():
                    news = {"embedder_id": self._embedder.id, "vector": vector.tobytes()}
                    change(connection, TURNS, ("row", row), news)
        return np.stack([made[row[0]] if row[0] in made else np.frombuffer(row[9], np.float32) for row in rows])


def _unsummarised(connection: apsw.Connection, session: Session) -> tuple[list[Turn], list[Turn]]:
    """The turns that the session's summary does not stand for, and all the texts that it was given."""
    turns = read_turns(connection, session.id, start=session.summarised)
    if session.summarised:
        return turns, read_given(connection, session.id)
    return turns, [turn for turn in turns if turn.role == "context"]


def _overlap(terms: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
    """For each text the weight of the terms it holds; a term weighs more the fewer texts hold it."""
    held = [set(subtokens(text)) for text in texts]
    weights = {term: np.log(1 + len(texts) / (1 + sum(term in words for words in held))) for term in terms}
    return np.array([sum(weights[term] for term in terms if term in words) for words in held], dtype=np.float64)


def _share(scores: NDArray[Any], share: float) -> NDArray[np.float64]:
    """Scores as shares of the best one, none below zero."""
    best = float(scores.max(initial=0.0))
    return share * np.maximum(scores, 0.0) / best if best > 0 else np.zeros(len(scores))
