"""The places that settings come from, each with its values and what to call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "AQE_"


@dataclass(frozen=True)
class Layer:
    """One place that settings come from: its name and the values by dotted key; `also` names the places of values
    that come from two, `ignored` has what the place says and what does not count."""

    origin: str
    values: Mapping[str, Any]
    also: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, Any] = field(default_factory=dict)

    def origin_of(self, key: str) -> str:
        """The place of one value, in the words the user would use to find it."""
        if key in self.also:
            return self.also[key]
        if self.origin == "environment":
            return variable(key)
        return f"--{key.replace('_', '-')}" if self.origin == "flag" else self.origin


def variable(key: str) -> str:
    """The environment variable of a key.

    >>> variable("sandbox.memory_mb")
    'AQE_SANDBOX_MEMORY_MB'
    """
    return PREFIX + key.replace(".", "_").upper()
