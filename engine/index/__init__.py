"""The project's own docs, code and tests as passages in its memory, kept fresh by content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
