"""What goes wrong with a database file, in the user's words."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw

from aqe.engine.errors import AqeError, InternalError, UserError
from aqe.engine.memory.file.unreadable import NO_TEXT, damaged_page


@contextlib.contextmanager
def speaking(path: Path, *, key: str | None = None) -> Iterator[None]:
    """Turn SQLite's errors on `path` into ours, and that of a text in it that is none."""
    try:
        yield
    except UnicodeDecodeError as exc:
        raise broken(path, NO_TEXT) from exc
    except apsw.Error as exc:
        raise spoken(path, exc, key) from exc


OF_DAMAGE = ("database-broken", "database-failed")
"""The codes of errors that a damaged file may give."""


@contextlib.contextmanager
def blaming(path: Path) -> Iterator[None]:
    """What is damaged in a file of our own, which was made of `path`, is damaged there."""
    try:
        yield
    except AqeError as error:
        if error.code not in OF_DAMAGE:
            raise
        said = str(error.__cause__) if isinstance(error.__cause__, apsw.Error) else error.message.removesuffix(".")
        raise broken(path, said.rpartition(" is broken: ")[2]) from error


_CALLED_OTHERWISE = (
    *("vectors blob", "validity blob", "rowids blob", "chunks iter error", "Could not find latest chunk"),
    *("Could not fetch vector data", "unsupported file format", "invalid fts5 file format"),
)
"""What damage is called where SQLite does not call it so: lost pages of vectors (sqlite-vec), an impossible format. A
vector whose row is not listed sqlite-vec calls empty."""


def is_damage(exc: BaseException) -> bool:
    """Whether an error, SQLite's or the one that `speaking` makes of it, says that a part of the file is damaged."""
    if isinstance(exc, AqeError):
        return exc.code == "database-broken"
    is_called_otherwise = isinstance(exc, apsw.SQLError) and any(told in str(exc) for told in _CALLED_OTHERWISE)
    return is_called_otherwise or isinstance(exc, (apsw.NotADBError, apsw.CorruptError, apsw.EmptyError))


def spoken(path: Path, exc: apsw.Error, key: str | None) -> AqeError:
    """An error of SQLite's on `path` as one of ours."""
    name = repr(str(path))
    if isinstance(exc, apsw.ConnectionClosedError):
        return engine_closed()
    if isinstance(exc, (apsw.BusyError, apsw.LockedError)):
        return UserError(
            f"The database {name} is locked by another program.",
            code="database-locked",
            fix="End that program, or try again when it is done.",
        )
    if isinstance(exc, apsw.NotADBError) and (key or _looks_encrypted(path)) and not _is_broken(path, key):
        why = "with this key: it has another one" if key else "as it is: it is encrypted, and its key is not set"
        return UserError(
            f"The database {name} cannot be read {why}, or the file is broken.",
            code="database-key",
            fix="Set AQE_DB_KEY to the key it was made with (or unset it for a file that was made without one); for a"
            " broken one `aqe memory restore FILE` puts a backup in its place.",
        )
    if is_damage(exc):
        return broken(path, str(exc))
    if isinstance(exc, apsw.FullError) or "IOERR_WRITE" in _extended(exc) or is_full(path):
        return no_space(path)
    if isinstance(exc, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)):
        return UserError(
            f"The database {name} cannot be opened for writing.",
            code="project-read-only",
            fix="Make the folder writable, or work on a copy of the project.",
        )
    if isinstance(exc, (apsw.SQLError, apsw.ConstraintError)) and (damage := _damage_behind(path, exc)):
        return broken(path, damage)
    return InternalError(f"The database {name} answered: {exc}.", code="database-failed")


def _damage_behind(path: Path, error: apsw.Error) -> str:
    """What is damaged in a file that answers what no sound one does; "" where nothing is seen to be."""
    from aqe.engine.memory.care.schema_checks import off_definitions
    from aqe.engine.memory.file.connection import make_ready

    with (
        contextlib.suppress(apsw.Error, UnicodeDecodeError),
        contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection,
    ):
        make_ready(connection, None)
        if off := off_definitions(connection)[1]:
            return f"its definition of {off[0]!r} is not the one that aqe makes ({error})"
        return damaged_page(connection)
    return ""


def no_space(path: Path) -> UserError:
    """The error for a disk that is full."""
    return UserError(
        f"There is no space left to write the database {str(path)!r}.",
        code="disk-full",
        fix="Free some space and try again; what was stored before is unchanged.",
    )


def engine_closed() -> UserError:
    """The error for a call on an engine, or a store, that was closed."""
    return UserError(
        "The engine is closed.",
        code="engine-closed",
        fix="Make all calls within its `with` block, or before close(), or open another one.",
    )


def engine_elsewhere() -> UserError:
    """The error for a call on an engine, or a store, of the process that this one was forked from."""
    return UserError(
        "This engine was opened in the process from which this one was forked: it cannot be used here.",
        code="engine-closed",
        fix="Open one in this process.",
    )


def broken(path: Path, why: str) -> UserError:
    """The error for a file that is no database of aqe."""
    return UserError(
        f"The database {str(path)!r} is broken: {why}.",
        code="database-broken",
        fix="`aqe memory repair` saves what can be read, `aqe memory restore FILE` puts a backup in its place.",
    )


def _extended(exc: apsw.Error) -> str:
    code = getattr(exc, "extendedresult", None)
    return str(apsw.mapping_extended_result_codes.get(code, "")) if isinstance(code, int) else ""


def _looks_encrypted(path: Path) -> bool:
    """Whether a file that is no SQLite database has the shape of an encrypted one: whole pages of noise."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return False
    return size % 4096 == 0 and size > 0 and len(set(head)) > 180


def _is_broken(path: Path, key: str | None) -> bool:
    """Whether other pages of a file whose first one cannot be read can be, with this key or in clear without one."""
    from aqe.engine.memory.care import cells, cipher

    return cells.stands_in_clear(path) if key is None else cipher.is_key_of(path, key)


def is_full(path: Path) -> bool:
    """Whether the disk on which a file lies, or is to lie, has no room left."""
    try:
        return shutil.disk_usage(path.parent).free < 65_536
    except OSError:
        return False
