"""A revision of a memory outside of the store: every column of it, and its vector."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import (
    Provenance,
    check_embedder,
    check_id,
    check_namespace,
    check_provenance,
    check_text,
    metadata_json,
    pack_vector,
    rfc3339,
)
from aqe.engine.memory.meaning.vectors import is_own
from aqe.engine.moments import read_moment

KEYS = frozenset(
    (
        *("id", "namespace", "revision", "text", "metadata", "created_at", "valid_from", "valid_to", "id_given"),
        *("provenance", "more", "embedder_id", "derived", "vector"),
    )
)
"""The keys of a record's JSON object."""

LATEST = 1 << 62
"""No time of the store is later (microseconds)."""


@dataclass(frozen=True)
class Record:
    """One revision. Times are UTC microseconds; `vector` is float32 bytes of the space `embedder_id`, which `derived`
    says to be of an engine's embedder; `more` has the columns that the fields do not name, by column."""

    id: str
    namespace: str
    revision: int
    text: str
    metadata: Mapping[str, Any]
    created_at: int
    valid_from: int
    valid_to: int | None
    id_given: bool
    provenance: Provenance
    embedder_id: str | None = None
    vector: bytes | None = None
    derived: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """The memory that it is a revision of."""
        return self.namespace, self.id

    @property
    def is_current(self) -> bool:
        """Whether it had not ended when it was read."""
        return self.valid_to is None


def record_object(record: Record, *, vector: Any = None) -> dict[str, Any]:
    """A record as JSON types; `vector` is what stands for its vector there (None: it is left out)."""
    found: dict[str, Any] = {
        "id": record.id,
        "namespace": record.namespace,
        "revision": record.revision,
        "text": record.text,
        "metadata": dict(record.metadata),
        "created_at": rfc3339(record.created_at),
        "valid_from": rfc3339(record.valid_from),
        "valid_to": None if record.valid_to is None else rfc3339(record.valid_to),
        "id_given": record.id_given,
        "provenance": vars(record.provenance),
    }
    if record.more:
        found["more"] = {name: json_value(value) for name, value in record.more.items()}
    if record.embedder_id is not None:
        found["embedder_id"] = record.embedder_id
    if record.derived:
        found["derived"] = True
    if vector is not None:
        found["vector"] = vector
    return found


def read_record(found: Mapping[str, Any], *, at: str, tensor: Callable[[int], bytes | None] | None = None) -> Record:
    """The record of a JSON object, checked as what is added is; `at` names its place in an error.

    A vector is a list of numbers, or the number of a row that `tensor` reads. Raises `UserError` (bad-record).
    """
    try:
        return _read(found, tensor)
    except UserError as error:
        raise UserError(f"{at}: {error.message}", code="bad-record", fix=error.fix) from None
    except KeyError as error:
        raise bad_record(at, f"it has no {error}") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise bad_record(at, str(error)) from None


def not_json(error: Exception) -> str:
    """Why a line is no JSON, as users see it; the place is one of the line."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON ({error.msg} at column {error.colno})"
    return f"it is not JSON ({error})"


def bad_record(at: str, why: str) -> UserError:
    """The error for what is no record."""
    return UserError(
        f"{at} is no memory: {why}.",
        code="bad-record",
        fix="Give what `aqe memory export` writes; nothing of this file was taken in.",
    )


def _read(found: Mapping[str, Any], tensor: Callable[[int], bytes | None] | None) -> Record:
    metadata = found.get("metadata") or {}
    metadata_json(metadata)
    valid_from = read_moment(found["valid_from"])
    valid_to = None if found.get("valid_to") is None else read_moment(found["valid_to"])
    revision = found["revision"]
    if isinstance(revision, bool) or not isinstance(revision, int) or not 0 < revision < 1 << 31:
        raise ValueError(f"its revision is {revision!r:.80}")
    if valid_to is not None and valid_to < valid_from:
        raise ValueError("it ended before it began")
    vector, embedder_id = found.get("vector"), found.get("embedder_id")
    where, more = found.get("provenance") or {}, found.get("more") or {}
    for name, value in (("provenance", where), ("more", more)):
        if not isinstance(value, Mapping):
            raise ValueError(f"its {name} is no JSON object")
    strange = next((key for key in where if key not in vars(Provenance())), None)
    if strange is not None:
        raise ValueError(f"its provenance has {strange!r:.80}")
    return Record(
        id=check_id(found["id"]),
        namespace=check_namespace(found["namespace"]),
        revision=revision,
        text=check_text(found["text"]),
        metadata=dict(metadata),
        created_at=read_moment(found["created_at"]),
        valid_from=valid_from,
        valid_to=valid_to,
        id_given=bool(found.get("id_given", True)),
        provenance=check_provenance(Provenance(**where)),
        embedder_id=None if embedder_id is None else check_embedder(embedder_id),
        vector=_vector(vector, tensor),
        derived=found.get("derived") is True or (embedder_id is not None and is_own(embedder_id)),
        more={str(name): column_value(value) for name, value in more.items()},
    )


def _vector(found: Any, tensor: Callable[[int], bytes | None] | None) -> bytes | None:
    if found is None:
        return None
    if isinstance(found, list):
        return pack_vector(found)
    if isinstance(found, bool) or not isinstance(found, int):
        raise ValueError(f"its vector is {found!r:.80}")
    if tensor is None:
        return None
    packed = tensor(found)
    return None if packed is None else pack_vector(array("f", packed))


def json_value(value: Any) -> Any:
    """A value of SQLite as JSON: bytes as an object with their base64 text."""
    return {"base64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def column_value(value: Any) -> Any:
    """The value of SQLite that `json_value` wrote. Raises ValueError."""
    if isinstance(value, Mapping) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"], validate=True)
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise ValueError(f"a column holds {json.dumps(value)[:80]}")
