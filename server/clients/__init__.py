"""The configuration of assistants: which file says it, what aqe writes there, and the plugin for Claude Code."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.server.clients.configs import CLIENTS, Client
    from aqe.server.clients.installing import Change, apply, plan_block, plan_server
    from aqe.server.clients.launching import own_command

_HOMES = {
    "CLIENTS": "configs",
    "Change": "installing",
    "Client": "configs",
    "apply": "installing",
    "own_command": "launching",
    "plan_block": "installing",
    "plan_server": "installing",
}

__all__ = ["CLIENTS", "Change", "Client", "apply", "own_command", "plan_block", "plan_server"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
