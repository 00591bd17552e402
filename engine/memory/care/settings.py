"""`[tool.aqe.care]`: how much is kept to go back to."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CareSettings(BaseModel):
    """`[tool.aqe.care]`: what is kept to go back to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    snapshots: int = Field(
        default=20, ge=1, le=1000, description="snapshots kept; beyond it the oldest go, aqe's own ones first"
    )
    copies: int = Field(
        default=3, ge=1, le=1000, description="files kept in .aqe/backups before what they hold is replaced"
    )
    copies_mb: int = Field(
        default=512, ge=1, le=1_048_576, description="the most that those files may take, in MB; the newest stays"
    )
