"""What may leave this machine: modes, redaction, consent, files that never leave, and the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
