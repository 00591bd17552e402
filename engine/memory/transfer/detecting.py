"""Finds out what a file of memories is, and reads it whole."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aqe.engine.errors import UserError
from aqe.engine.index.passages import lines_of
from aqe.engine.index.prose import read_prose
from aqe.engine.memory.transfer import peers
from aqe.engine.memory.transfer.files import FORMAT, is_markdown_of_ours, read_lines, read_markdown, read_tensors
from aqe.engine.memory.transfer.record import Record

Form = Literal["jsonl", "markdown", "lines", "server-memory", "mem0", "agentic-qe"]
FORMS = get_args(Form)
MOST_BYTES = 4_000_000_000
_DATABASE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Contents:
    """What a file holds: its form, its records in order, and what could not be a memory with why."""

    form: Form
    records: tuple[Record, ...]
    left_out: tuple[tuple[str, str], ...]


def read_file(
    path: Path, *, form: Form | None = None, namespace: str | None = None, vectors: Path | None = None, now: int
) -> Contents:
    """Read a file of memories; its form is told by what is in it where it is not named.

    Memories of other systems go into `namespace` ("imported" where None). `vectors` is the safetensors file that was
    written together with JSON lines. Raises `UserError` (no-such-path, unknown-format, bad-record, state-newer).
    """
    data = _bytes(path)
    found = form or _form_of(data, path)
    place = namespace or "imported"
    reader = peers.Reader(now)
    if found in ("agentic-qe", "mem0") and data.startswith(_DATABASE):
        kind, records = peers.read_database(path, reader, place)
        if kind != found and form is not None:
            raise _unknown(path, f"it is of {kind}")
        return Contents("mem0" if kind == "mem0" else "agentic-qe", tuple(records), tuple(reader.left_out))
    text = _text(data, path)
    return Contents(found, tuple(_read(found, text, path, place, vectors, reader)), tuple(reader.left_out))


def _read(
    form: Form, text: str, path: Path, namespace: str, vectors: Path | None, reader: peers.Reader
) -> list[Record]:
    name = repr(path.name)
    if form == "jsonl":
        rows = None if vectors is None else read_tensors(_bytes(vectors), name=repr(vectors.name))
        return list(read_lines(text.split("\n"), name=name, tensor=None if rows is None else rows.get))
    if form == "markdown":
        return (
            list(read_markdown(text, name=name))
            if is_markdown_of_ours(text)
            else _sections(text, path, reader, namespace)
        )
    if form == "server-memory":
        return list(peers.read_graph(text.split("\n"), reader, namespace, name))
    if form == "mem0":
        value = _json(text, path)
        is_answer = isinstance(value, list) or bool(peers.memories_of_mem0(value))
        return list(peers.read_mem0(value if is_answer else [value], reader, namespace))
    if form == "lines":
        return _lines(text, reader, namespace, name)
    raise _unknown(path, "it is no database")


def _sections(text: str, path: Path, reader: peers.Reader, namespace: str) -> list[Record]:
    """A memory for each section of somebody's Markdown, under the path of its headings."""
    found = []
    for passage in read_prose(path.name if path.suffix else "text.md", lines_of(text)):
        about = {"heading": passage.name, "file": path.name, "line": passage.first}
        record = reader.record(passage.text, namespace=namespace, metadata=about)
        if record is not None:
            found.append(record)
    return found


def _lines(text: str, reader: peers.Reader, namespace: str, name: str) -> list[Record]:
    """Plain JSON lines with a `text`, as `aqe memory add --jsonl` reads them."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            said = item["text"]
            about = item.get("metadata") or {}
            if not isinstance(said, str) or not isinstance(about, Mapping):
                raise ValueError("its text or metadata is something else")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"Line {number} of {name} has no text: {error}.", code="bad-record", fix='Give {"text": ...} a line.'
            ) from None
        id = item.get("id")
        place = item.get("namespace") or namespace
        record = reader.record(said, namespace=str(place), id=None if id is None else str(id), metadata=about)
        if record is not None:
            found.append(record)
    return found


def _form_of(data: bytes, path: Path) -> Form:
    if data.startswith(_DATABASE):
        return "agentic-qe"  # or mem0: its tables tell
    text = _text(data, path)
    first = next((line for line in text.split("\n") if line.strip()), "")
    one = _object(first)
    if one is not None:
        return _form_of_line(one, text, path)
    if peers.memories_of_mem0(_object(text) if first.lstrip().startswith("{") else _list(text)):
        return "mem0"
    if path.suffix.lower() in (".md", ".markdown", ".txt") or is_markdown_of_ours(text):
        return "markdown"
    raise _unknown(path, "nothing in it is of a form that aqe knows")


def _form_of_line(one: Mapping[str, Any], text: str, path: Path) -> Form:
    if str(one.get("format", "")).startswith(FORMAT.partition("/")[0]) or {"revision", "valid_from"} <= one.keys():
        return "jsonl"
    if one.get("type") in ("entity", "relation"):
        return "server-memory"
    if peers.memories_of_mem0(one) or ("text" not in one and peers.memories_of_mem0([one])):
        return "mem0"
    if "text" in one:
        return "lines"
    raise _unknown(path, "its lines hold neither texts nor memories")


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _list(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _json(text: str, path: Path) -> Any:
    """The one JSON value of a file, or the list of those on its lines."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        lines = [_object(line) for line in text.split("\n") if line.strip()]
    if not lines or None in lines:
        raise UserError(f"{path.name!r} is not JSON.", code="bad-record", fix="Give what mem0's get_all answers.")
    return lines


def _bytes(path: Path) -> bytes:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise UserError(f"{str(path)!r} is no file.", code="no-such-path", fix="Name a file.")
        if about.st_size > MOST_BYTES:
            raise UserError(f"{str(path)!r} is larger than 4 GB.", code="bad-record", fix="Split it.")
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{str(path)!r} cannot be read: {error.strerror}.",
            code="no-such-path",
            fix="Name a file that you may read.",
        ) from None


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unknown(path, f"it is neither a text (byte {error.start}) nor a database") from None


def _unknown(path: Path, why: str) -> UserError:
    return UserError(
        f"{path.name!r} is no file of memories: {why}.",
        code="unknown-format",
        fix=f"Give one of aqe, agentic-qe, server-memory or mem0, or name it with --format ({', '.join(FORMS)}).",
    )
