"""Which project a call means: its argument, the server's, the client's roots, the working directory if it is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from aqe.engine.errors import UserError
from aqe.engine.project import find_project, has_marker, is_whole_machine


async def project_of_call(given: str | None, served: str | None, context: Any) -> Path:
    """The project's folder for one tool call.

    `given` is the call's argument, `served` the server's --project, `context` the SDK's (its client may have roots).
    Raises `UserError` (no-such-project, no-project).
    """
    if given:
        return _named(given)
    if served or os.environ.get("AQE_PROJECT"):
        return find_project(explicit=served)
    for root in await _roots(context):
        if os.path.isdir(root):
            return find_project(root, environ={})
    here = find_project()
    if has_marker(here) and not is_whole_machine(here):
        return here
    lacks = "is no project of its own" if has_marker(here) else "has no pyproject.toml, .git or .aqe"
    raise UserError(
        f"It is not known which project is meant: {here} {lacks}.",
        code="no-project",
        fix="Give `project`, the path of the project's folder, or start the server with --project DIR.",
    )


def _named(given: str) -> Path:
    folder = Path(os.path.expanduser(given))
    if not os.path.isdir(folder):
        what = "is a file" if os.path.exists(folder) else "does not exist"
        fix = "Give the folder that holds the project."
        raise UserError(f"The project folder {given!r} {what}.", code="no-such-project", fix=fix)
    return folder.resolve()


async def _roots(context: Any) -> list[Path]:
    """The client's roots (2025 clients that declared them); none where it has none."""
    session = context.request_context.session
    if (
        context.request_context.protocol_version >= "2026"
        or getattr(context.client_capabilities, "roots", None) is None
    ):
        return []
    try:
        listed = await session.list_roots()
    except Exception:
        return []
    paths = [urlparse(str(root.uri)) for root in listed.roots]
    return [Path(unquote(url.path)) for url in paths if url.scheme == "file"]
