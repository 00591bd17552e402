"""What a person and an assistant are told of a memory that was added, and of one that was there."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.memory import Kept

_NAMED = {"metadata": "metadata", "vector": "vector", "provenance": "place it comes from", "expires_at": "end"}


def taken_over(kept: Kept) -> str:
    """What a memory that was there took over, and when it ends, as sentences that begin with a space; "" where there is
    neither.

    >>> from aqe.engine.memory import Kept
    >>> taken_over(Kept("a", existed=True, expires_at=1_700_000_000_000_000, joined=("metadata", "expires_at")))
    ' It took over the metadata and the end. It ends at 2023-11-14T22:13:20.000000Z.'
    """
    from aqe.engine.memory import rfc3339

    names = [f"the {_NAMED[name]}" for name in kept.joined if name != "expires_at" or kept.expires_at is not None]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    told = f" It took over {listed}." if listed else ""
    if kept.expires_at is not None:
        ends = rfc3339(kept.expires_at)
        return f"{told} Its own end is later and stays: {ends}." if kept.kept_end else f"{told} It ends at {ends}."
    if kept.kept_end:
        return f"{told} It has no end and keeps none{'' if kept.recalled else _how_to_end(kept)}."
    return f"{told} Its end was taken away." if "expires_at" in kept.joined else told


def _how_to_end(kept: Kept) -> str:
    where = "" if kept.namespace == "default" else f" -n {shlex.quote(kept.namespace)}"
    return f"; `aqe memory update {shlex.quote(kept.id)}{where} --ttl TIME` sets one"


def kept_object(kept: Kept) -> dict[str, Any]:
    """An addition as the JSON of every face; of a memory that was there also what it took over."""
    from aqe.engine.memory import rfc3339

    found: dict[str, Any] = {"id": kept.id, "namespace": kept.namespace, "existed": kept.existed}
    found |= {"recalled": True} if kept.recalled else {}
    found |= {"joined": list(kept.joined)} if kept.existed else {}
    found |= {"kept_end": True} if kept.kept_end else {}
    return found | ({} if kept.expires_at is None else {"expires_at": rfc3339(kept.expires_at)})
