"""What a tool answers: a short text complete by itself, a small object with the same facts, at most 8,000 bytes.

Of the two only one reaches the model, and which one differs by client.
"""

from __future__ import annotations

import json
from typing import Any

from mcp_types import CallToolResult, TextContent

from aqe.engine.errors import AqeError
from aqe.server.mcp.wording import for_tools

LARGEST_ANSWER_BYTES = 8_000
PAGE_BYTES = 3_000


def answer(text: str, data: dict[str, Any]) -> CallToolResult:
    """A finished answer; `text` is cut where the whole would pass the limit, and says so."""
    room = LARGEST_ANSWER_BYTES - 300 - len(json.dumps(data, ensure_ascii=True))
    return CallToolResult(
        content=[TextContent(type="text", text=shorten(text, max(room, 200)))], structured_content=data
    )


def failure(error: AqeError) -> CallToolResult:
    """An error that the model can read and act on: the sentence, the next step, the code."""
    message, fix = for_tools(error.message), for_tools(error.fix)
    data = {"code": error.code, "message": shorten(message, 1500), "fix": shorten(fix, 500)}
    text = shorten(" ".join(part for part in (message, fix, f"[{error.code}]") if part), 2500)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data, is_error=True)


def shorten(text: str, room: int) -> str:
    """`text` cut so that its JSON form takes at most `room` bytes, with a word on what was cut."""
    if _size(text) <= room:
        return text
    kept = text[: max(0, room - 60)]
    while kept and _size(kept) > room - 60:
        kept = kept[: int(len(kept) * 0.9)]
    return f"{kept} [cut: {len(text) - len(kept)} more characters]"


def page(text: str, offset: int) -> tuple[str, int | None]:
    """The part of `text` from `offset` (characters) that fits an answer twice, and where the next one starts."""
    part = text[offset : offset + PAGE_BYTES]
    while _size(part) > PAGE_BYTES:
        part = part[: int(len(part) * 0.9)]
    end = offset + len(part)
    return part, end if end < len(text) else None


def _size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=True))
