"""Opens the port and runs the HTTP application until it is told to stop."""

from __future__ import annotations

import errno
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

from starlette.applications import Starlette

from aqe.engine.errors import UserError

HOST = "127.0.0.1"


def open_port(port: int) -> socket.socket:
    """A listening socket on loopback; 0 takes any free port.

    Raises `UserError` (bad-port, port-in-use).
    """
    if not 0 <= port <= 65535:
        raise UserError(f"{port} is not a port.", code="bad-port", fix="Give a number from 0 (any free one) to 65535.")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            fix = "Give another one with --port, or 0 for any free one."
            raise UserError(f"Port {port} is in use.", code="port-in-use", fix=fix) from error
        fix = "Give another one with --port; those under 1024 need rights."
        raise UserError(f"Port {port} cannot be opened: {error.strerror}.", code="bad-port", fix=fix) from error
    return listener


def serve_http(app: Starlette, listener: socket.socket, *, ready: Callable[[int], None]) -> None:
    """Serve until SIGINT or SIGTERM; `ready` gets the port once connections are answered."""
    import uvicorn

    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises the signal again once it has shut down
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=2))
    ready(listener.getsockname()[1])
    server.run(sockets=[listener])


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)
