"""The selector: which tests a change needs, each with its reason."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.agents.select.report import SelectedTest, SelectReport, SelectRequest
    from aqe.agents.select.run import select

__all__ = ["SelectReport", "SelectRequest", "SelectedTest", "select"]

_HOMES = {"SelectReport": "report", "SelectRequest": "report", "SelectedTest": "report", "select": "run"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
