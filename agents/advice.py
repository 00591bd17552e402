"""What memory says of one thing in a report, apart from what was executed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """`about` is a test's node id, a file or a finding's id; `source` is the memory's namespace and id."""

    about: str
    text: str
    source: str


def advice_lines(advice: tuple[Advice, ...]) -> list[str]:
    """The advice for a terminal, a heading first; nothing without any."""
    if not advice:
        return []
    return ["", "From memory", *(f"  {one.about}: {one.text} [{one.source}]" for one in advice)]
