"""Where a store's file lies and how it is opened, and how any other file of the kind is looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.file.connection import BUSY_TIMEOUT_S, make_ready, open_connection
from aqe.engine.memory.file.failures import broken, speaking
from aqe.engine.memory.file.keys import earlier_keys, store_key
from aqe.engine.memory.file.migrations import pending
from aqe.engine.memory.file.write_ahead import opening
from aqe.engine.project import DATABASE, check_enterable, store_home
from aqe.engine.settings import Settings, load_settings

CLEAR = b"SQLite format 3\0"
"""How a database begins that is not encrypted."""

COPIES = "backups"
"""The folder in `.aqe` with the files that aqe keeps before it replaces what is there."""

BESIDE = ("", "-wal", "-shm", "-journal")
"""What is added to the name of a database file for the files that SQLite keeps beside it, and for itself."""

UNWRITABLE = ("project-read-only", "disk-full")
"""What is said where nothing can be written; a look may go on there."""

INCREMENT = 0x61716564
"""The application id of an incremental backup: "aqed"."""


@dataclass(frozen=True)
class Place:
    """A store's file, its key (None: not encrypted) and its durability."""

    path: Path
    key: str | None = field(default=None, repr=False)
    durability: str = "normal"

    @property
    def folder(self) -> Path:
        """The `.aqe` that the file lies in."""
        return self.path.parent

    def keys(self, *given: str | None) -> tuple[str | None, ...]:
        """What may open a backup: the store's key, those given, and those that the store had before."""
        return self.key, *given, *earlier_keys(self.path)

    def connect(self) -> apsw.Connection:
        """A connection to the file as it is, whatever its version.

        Raises `UserError` (no-such-path where there is none, and what `open_connection` raises; database-newer,
        database-broken for a file that is not of this program).
        """
        if not self.path.exists():
            raise UserError(
                f"Nothing is kept for this project yet: there is no {str(self.path)!r}.",
                code="no-such-path",
                fix="`aqe memory add` keeps the first memory.",
            )
        return self._checked(open_connection(self.path, key=self.key, durability=self.durability))

    def connect_to_read(self) -> apsw.Connection:
        """A connection to look at the file. One that keeps no log yet, as a copy or an earlier aqe's store, goes on
        without one; other files are opened as `connect` does, and only to read where nothing can be written."""
        if keeps_no_log(self.path):
            return self._checked(open_file(self.path, key=self.key, alone=False))
        try:
            return self.connect()
        except UserError as error:
            if error.code not in UNWRITABLE or not self.path.is_file():
                raise
        return self._checked(open_file(self.path, key=self.key))

    def _checked(self, connection: apsw.Connection) -> apsw.Connection:
        """The connection, closed where its file is of a newer aqe."""
        try:
            pending(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection


def place_of(project: Path, *, settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> Place:
    """The place of a project's store; nothing is made. Raises `UserError` as `load_settings` and `store_key` do, and
    project-private."""
    environ = os.environ if environ is None else environ
    settings = load_settings(project, environ=environ) if settings is None else settings
    path = store_home(project, settings.store) / ".aqe" / DATABASE
    check_enterable(path.parent)
    return Place(path, store_key(path, environ), settings.durability)


def is_text(name: str) -> bool:
    """Whether a name can be said in UTF-8."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def refuse_own(database: Path, target: Path, what: str) -> None:
    """`UserError` (bad-output) where `what` would be written over the store, into what lies beside it, or into the
    folder that aqe keeps for itself; `backups` in it may hold what a user puts there."""
    folder, real = database.parent.resolve(), target.resolve()
    lies_within = real.is_relative_to(folder) and not real.is_relative_to(folder / COPIES)
    own = [database.with_name(database.name + suffix) for suffix in BESIDE]
    if (lies_within and folder.name == ".aqe") or any(is_same(target, path) for path in own):
        raise UserError(
            f"The file {str(target)!r} belongs to what is kept: {what} there would destroy it.",
            code="bad-output",
            fix="Name a file elsewhere.",
        )


def is_same(one: Path, other: Path) -> bool:
    """Whether two names mean one file."""
    both = os.path.exists(one) and os.path.exists(other)  # which says no of a name that is too long
    return one.resolve() == other.resolve() or (both and one.samefile(other))


def is_encrypted(path: Path) -> bool:
    """Whether a file has content that does not begin as a clear database does."""
    try:
        with path.open("rb") as file:
            head = file.read(len(CLEAR))
    except OSError:
        return False
    return bool(head) and head != CLEAR


def check_file(path: Path) -> None:
    """`UserError` (no-such-path) unless there is a file of this name, and neither a folder nor what is read without
    end."""
    if path.is_file():
        return
    if not os.path.exists(path):
        raise UserError(f"There is no file {str(path)!r}.", code="no-such-path", fix="Check the path.")
    what = "a folder" if path.is_dir() else "a device or a pipe"
    raise UserError(f"{str(path)!r} is {what}, and no file.", code="no-such-path", fix="Name a file.")


def open_file(path: Path, *, key: str | None = None, write: bool = False, alone: bool = True) -> apsw.Connection:
    """A connection to a database file that is no project's own: a backup, or one that is being made.

    To read only, nothing is written beside it unless a log lies there, and it is locked only where it is not `alone`,
    so that others may write it meanwhile. Raises `UserError` (no-such-path, database-broken, database-key,
    project-read-only...).
    """
    if not is_text(str(path)):
        raise UserError(
            f"The name {str(path)!r} is no UTF-8, and SQLite opens no such file.", code="no-such-path", fix="Rename it."
        )
    if not write:
        check_file(path)
    with speaking(path, key=key):
        connection = _opened(path, write, alone)
        with opening(connection, path):
            if not alone:
                connection.set_busy_timeout(int(BUSY_TIMEOUT_S * 1000))
            make_ready(connection, key)
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    return connection


def _opened(path: Path, write: bool, alone: bool) -> apsw.Connection:
    if write:
        return apsw.Connection(str(path))
    address = address_to_read(path) if alone else str(path)
    return apsw.Connection(address, flags=apsw.SQLITE_OPEN_READONLY | (apsw.SQLITE_OPEN_URI if alone else 0))


def address_to_read(path: Path) -> str:
    """The address at which SQLite only reads a database file, and writes nothing beside it unless a log lies there."""
    return f"file:{quote(str(path.absolute()))}?{'mode=ro' if has_log(path) else 'immutable=1'}"


def keeps_no_log(path: Path) -> bool:
    """Whether the head of a database file, which stands in clear also in an encrypted one, says that nobody has written
    it by way of a log; opening it to write changes that."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return False
    is_left_halfway = path.with_name(f"{path.name}-journal").exists()
    return head[18:] == b"\x01\x01" and not has_log(path) and not is_left_halfway


def has_log(path: Path) -> bool:
    """Whether there is content in the log beside a database file."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def key_of(path: Path, keys: tuple[str | None, ...]) -> str | None:
    """The one of `keys` that opens a backup; None for a clear file.

    Raises `UserError` (database-key where none fits, database-broken, no-such-path).
    """
    check_file(path)
    if path.stat().st_size == 0:
        raise broken(path, "it is empty")
    if not is_encrypted(path):
        open_file(path).close()
        return None
    for key in dict.fromkeys(key for key in keys if key):
        try:
            open_file(path, key=key).close()
        except UserError as error:
            if error.code != "database-key":
                raise
        else:
            return key
    raise UserError(
        f"{str(path)!r} is encrypted with another key, or is no database at all.",
        code="database-key",
        fix="Name the variable that holds its key with --key-env NAME.",
    )


def open_backup(path: Path, keys: tuple[str | None, ...]) -> tuple[apsw.Connection, str | None]:
    """A connection to read a backup, with the one of `keys` that opens it; a clear file needs none.

    Raises `UserError` (database-key where none fits, database-newer, database-broken, no-such-path; bad-backup for an
    increment, which holds no store by itself).
    """
    key = key_of(path, keys)
    connection = open_file(path, key=key)
    try:
        if int(connection.pragma("application_id")) == INCREMENT:
            raise UserError(
                f"{str(path)!r} is an increment: it holds only what changed since an earlier backup.",
                code="bad-backup",
                fix="`aqe memory restore` puts both together; with --dry-run it only looks.",
            )
        pending(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection, key
