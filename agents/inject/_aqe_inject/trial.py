"""What the trial box runs: does the wall hold, seen from inside?"""

from __future__ import annotations

import os
import socket
from typing import Any, Callable, Dict


def look_around(args: Dict[str, Any], emit: Callable[[Any], None]) -> Dict[str, Any]:
    """Try to write where nothing may be written, to reach the network and to see the host's processes."""
    return {
        "wrote": _can_write(args["outside"]),
        "read": _can_read(args["secret"]),
        "connected": _can_connect(args["port"]),
        "pid": os.getpid(),
        "scratch": _can_write(os.path.join(os.environ["TMPDIR"], "trial")),
    }


def _can_write(path: str) -> bool:
    try:
        with open(path, "a"):
            return True
    except OSError:
        return False


def _can_read(path: str) -> bool:
    try:
        with open(path):
            return True
    except OSError:
        return False


def _can_connect(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
