"""What a tool answers: a short text complete by itself, a small object with the same facts, at most 8,000 bytes.

Of the two only one reaches the model, and which one differs by client. Both leave the machine as far as anybody knows,
so all goes through the privacy guard of the call's project here (`privacy.mcp_content`); what is cut to a length goes
through `allowed` before it is cut, since half a secret is not recognised any more.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_types import CallToolResult, TextContent

from aqe.engine.errors import AqeError
from aqe.server.mcp.wording import for_tools

if TYPE_CHECKING:
    from aqe.engine.privacy import Guard, Placeholders

LARGEST_ANSWER_BYTES = 8_000
PAGE_BYTES = 3_000


@dataclass
class Outlet:
    """The way out of one call: its project's guard, and what was taken out of the answer."""

    guard: Guard
    spans: Counter[str] = field(default_factory=Counter)
    payload: str = ""
    placeholders: Placeholders | None = None

    def log(self, client: str, tool: str) -> None:
        """Write the answer to the project's audit log, unless it held nothing of the project.

        A log that cannot be written keeps the answer back in strict mode (`UserError`), and is warned of in others.
        """
        if not self.payload:
            return
        try:
            self.guard.log_answer(client, tool, self.payload, self.spans)
        except AqeError as error:
            if self.guard.mode == "strict":
                raise
            logging.getLogger(__name__).warning("The audit log misses an answer of %s: %s", tool, error)


_OUTLET: ContextVar[Outlet | None] = ContextVar("outlet", default=None)


def go_through(guard: Guard) -> None:
    """All answers of this call go through `guard` from now on."""
    _OUTLET.set(Outlet(guard))


def outlet() -> Outlet | None:
    """The way out of this call; None before its project is known."""
    return _OUTLET.get()


def allowed(value: Any, *, paths: Sequence[str] = ()) -> Any:
    """`value` (a text, list or object) as the client may have it; `paths` are the files that all of it comes from.

    Before the project of a call is known, secrets and personal data are taken out.
    """
    way = _OUTLET.get()
    if way is not None:
        if way.placeholders is None:
            from aqe.engine.privacy import Placeholders

            way.placeholders = Placeholders()
        view = way.guard.client_view(value, paths=paths, placeholders=way.placeholders)
        way.spans.update(view.spans)
        return view.value
    from aqe.engine.privacy.structure import redacted

    return redacted(value)


def answer(
    text: str,
    data: dict[str, Any],
    *,
    content: bool = True,
    paths: Sequence[str] = (),
    most: int = LARGEST_ANSWER_BYTES,
) -> CallToolResult:
    """A finished answer; `text` is cut where the whole would pass `most` bytes, and says so.

    `content` tells that it holds something of the project, which the audit log is to know of.
    """
    way = _OUTLET.get()
    data = allowed(data, paths=paths)
    if way is not None and (way.guard.content == "references" or any(map(way.guard.withholds, paths))):
        text = str(data.get("summary") or json.dumps(data, ensure_ascii=False))
    else:
        text = allowed(text)
    room = most - 300 - len(json.dumps(data, ensure_ascii=True))
    text = shorten(text, max(room, 200))
    if way is not None and content:
        way.payload = f"{text}\n{json.dumps(data, ensure_ascii=False)}"
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data)


def answer_bytes(project: Path, tokens: int | None) -> int:
    """The bytes that an answer with what was remembered may take: of so many tokens (4 bytes each), else those of the
    setting memory.answer_tokens."""
    from aqe.engine.settings import load_settings

    return 4 * (load_settings(project).memory.answer_tokens if tokens is None else tokens)


def fitting(rows: list[dict[str, Any]], room: int, *, long: str, most: int) -> list[dict[str, Any]]:
    """The first rows whose JSON takes at most `room` bytes in all, the field `long` of each at most `most`; metadata
    that is longer than that is named and left out."""
    fit: list[dict[str, Any]] = []
    for row in rows:
        shown = row | {long: shorten(str(row[long]), min(most, max(room - 400, 60)))}
        extra = json.dumps(shown.get("metadata"), ensure_ascii=True)
        if len(extra) > min(most, room // 2):
            shown["metadata"] = {"left out": f"{len(extra)} bytes"}
        room -= len(json.dumps(shown, ensure_ascii=True)) + 2
        if room < 0 and fit:
            break
        fit.append(shown)
    return fit


def failure(error: AqeError) -> CallToolResult:
    """An error that the model can read and act on: the sentence, the next step, the code."""
    words = [{"fix": for_tools(text)} for text in (error.message, error.fix)]  # aqe's own sentences, like any fix
    message, fix = (word["fix"] for word in allowed(words))
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
