"""The test generator: reads a subject, searches for telling calls in the sandbox, writes verified pytest files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.agents.generate.report import GenerateReport, GenerateRequest, SuspectedBug, Unreached
    from aqe.agents.generate.run import generate

__all__ = ["GenerateReport", "GenerateRequest", "SuspectedBug", "Unreached", "generate"]

_HOMES = {
    "GenerateReport": "report",
    "GenerateRequest": "report",
    "SuspectedBug": "report",
    "Unreached": "report",
    "generate": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
