"""What every table of settings is: its values are fixed once read, and a key that nobody reads is refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """One `[tool.aqe.NAME]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
