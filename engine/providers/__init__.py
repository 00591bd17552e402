"""Where text comes from: the provider protocol and the providers behind it, each loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.providers.configured import open_providers
    from aqe.engine.providers.protocol import (
        Completion,
        CompletionRequest,
        Health,
        Message,
        Price,
        Provider,
        ProviderFailure,
        Usage,
    )

_HOMES = {
    "Completion": "protocol",
    "CompletionRequest": "protocol",
    "Health": "protocol",
    "Message": "protocol",
    "Price": "protocol",
    "Provider": "protocol",
    "ProviderFailure": "protocol",
    "Usage": "protocol",
    "open_providers": "configured",
}

__all__ = [
    "Completion",
    "CompletionRequest",
    "Health",
    "Message",
    "Price",
    "Provider",
    "ProviderFailure",
    "Usage",
    "open_providers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
