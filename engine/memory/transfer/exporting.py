"""Writes memories of a store into a file that `importing` reads back: a file is whole or it is not there."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from aqe.engine.errors import UserError
from aqe.engine.marker import write_bytes_atomic
from aqe.engine.memory.care.place import is_same, refuse_own
from aqe.engine.memory.store import Store
from aqe.engine.memory.transfer.files import Out, Tensors, write_lines, write_markdown, write_pair
from aqe.engine.memory.transfer.reading import PAGE, Wanted, count_records, read_records
from aqe.engine.memory.transfer.record import Record
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import unwritable

Form = Literal["jsonl", "markdown"]
FORMS: dict[str, Form] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".md": "markdown", ".markdown": "markdown"}


@dataclass(frozen=True)
class Exported:
    """What was written: revisions and the memories that they are of, vectors in the file beside, and bytes of both."""

    form: Form
    revisions: int
    memories: int
    vectors: int
    bytes: int


def form_of(file: Path) -> Form:
    """The form that a file's suffix names. Raises `UserError` (unknown-format)."""
    found = FORMS.get(file.suffix.lower())
    if found is None:
        raise UserError(
            f"{file.name!r} names no form of memories.",
            code="unknown-format",
            fix="End it in .jsonl, .md or .aqe, or give --format.",
        )
    return found


def export_memories(
    store: Store,
    target: Path | Out,
    *,
    form: Form,
    wanted: Wanted,
    vectors: Path | None = None,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> Exported:
    """Write the wanted revisions as one consistent state, while others go on writing.

    With `vectors` all vectors go into that safetensors file, and the lines name their rows there, and in a last line
    the file: another one's is refused when they are read. Without it those that callers gave stand in the lines. Raises
    `UserError` (bad-argument, project-read-only, disk-full) and `Cancelled`; then no memories are written.
    """
    if vectors is not None and form != "jsonl":
        raise UserError(
            "Vectors in a file of their own go with JSON lines only.", code="bad-argument", fix="Use --format jsonl."
        )
    for file in (target, vectors):
        if isinstance(file, Path):
            check_target(file, store)
    if isinstance(target, Path) and vectors is not None and is_same(target, vectors):
        raise UserError(
            "The vectors and the memories cannot go into one file.", code="bad-argument", fix="Name two files."
        )
    tensors = Tensors() if vectors is not None else None
    seen: set[tuple[str, str]] = set()
    with contextlib.ExitStack() as stack:
        out = target if not isinstance(target, Path) else stack.enter_context(_part(target))
        counted = _Counted(out)
        connection = stack.enter_context(store.looking())
        total = count_records(connection, wanted)
        records = _watched(read_records(connection, wanted), seen, total, progress, cancel)
        if form == "markdown":
            write_markdown(records, counted, now=store.now())
        else:
            write_lines(
                records, counted, now=store.now(), revisions=total, tensor=None if tensors is None else tensors.put
            )
        if tensors is not None and vectors is not None:
            data = tensors.dump()
            write_pair(counted, data)
            write_bytes_atomic(vectors.resolve(), data)
            counted.bytes += len(data)
    return Exported(form, total, len(seen), 0 if tensors is None else tensors.count, counted.bytes)


def check_target(file: Path, store: Store) -> None:
    """Refuse what is there and is no file: a folder, a device, a pipe, what belongs to the store, and a file in a
    folder that is not there. Raises `UserError` (bad-output)."""
    refuse_own(store.path, file, "an export")
    if os.path.exists(file) and not os.path.isfile(file):  # which say no of a name that is too long
        raise UserError(f"{str(file)!r} is no file.", code="bad-output", fix="Name a file, or - for stdout.")
    if not os.path.isdir(os.path.dirname(os.path.realpath(file))):
        raise UserError(
            f"The file {str(file)!r} lies in no folder that exists.",
            code="bad-output",
            fix="Make the folder first, or name a file in another one.",
        )


def refuse_present(file: Path, fix: str) -> None:
    """Refuse to write over what is there. Raises `UserError` (bad-output) with what to do about it."""
    if os.path.exists(file):
        raise UserError(f"{str(file)!r} is there already.", code="bad-output", fix=fix)


class _Counted:
    """A text stream that counts the bytes that go through it."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self.bytes = 0

    def write(self, text: str, /) -> object:
        self.bytes += len(text.encode("utf-8"))
        return self._out.write(text)


def _watched(
    records: Iterator[Record],
    seen: set[tuple[str, str]],
    total: int,
    progress: Progress,
    cancel: CancelToken | None,
) -> Iterator[Record]:
    for done, record in enumerate(records):
        if done % PAGE == 0:
            progress("Writing memories", done, total)
            if cancel is not None:
                cancel.check()
        seen.add(record.key)
        yield record


@contextlib.contextmanager
def _part(target: Path) -> Iterator[TextIO]:
    """A file that takes the name `target` when the block ended well, and is gone when it did not."""
    try:
        target = target.resolve()  # a link stays one, and the file that it means is written
    except OSError as error:
        raise unwritable(target, error) from error
    spare = target.with_name(f".{target.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with spare.open("x", encoding="utf-8", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(spare, target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            spare.unlink()
