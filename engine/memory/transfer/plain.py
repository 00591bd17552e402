"""A file of plain JSON lines with a `text`, read as `aqe memory add --jsonl` reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.ignored import IgnoredKeys
from aqe.engine.memory.checking import placed
from aqe.engine.memory.entry import (
    TEXT_BYTES,
    NewMemory,
    Provenance,
    check_embedder,
    check_id,
    check_provenance,
    check_text,
    metadata_json,
    pack_vector,
    uuid7,
)
from aqe.engine.memory.growth.expiry import FOR_GOOD
from aqe.engine.memory.line import KEYS, memory_of_line
from aqe.engine.memory.meaning.vectors import is_own
from aqe.engine.memory.transfer.peers import Reader
from aqe.engine.memory.transfer.record import Record, not_json


def read_plain(text: str, reader: Reader, namespace: str, name: str) -> list[Record]:
    """The memories of a file of such lines, each checked as `Store.add` does; `pinned` of a line counts too. The reader
    notes which other keys were ignored.

    Raises `UserError` (bad-record) with the number of the line and what is wrong.
    """
    found = []
    ignored = IgnoredKeys((*KEYS, "pinned"))
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            if not isinstance(item, dict):
                raise ValueError("it is not a JSON object")
            ignored.note(number, item)
            new = placed(memory_of_line(item, namespace=namespace))
            why_not = _too_little_or_much(new)
            if why_not:
                reader.left_out.append((f"line {number}" if new.id is None else str(new.id), why_not))
            else:
                found.append(_record(new, reader.now, is_pinned=_pinned(item)))
        except (ValueError, TypeError, OverflowError, RecursionError, UserError) as error:
            raise UserError(
                f"Line {number} of {name} is no memory: {_why(error)}.",
                code="bad-record",
                fix="Give what `aqe memory add --jsonl` takes, an object a line; nothing of this file was taken in.",
            ) from None
    reader.ignored_keys = ignored.found
    return found


def _too_little_or_much(new: NewMemory) -> str:
    """Why a memory cannot hold what is otherwise right; "" where it can."""
    if isinstance(new.text, str) and (not new.text or new.text.isspace()):
        return "it has no text"
    if isinstance(new.text, str) and len(new.text.encode("utf-8", "replace")) > TEXT_BYTES:
        return f"its text is larger than {TEXT_BYTES} bytes"
    try:
        metadata_json(new.metadata)
    except UserError as error:
        if "larger" not in error.message:
            raise
        return error.message
    return ""


def _record(new: NewMemory, now: int, *, is_pinned: bool) -> Record:
    vector = None if new.vector is None else pack_vector(new.vector)
    embedder_id = None if vector is None else check_embedder(new.embedder_id)
    has_end = new.ttl_s is not None and new.ttl_s != FOR_GOOD
    more = {"expires_at": now + int(new.ttl_s * 1e6)} if has_end and new.ttl_s is not None else {}
    return Record(
        id=uuid7(now) if new.id is None else check_id(new.id),
        namespace=new.namespace,
        revision=1,
        text=check_text(new.text),
        metadata=dict(new.metadata),
        created_at=now,
        valid_from=now,
        valid_to=None,
        id_given=new.id is not None,
        provenance=check_provenance(new.provenance or Provenance()),
        embedder_id=embedder_id,
        vector=vector,
        derived=embedder_id is not None and is_own(embedder_id),
        more=more | ({"pinned": 1} if is_pinned else {}),
    )


def _pinned(item: Mapping[str, Any]) -> bool:
    pinned = item.get("pinned")
    if pinned is not None and not isinstance(pinned, bool):
        raise ValueError(f"its pinned is {pinned!r:.40}, and neither true nor false")
    return bool(pinned)


def _why(error: Exception) -> str:
    if isinstance(error, UserError):
        return (error.message[:1].lower() + error.message[1:]).rstrip(".")
    return not_json(error) if isinstance(error, (json.JSONDecodeError, RecursionError)) else str(error)
