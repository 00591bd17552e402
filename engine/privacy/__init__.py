"""What may leave this machine: modes, redaction, consent, files that never leave, and the audit log."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.privacy.audit import Entry, Verified
    from aqe.engine.privacy.consent import Consent
    from aqe.engine.privacy.guard import ClientView, Guard, open_guard
    from aqe.engine.privacy.redactor import Placeholders, Redacted, Span, redact, scan

_HOMES = {
    "ClientView": "guard",
    "Consent": "consent",
    "Entry": "audit",
    "Guard": "guard",
    "Placeholders": "redactor",
    "Redacted": "redactor",
    "Span": "redactor",
    "Verified": "audit",
    "open_guard": "guard",
    "redact": "redactor",
    "scan": "redactor",
}

__all__ = [
    "ClientView",
    "Consent",
    "Entry",
    "Guard",
    "Placeholders",
    "Redacted",
    "Span",
    "Verified",
    "open_guard",
    "redact",
    "scan",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
