"""Arguments that mean the same in several tools, and what every tool of a job answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

Project = Annotated[str | None, Field(description="its folder, if not the server's own")]
JobId = Annotated[str | None, Field(description="go on with this job")]
Offset = Annotated[int, Field(ge=0, description="where a long detail goes on")]
Python = Annotated[str | None, Field(description="the project's interpreter")]
Since = Annotated[str | None, Field(description="git base; else the working tree against HEAD")]
Tokens = Annotated[int | None, Field(ge=200, le=100_000, description="the longest answer, in tokens; else 2000")]
Budget = Annotated[float | None, Field(gt=0, le=1800, description="seconds in all")]


class JobAnswer(BaseModel):
    """What the job tools answer."""

    state: str
    job_id: str
    summary: str
    figures: dict[str, float]
    hints: list[str]
    report: str
    next_offset: int | None = None
