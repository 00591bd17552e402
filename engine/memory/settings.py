"""The settings of memory: what is kept, for how long, and in what form."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aqe.engine.table import Table


class MemorySettings(Table):
    """`[tool.aqe.memory]`: what is kept."""

    redact: bool = Field(
        default=False, description="true: secrets and personal data are taken out of a memory before it is written"
    )
    graph: bool = Field(
        default=False, description="true: what joins memories is kept up to date, and orders what a search finds"
    )
    recalled_minutes: float = Field(
        default=60, ge=0, le=1440, description="what was recalled this lately is not stored again; 0: it is"
    )
    half_life_days: float = Field(
        default=30, gt=0, le=36_500, description="after this time a recall of a memory counts half"
    )
    stale: Literal["mark", "lower", "hide"] = Field(
        default="lower", description="a memory whose file changed since is marked, ranked lower too, or not found"
    )
