"""What a command hands to an assistant, by way of a hook: through the project's privacy guard, and in its audit log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def guarded(project: Path, command: str, whole: dict[str, Any], sources: Sequence[str]) -> dict[str, Any]:
    """The object as a client elsewhere may have it (`privacy.mcp_content`); that it was given is logged.

    `sources` are the files that its texts come from. Raises `UserError` as the store does.
    """
    from aqe.engine.memory import open_store
    from aqe.engine.privacy import open_guard
    from aqe.engine.results import json_text
    from aqe.engine.settings import load_settings

    settings = load_settings(project)
    with open_store(project, settings=settings) as store, open_guard(project, settings, store) as guard:
        view = guard.client_view(whole, paths=sources)
        guard.log_answer("hook", f"aqe {command}", json_text(view.value), view.spans)
    found: dict[str, Any] = view.value
    return found
