"""Every question and completion that was answered: one row each, found again by its request id.

The row says when, where (worktree and commit), by which provider and from which memories an answer was made, so that
feedback can name it. The oldest rows go when there are more than a limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import uuid7
from aqe.engine.memory.file.row_sums import INTERACTIONS, change, insert_sql, sealed
from aqe.engine.memory.store import Store

Kind = Literal["query", "complete"]
KEPT = 10_000
_encode = json.JSONEncoder(check_circular=False).encode


@dataclass(frozen=True)
class Interaction:
    """One answered request. `context` holds the memories it was answered from as (namespace, id); `reused` says
    whether they came from the session instead of the store; `verdict` is the caller's check of it, None without one;
    `created_at` is in UTC microseconds."""

    id: str
    kind: Kind
    prompt: str
    answer: str
    session: str | None = None
    task: str | None = None
    provider: str = ""
    model: str = ""
    tier: str = ""
    route_reason: str = ""
    confidence: float | None = None
    context: tuple[tuple[str, str], ...] = ()
    context_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_ms: float = 0.0
    cost_usd: float = 0.0
    reused: bool = False
    verdict: bool | None = None
    created_at: int = 0
    worktree: str = ""
    commit: str = ""


_NAMES = INTERACTIONS.columns
_COLUMNS = INTERACTIONS.listed
_NEW = insert_sql(INTERACTIONS)


@dataclass(frozen=True)
class RequestFigures:
    """What the rows add up to: counts by kind, the mean of the stated confidences (None without one), how many answers
    reused their session's passages, what they cost in US dollars, and how many went to each provider."""

    queries: int = 0
    completions: int = 0
    mean_confidence: float | None = None
    reused: int = 0
    cost_usd: float = 0.0
    providers: dict[str, int] = field(default_factory=dict)


class RequestTable:
    """The interactions in a project's store."""

    def __init__(self, store: Store, *, kept: int = KEPT) -> None:
        self._store = store
        self._kept = kept
        self.flush: Callable[[], None] = lambda: None
        """Writes what waits to be written (`request_log`), before anybody looks for it."""

    def new_id(self) -> str:
        """An id for a request that begins now."""
        return uuid7(self._store.now())

    def insert(self, connection: apsw.Connection, rows: Sequence[Interaction]) -> None:
        """Write rows in the caller's transaction, with the store's time and place; the oldest beyond the limit go."""
        now, here, clean = self._store.now(), self._store.here, self._store.as_kept
        values = ((*_values(row, clean), now, here.worktree, here.commit) for row in rows)
        connection.executemany(_NEW, [sealed(INTERACTIONS, row) for row in values])
        connection.execute(
            "DELETE FROM interactions WHERE row <= (SELECT max(row) FROM interactions) - ?", (self._kept,)
        )

    def get(self, id: str) -> Interaction:
        """The request with this id. Raises `UserError` (unknown-request)."""
        self.flush()
        with self._store.reading() as connection:
            return require_request(connection, id)

    def list(self, *, limit: int = 50, session: str | None = None) -> list[Interaction]:
        """The last requests (of one session), newest first."""
        self.flush()
        where, bound = ("WHERE session = ?", (session,)) if session is not None else ("", ())
        sql = f"SELECT {_COLUMNS} FROM interactions {where} ORDER BY row DESC LIMIT ?"
        with self._store.reading() as connection:
            return [_read(row) for row in connection.execute(sql, (*bound, limit))]

    def set_verdict(self, id: str, passed: bool) -> None:
        """Keep what the caller's check said of an answer. Raises `UserError` (unknown-request)."""
        self.flush()
        with self._store.writing() as connection:
            if change(connection, INTERACTIONS, ("id", id), {"verdict": int(passed)}) is None:
                raise _unknown(id)

    def figures(self) -> RequestFigures:
        """Counts and means over all rows that are kept."""
        self.flush()
        with self._store.reading() as connection:
            row: Any = connection.execute(
                "SELECT count(*) FILTER (WHERE kind = 'query'), count(*) FILTER (WHERE kind = 'complete'),"
                " avg(confidence), coalesce(sum(reused), 0), coalesce(sum(cost_usd), 0.0) FROM interactions"
            ).fetchone()
            providers = connection.execute("SELECT provider, count(*) FROM interactions GROUP BY 1 ORDER BY 1")
            queries, completions, mean, reused, cost = row
            return RequestFigures(
                queries, completions, mean, reused, cost, {str(name): int(count) for name, count in providers}
            )


def require_request(connection: apsw.Connection, id: str) -> Interaction:
    """The request with this id, in the caller's transaction. Raises `UserError` (unknown-request)."""
    try:
        row = connection.execute(f"SELECT {_COLUMNS} FROM interactions WHERE id = ?", (str(id),)).fetchone()
    except UnicodeEncodeError:
        raise _unknown(id) from None
    if row is None:
        raise _unknown(id)
    return _read(row)


def _unknown(id: str) -> UserError:
    return UserError(
        f"There is no request {str(id)!r:.220}.",
        code="unknown-request",
        fix="Give the request_id of an answer; the oldest are forgotten.",
    )


def _values(row: Interaction, clean: Callable[[str], str]) -> tuple[object, ...]:
    """A row's columns but time and place; texts without what the setting memory.redact takes out of what is kept."""
    return (
        *(row.id, row.kind, clean(row.prompt), clean(row.answer), row.session, row.task),
        *(row.provider, row.model, row.tier, row.route_reason),
        *(None if row.confidence is None else row.confidence + 0.0, _encode(row.context)),
        *(row.context_tokens, row.input_tokens, row.output_tokens, row.latency_ms, row.cost_usd),
        *(int(row.reused), None if row.verdict is None else int(row.verdict)),
    )


def _read(row: Any) -> Interaction:
    found = dict(zip(_NAMES, row, strict=True))
    found["context"] = tuple((str(namespace), str(id)) for namespace, id in json.loads(found["context"]))
    found["reused"] = bool(found["reused"])
    found["verdict"] = None if found["verdict"] is None else bool(found["verdict"])
    return Interaction(**found)
