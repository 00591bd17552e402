"""The whole object behind an answer, for programs: sent in `_meta` to a client that asks for it there.

What a model reads stays short; `aqe.agents.remote` makes the engine's own objects again from what it finds here.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from mcp_types import CallToolResult

from aqe.server.mcp.answers import allowed, outlet


def asks_for_whole(context: Any) -> bool:
    """Whether the request's `_meta` asks for the object itself."""
    meta = getattr(getattr(context, "request_context", None), "meta", None)
    if not meta:
        return False
    from aqe.agents.remote import WHOLE

    return bool(meta.get(WHOLE))


def with_whole(context: Any, result: CallToolResult, found: Any) -> CallToolResult:
    """`result` with the dataclass `found` as plain data in its `_meta`, where the request asked for it."""
    if not asks_for_whole(context):
        return result
    from aqe.agents.remote import WHOLE

    data = allowed(json.loads(json.dumps(dataclasses.asdict(found), ensure_ascii=False)))
    way = outlet()
    if way is not None and way.payload:
        way.payload += "\n" + json.dumps(data, ensure_ascii=False)
    return result.model_copy(update={"meta": {**(result.meta or {}), WHOLE: data}})
