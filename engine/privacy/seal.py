"""What shows that something in a project's `.aqe/` was made by this user on this machine, and not brought by a clone.

A seal is an HMAC-SHA256 (RFC 2104) over a kind and some fields, by a key that lies beside the user's settings file,
readable by its owner only, and never in a project. So what was written elsewhere, or moved here from another place
that stands among the fields, has no seal that counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.settings import user_file

KEY_BYTES = 32


def key_file() -> Path:
    """Where the user's key lies."""
    return user_file().with_name("seal.key")


def sealed(kind: str, fields: Sequence[str | int]) -> str:
    """The seal of `fields` (hex); the user's key is made where there is none. Raises `UserError` (no-seal-key)."""
    path = key_file()
    try:
        _make(path)
        key = _read(path)
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise UserError(
            f"The key {str(path)!r}, which shows what you made on this machine, cannot be kept: {reason}.",
            code="no-seal-key",
            fix="Make its folder writable, or let XDG_CONFIG_HOME name one that is.",
        ) from exc
    if key is None:
        raise UserError(f"{str(path)!r} holds no key.", code="no-seal-key", fix="Delete it; a new one is made.")
    return _seal(key, kind, fields)


def is_sealed(seal: str, kind: str, fields: Sequence[str | int]) -> bool:
    """Whether `seal` is the one that this user's key gives; without a key nothing is sealed."""
    try:
        key = _read(key_file())
    except OSError:
        return False
    return key is not None and hmac.compare_digest(seal.encode("utf-8", "replace"), _seal(key, kind, fields).encode())


def _seal(key: bytes, kind: str, fields: Sequence[str | int]) -> str:
    text = json.dumps([kind, *fields], ensure_ascii=True, separators=(",", ":"))
    return hmac.new(key, text.encode("ascii"), hashlib.sha256).hexdigest()


def _make(path: Path) -> None:
    """Put a new key at `path` unless one is there; of two that come at once the first stays."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        with contextlib.suppress(OSError):
            made.unlink()


def _read(path: Path) -> bytes | None:
    """The key, None where the file holds none; a file that others could read is closed to them."""
    if path.stat().st_mode & 0o077:
        with contextlib.suppress(OSError):
            path.chmod(0o600)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii", errors="replace"))
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None
