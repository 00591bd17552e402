"""Settings, errors, memory and jobs: the public names, each loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.budget import format_budget, parse_budget
    from aqe.engine.errors import AqeError, Cancelled, GateFailed, InternalError, OutOfTime, UserError
    from aqe.engine.marker import is_ours, lock_target, mark, write_atomic
    from aqe.engine.progress import CancelToken, Progress, silent
    from aqe.engine.project import aqe_dir, find_project
    from aqe.engine.results import read_result, write_result

_HOMES = {
    "AqeError": "errors",
    "CancelToken": "progress",
    "Cancelled": "errors",
    "GateFailed": "errors",
    "InternalError": "errors",
    "OutOfTime": "errors",
    "Progress": "progress",
    "UserError": "errors",
    "aqe_dir": "project",
    "find_project": "project",
    "format_budget": "budget",
    "is_ours": "marker",
    "lock_target": "marker",
    "mark": "marker",
    "parse_budget": "budget",
    "read_result": "results",
    "silent": "progress",
    "write_atomic": "marker",
    "write_result": "results",
}

__all__ = [
    "AqeError",
    "CancelToken",
    "Cancelled",
    "GateFailed",
    "InternalError",
    "OutOfTime",
    "Progress",
    "UserError",
    "aqe_dir",
    "find_project",
    "format_budget",
    "is_ours",
    "lock_target",
    "mark",
    "parse_budget",
    "read_result",
    "silent",
    "write_atomic",
    "write_result",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
