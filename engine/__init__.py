"""Settings, errors, memory and jobs: the public names, each loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.budget import format_budget, parse_budget
    from aqe.engine.errors import AqeError, Cancelled, GateFailed, InternalError, OutOfTime, UserError
    from aqe.engine.jobs import Job, JobTable
    from aqe.engine.marker import is_ours, lock_target, mark, write_atomic
    from aqe.engine.memory import Hit, Memory, NewMemory, Provenance, SearchAnswer, Store, StoreStats, open_store
    from aqe.engine.progress import CancelToken, Progress, silent
    from aqe.engine.project import aqe_dir, find_project
    from aqe.engine.results import read_result, write_result
    from aqe.engine.settings import Settings, SettingValue, load_settings, origins

_HOMES = {
    "AqeError": "errors",
    "CancelToken": "progress",
    "Cancelled": "errors",
    "GateFailed": "errors",
    "Hit": "memory",
    "InternalError": "errors",
    "Job": "jobs",
    "JobTable": "jobs",
    "Memory": "memory",
    "NewMemory": "memory",
    "OutOfTime": "errors",
    "Progress": "progress",
    "Provenance": "memory",
    "SearchAnswer": "memory",
    "SettingValue": "settings",
    "Settings": "settings",
    "Store": "memory",
    "StoreStats": "memory",
    "UserError": "errors",
    "aqe_dir": "project",
    "find_project": "project",
    "format_budget": "budget",
    "is_ours": "marker",
    "load_settings": "settings",
    "lock_target": "marker",
    "mark": "marker",
    "open_store": "memory",
    "origins": "settings",
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
    "Hit",
    "InternalError",
    "Job",
    "JobTable",
    "Memory",
    "NewMemory",
    "OutOfTime",
    "Progress",
    "Provenance",
    "SearchAnswer",
    "SettingValue",
    "Settings",
    "Store",
    "StoreStats",
    "UserError",
    "aqe_dir",
    "find_project",
    "format_budget",
    "is_ours",
    "load_settings",
    "lock_target",
    "mark",
    "open_store",
    "origins",
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
