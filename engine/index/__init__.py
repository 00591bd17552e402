"""The project's own docs, code and tests as passages in its memory, kept fresh by content."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.index.evidence import answer, find_passages
    from aqe.engine.index.files import LeftOut
    from aqe.engine.index.indexing import IndexReport, index_project, index_scope

_HOMES = {
    "IndexReport": "indexing",
    "LeftOut": "files",
    "answer": "evidence",
    "find_passages": "evidence",
    "index_project": "indexing",
    "index_scope": "indexing",
}

__all__ = ["IndexReport", "LeftOut", "answer", "find_passages", "index_project", "index_scope"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
