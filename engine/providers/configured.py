"""The providers that `[tool.aqe.providers.NAME]` names, and which of them are on this machine."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from aqe.engine.providers.protocol import Message, Provider
    from aqe.engine.settings import Settings


class Egress(Protocol):
    """What providers and the router need of the privacy guard."""

    @property
    def mode(self) -> Literal["strict", "balanced", "off"]: ...

    def may_leave(self, provider_is_local: bool) -> bool:
        """Whether a provider may be asked at all."""
        ...

    def outgoing(self, messages: tuple[Message, ...], *, provider: str, purpose: str) -> tuple[Message, ...]:
        """What may be sent in place of `messages`; raises `UserError` where nothing may."""
        ...


def open_providers(
    settings: Settings, *, guard: Egress | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Provider, ...]:
    """One provider for each table of the settings, in the order of their names.

    Nothing is connected or imported yet: a client is made at the first call, and for a provider elsewhere never in
    strict mode. `environ` (the process's by default) holds the keys.
    """
    from aqe.engine.providers.openai_compatible import OpenAICompatible

    environ = os.environ if environ is None else environ
    return tuple(
        OpenAICompatible(name, table, guard=guard, environ=environ)
        for name, table in sorted(settings.providers.items())
    )


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine by its own name; a host that only resolves to it is not.

    >>> is_loopback("http://127.0.0.1:11434/v1"), is_loopback("http://[::1]:8080"), is_loopback("http://localhost")
    (True, True, True)
    >>> is_loopback("http://10.0.0.5/v1"), is_loopback("https://localhost.example.org"), is_loopback("http://0.0.0.0")
    (False, False, False)
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
