"""What the packages that inspired aqe publish, with ours measured beside it on this machine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.server.benchmark.measures import measure
    from aqe.server.benchmark.published import Claim, Source, read_claims
    from aqe.server.benchmark.report import BenchmarkReport, compare, render

_HOMES = {
    "BenchmarkReport": "report",
    "Claim": "published",
    "Source": "published",
    "compare": "report",
    "measure": "measures",
    "read_claims": "published",
    "render": "report",
}

__all__ = ["BenchmarkReport", "Claim", "Source", "compare", "measure", "read_claims", "render"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
