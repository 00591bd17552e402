"""Memories of other systems, read from their own files: agentic-qe, the reference MCP memory server, and mem0.

Their vectors are of other embedders and stay behind: the texts are embedded anew. Formats as their packages write them:
agentic-qe 3.14 (`kv_store`, `qe_patterns`, `captured_experiences`) and its versions 1 and 2 (`memory_entries`);
@modelcontextprotocol/server-memory 2026.8 (entities and relations as JSON lines); mem0 2.2 (what `get_all` answers, the
SQLite vectors of its JavaScript twin 3.3, and the history database of either).
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.ignored import IgnoredKey
from aqe.engine.memory.care.place import INCREMENT
from aqe.engine.memory.entry import ID_BYTES, TEXT_BYTES, Provenance, metadata_json, uuid7
from aqe.engine.memory.file.migrations import APPLICATION_ID
from aqe.engine.memory.transfer.record import Record, not_json
from aqe.engine.moments import read_moment

Row = Mapping[str, Any]


class Reader:
    """What is read from one file: records, what was left out with why, and the keys that were ignored."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.left_out: list[tuple[str, str]] = []
        self.ignored_keys: tuple[IgnoredKey, ...] = ()

    def record(
        self,
        text: str,
        *,
        namespace: str,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        created: Any = None,
        ended: Any = None,
        revision: int = 1,
        began: Any = None,
        expires: int | None = None,
    ) -> Record | None:
        """A record of this text, over at `expires` (microseconds), or None where a memory cannot hold it."""
        text = _whole(text).strip()
        if not text:
            self.left_out.append((id or namespace, "it has no text"))
            return None
        if len(text.encode("utf-8")) > TEXT_BYTES:
            self.left_out.append((id or text[:60], f"its text is larger than {TEXT_BYTES} bytes"))
            return None
        if id is not None and (id != _whole(id) or not 0 < len(id.encode("utf-8")) <= ID_BYTES):
            metadata, id = {**(metadata or {}), "id": id[:2000]}, None
        about = plain(metadata or {})
        try:
            metadata_json(about)
        except UserError as error:
            self.left_out.append((id or text[:60], error.message))
            return None
        created_at = self.moment(created)
        began_at = self.moment(began) if began is not None else created_at
        return Record(
            id=id or uuid7(self.now),
            namespace=name_of(namespace),
            revision=revision,
            text=text,
            metadata=about,
            created_at=created_at,
            valid_from=began_at,
            valid_to=None if ended is None else max(began_at, self.moment(ended)),
            id_given=id is not None,
            provenance=Provenance(),
            more={} if expires is None else {"expires_at": expires},
        )

    def moment(self, found: Any) -> int:
        """A time of theirs in microseconds: seconds or milliseconds since 1970, or a text; now where it is none."""
        if isinstance(found, bool) or found is None:
            return self.now
        if isinstance(found, (int, float)):
            if not 0 <= found < 1e14:  # milliseconds of the year 5138
                return self.now
            return int((found / 1000 if found > 1e11 else found) * 1_000_000)
        try:
            return read_moment(str(found))
        except UserError:
            return self.now


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata without what says nothing, as JSON types."""
    kept = {_whole(str(key)): _plain(value) for key, value in metadata.items()}
    return {key: value for key, value in kept.items() if value not in (None, "", [], {})}


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > 50 or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, Mapping):
        return {_whole(str(key)): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else _whole(str(value))


def _whole(text: str) -> str:
    """A text without what none may hold: NUL bytes and half characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def name_of(text: str) -> str:
    """A namespace made of any text.

    >>> name_of("agentic-qe/qe patterns!")
    'agentic-qe/qe_patterns_'
    """
    found = re.sub(r"[^\w./-]|\.\.+", "_", text)[:100]
    return found if re.match(r"\w", found) else f"_{found}"[:100] or "default"


def read_graph(lines: Sequence[str], reader: Reader, namespace: str, name: str) -> Iterator[Record]:
    """Entities and relations of the reference MCP memory server: a memory for each observation and each relation."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            kind = item["type"]
            found = list(_graph_texts(item)) if kind in ("entity", "relation") else None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = not_json(error) if isinstance(error, json.JSONDecodeError) else "it is of another form"
            why = f"it has no {error}" if isinstance(error, KeyError) else why
            raise UserError(
                f"Line {number} of {name} is no entity and no relation: {why}.",
                code="bad-record",
                fix="Give the memory.jsonl of @modelcontextprotocol/server-memory.",
            ) from None
        if found is None:
            reader.left_out.append((f"line {number}", f"its type is {kind!r:.40}"))
            continue
        for text, metadata in found:
            record = reader.record(text, namespace=namespace, metadata=metadata)
            if record is not None:
                yield record


def _graph_texts(item: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    if item["type"] == "relation":
        about = {"from": item["from"], "relation": item["relationType"], "to": item["to"]}
        yield f"{item['from']} {item['relationType']} {item['to']}", about
        return
    about = {"entity": item["name"], "entity_type": item["entityType"]}
    observations = item["observations"]
    if not observations:
        yield f"{item['name']} ({item['entityType']})", about
    for observation in observations:
        yield f"{item['name']}: {observation}" if str(observation).strip() else "", about


_MEM0_OWN = ("id", "memory", "data", "text", "text_lemmatized", "hash", "score", "created_at", "updated_at", "metadata")


def read_mem0(found: Any, reader: Reader, namespace: str) -> Iterator[Record]:
    """What mem0's `get_all`, `search` or export answers: a list of memories, or an object with `results` and, where it
    keeps a graph, `relations`."""
    for item in memories_of_mem0(found):
        text = item.get("memory") or item.get("data") or item.get("text")
        if not isinstance(text, str):
            reader.left_out.append((str(item.get("id", "an item")), "it has no text"))
            continue
        own = item.get("metadata")
        more = dict(own) if isinstance(own, Mapping) else {}
        about = {**more, **{key: value for key, value in item.items() if key not in _MEM0_OWN}}
        record = reader.record(
            text,
            namespace=namespace,
            id=None if item.get("id") is None else str(item["id"]),
            metadata=about,
            created=item.get("created_at"),
            began=item.get("updated_at") or item.get("created_at"),
        )
        if record is not None:
            yield record
    relations = found.get("relations") if isinstance(found, Mapping) else None
    for relation in relations if isinstance(relations, list) else ():
        record = _relation_of_mem0(relation, reader, namespace)
        if record is not None:
            yield record


def _relation_of_mem0(relation: Any, reader: Reader, namespace: str) -> Record | None:
    """A relation of a graph store, worded as those of the reference MCP memory server are."""
    item = relation if isinstance(relation, Mapping) else {}
    parts = [item.get("source"), item.get("relationship"), item.get("target", item.get("destination"))]
    if not all(isinstance(part, str) and part.strip() for part in parts):
        reader.left_out.append(("a relation", "it does not say what it joins"))
        return None
    about = dict(zip(("from", "relation", "to"), parts, strict=True))
    return reader.record(" ".join(map(str, parts)), namespace=namespace, metadata=about)


def memories_of_mem0(found: Any) -> list[Row]:
    """The objects of an answer of mem0; none where it is none."""
    if isinstance(found, Mapping):
        found = found.get("results", found.get("memories"))
    listed = found if isinstance(found, list) else []
    texts = ("memory", "data", "text")
    return [item for item in listed if isinstance(item, Mapping) and any(key in item for key in texts)]


def read_database(path: Path, reader: Reader, namespace: str) -> tuple[str, list[Record]]:
    """The memories of a SQLite file of agentic-qe or of mem0, and which of them it is.

    The file is read from a copy, so nothing of it changes. Raises `UserError` (bad-record, unknown-format).
    """
    with tempfile.TemporaryDirectory(prefix="aqe-import-") as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(path, copy)
        log = path.with_name(path.name + "-wal")
        if log.is_file():
            shutil.copyfile(log, copy.with_name("copy.db-wal"))
        try:
            connection = apsw.Connection(str(copy))
            try:
                _refuse_own(connection, path)
                return _from_tables(connection, reader, namespace, path.name)
            finally:
                connection.close()
        except apsw.Error as error:
            raise UserError(
                f"{str(path)!r} cannot be read as a database: {error}.", code="bad-record", fix="Give a whole file."
            ) from None


def _refuse_own(connection: apsw.Connection, path: Path) -> None:
    """A database of aqe is restored and not imported. Raises `UserError` (unknown-format)."""
    if int(connection.pragma("application_id")) in (APPLICATION_ID, INCREMENT):
        raise UserError(
            f"{str(path)!r} is a backup of aqe's own.",
            code="unknown-format",
            fix="`aqe memory restore FILE` puts it in the place of what is kept, `aqe memory diff FILE` shows it.",
        )


def _from_tables(connection: apsw.Connection, reader: Reader, namespace: str, name: str) -> tuple[str, list[Record]]:
    tables = {
        str(table): {str(column[1]) for column in connection.execute(f'PRAGMA table_info("{table}")')}
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        if '"' not in str(table)
    }
    for kind, readers in _READERS.items():
        here = [(table, make) for table, needed, make in readers if needed <= tables.get(table, set())]
        if here:
            made = [
                record
                for table, make in here
                for record in make(_rows(connection, table), reader, namespace)
                if record is not None
            ]
            return kind, made
    raise UserError(
        f"{name!r} has no table of agentic-qe or of mem0.",
        code="unknown-format",
        fix="Give agentic-qe's memory.db, or mem0's vector_store.db or history.db.",
    )


def _rows(connection: apsw.Connection, table: str) -> Iterator[Row]:
    columns = [str(column[1]) for column in connection.execute(f'PRAGMA table_info("{table}")')]
    for row in connection.execute(f'SELECT * FROM "{table}"'):
        yield dict(zip(columns, row, strict=True))


def _entries(rows: Iterator[Row], reader: Reader, namespace: str) -> Iterator[Record | None]:
    for row in rows:
        place, key = str(row.get("namespace") or row.get("partition") or ""), _named(row["key"])
        if row["value"] is None:
            reader.left_out.append((f"{place}:{key or 'NULL'}", "it has no value"))
            continue
        ends = row.get("expires_at")
        expires = reader.moment(ends) if isinstance(ends, (int, float)) and ends else None
        if expires is not None and expires <= reader.now:
            reader.left_out.append((f"{place}:{key or 'NULL'}", "it has expired"))
            continue
        about = {"key": key, **_json_of(row.get("metadata")), "owner": row.get("owner")}
        text = _said(row["value"]) if key is None else f"{key}: {_said(row['value'])}"
        yield reader.record(
            text,
            namespace=_below(namespace, place),
            id=key,
            metadata=about,
            created=row.get("created_at"),
            expires=expires,
        )


def _patterns(rows: Iterator[Row], reader: Reader, namespace: str) -> Iterator[Record | None]:
    told = ("pattern_type", "qe_domain", "domain", "tier")
    figures = ("confidence", "usage_count", "success_rate", "quality_score")
    for row in rows:
        parts = [str(row["name"] or ""), str(row.get("description") or ""), _said(row.get("template_json"))]
        yield reader.record(
            "\n".join(part for part in parts if part),
            namespace=_below(namespace, "patterns"),
            id=_named(row["id"]),
            metadata={name: row.get(name) for name in (*told, *figures)}
            | {"context": _json_of(row.get("context_json"))},
            created=row.get("created_at"),
            began=row.get("updated_at") or row.get("created_at"),
        )


def _experiences(rows: Iterator[Row], reader: Reader, namespace: str) -> Iterator[Record | None]:
    for row in rows:
        parts = [str(row["task"] or ""), _said(row.get("result_json")), str(row.get("error") or "")]
        names = ("agent", "domain", "quality", "duration_ms", "source")
        yield reader.record(
            "\n".join(part for part in parts if part),
            namespace=_below(namespace, "experiences"),
            id=_named(row["id"]),
            metadata={name: row.get(name) for name in names} | {"success": bool(row.get("success"))},
            created=row.get("completed_at"),
        )


def _mem0_vectors(rows: Iterator[Row], reader: Reader, namespace: str) -> Iterator[Record | None]:
    found = [{**_json_of(row["payload"]), "id": row["id"]} for row in rows]
    yield from read_mem0([_snake(item) for item in found], reader, namespace)


def _snake(item: Row) -> Row:
    return {{"createdAt": "created_at", "updatedAt": "updated_at"}.get(key, key): value for key, value in item.items()}


def _mem0_history(rows: Iterator[Row], reader: Reader, namespace: str) -> Iterator[Record | None]:
    by_memory: dict[str, list[Row]] = {}
    for row in rows:
        if row["memory_id"] is None:
            reader.left_out.append((namespace, "it is the history of no memory"))
        else:
            by_memory.setdefault(str(row["memory_id"]), []).append(row)
    for id, events in by_memory.items():
        events.sort(key=lambda event: reader.moment(event.get("updated_at") or event.get("created_at")))
        texts = [(event.get("new_memory", event.get("new_value")), event) for event in events]
        for at, (text, event) in enumerate(texts):
            action = str(event.get("event", event.get("action"))).upper()
            if action == "DELETE" or not isinstance(text, str) or not text.strip():
                continue
            later = texts[at + 1][1] if at + 1 < len(texts) else None
            ended = None if later is None else later.get("updated_at") or later.get("created_at")
            yield reader.record(
                text,
                namespace=namespace,
                id=id,
                metadata={"actor": event.get("actor_id"), "role": event.get("role")},
                created=events[0].get("created_at"),
                began=event.get("updated_at") or event.get("created_at"),
                ended=reader.now if later is not None and ended is None else ended,
                revision=at + 1,
            )


_READERS = {
    "agentic-qe": (
        ("kv_store", {"namespace", "key", "value"}, _entries),
        ("memory_entries", {"key", "value"}, _entries),
        ("qe_patterns", {"id", "name", "pattern_type"}, _patterns),
        ("captured_experiences", {"id", "task"}, _experiences),
    ),
    "mem0": (
        ("vectors", {"id", "payload"}, _mem0_vectors),
        ("history", {"memory_id", "new_memory"}, _mem0_history),
        ("memory_history", {"memory_id", "new_value"}, _mem0_history),
    ),
}


def _named(value: Any) -> str | None:
    return None if value is None else str(value)


def _below(namespace: str, place: str) -> str:
    return f"{namespace}/{place}" if place else namespace


def _said(value: Any) -> str:
    """A value that is JSON in words: a text as it is, anything else as compact JSON."""
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _json_of(value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, (str, bytes)) else value
    except (ValueError, RecursionError):
        return {}
    return dict(found) if isinstance(found, Mapping) else {}
