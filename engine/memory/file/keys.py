"""The key of a project's store: the variable AQE_DB_KEY, else the one that the system's keyring holds for it.

The file `key-id` beside the database says under which name the keyring has the key; it is no secret itself, and where
it lies the project is sealed: nothing is kept in clear beside the store. No key is ever printed or written to a file.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.extras import missing_extra
from aqe.engine.marker import write_atomic

KEY = "AQE_DB_KEY"
SERVICE = "aqe"
NEXT = ".next"
"""What is added to the name of a key that is about to take the place of another."""

OLD = ".old."
"""What is added, with a number, to the name of a key that was changed: earlier backups have it."""

POINTER = "key-id"


def pointer_of(database: Path) -> Path:
    """The file beside a database that says which key of the keyring is its own."""
    return database.with_name(POINTER)


def is_sealed(folder: Path, environ: Mapping[str, str] | None = None) -> bool:
    """Whether what belongs to the `.aqe` in `folder` may not lie in clear: a key is set, or the keyring has one."""
    environ = os.environ if environ is None else environ
    return bool(environ.get(KEY)) or os.path.isfile(folder / POINTER)


def store_key(database: Path, environ: Mapping[str, str] | None = None) -> str | None:
    """The key that a database is opened with; None where it has none, and where it stands in clear all the same.

    Raises `UserError` (missing-extra, keyring-failed; database-key where the keyring does not know it).
    """
    environ = os.environ if environ is None else environ
    if environ.get(KEY):
        return checked(environ[KEY], KEY)
    name = _name(database)
    if name is None or _is_clear(database):
        return None
    found = [key for key in (read_key(name), read_key(name + NEXT)) if key]
    if not found:
        raise UserError(
            f"The keyring holds no key for {str(database)!r}.",
            code="database-key",
            fix=f"Unlock the keyring that has it, or set {KEY} to the key.",
        )
    return found[0] if len(found) == 1 else _fitting(database, found)


def checked(key: str, name: str) -> str:
    """A key that SQLite can take, from the variable `name`. Raises `UserError` (database-key)."""
    if not key.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in key):
        raise UserError(
            f"The key in {name} is no UTF-8.", code="database-key", fix="Take a key of letters, digits and signs."
        )
    return key


def new_key() -> str:
    """A key of 256 random bits."""
    return secrets.token_hex(32)


def ensure_name(database: Path) -> str:
    """The name under which the keyring has the key of a database; made when missing."""
    name = _name(database)
    if name is None:
        name = uuid.uuid4().hex
        write_atomic(pointer_of(database), name + "\n")
    return name


def share_pointer(database: Path, folder: Path) -> None:
    """Where the keyring has the key of a store that a git worktree shares, seal the worktree's own `.aqe` too."""
    name = _name(database)
    if name is not None and folder.is_dir() and folder != database.parent and not (folder / POINTER).exists():
        write_atomic(folder / POINTER, name + "\n")


def read_key(name: str) -> str | None:
    """A key in the keyring. Raises `UserError` (missing-extra, keyring-failed)."""
    keyring = _keyring()
    try:
        found: str | None = keyring.get_password(SERVICE, name)
    except keyring.errors.KeyringError as exc:
        raise _failed(exc) from exc
    return found


def write_key(name: str, key: str) -> None:
    """Put a key into the keyring, and see that it is there. Raises `UserError` as `read_key` does."""
    keyring = _keyring()
    try:
        keyring.set_password(SERVICE, name, key)
        kept = keyring.get_password(SERVICE, name)
    except keyring.errors.KeyringError as exc:
        raise _failed(exc) from exc
    if kept != key:
        raise _failed(RuntimeError("it does not give back what was put into it"))


def keep_old(name: str, key: str) -> None:
    """Keep a key that was changed, for the backups that were made under it. Raises `UserError` as `read_key` does."""
    found = old_keys(name)
    if key not in found:
        write_key(f"{name}{OLD}{len(found) + 1}", key)


def old_keys(name: str) -> list[str]:
    """The keys that were changed, the first one first. Raises `UserError` as `read_key` does."""
    found: list[str] = []
    while key := read_key(f"{name}{OLD}{len(found) + 1}"):
        found.append(key)
    return found


def earlier_keys(database: Path) -> tuple[str, ...]:
    """The earlier keys of a database that the keyring still holds, the newest first; none where it cannot be asked."""
    name = _name(database)
    try:
        return () if name is None else tuple(reversed(old_keys(name)))
    except UserError:
        return ()


def drop_key(name: str) -> None:
    """Take a key out of the keyring, where it is there. Raises `UserError` as `read_key` does."""
    keyring = _keyring()
    try:
        if keyring.get_password(SERVICE, name) is not None:
            keyring.delete_password(SERVICE, name)
    except keyring.errors.KeyringError as exc:
        raise _failed(exc) from exc


def forget(database: Path) -> None:
    """Take the keys of a database out of the keyring, and the pointer to them away."""
    name = _name(database)
    if name is None:
        return
    if has_key(database):
        drop_key(name)
        drop_key(name + NEXT)
        for number in range(len(old_keys(name)), 0, -1):
            drop_key(f"{name}{OLD}{number}")
    pointer_of(database).unlink(missing_ok=True)


def has_key(database: Path) -> bool:
    """Whether the keyring can be asked for the key of a database, and has one."""
    name = _name(database)
    try:
        return name is not None and bool(read_key(name) or read_key(name + NEXT) or old_keys(name))
    except UserError:
        return False


def _name(database: Path) -> str | None:
    try:
        return pointer_of(database).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _is_clear(database: Path) -> bool:
    try:
        with database.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def opens(database: Path, key: str) -> bool:
    """Whether the database has this key. Raises `UserError` where that cannot be told (database-locked...)."""
    from aqe.engine.memory.file.connection import open_connection

    try:
        open_connection(database, key=key).close()
    except UserError as error:
        if error.code in ("database-key", "database-broken"):
            return False
        raise
    return True


def _fitting(database: Path, keys: list[str]) -> str:
    """The first key that opens the database: a change of key may have ended before or after the new one took over."""
    return next((key for key in keys[:-1] if opens(database, key)), keys[-1])


def _keyring() -> Any:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise missing_extra("A key in the system's keyring", extra="keyring") from None
    return keyring


def _failed(exc: Exception) -> UserError:
    why = str(exc).split("\n")[0].rstrip(".") or type(exc).__name__
    return UserError(
        f"The system's keyring cannot be used: {why}.",
        code="keyring-failed",
        fix=f"Unlock it or set one up, or set {KEY} to the key.",
    )
