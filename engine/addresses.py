"""Addresses of servers as settings give them: what no client could connect to is refused where it stands."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LABELS = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_FOUR_NUMBERS = re.compile(r"\d+(\.\d+){3}")
_PORT = re.compile(r"[0-9]{0,5}")
LONGEST_HOST = 253
"""Characters of a name in the domain system (RFC 1035)."""


def checked_address(url: str) -> str:
    """The URL as it was given, whose host and port can be connected to. Raises `ValueError` where they cannot.

    >>> checked_address("http://[::1]:8080/v1")
    'http://[::1]:8080/v1'
    >>> checked_address("http://localhost:99999/v1")
    Traceback (most recent call last):
        ...
    ValueError: its port is no number from 1 to 65535
    """
    if not url.isprintable():
        raise ValueError("it has a character that cannot be printed")
    place = urlsplit(url).netloc.rpartition("@")[2]  # a bracket that is not closed is a ValueError of its own
    host, bracket, rest = place.rpartition("]")
    if bracket:
        ipaddress.IPv6Address(host.removeprefix("["))
    else:
        host, colon, port = place.partition(":")
        rest = colon + port
        _check_name(host)
    port = rest.removeprefix(":")
    if (rest and port == rest) or not _PORT.fullmatch(port) or (port and not 1 <= int(port) <= 65_535):
        raise ValueError("its port is no number from 1 to 65535")
    return url


def _check_name(host: str) -> None:
    named = host if host.isascii() else host.encode("idna").decode("ascii")
    if len(named) > LONGEST_HOST or not _LABELS.fullmatch(named):
        raise ValueError("its host is no name and no address")
    if _FOUR_NUMBERS.fullmatch(named):
        ipaddress.IPv4Address(named)
