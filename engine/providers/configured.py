"""The providers that `[tool.aqe.providers.NAME]` names, and which of them are on this machine."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from aqe.engine.providers.protocol import Message, Provider
    from aqe.engine.settings import ProviderSettings, Settings


@dataclass(frozen=True)
class Recipient:
    """A provider as a consent names it: its name, its `address` (`address_of`), the variable of its key ("": none)."""

    name: str
    address: str
    key_env: str = ""

    @property
    def label(self) -> str:
        """Name, address and key variable, as they may be shown."""
        key = f", key of {shown(self.key_env)}" if self.key_env else ""
        return f"{shown(self.name)} ({shown(self.address)}{key})"


class Egress(Protocol):
    """What providers and the router need of the privacy guard."""

    @property
    def mode(self) -> Literal["strict", "balanced", "off"]: ...

    def may_leave(self, provider_is_local: bool) -> bool:
        """Whether a provider may be asked at all."""
        ...

    def may_reach(self, to: Recipient) -> bool:
        """Whether a provider elsewhere may be shown its key; does file work."""
        ...

    def outgoing(self, messages: tuple[Message, ...], *, to: Recipient, purpose: str) -> tuple[Message, ...]:
        """What may be sent in place of `messages`; raises `UserError` where nothing may. Does file work."""
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


def recipient_of(name: str, table: ProviderSettings) -> Recipient:
    """The provider that a table of the settings describes, as a consent names it."""
    return Recipient(name, address_of(table.base_url), table.api_key_env or "")


def address_of(url: str) -> str:
    """A URL in the form in which two of one place are equal: lower-case host, no default port, no slash at the end.

    The path counts: on one host it may lead to another account.

    >>> address_of("HTTPS://API.Example.com:443/v1/"), address_of("http://10.0.0.5:8080")
    ('https://api.example.com/v1', 'http://10.0.0.5:8080')
    """
    scheme, _, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    host = netloc.lower().removesuffix({"https": ":443", "http": ":80"}.get(scheme.lower(), ":"))
    return f"{scheme.lower()}://{host}{slash}{path}".rstrip("/")


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, as they may be shown: what a connection needs, and nothing that may be secret.

    >>> origin_of("http://ops:pw@localhost:11434/v1?key=abc")
    'http://localhost:11434'
    """
    parts = urlsplit(url)
    return shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")


def shown(text: str) -> str:
    r"""A text of a project's file as it may be shown: what is not plain ASCII is escaped, so that no sign poses as
    another and none speaks to the terminal.

    >>> print(shown("https://\u0430pi.example.com\x1b[2K"))
    https://\u0430pi.example.com\x1b[2K
    """
    return "".join(sign if " " <= sign <= "~" else sign.encode("unicode_escape").decode("ascii") for sign in text)
