"""A provider whose answers are written down beforehand, for tests: no setting selects it, only Python code does."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from aqe.engine.providers.protocol import (
    Completion,
    CompletionRequest,
    Health,
    Price,
    ProviderFailure,
    Usage,
    estimated_tokens,
)

Step = str | ProviderFailure | Callable[[CompletionRequest], str]
"""One answer: a text, a failure to raise, or a function of the request."""


@dataclass
class Scripted:
    """Gives `steps` one after the other and then the last one for ever; `asked` keeps every request with its model.

    `delay_s` passes before each answer. A stream gives the answer word by word. A vector is made of the text's bytes,
    so equal texts have equal vectors.
    """

    steps: Sequence[Step]
    name: str = "scripted"
    models: tuple[str, ...] = ("script",)
    local: bool = True
    delay_s: float = 0.0
    known_price: Price | None = None
    kind: str = "scripted"
    asked: list[tuple[CompletionRequest, str]] = field(default_factory=list)
    closed: bool = False

    async def complete(self, request: CompletionRequest, model: str) -> Completion:
        """The next step."""
        text = await self._next(request, model)
        usage = Usage(sum(estimated_tokens(message.content) for message in request.messages), estimated_tokens(text))
        return Completion(text, model, self.name, usage, "stop", 1000 * self.delay_s)

    async def stream(self, request: CompletionRequest, model: str) -> AsyncIterator[str]:
        """The next step word by word."""
        text = await self._next(request, model)
        for place, word in enumerate(text.split(" ")):
            yield word if place == 0 else f" {word}"

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """Eight numbers for each text."""
        return [[((zlib.crc32(f"{n}{text}".encode()) % 2001) - 1000) / 1000 for n in range(8)] for text in texts]

    async def health(self) -> Health:
        """Well, unless the next step is a failure."""
        step = self.steps[min(len(self.asked), len(self.steps) - 1)]
        if isinstance(step, ProviderFailure):
            return Health(False, 0.0, message=step.message)
        return Health(True, 0.0, models=self.models)

    def price(self, model: str) -> Price | None:
        """`known_price`, and nothing where local and none was given."""
        return self.known_price or (Price(0.0, 0.0, "this machine") if self.local else None)

    async def close(self) -> None:
        """Remember it."""
        self.closed = True

    async def _next(self, request: CompletionRequest, model: str) -> str:
        self.asked.append((request, model))
        step = self.steps[min(len(self.asked), len(self.steps)) - 1]
        if self.delay_s:
            await anyio.sleep(self.delay_s)
        if isinstance(step, ProviderFailure):
            raise step
        return step if isinstance(step, str) else step(request)
