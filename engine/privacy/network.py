"""Keeps aqe's own process from reaching beyond this machine while the privacy mode is strict.

One audit hook (PEP 578) is installed at the first use and stays, since a hook cannot be removed; it reads a flag. It
sees what goes through Python's `socket` module, asyncio included; a C library with sockets of its own, and a child
process, are not seen: those are refused before, where providers are made, and by the sandbox.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from typing import Any

from aqe.engine.errors import UserError

_LOCK = threading.Lock()
_held = 0
_installed = False
_LOCAL_NAMES = frozenset(("", "localhost", "ip6-localhost", "localhost.localdomain"))


class NetworkRefused(UserError, OSError):
    """A connection or a look-up that strict mode refused; code that expects a dead network sees one."""


def hold_network() -> None:
    """Refuse everything but this machine until as many `release_network` as `hold_network` were called."""
    global _held, _installed
    with _LOCK:
        _held += 1
        if not _installed:
            sys.addaudithook(_watch)
            _installed = True


def release_network() -> None:
    """Take one `hold_network` back."""
    global _held
    with _LOCK:
        _held = max(0, _held - 1)


def is_held() -> bool:
    """Whether connections beyond this machine are refused now."""
    return _held > 0


def is_this_machine(host: Any) -> bool:
    """Whether a host, as `socket` functions take it, is this machine's loopback.

    >>> is_this_machine("127.0.0.53"), is_this_machine("::1"), is_this_machine("10.0.0.1"), is_this_machine("acme.io")
    (True, True, False, False)
    """
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else str(host)
    if name.lower().rstrip(".") in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if not _held or not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        _judge_address(args[0], args[1])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if not is_this_machine(args[0]) and not _is_number(args[0]):
            raise _refused(f"look up {args[0]!r}")
    elif event == "socket.gethostbyaddr" and not is_this_machine(args[0]):  # the name of a number is asked for
        raise _refused(f"look up {args[0]!r}")
    elif event == "socket.getnameinfo" and not is_this_machine(args[0][0]):
        raise _refused(f"look up {args[0][0]!r}")


def _judge_address(connection: Any, address: Any) -> None:
    family = getattr(connection, "family", None)
    if family in (getattr(socket, "AF_UNIX", None), getattr(socket, "AF_NETLINK", None)) or address is None:
        return
    host = address[0] if isinstance(address, tuple) and address else address
    if family in (socket.AF_INET, socket.AF_INET6) and host is not None and is_this_machine(host):
        return
    raise _refused(f"connect to {host!r}")


def _is_number(host: Any) -> bool:
    """A numeric address needs no look-up; connecting to it is judged by itself."""
    try:
        ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True


def _refused(what: str) -> NetworkRefused:
    return NetworkRefused(
        f"aqe was about to {what}, and the privacy mode is strict.",
        code="strict-mode",
        fix="Use what is on this machine, or set privacy.mode to balanced.",
    )
