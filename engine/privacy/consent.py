"""To which provider text may go, and for what: given by the user, kept in the store, each change in the audit log."""

from __future__ import annotations

from dataclasses import dataclass

from aqe.engine.errors import UserError
from aqe.engine.memory.store import Store
from aqe.engine.privacy import audit

ANY = "*"
"""The purpose that stands for all."""


@dataclass(frozen=True)
class Consent:
    """A consent: provider, purpose (`*` is every one), and since when (UTC, microseconds)."""

    provider: str
    purpose: str
    granted_at: int


def grant(store: Store, provider: str, purpose: str = ANY, *, mode: str) -> Consent:
    """Record a consent; one that stands already keeps its time. Raises `UserError` (bad-argument)."""
    provider, purpose = _checked(provider, "provider"), _checked(purpose, "purpose")
    with store.writing_durably() as connection:
        connection.execute("INSERT OR IGNORE INTO consents (provider, purpose, granted_at) VALUES (?, ?, ?)", (provider, purpose, store.now()))
        if connection.changes():
            audit.append_within(connection, store.now(), audit.Subject("consent-granted", provider, purpose, mode))
        since = connection.execute(
            "SELECT granted_at FROM consents WHERE provider = ? AND purpose = ?", (provider, purpose)
        ).get
    return Consent(provider, purpose, int(since))


def revoke(store: Store, provider: str, purpose: str | None = None, *, mode: str) -> int:
    """Take back a consent, or with no purpose all of the provider; returns how many there were."""
    provider = _checked(provider, "provider")
    with store.writing_durably() as connection:
        connection.execute(
            "DELETE FROM consents WHERE provider = ?1 AND (?2 IS NULL OR purpose = ?2)", (provider, purpose)
        )
        gone = int(connection.changes())
        if gone:
            about = audit.Subject("consent-revoked", provider, purpose or ANY, mode)
            audit.append_within(connection, store.now(), about)
    return gone


def consents(store: Store) -> list[Consent]:
    """The consents that stand, by provider and purpose."""
    with store.reading() as connection:
        return [
            Consent(*row)
            for row in connection.execute("SELECT provider, purpose, granted_at FROM consents ORDER BY 1, 2")
        ]


def has_consent(store: Store, provider: str, purpose: str) -> bool:
    """Whether text may go to `provider` for `purpose`."""
    with store.reading() as connection:
        found = connection.execute(
            "SELECT 1 FROM consents WHERE provider = ? AND purpose IN (?, ?)", (provider, purpose, ANY)
        ).fetchone()
    return found is not None


def _checked(word: str, what: str) -> str:
    odd = any(char < " " or "\ud800" <= char <= "\udfff" for char in word)
    if not word.strip() or len(word.encode("utf-8", "surrogatepass")) > 200 or odd:
        raise UserError(f"The {what} {word[:40]!r} is no name.", code="bad-argument", fix="Give at most 200 bytes.")
    return word.strip()
