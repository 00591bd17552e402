"""The bearer token of a project's HTTP server: made once, in `.aqe/token`, readable by its owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.project import aqe_dir, unwritable


def token_of(project: Path) -> str:
    """The project's token, made at the first call; two servers that start at once agree on one.

    Raises `UserError` (project-read-only, disk-full) when it cannot be kept, (bad-token) when the file holds none.
    """
    path = aqe_dir(project) / "token"
    made = path.with_name(f"token.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        if not path.exists():
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
            try:
                os.link(made, path)
            except FileExistsError:
                pass
            finally:
                made.unlink()
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        token = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise unwritable(path, error) from error
    if len(token) < 20 or not token.isascii() or not token.isprintable():
        raise UserError(f"{path} holds no token.", code="bad-token", fix="Delete it; the next start makes a new one.")
    return token
