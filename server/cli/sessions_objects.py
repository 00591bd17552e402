"""That a question begins a session, as the JSON of every form and for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def begun_object(project: Path, name: str | None) -> dict[str, Any]:
    """What is to be added to an answer where no session had this name before it. Raises `UserError` (bad-session)."""
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.sessions.names import new_name

    if name is None:
        return {}
    with open_to_read(project) as store:
        found = new_name(store, name)
    return {} if found is None else {"begun": found.shown}


def tell_begun(begun: Mapping[str, Any]) -> None:
    """Say on stderr what `begun_object` found."""
    if begun:
        print(begun["begun"]["told"], file=sys.stderr)
