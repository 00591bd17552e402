"""What is said, and what is written down, of a query that was looked up: with an answer, or found and routed alone."""

from __future__ import annotations

from typing import NamedTuple

from aqe.engine.answer import Answer, Timings
from aqe.engine.memory.entry import made
from aqe.engine.providers.protocol import Usage
from aqe.engine.requests import Interaction
from aqe.engine.routing import Decision


class Found(NamedTuple):
    """A query as the log keeps it. `session` is the id of one; `has_route` says that its route is in the log already,
    since a model was asked."""

    prompt: str
    task: str | None
    decision: Decision
    answer: Answer
    session: str | None = None
    has_route: bool = False


def unanswered(
    request_id: str,
    decision: Decision,
    context: tuple[tuple[str, str], ...],
    context_tokens: int,
    prompt_tokens: int,
    timings: Timings,
    *,
    session: str | None = None,
    reused: bool = False,
) -> Answer:
    """What was found and where the query would go; `session` is the name of one."""
    return made(
        Answer,
        {
            "text": "",
            "answered": False,
            "confidence": None,
            "provider": decision.provider,
            "model": decision.model,
            "tier": decision.tier,
            "route_reason": decision.reason,
            "request_id": request_id,
            "session": session,
            "context": context,
            "context_tokens": context_tokens,
            "citations": (),
            "usage": made(Usage, {"input_tokens": prompt_tokens, "output_tokens": 0, "estimated": True}),
            "cost_usd": 0.0,
            "latency_ms": timings.total,
            "timings": timings,
            "finish_reason": "stop",
            "reused": reused,
            "verdict": None,
            "samples": (),
        },
    )


def interaction_of(found: Found) -> Interaction:
    """The row of a query."""
    answer = found.answer
    return made(
        Interaction,
        {
            "id": answer.request_id,
            "kind": "query",
            "prompt": found.prompt,
            "answer": answer.text,
            "session": found.session,
            "task": found.task,
            "provider": answer.provider,
            "model": answer.model,
            "tier": answer.tier,
            "route_reason": answer.route_reason,
            "confidence": answer.confidence,
            "context": answer.context,
            "context_tokens": answer.context_tokens,
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "latency_ms": answer.latency_ms,
            "cost_usd": answer.cost_usd or 0.0,
            "reused": answer.reused,
            "verdict": None if answer.verdict is None else answer.verdict.passed,
            "created_at": 0,
            "worktree": "",
            "commit": "",
        },
    )
