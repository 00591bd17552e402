"""Whether a file to import was cut short: what begins as something and ends in the middle of it.

A copy that broke off, a full disk, a download: whoever gets such a file should not have to look for what is wrong with
a line, or with the form of the whole.
"""

from __future__ import annotations

import json
from typing import Any

from aqe.engine.errors import UserError

DATABASE = b"SQLite format 3\0"
ARCHIVE = b"PK\x03\x04"
_HEAD = 8
_LONGEST_HEAD = 100_000_000


def cut_short(name: str, why: str, *, code: str = "bad-record") -> UserError:
    """The error for a file (`name` as it is shown) that ends too early."""
    return UserError(
        f"{name} was cut short: {why}.", code=code, fix="Copy or export it again; nothing of it was taken in."
    )


def is_unfinished(text: str) -> bool:
    """Whether a text begins as JSON and ends before that does.

    >>> [is_unfinished(text) for text in ('{"a": {"b": 1}', '[1, tru', '"ab', '{"a": 1}', '{"a": 1,}', "[a]\\nb")]
    [True, True, True, False, False, False]
    """
    text = text.strip()
    if not text.startswith(("{", "[", '"')):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        is_in_text = error.msg.startswith(("Unterminated string", "Invalid \\")) and not text.endswith(("}", "]"))
        return is_in_text or any(word.startswith(rest) for word in ("", "true", "false", "null", "-"))
    except RecursionError:
        return False
    return False


def refuse_cut_line(text: str, name: str) -> None:
    """Refuse JSON lines whose last one ends in the middle. Raises `UserError` (bad-record)."""
    before, _, last = text.rpartition("\n")
    if last and is_unfinished(last):
        number = before.count("\n") + 2 if before else 1
        raise cut_short(name, f"line {number}, its last, ends in the middle")


def refuse_cut_tensors(data: bytes, name: str) -> None:
    """Refuse the beginning of a safetensors file: eight bytes that give the length of a JSON header, that header, and
    the rows whose places it names. Raises `UserError` (bad-record)."""
    head = int.from_bytes(data[:_HEAD], "little")
    if len(data) >= _HEAD and (head > _LONGEST_HEAD or data[_HEAD : _HEAD + 1] not in (b"{", b"")):
        return  # something else
    whole = _HEAD + head
    if len(data) >= whole > _HEAD:
        try:
            found: dict[str, Any] = json.loads(data[_HEAD:whole])
            whole += max(
                (int(one["data_offsets"][1]) for key, one in found.items() if key != "__metadata__"), default=0
            )
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            return
    if len(data) < max(whole, _HEAD):
        raise cut_short(name, f"it has {len(data):,} bytes, and should have {max(whole, _HEAD):,} or more")


def refuse_cut_database(data: bytes, name: str) -> None:
    """Refuse a SQLite database that is shorter than its header says. Raises `UserError` (bad-record)."""
    size = int.from_bytes(data[16:18], "big")
    pages = int.from_bytes(data[28:32], "big")
    whole = pages * (65536 if size == 1 else size)
    if len(data) < 100 or (data[24:28] == data[92:96] and len(data) < whole):
        raise cut_short(name, f"it has {len(data):,} bytes, and should have {max(whole, 100):,}")
