"""What stands behind the tools of one server: its project, the job runner, and one open store per project."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from aqe.server.mcp.projects import project_of_call

if TYPE_CHECKING:
    from aqe.agents.jobs import JobRunner
    from aqe.server.mcp.desk import Desk

IDLE_S = 600.0
T = TypeVar("T")


class Service:
    """Opened with the server and closed with it; everything heavy is imported at the first call that needs it."""

    def __init__(self, project: str | None = None) -> None:
        self._served = project
        self._lock = threading.Lock()
        self._desks: dict[Path, Desk] = {}
        self._runner: JobRunner | None = None

    async def project(self, given: str | None, context: Any) -> Path:
        """The project that a call means; raises `UserError` where none can be told."""
        return await project_of_call(given, self._served, context)

    def desk(self, project: Path) -> Desk:
        """The open store of a project; those that idled for ten minutes are closed on the way."""
        now = time.monotonic()
        with self._lock:
            for idle in [path for path, desk in self._desks.items() if path != project and now - desk.used > IDLE_S]:
                self._desks.pop(idle).close()
            found = self._desks.get(project)
            if found is None:
                from aqe.server.mcp.desk import Desk

                found = self._desks[project] = Desk(project)
            found.used = now
            return found

    @property
    def runner(self) -> JobRunner:
        """What runs the agents' jobs, made at the first one."""
        with self._lock:
            if self._runner is None:
                from aqe.agents.jobs import JobRunner

                self._runner = JobRunner()
            return self._runner

    def close(self) -> None:
        """Kill what runs and close what is open."""
        with self._lock:
            runner, self._runner = self._runner, None
            desks, self._desks = list(self._desks.values()), {}
        if runner is not None:
            runner.close()
        for desk in desks:
            desk.close()


async def in_thread(work: Callable[[], T]) -> T:
    """Run file and database work off the event loop; a cancelled call waits for the few milliseconds it takes."""
    return await anyio.to_thread.run_sync(work)
