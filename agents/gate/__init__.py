"""The gate: whatever anyone proposes runs in a sandbox here and comes back as `Evidence`.

Names are handed out lazily (PEP 562), so that the pytest plugin and `aqe --help` do not pay for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Box": "box",
    "BoxSpec": "box",
    "CaseResult": "box",
    "Evidence": "evidence",
    "Interpreter": "interpreter",
    "Layers": "box",
    "Limits": "box",
    "MutantResult": "evidence",
    "SubjectMeasure": "evidence",
    "TestEvidence": "evidence",
    "VerifyReport": "verify",
    "VerifyRequest": "verify",
    "find_interpreter": "interpreter",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
