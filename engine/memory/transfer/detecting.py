"""Finds out what a file of memories is, and reads it whole."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aqe.engine.errors import UserError
from aqe.engine.ignored import IgnoredKey, IgnoredKeys
from aqe.engine.index.passages import lines_of
from aqe.engine.index.prose import read_prose
from aqe.engine.memory.transfer import peers
from aqe.engine.memory.transfer.files import (
    FORMAT,
    beside_sections,
    check_pair,
    is_markdown_of_ours,
    promised,
    read_lines,
    read_markdown,
    read_tensors,
)
from aqe.engine.memory.transfer.plain import read_plain
from aqe.engine.memory.transfer.record import KEYS, Record
from aqe.engine.memory.transfer.truncation import (
    DATABASE,
    cut_short,
    is_unfinished,
    refuse_cut_database,
    refuse_cut_line,
)
from aqe.engine.terminal import shortened

Form = Literal["jsonl", "markdown", "lines", "server-memory", "mem0", "agentic-qe"]
FORMS = get_args(Form)
MOST_BYTES = 4_000_000_000
_NONE_OF_MEM0: tuple[Any, ...] = ({"results": []}, {"memories": []})
"""What mem0 answers where it holds nothing."""


@dataclass(frozen=True)
class Contents:
    """What a file holds: its form, its records in order, what could not be a memory with why, and the keys that
    nothing reads."""

    form: Form
    records: tuple[Record, ...]
    left_out: tuple[tuple[str, str], ...]
    ignored_keys: tuple[IgnoredKey, ...] = ()


def read_file(
    path: Path, *, form: Form | None = None, namespace: str | None = None, vectors: Path | None = None, now: int
) -> Contents:
    """Read a file of memories; its form is told by what is in it where it is not named.

    Memories of other systems go into `namespace` ("imported" where None). `vectors` is the safetensors file that was
    written together with JSON lines. Raises `UserError` (no-such-path, unknown-format, bad-record, state-newer).
    """
    data = _bytes(path)
    if form is None and not data.strip():
        raise _unknown(path, "it is empty")
    found = form or _form_of(data, path)
    if vectors is not None and found != "jsonl":
        raise UserError(
            f"Vectors in a file of their own go with JSON lines of aqe; {path.name!r} is {found}.",
            code="bad-argument",
            fix="Leave --vectors out.",
        )
    place = namespace or "imported"
    reader = peers.Reader(now)
    if found in ("agentic-qe", "mem0") and data.startswith(DATABASE):
        refuse_cut_database(data, repr(path.name))
        kind, rows = peers.read_database(path, reader, place)
        if kind != found and form is not None:
            raise _unknown(path, f"it is of {kind}")
        return Contents("mem0" if kind == "mem0" else "agentic-qe", tuple(rows), tuple(reader.left_out))
    if data.startswith(DATABASE):
        raise _unknown(path, f"it is a database, and {found} is a text")
    text = _text(data, path)
    is_rewritten = text.partition("\n")[0].endswith("\r")  # by an editor or git, as all its ends of lines
    if found == "markdown" and is_rewritten:
        text = text.replace("\r\n", "\n")
    records = tuple(_read(found, text, path, place, vectors, reader))
    return Contents(found, records, tuple(reader.left_out), reader.ignored_keys)


def _read(
    form: Form, text: str, path: Path, namespace: str, vectors: Path | None, reader: peers.Reader
) -> list[Record]:
    name, ignored = repr(path.name), IgnoredKeys(KEYS)
    if form in ("jsonl", "lines", "server-memory"):
        refuse_cut_line(text, name)
    if form == "jsonl":
        lines, tensor = text.split("\n"), None
        if vectors is not None:
            data, beside = _bytes(vectors), repr(vectors.name)
            tensor = read_tensors(data, name=beside).get
            check_pair(lines, data, name=name, vectors=beside)
        found = list(read_lines(lines, name=name, tensor=tensor, ignored=ignored))
        reader.ignored_keys = ignored.found
        _note_missing(reader, promised(text), len(found), name)
        return found
    if form == "markdown" and not is_markdown_of_ours(text):
        return _sections(text, path, reader, namespace)
    if form == "markdown":
        found = list(read_markdown(text, name=name, ignored=ignored))
        reader.ignored_keys = ignored.found
        if rest := beside_sections(text):
            why = "it is in no section that aqe wrote; put it into a section's text, or add it by itself"
            reader.left_out.append((shortened(rest, 60), why))
        return found
    if form == "server-memory":
        return list(peers.read_graph(text.split("\n"), reader, namespace, name))
    if form == "mem0":
        value = _json(text, path)
        is_answer = isinstance(value, list) or bool(peers.memories_of_mem0(value)) or value in _NONE_OF_MEM0
        if not is_answer and not peers.memories_of_mem0([value]):
            raise _unknown(path, "it holds no memory of mem0")
        return list(peers.read_mem0(value if is_answer else [value], reader, namespace))
    if form == "lines":
        return read_plain(text, reader, namespace, name)
    raise _unknown(path, "it is no database")


def _note_missing(reader: peers.Reader, promised: int, found: int, name: str) -> None:
    """Tell of a file that holds fewer revisions than its first line says."""
    if found < promised:
        why = (
            f"the first line of {name} says {promised:,}, it holds {found:,}: it was cut short, or lines were taken out"
        )
        reader.left_out.append((f"{promised - found:,} revision{'' if promised - found == 1 else 's'}", why))


def _sections(text: str, path: Path, reader: peers.Reader, namespace: str) -> list[Record]:
    """A memory for each section of somebody's Markdown, under the path of its headings."""
    found = []
    for passage in read_prose(path.name if path.suffix else "text.md", lines_of(text)):
        if re.fullmatch(r"#+ [^\n]*", passage.text.strip()):
            reader.left_out.append((passage.text.strip(), "it is a heading without a text"))
            continue
        about = {"heading": passage.name, "file": path.name, "line": passage.first}
        record = reader.record(passage.text, namespace=namespace, metadata=about)
        if record is not None:
            found.append(record)
    return found


def _form_of(data: bytes, path: Path) -> Form:
    if data.startswith(DATABASE):
        return "agentic-qe"  # or mem0: its tables tell
    text = _text(data, path)
    first = next((line for line in text.split("\n") if line.strip()), "")
    one = _object(first)
    if one in _NONE_OF_MEM0 or text.strip() == "[]":
        return "mem0"
    if one is not None:
        return _form_of_line(one, text, path)
    if peers.memories_of_mem0(_object(text) if first.lstrip().startswith("{") else _list(text)):
        return "mem0"
    if path.suffix.lower() in (".md", ".markdown") or is_markdown_of_ours(text):
        return "markdown"
    if path.suffix.lower() == ".txt":
        if not any(passage.name for passage in read_prose(path.name, lines_of(text))):
            raise _unknown(path, "it is a text without a heading")
        return "markdown"
    if is_unfinished(text) or is_unfinished(first):
        raise cut_short(repr(path.name), "it begins as JSON and ends in the middle")
    raise _unknown(path, "nothing in it is of a form that aqe knows")


def _form_of_line(one: Mapping[str, Any], text: str, path: Path) -> Form:
    if str(one.get("format", "")).startswith(FORMAT.partition("/")[0]) or {"revision", "valid_from"} <= one.keys():
        return "jsonl"
    if one.get("type") in ("entity", "relation"):
        return "server-memory"
    if peers.memories_of_mem0(one) or ("text" not in one and peers.memories_of_mem0([one])):
        return "mem0"
    printed = str(one.get("schema", ""))
    if "text" in one and printed.startswith("aqe."):
        raise _unknown(path, f"it is what a command of aqe prints by --json ({printed:.40})")
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
        if is_unfinished(text):
            raise cut_short(repr(path.name), "it begins as JSON and ends in the middle")
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
    named = ", ".join(("state", *FORMS))
    return UserError(
        f"{path.name!r} is no file of memories: {why}.",
        code="unknown-format",
        fix=f"Give a file of aqe, agentic-qe, server-memory or mem0, or say what it is by --format ({named}).",
    )
