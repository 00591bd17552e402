"""The demo's talk with the server: every call of a tool becomes a step with its arguments, its time and what came."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import Client

from aqe.engine.errors import AqeError
from aqe.engine.progress import Progress
from aqe.server.demo.client import call_tool, finish_job

Words = Callable[[Mapping[str, Any]], tuple[str, str]]
"""Says of an answer what came and what it rests on."""


@dataclass(frozen=True)
class Step:
    """One call of a tool: when it began and how long it took, in seconds since the demo began; what was asked, what
    came and what that rests on. With `failed`, `came` is the error."""

    stage: str
    tool: str
    subject: str
    arguments: Mapping[str, Any]
    start_s: float
    duration_s: float
    came: str
    evidence: str = ""
    failed: bool = False


class Session:
    """A client, the seconds since the demo began (`zero`, of the monotonic clock), and the steps so far."""

    def __init__(self, client: Client, progress: Progress, stages: int, zero: float) -> None:
        self._client = client
        self._progress = progress
        self._stages = stages
        self._stage, self._number = "", 0
        self._zero = zero
        self.steps: list[Step] = []

    def now(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._zero

    def begin(self, stage: str) -> None:
        """The next stage of the demo begins."""
        self._stage, self._number = stage, self._number + 1
        self.say("")

    def say(self, text: str) -> None:
        """Progress within the stage."""
        told = f"{self._stage}: {text}" if text else self._stage
        self._progress(told[:1].upper() + told[1:], self._number - 1, self._stages)

    def note(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        start_s: float,
        words: tuple[str, str],
        *,
        subject: str = "",
        failed: bool = False,
    ) -> None:
        """Keep a step that began at `start_s` and ends now."""
        took = round(self.now() - start_s, 2)
        self.steps.append(
            Step(self._stage, tool, subject, dict(arguments), round(start_s, 2), took, *words, failed=failed)
        )

    async def call(self, tool: str, arguments: dict[str, Any], words: Words) -> dict[str, Any]:
        """The answer of one call, kept as a step; raises `GateFailed` (demo-tool-failed) after noting that."""
        start = self.now()
        try:
            answer = await call_tool(self._client, tool, arguments)
        except AqeError as error:
            self.note(tool, arguments, start, (str(error), ""), failed=True)
            raise
        self.note(tool, arguments, start, words(answer))
        return answer

    async def job(self, tool: str, arguments: dict[str, Any], words: Words, *, subject: str = "") -> dict[str, Any]:
        """The whole report of a job, kept as a step; raises as `call` does."""
        start = self.now()
        about = f"{tool} {subject.rpartition('.')[2]}".strip()
        try:
            _, report = await finish_job(self._client, tool, arguments, lambda text: self.say(f"{about}: {text}"))
        except AqeError as error:
            self.note(tool, arguments, start, (str(error), ""), subject=subject, failed=True)
            raise
        self.note(tool, arguments, start, words(report), subject=subject)
        return report
