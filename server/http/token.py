"""The bearer token of a project's HTTP server: made once, in `.aqe/token`, readable by its owner only.

A token carries a seal of the user that made it, for the folder where it lies. So one that a clone brought, which its
author knows too, opens nothing: it is replaced.
"""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.privacy.seal import is_sealed, sealed
from aqe.engine.project import aqe_dir, unwritable

_log = logging.getLogger(__name__)


def token_of(project: Path) -> str:
    """The project's token, made at the first call; two servers that start at once agree on one.

    Raises `UserError` (project-read-only, disk-full) when it cannot be kept, (bad-token) when the file holds none,
    (no-seal-key) when the user's own key cannot be kept.
    """
    path = aqe_dir(project) / "token"
    place = str(path.parent.parent.resolve() / path.parent.name)  # a linked `.aqe` brings no token of another place
    try:
        if path.is_symlink() or (path.exists() and _is_brought(_read(path), place)):
            _log.warning("The token in %s was not made by you for this folder: a new one takes its place.", path)
            path.unlink()
        if not path.exists():
            _make(path, place)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        token = _read(path)
    except OSError as error:
        raise unwritable(path, error) from error
    if not _is_token(token) or _is_brought(token, place):
        raise UserError(f"{path} holds no token.", code="bad-token", fix="Delete it; the next start makes a new one.")
    return token


def _make(path: Path, place: str) -> None:
    """Put a new token at `path`; of two that come at once the first stays."""
    secret = secrets.token_urlsafe(32)
    made = path.with_name(f"token.{os.getpid()}.{secrets.token_hex(4)}")
    text = f"{secret}.{sealed('http-token', (place, secret))}\n"
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip()


def _is_token(text: str) -> bool:
    return len(text) >= 20 and text.isascii() and text.isprintable()


def _is_brought(text: str, place: str) -> bool:
    """Whether a file holds a token, but none that this user made for this folder."""
    secret, _, seal = text.partition(".")
    return _is_token(text) and not is_sealed(seal, "http-token", (place, secret))
