"""What stands behind the tools of one server: its project, the job runner, and one open store per project."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from aqe.server.mcp.answers import allowed, go_through, outlet
from aqe.server.mcp.engines import Engines
from aqe.server.mcp.projects import project_of_call
from aqe.server.mcp.summaries import agent_of, sources_of

if TYPE_CHECKING:
    from aqe.agents.jobs import JobRunner
    from aqe.server.mcp.desk import Desk

ANSWER_S = 40.0
IDLE_S = 600.0
LAST_REPORT = "aqe://reports/last"
T = TypeVar("T")


class Service:
    """Opened with the server and closed with it; everything heavy is imported at the first call that needs it."""

    def __init__(
        self, project: str | None = None, *, runner: JobRunner | None = None, answer_s: float = ANSWER_S
    ) -> None:
        self.answer_s = answer_s
        self.engines = Engines()
        self._served = project
        self._known: Path | None = None
        self._lock = threading.Lock()
        self._desks: dict[Path, Desk] = {}
        self._runner: JobRunner | None = runner
        self._waiters: Counter[str] = Counter()
        self._last: tuple[Path, dict[str, Any]] | None = None

    async def project(self, given: str | None, context: Any) -> Path:
        """The project that a call means, through whose privacy guard its answer goes; raises `UserError` where none
        can be told."""
        if given is None and self._known is not None:
            found = self._known
        else:
            found = await project_of_call(given, self._served, context)
        if given is None and self._served is not None:
            self._known = found
        desk = self.desk(found)
        guard = desk.known_guard()
        go_through(await in_thread(desk.guard) if guard is None else guard)
        return found

    def desk(self, project: Path) -> Desk:
        """The open store of a project; those that idled for ten minutes are closed on the way."""
        now = time.monotonic()
        with self._lock:
            idle = [path for path, desk in self._desks.items() if path != project and now - desk.used > IDLE_S]
            if idle:  # on the side: closing waits for what still runs there
                closing = [self._desks.pop(path) for path in idle]
                threading.Thread(target=_close_all, args=(closing,), daemon=True).start()
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

    @contextlib.contextmanager
    def waiting(self, job_id: str) -> Iterator[Callable[[], bool]]:
        """Count a call that waits for a job; yields whether others wait for it too."""
        with self._lock:
            self._waiters[job_id] += 1
        try:
            yield lambda: self._waiters[job_id] > 1
        finally:
            with self._lock:
                self._waiters[job_id] -= 1
                if not self._waiters[job_id]:
                    del self._waiters[job_id]

    def reported(self, project: Path, report: dict[str, Any]) -> None:
        """Keep the last report; in memory, since with an encryption key set no file holds it."""
        self._last = project, report

    async def last_report(self) -> str:
        """The JSON of the last report of this server, else of its project; raises `UserError` (no-result).

        It is what the project's privacy guard lets a client have, and stands in the audit log.
        """
        return await in_thread(self._read_last_report)

    def _read_last_report(self) -> str:
        from aqe.agents.registry import AGENTS
        from aqe.engine.project import find_project
        from aqe.engine.results import json_text, read_result, result_path

        if self._last is not None:
            project, report = self._last
        else:
            project = find_project(explicit=self._served)
            verbs = [agent.verb for agent in AGENTS.values() if agent.tool]
            paths = {verb: result_path(project, verb) for verb in verbs}
            made = {command: path.stat().st_mtime_ns for command, path in paths.items() if path.is_file()}
            report = read_result(project, max(made, key=lambda command: made[command], default="generate"))
        go_through(self.desk(project).guard())
        text = json_text(allowed(report, paths=sources_of(agent_of(report), report)))
        way = outlet()
        if way is not None:
            way.payload = text
            way.log("mcp", LAST_REPORT)
        return text

    def close(self) -> None:
        """Kill what runs and close what is open."""
        with self._lock:
            runner, self._runner = self._runner, None
            desks, self._desks = list(self._desks.values()), {}
        if runner is not None:
            runner.close()
        self.engines.close()
        for desk in desks:
            desk.close()


def _close_all(desks: list[Desk]) -> None:
    for desk in desks:
        desk.close()


async def in_thread(work: Callable[[], T]) -> T:
    """Run file and database work off the event loop; a cancelled call waits for the few milliseconds it takes."""
    return await anyio.to_thread.run_sync(work)
