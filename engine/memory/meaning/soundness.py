"""Searches that meet a damaged file of codes, made again without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from aqe.engine.memory.meaning.codes import Codes

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class Searching(Protocol):
    """What searches by codes."""

    codes: Codes


Searcher = TypeVar("Searcher", bound=Searching)


def sound(
    search: Callable[Concatenate[Searcher, Given], Answer],
) -> Callable[Concatenate[Searcher, Given], Answer]:
    """The same search, begun anew when a file of codes turns out to be damaged: the vectors are then read from the
    database. Each time a file less is at hand, so that comes to an end."""

    @wraps(search)
    def again(self: Searcher, /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        while True:
            try:
                return search(self, *args, **kwargs)
            except ValueError:
                if not self.codes.spare_damaged():
                    raise

    return again
