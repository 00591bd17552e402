"""The log of routes: each decision that a request took, with the calls made for it; no word of any prompt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aqe.engine.routing.decision import Attempt, Decision

if TYPE_CHECKING:
    import apsw

    from aqe.engine.memory import Store

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
KEPT = 10_000
"""Routes that are kept; the oldest go first."""


Answered = tuple[str, str | None, Decision, tuple[str, str]]
"""A request's id, its task, the decision, and the provider and model that answered it."""


@dataclass(frozen=True)
class Route:
    """One logged route; `outcome` is "ok" or the code of the error, `decision` and `attempts` as they were."""

    request_id: str
    provider: str
    model: str
    tier: str
    need: float
    task: str
    outcome: str
    decision: dict[str, Any]
    attempts: list[dict[str, Any]]
    created_at: int


def log_route(
    store: Store,
    decision: Decision,
    *,
    request_id: str,
    task: str | None,
    outcome: str,
    attempts: Sequence[Attempt] = (),
    answered_by: tuple[str, str] | None = None,
) -> None:
    """Keep one route; `answered_by` is the provider and model that answered, where it is not the one decided for."""
    row = _row(request_id, task, decision, store.now(), outcome, attempts, answered_by)
    with store.writing() as connection:
        _insert(connection, [row])


def insert_routes(connection: apsw.Connection, routes: Sequence[Answered], *, now: int) -> None:
    """Keep routes on which no model answered, in the caller's transaction.

    A request whose models were asked in vain has its row already, which then says who answered in the end.
    """
    rows = []
    for request_id, task, decision, answered_by in routes:
        row = _row(request_id, task, decision, now, "ok", answered_by=answered_by)
        instead = answered_by != (decision.provider, decision.model)
        if not (instead and _answered(connection, request_id, row[1:4])):
            rows.append(row)
    _insert(connection, rows)


def _answered(connection: apsw.Connection, request_id: str, by: Sequence[object]) -> bool:
    """Say in the row of a request, if there is one, by which provider, model and tier it was answered in the end."""
    sql = "UPDATE routes SET provider = ?, model = ?, tier = ?, outcome = 'ok' WHERE request_id = ? RETURNING row"
    return connection.execute(sql, (*by, request_id)).fetchone() is not None


def _insert(connection: apsw.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    connection.executemany(
        "INSERT INTO routes"
        " (request_id, provider, model, tier, need, task, outcome, decision, attempts, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.execute("DELETE FROM routes WHERE row <= (SELECT max(row) FROM routes) - ?", (KEPT,))


def _row(
    request_id: str,
    task: str | None,
    decision: Decision,
    now: int,
    outcome: str,
    attempts: Sequence[Attempt] = (),
    answered_by: tuple[str, str] | None = None,
) -> tuple[object, ...]:
    provider, model = answered_by or (decision.provider, decision.model)
    tier = next(
        (one.tier for one in decision.candidates if (one.provider, one.model) == (provider, model)), decision.tier
    )
    told = {**vars(decision), "candidates": [vars(one) for one in decision.candidates]}
    return (
        *(request_id, provider, model, tier, decision.score, task or "", outcome),
        _encode(told),
        _encode([vars(attempt) for attempt in attempts]) if attempts else "[]",
        now,
    )


def read_routes(store: Store, *, limit: int = 20, request_id: str | None = None) -> list[Route]:
    """The newest routes first, or those of one request."""
    where, bound = ("", ()) if request_id is None else (" WHERE request_id = ?", (request_id,))
    sql = (
        "SELECT request_id, provider, model, tier, need, task, outcome, decision, attempts, created_at FROM routes"
        f"{where} ORDER BY row DESC LIMIT ?"
    )
    with store.reading() as connection:
        rows: list[tuple[Any, ...]] = connection.execute(sql, (*bound, limit)).fetchall()
    return [
        Route(id, provider, model, tier, need, task, outcome, json.loads(decision), json.loads(attempts), created_at)
        for id, provider, model, tier, need, task, outcome, decision, attempts, created_at in rows
    ]
