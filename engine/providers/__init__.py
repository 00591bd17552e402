"""Where text comes from: the provider protocol and the providers behind it, each loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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
        StreamEnd,
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
    "StreamEnd": "protocol",
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
    "StreamEnd",
    "Usage",
    "open_providers",
]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
