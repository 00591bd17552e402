"""An answer while it is being made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self

from aqe.engine.answer import Answer


class AnswerStream:
    """The pieces of an answer, read once with `async for`, as the provider makes them.

    `answer` is the whole answer once the last piece was read, and None before; a stream that is closed early leaves no
    answer and stores nothing. A context manager.
    """

    def __init__(self, pieces: AsyncGenerator[str | Answer, None]) -> None:
        self.answer: Answer | None = None
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        async for piece in self._pieces:
            if isinstance(piece, str):
                return piece
            self.answer = piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop reading and let go of the connection; closing twice is nothing."""
        await self._pieces.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
