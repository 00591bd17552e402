"""The published figures as data: `data/published.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

Unit = Literal["us", "ms", "MB", "per_s"]


@dataclass(frozen=True)
class Source:
    """Where a figure is published, and the machine that it names."""

    id: str
    name: str
    url: str
    machine: str


@dataclass(frozen=True)
class Claim:
    """One published row. `published` is the figure as it is printed, `value` with `unit` where it is one number.

    `measure` names ours ("" where there is none), `note` says what ours does, `why` why no ratio is given.
    """

    group: str
    what: str
    source: str
    published: str
    value: float | None = None
    unit: Unit | None = None
    measure: str = ""
    note: str = ""
    why: str = ""


def read_claims() -> tuple[tuple[Source, ...], tuple[Claim, ...]]:
    """The sources and the rows, in the order of the file."""
    data = (files("aqe.server.benchmark") / "data" / "published.toml").read_text(encoding="utf-8")
    found = tomllib.loads(data)
    sources = tuple(Source(id, **source) for id, source in found["sources"].items())
    return sources, tuple(Claim(**row) for row in found["rows"])
