"""A session as one JSON object, to carry to another project or machine and back: whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aqe.engine.errors import AqeError, UserError
from aqe.engine.memory.entry import check_text, rfc3339
from aqe.engine.sessions.entry import Session, Turn
from aqe.engine.sessions.table import NewTurn, SessionTable, Summary, new_turn

FORMAT = "aqe.session/1"
_METHOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,79}")


def export_object(session: Session, turns: list[Turn]) -> dict[str, Any]:
    """A session with all its turns as JSON types; times in RFC 3339."""
    return {
        "format": FORMAT,
        "name": session.name,
        "created_at": rfc3339(session.created_at),
        "token_budget": session.token_budget,
        "metadata": session.metadata,
        "summary": {"text": session.summary, "turns": session.summarised, "method": session.summary_method},
        "messages": [
            {
                "role": turn.role,
                "content": turn.text,
                "created_at": rfc3339(turn.created_at),
                "request_id": turn.request_id,
            }
            for turn in turns
        ],
    }


def export_session(table: SessionTable, name: str) -> dict[str, Any]:
    """The session of this name as JSON types. Raises `UserError` (unknown-session)."""
    return export_object(table.get(name), table.turns(name))


def import_session(
    table: SessionTable,
    document: Mapping[str, Any] | str,
    *,
    count_tokens: Callable[[str], int],
    name: str | None = None,
) -> Session:
    """Make the session that `document` holds (an object, or its JSON), under its own name or `name`.

    A bare object `{"messages": [{"role", "content"}]}` will do. Raises `UserError` (bad-session that names the
    message, session-exists, session-full); then nothing is stored.
    """
    found = _object(document)
    turns = [_turn(place, message, count_tokens) for place, message in enumerate(found["messages"])]
    own_name = found.get("name")
    if name is None and own_name is not None and not isinstance(own_name, str):
        raise _bad(f"The session's name is {own_name!r:.80}, not a text.")
    metadata = found.get("metadata") or {}
    summary = _summary(found.get("summary"), len(turns))
    with table.writing() as connection:
        session = table.insert(
            connection,
            name if name is not None else own_name,
            metadata=metadata,
            token_budget=found.get("token_budget"),
            created_at=_time(found.get("created_at"), "the session"),
        )
        session = table.append(connection, session, turns)
        return session if summary is None else table.keep_summary(connection, session.id, summary)


def _object(document: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as exc:
            raise _bad(f"The session is not JSON: {exc}.") from None
    if not isinstance(document, Mapping) or not isinstance(document.get("messages"), list):
        raise _bad("The session to import is no object with a list of messages.")
    if document.get("format", FORMAT) != FORMAT:
        raise _bad(f"The session has the format {document['format']!r:.80}; this aqe reads {FORMAT!r}.")
    return dict(document)


def _turn(place: int, message: object, count_tokens: Callable[[str], int]) -> NewTurn:
    if not isinstance(message, Mapping):
        raise _bad(f"Message {place} is no object.")
    content = message.get("content")
    if isinstance(content, list):  # OpenAI's list of parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    request_id = message.get("request_id")
    if not isinstance(content, str) or not (request_id is None or isinstance(request_id, str)):
        raise _bad(f"Message {place} has no text as content.")
    created_at = _time(message.get("created_at"), f"message {place}")
    try:
        counted = count_tokens(content)
        return new_turn(str(message.get("role")), content, counted, request_id=request_id, created_at=created_at)
    except AqeError as error:
        raise _bad(f"Message {place} cannot be stored: {error.message}") from None


def _summary(given: object, turns: int) -> Summary | None:
    """The summary that is to stand for the oldest of so many turns; None where there is none."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise _bad(f"The session's summary is {given!r:.80}, no object.")
    text, count, method = (given.get(key) for key in ("text", "turns", "method"))
    if not (isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= turns):
        raise _bad(f"The session's summary stands for {count!r:.40} turns, of {turns} that there are.")
    if count == 0:
        return None
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise _bad(f"The session's summary was made by {method!r:.80}, which names no method.")
    if not isinstance(text, str):
        raise _bad(f"The session's summary is {text!r:.80}, not a text.")
    try:
        return Summary(check_text(text), count, method)
    except AqeError as error:
        raise _bad(f"The session's summary cannot be stored: {error.message}") from None


def _time(text: object, what: str) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise _bad(f"The time of {what}, {text!r:.60}, is not RFC 3339.") from None


def _bad(message: str) -> UserError:
    return UserError(message, code="bad-session", fix="Import what `aqe sessions export` wrote; nothing was stored.")
