"""Micro-batches: what arrives within a short time of each other is done together, a few at a time."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

T = TypeVar("T")


async def in_batches(
    source: Iterable[T] | AsyncIterable[T],
    handle: Callable[[list[T]], Awaitable[None]],
    *,
    size: int,
    window_s: float,
) -> None:
    """Hand the items of `source` to `handle`, in order, in groups of at most `size`.

    An item that arrived waits at most `window_s` for others; a source that has everything at once never waits. An async
    source is read by a task of its own, as far ahead as one group.
    """
    if not isinstance(source, AsyncIterable):
        items = list(source)
        for start in range(0, len(items), size):
            await handle(items[start : start + size])
        return
    send, receive = anyio.create_memory_object_stream[T](size)

    async def read() -> None:
        async with send:
            async for item in source:
                await send.send(item)

    async with anyio.create_task_group() as tasks, receive:
        tasks.start_soon(read)
        async for first in receive:
            group = [first]
            with anyio.move_on_after(window_s):
                while len(group) < size:
                    try:
                        group.append(await receive.receive())
                    except anyio.EndOfStream:
                        break
            await handle(group)
