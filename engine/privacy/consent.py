"""To which provider text may go, and for what: given by the user, kept in the store, each change in the audit log.

A consent names a provider with its address and the variable of its key, and is sealed with the user's own key for the
very store that it lies in: a project's files can neither give one nor bend one to another place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

from aqe.engine.errors import UserError
from aqe.engine.memory.store import Store
from aqe.engine.privacy import audit
from aqe.engine.privacy.seal import is_sealed, sealed
from aqe.engine.providers.configured import Recipient, shown
from aqe.engine.providers.protocol import Purpose

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
"""What a consent can be for."""
ANY = "*"
"""The purpose that stands for all."""
_COLUMNS = "provider, purpose, granted_at, address, key_env, seal"


@dataclass(frozen=True)
class Consent:
    """A consent: provider, purpose (`*` is every one), since when (UTC, microseconds), to which address, and with the
    key of which variable ("" for none). It counts only where `own` is true: given by this user, here."""

    provider: str
    purpose: str
    granted_at: int
    address: str
    key_env: str
    own: bool


def grant(store: Store, to: Recipient, purpose: str = ANY, *, mode: str) -> Consent:
    """Record a consent; the same one keeps its time, one for another address or key takes the place of the former.

    Raises `UserError` (bad-argument, no-seal-key).
    """
    provider = _checked(to.name, "provider")
    if purpose not in (ANY, *PURPOSES):
        raise UserError(
            f"There is no purpose {purpose[:40]!r}.",
            code="bad-argument",
            fix=f"Known are {', '.join(PURPOSES)}, and {ANY} for all.",
        )
    with store.writing_durably() as connection:
        found = connection.execute(
            f"SELECT {_COLUMNS} FROM consents WHERE provider = ? AND purpose = ?", (provider, purpose)
        ).fetchone()
        known = None if found is None else _consent(store, found)
        if known is not None and known.own and (known.address, known.key_env) == (to.address, to.key_env):
            return known
        now = store.now()
        given = Consent(provider, purpose, now, to.address, to.key_env, True)
        seal = sealed("consent", _fields(store, given))
        connection.execute(
            f"INSERT OR REPLACE INTO consents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
            (provider, purpose, now, to.address, to.key_env, seal),
        )
        audit.append_within(connection, now, audit.Subject("consent-granted", to.label, purpose, mode))
    return given


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
    """The consents that stand in the store, by provider and purpose, with those that do not count."""
    with store.reading() as connection:
        rows = list(connection.execute(f"SELECT {_COLUMNS} FROM consents ORDER BY 1, 2"))
    return [_consent(store, row) for row in rows]


def missing(store: Store, to: Recipient, purpose: str | None) -> str:
    """Why nothing may go to `to` for `purpose` (None: for whichever), in one sentence; "" where it may."""
    found = [one for one in consents(store) if one.provider == to.name]
    if purpose is not None:
        found = [one for one in found if one.purpose in (ANY, purpose)]
    if not found:
        about = "" if purpose is None else f" for {purpose}"
        return f"There is no consent yet to send text to {to.label}{about}."
    flaws = [flaw(one, to) for one in found]
    return "" if "" in flaws else flaws[-1]  # the one for the very purpose comes after the one for all


def flaw(given: Consent, to: Recipient | None) -> str:
    """What keeps a consent from counting for the provider of its name as that is now (None: there is none), in one
    sentence; "" where nothing does."""
    name = shown(given.provider)
    if not given.address:
        return f"The consent for {name} is of a time when consents named no address."
    if not given.own:
        return f"The consent for {name} in this project was not given by you, on this machine, for this folder."
    changes = []
    if to is not None and given.address != to.address:
        changes.append(f"its address is now {shown(to.address)}, not {shown(given.address)}")
    if to is not None and given.key_env != to.key_env:
        changes.append(f"its key is now {_key(to.key_env)}, not {_key(given.key_env)}")
    return f"{name} is not what you consented to: {', and '.join(changes)}." if changes else ""


def _key(variable: str) -> str:
    return f"that of {shown(variable)}" if variable else "none"


def _consent(store: Store, row: Any) -> Consent:
    provider, purpose, granted_at, address, key_env, seal = row
    given = Consent(provider, purpose, granted_at, address, key_env, False)
    return replace(given, own=is_sealed(seal, "consent", _fields(store, given)))


def _fields(store: Store, given: Consent) -> tuple[str | int, ...]:
    folder = store.path.parent  # a project's `.aqe`; a link of that name leads to no consent of another place
    place = str(folder.parent.resolve() / folder.name / store.path.name)
    return (place, given.provider, given.purpose, given.granted_at, given.address, given.key_env)


def _checked(word: str, what: str) -> str:
    odd = any(char < " " or "\ud800" <= char <= "\udfff" for char in word)
    if odd or not word.strip() or len(word.encode("utf-8")) > 200:
        raise UserError(f"The {what} {word[:40]!r} is no name.", code="bad-argument", fix="Give at most 200 bytes.")
    return word.strip()
