"""aqe-quarantine.toml: the tests whose failure does not fail a session run with `pytest --aqe-quarantine`.

The file stands beside pyproject.toml and is shared by the team. Each `[[test]]` has `id` (a node id; without `[...]` it
means each case), `reason`, `since` and, where it shall count again one day, `expires` (the last day of quarantine).
It is edited with tomlkit, so that comments and order survive; the plugin reads it without.
"""

from __future__ import annotations

import datetime
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqe.agents.team_file import editing, parsed, save, tables
from aqe.engine.errors import UserError

FILE = "aqe-quarantine.toml"
HEAD = "Tests whose failure does not fail `pytest --aqe-quarantine`; kept by `aqe quarantine`."


@dataclass(frozen=True)
class Quarantined:
    """One entry. `expires` is the last day on which its failures do not count, None for no end."""

    id: str
    reason: str
    since: datetime.date
    expires: datetime.date | None = None

    def has_expired(self, today: datetime.date) -> bool:
        """Whether its failures count again."""
        return self.expires is not None and self.expires < today


def read_quarantine(project: Path) -> tuple[Quarantined, ...]:
    """The entries of the project's file, empty where there is none. Raises `UserError` (bad-quarantine)."""
    path = project / FILE
    try:
        return _entries(path, path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise _bad(path, str(error)) from error


def _entries(path: Path, text: str) -> tuple[Quarantined, ...]:
    """The entries of a text; `ValueError` where it is no TOML."""
    entries = tomllib.loads(text).get("test", [])
    if not isinstance(entries, list):
        raise _bad(path, "`test` is not a list of tables")
    return tuple(_entry(path, number, entry) for number, entry in enumerate(entries, 1))


def _entry(path: Path, number: int, entry: Any) -> Quarantined:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or not entry["id"]:
        raise _bad(path, f"entry {number} has no `id`")
    dates = {key: entry.get(key) for key in ("since", "expires")}
    for key, value in dates.items():
        if value is not None and type(value) is not datetime.date:
            raise _bad(path, f"`{key}` of entry {number} is not a date like 2026-01-31")
    since = dates["since"] or datetime.date.min
    return Quarantined(entry["id"], str(entry.get("reason", "")), since, dates["expires"])


def _bad(path: Path, why: str) -> UserError:
    return UserError(f"{path.name} cannot be read: {why}.", code="bad-quarantine", fix="Mend it, or delete the file.")


def add_quarantined(
    project: Path, ids: Sequence[str], *, reason: str, today: datetime.date, expires: datetime.date | None = None
) -> tuple[Quarantined, ...]:
    """Put tests into quarantine; one that is there gets the new reason and dates. Returns the entries.

    Raises `UserError` (bad-quarantine, no-such-path, bad-argument, project-read-only).
    """
    import tomlkit

    entries = tuple(Quarantined(_checked(project, name), reason, today, expires) for name in dict.fromkeys(ids))
    if expires is not None and expires < today:
        raise UserError(
            f"{expires} is in the past.", code="bad-argument", fix="Give a later day, or leave --expires out."
        )
    with editing(project, FILE, "bad-quarantine") as file:
        there = read_quarantine(project)
        document = parsed(file, HEAD)
        rows = tables(document, "test")
        for entry in entries:
            same = [row for row in rows if row["id"] == entry.id]
            if not same:
                row = tomlkit.table()
                row["id"] = entry.id
                rows.append(row)
                same = [rows[-1]]
            for row in same:
                _set(row, reason, today, expires)
        _save(project, file, document, (*there, *entries))
    return entries


def release_quarantined(project: Path, ids: Sequence[str]) -> tuple[Quarantined, ...]:
    """Take tests out of quarantine and return their entries. Raises `UserError` (unknown-id), then nothing changes."""
    _refuse_unknown(ids, read_quarantine(project))
    with editing(project, FILE, "bad-quarantine") as file:
        there = read_quarantine(project)
        _refuse_unknown(ids, there)
        document = parsed(file, HEAD)
        rows = tables(document, "test")
        for place in reversed(range(len(rows))):
            if rows[place]["id"] in ids:
                del rows[place]
        _save(project, file, document, [entry for entry in there if entry.id not in ids])
    by_id = {entry.id: entry for entry in there}
    return tuple(by_id[name] for name in dict.fromkeys(ids))


def _refuse_unknown(ids: Sequence[str], there: Sequence[Quarantined]) -> None:
    known = {entry.id for entry in there}
    missing = next((name for name in ids if name not in known), None)
    if missing is not None:
        raise UserError(
            f"{missing!r} is not in quarantine.", code="unknown-id", fix="`aqe quarantine list` shows what is."
        )


def _checked(project: Path, name: str) -> str:
    path, colons, _ = name.partition("::")
    if not colons or not os.path.isfile(project / path):
        raise UserError(
            f"{name!r} names no test of the project.",
            code="no-such-path",
            fix="Give a node id from the project's folder: `tests/test_it.py::test_name`.",
        )
    return name


def _set(row: Any, reason: str, since: datetime.date, expires: datetime.date | None) -> None:
    row["reason"], row["since"] = reason, since
    if expires is not None:
        row["expires"] = expires
    elif "expires" in row:
        del row["expires"]


def _save(project: Path, file: Path, document: Any, meant: Sequence[Quarantined]) -> None:
    """Write the document, which must read back as these entries; the later of two with one id counts."""
    wanted = {entry.id: entry for entry in meant}
    path = project / FILE
    save(file, document, "bad-quarantine", lambda text: {one.id: one for one in _entries(path, text)} == wanted)
