"""Memories and what a search found as the JSON of every form."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.memory import Memory, SearchAnswer, Store


def memory_object(memory: Memory) -> dict[str, Any]:
    """A memory as the JSON of every form: times in RFC 3339."""
    from aqe.engine.memory import rfc3339

    return {
        "id": memory.id,
        "namespace": memory.namespace,
        "revision": memory.revision,
        "text": memory.text,
        "metadata": memory.metadata,
        "created_at": rfc3339(memory.created_at),
        "valid_from": rfc3339(memory.valid_from),
        "valid_to": None if memory.valid_to is None else rfc3339(memory.valid_to),
        "embedder_id": memory.embedder_id,
        "dimension": memory.dimension,
        "provenance": vars(memory.provenance),
        "expires_at": None if memory.expires_at is None else rfc3339(memory.expires_at),
        "pinned": memory.pinned,
        "stale": memory.stale,
        "end_note": memory.end_note,
    }


def answer_object(answer: SearchAnswer, query: str) -> dict[str, Any]:
    """What a search found as JSON; scores with 5 digits, and how many words of the query each hit holds."""
    from aqe.server.nearness import held_of_each

    hits = [
        {
            "score": float(f"{hit.score:.5g}"),
            "text_score": None if hit.text_score is None else float(f"{hit.text_score:.5g}"),
            "vector_score": None if hit.vector_score is None else float(f"{hit.vector_score:.5g}"),
            "prior": float(f"{hit.prior:.5g}"),
            "explained": None if hit.explained is None else _rounded(vars(hit.explained)),
            **memory_object(hit.memory),
            **counts,
        }
        for hit, counts in zip(answer.hits, held_of_each(query, answer.hits), strict=True)
    ]
    return {"mode": answer.mode, "hits": hits, "note": answer.note}


def absent_object(store: Store, namespace: str | None, *, ever: bool = False) -> dict[str, Any]:
    """What is to be added where nothing was found: that the namespace holds nothing (with `ever`: never did)."""
    from aqe.engine.memory.absence import absent

    nothing = absent(store, namespace, ever=ever)
    return {} if nothing is None else {"absent": nothing.shown}


def tell_absent(nothing: Mapping[str, Any]) -> None:
    """Say on stderr what `absent_object` found."""
    if nothing:
        print(nothing["absent"]["told"], file=sys.stderr)


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in values.items()}
