"""The configuration of assistants: which file says it, what aqe writes there, and the plugin for Claude Code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
