"""A memory as it was asked for becomes a row: checked at the door, cleaned, packed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import (
    NewMemory,
    Provenance,
    check_embedder,
    check_id,
    check_namespace,
    check_new_namespace,
    check_provenance,
    check_text,
    made,
    metadata_json,
    pack_vector,
)
from aqe.engine.memory.growth.expiry import FOR_GOOD, parse_ttl
from aqe.engine.memory.growth.staleness import FileDigests
from aqe.engine.memory.rows import Row
from aqe.engine.memory.search.ranking import INDEX, SHELVES


def checked_row(
    memory: NewMemory,
    here: Provenance,
    files: FileDigests,
    clean: Callable[[str], str] | None,
    now: Callable[[], int],
) -> Row:
    """The row to be written. `here` gives the worktree and commit that are not said, `clean` is what each text goes
    through, `files` tells the digest of the file it is about. Raises `UserError` as `Store.add` does."""
    told = memory.provenance
    if told is not None and told.file and isinstance(told.file, str):
        told = replace(told, file=files.within(told.file))
    provenance = told or here
    if told is not None and here != _NOWHERE:
        worktree, commit = provenance.worktree or here.worktree, provenance.commit or here.commit
        provenance = replace(provenance, worktree=worktree, commit=commit)
    text, metadata = check_text(memory.text), memory.metadata
    if clean is not None:
        from aqe.engine.privacy.structure import redacted

        text, metadata = clean(text), _cleaned(redacted(metadata), clean)  # a name tells a secret that no text does
    id = None if memory.id is None else check_id(memory.id)
    namespace = check_namespace(memory.namespace)
    has_end = memory.ttl_s is not None and memory.ttl_s != FOR_GOOD
    return made(
        Row,
        {
            "id": id,
            "namespace": namespace,
            "text": text,
            "text_hash": hashlib.sha256(text.encode("utf-8")).digest(),
            "metadata": metadata_json(metadata) if metadata != {} else "{}",
            "vector": None if memory.vector is None else pack_vector(memory.vector),
            "embedder_id": check_embedder(memory.embedder_id),
            "provenance": check_provenance(provenance),
            "derived": memory.derived,
            "expires_at": now() + int(parse_ttl(memory.ttl_s) * 1e6) if has_end else None,
            "pinned": False,
            "file_digest": "" if namespace.startswith(INDEX) else files.at_birth(provenance.file),
            "as_new": memory.as_new,
            "told": told,
            "for_good": memory.ttl_s == FOR_GOOD,
        },
    )


def check_remembered(namespace: str) -> None:
    """Refuse a namespace that is no memory's: those of the index are `aqe index`'s own, which drops what it did not put
    there, those of the knowledge are searched as such. Raises `UserError` (bad-namespace)."""
    if isinstance(namespace, str) and namespace.startswith(INDEX):
        raise UserError(
            f"The namespace {namespace!r} is filled from the project's files, and by nothing else.",
            code="bad-namespace",
            fix="Use another one, such as notes.",
        )
    if isinstance(namespace, str) and namespace.startswith(SHELVES):
        raise UserError(
            f"The namespace {namespace!r} is of the knowledge about testing, and of no memory.",
            code="bad-namespace",
            fix="`aqe knowledge add` puts an entry there; for a memory use another namespace, such as notes.",
        )


_NOWHERE = Provenance()


def placed(memory: NewMemory) -> NewMemory:
    """A memory that comes, if there can be new ones in its namespace, and a line that it names is one of a file. Raises
    `UserError` (bad-namespace, bad-provenance)."""
    check_new_namespace(memory.namespace)
    where = memory.provenance
    if where is not None and where.line and not where.file:
        raise UserError(
            f"The line {where.line!r:.40} is of no file.", code="bad-provenance", fix="Name the file too, or no line."
        )
    return memory


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """The value with every text in it cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {key: _cleaned(below, clean) for key, below in value.items()}
    return [_cleaned(below, clean) for below in value] if isinstance(value, (list, tuple)) else value
