"""Files of memories: JSON lines (every revision, whole) and Markdown (to read and to edit), written and read back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from aqe.engine.errors import UserError
from aqe.engine.ignored import IgnoredKeys
from aqe.engine.memory.entry import rfc3339
from aqe.engine.memory.transfer.record import Record, bad_record, not_json, read_record, record_object
from aqe.engine.memory.transfer.truncation import cut_short, refuse_cut_tensors

FORMAT = "aqe.memory/1"
_BEGINNING = "# Memories\n\nWritten by aqe at "
_END_OF_BEGINNING = "; `aqe memory import` reads it back.\n"
_SECTION = re.compile(r"<!-- aqe (?P<about>\{.*\}) -->")
_VERSION = re.compile(r"aqe\.memory/(\d+)")


class Out(Protocol):
    """Where texts are written to."""

    def write(self, text: str, /) -> object: ...


TensorRow = Callable[[int], bytes | None]


def write_lines(
    records: Iterable[Record],
    out: Out,
    *,
    now: int,
    revisions: int,
    tensor: Callable[[Record], int | None] | None = None,
) -> None:
    """A first line that names the format and how many `revisions` follow, then one JSON object for each of them.

    With `tensor`, which puts a record's vector into a file beside and returns its row there, a line has that number.
    Without it a vector that a caller gave stands in the line, to the last bit; one of an engine's embedder is left out,
    because it can be made anew.
    """
    out.write(json.dumps({"format": FORMAT, "made_at": rfc3339(now), "revisions": revisions}) + "\n")
    for record in records:
        vector: Any = None
        if tensor is not None:
            vector = tensor(record)
        elif record.vector is not None and not record.derived:
            vector = list(memoryview(record.vector).cast("f"))
        out.write(json.dumps(record_object(record, vector=vector), ensure_ascii=False, allow_nan=False) + "\n")


def write_pair(out: Out, data: bytes) -> None:
    """A last line by which JSON lines know the file of vectors that was written together with them."""
    out.write(json.dumps({"format": FORMAT, "vectors": hashlib.sha256(data).hexdigest()}) + "\n")


def check_pair(lines: Sequence[str], data: bytes, *, name: str, vectors: str) -> None:
    """Refuse a file of vectors that was written together with other lines. Raises `UserError` (bad-record)."""
    last: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        last = json.loads(next((line for line in reversed(lines) if line.strip()), ""))
    told = last.get("vectors") if isinstance(last, dict) and "format" in last and "text" not in last else None
    if told is not None and told != hashlib.sha256(data).hexdigest():
        raise UserError(
            f"{vectors} was not written together with {name}.",
            code="bad-record",
            fix="Give the .safetensors file of the same export; nothing was taken in.",
        )


def read_lines(
    lines: Iterable[str], *, name: str, tensor: TensorRow | None = None, ignored: IgnoredKeys | None = None
) -> Iterator[Record]:
    """The records of lines that `write_lines` wrote; keys that are none of a record's are noted in `ignored`.

    Raises `UserError` (bad-record with the line, state-newer).
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        at = f"Line {number} of {name}"
        found = _json_object(line, at)
        if "format" in found and "text" not in found:
            check_format(found["format"], name)
            continue
        if ignored is not None:
            ignored.note(number, found)
        yield read_record(found, at=at, tensor=tensor)


def promised(text: str) -> int:
    """How many revisions the first line of JSON lines says; 0 where it says nothing of it."""
    try:
        found = json.loads(text.partition("\n")[0])
    except (ValueError, RecursionError):
        return 0
    count = found.get("revisions") if isinstance(found, dict) else None
    return count if type(count) is int else 0


def _json_object(line: str, at: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise bad_record(at, not_json(error)) from None
    if not isinstance(found, dict):
        raise bad_record(at, "it is not a JSON object")
    return found


def check_format(found: object, name: str) -> None:
    """Refuse a file of a newer aqe. Raises `UserError` (state-newer, bad-record)."""
    version = _VERSION.fullmatch(found) if isinstance(found, str) else None
    if version is None:
        raise bad_record(f"The first line of {name}", f"its format is {found!r:.80}")
    if int(version[1]) > 1:
        raise UserError(
            f"{name} was written by a newer aqe ({found}).", code="state-newer", fix="Update aqe and import it again."
        )


def write_markdown(records: Iterable[Record], out: Out, *, now: int) -> None:
    """A section for each revision: its id as heading, what is known of it in a comment, its text as it is."""
    out.write(f"{_BEGINNING}{rfc3339(now)}{_END_OF_BEGINNING}")
    for record in records:
        vector = None
        if record.vector is not None and not record.derived:
            vector = list(memoryview(record.vector).cast("f"))
        about = record_object(record, vector=vector)
        text = about.pop("text")
        end = _end_mark(text)
        about["end"] = end
        heading = " ".join(f"{record.namespace}: {record.id}".split())
        comment = json.dumps(about, ensure_ascii=False, allow_nan=False).replace("--", "-\\u002d")
        out.write(f"\n## {heading}\n\n<!-- aqe {comment} -->\n{text}\n{end}\n")


def _end_mark(text: str) -> str:
    """The line behind a text; it stands nowhere in it."""
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return next(mark for size in range(8, 65) if (mark := f"<!-- /aqe {digest[:size]} -->") not in text or size == 64)


def read_markdown(text: str, *, name: str, ignored: IgnoredKeys | None = None) -> Iterator[Record]:
    """The records of a file that `write_markdown` wrote; an edited text is taken as it stands now, and keys that are
    none of a record's are noted in `ignored`.

    Raises `UserError` (bad-record).
    """
    at, number = 0, 0
    while (section := _SECTION.search(text, at)) is not None:
        number += 1
        place = f"Section {number} of {name}"
        about = _json_object(section["about"], place)
        end = about.pop("end", None)
        stop = text.find(f"\n{end}", section.end()) if isinstance(end, str) and end else -1
        if stop < 0 and end and _SECTION.search(text, section.end()) is None:
            raise cut_short(name, f"section {number}, its last, has no end")
        if stop < 0:
            raise bad_record(place, "its end is missing")
        if ignored is not None:
            ignored.note(1 + text.count("\n", 0, section.start("about")), about)
        about["text"] = text[section.end() + 1 : stop]
        at = stop + 1 + len(str(end))
        yield read_record(about, at=place)
    if "\n<!-- aqe {" in text[at:] or (text.startswith(_BEGINNING) and _END_OF_BEGINNING not in text):
        raise cut_short(name, f"section {number + 1}, its last, ends in the middle" if number else "it ends too early")


def beside_sections(text: str) -> str:
    """What stands in a file that `write_markdown` wrote outside of the sections that it wrote."""
    parts, at = [], text.find(_END_OF_BEGINNING) + len(_END_OF_BEGINNING) if text.startswith(_BEGINNING) else 0
    while (section := _SECTION.search(text, at)) is not None:
        parts.append(text[at : section.start()].rpartition("\n## ")[0])
        end = json.loads(section["about"])["end"]
        at = text.find(f"\n{end}", section.end()) + 1 + len(end)
    parts.append(text[at:])
    return " ".join("".join(parts).split())


def is_markdown_of_ours(text: str) -> bool:
    """Whether `write_markdown` wrote it."""
    return text.startswith(_BEGINNING) or _SECTION.search(text) is not None


def _told(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return str(error).removeprefix("Error while deserializing: ")


class Tensors:
    """Vectors on their way into a safetensors file: one matrix for each embedder and dimension (Hugging Face's format:
    a JSON header, then plain rows), with the number of each row of it beside."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], tuple[list[int], list[bytes]]] = {}
        self.count = 0

    def put(self, record: Record) -> int | None:
        """Take a record's vector; returns its number, None where it has none."""
        if record.vector is None or record.embedder_id is None:
            return None
        numbers, rows = self._rows.setdefault((record.embedder_id, len(record.vector) // 4), ([], []))
        numbers.append(self.count)
        rows.append(record.vector)
        self.count += 1
        return self.count - 1

    def dump(self) -> bytes:
        """The file's bytes."""
        import numpy as np
        from safetensors.numpy import save

        tensors, embedders = {}, {"format": FORMAT}
        for place, ((embedder_id, size), (numbers, rows)) in enumerate(sorted(self._rows.items())):
            tensors[f"vectors.{place}"] = np.frombuffer(b"".join(rows), np.float32).reshape(-1, size)
            tensors[f"numbers.{place}"] = np.array(numbers, np.int64)
            embedders[str(place)] = embedder_id
        return _in_order(bytes(save(tensors, metadata=embedders)))


def _in_order(data: bytes) -> bytes:
    """A safetensors file with its header in order, so that the same vectors give the same bytes."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:start]), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[start:]


def read_tensors(data: bytes, *, name: str) -> Mapping[int, bytes]:
    """The vectors of a file that `Tensors` wrote, by number, as float32 bytes. Raises `UserError` (bad-record)."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    refuse_cut_tensors(data, name)
    try:
        tensors = load(data)
        found: dict[int, bytes] = {}
        for key, matrix in tensors.items():
            if key.startswith("vectors."):
                numbers = tensors["numbers." + key.removeprefix("vectors.")]
                rows = np.ascontiguousarray(matrix, np.float32)
                found |= {int(number): row.tobytes() for number, row in zip(numbers, rows, strict=True)}
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{name} is no file of vectors of aqe: {_told(error)}.",
            code="bad-record",
            fix="Give the .safetensors file that was written together with the memories.",
        ) from None
    return found
