"""What is seen in source texts without running them: ruff's rules, bandit's where asked for, and smells of tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from aqe.agents.review import rules
from aqe.agents.review.brought import Placed, Sighting, place
from aqe.agents.review.finding import Severity
from aqe.agents.review.smells import find_smells
from aqe.agents.review.sources import Source
from aqe.engine.extras import missing_extra
from aqe.engine.progress import CancelToken
from aqe.engine.scratch import scratch_folder

NO_RUFF = "ruff was not found, so its rules were left out. Install it: pip install ruff"
_LEVELS: dict[str, Severity] = {"HIGH": "error", "MEDIUM": "warning", "LOW": "note"}
_CONFIDENCE = {"HIGH": 0.8, "MEDIUM": 0.6, "LOW": 0.4}


@dataclass
class Looked:
    """For each group of sources its findings; `notes` say what was left out, `tools` which versions looked, `files` how
    many files were looked at. `is_whole`: nothing was left out for want of time."""

    placed: list[list[Placed]]
    notes: list[str] = field(default_factory=list)
    tools: dict[str, str] = field(default_factory=dict)
    is_whole: bool = True
    files: int = 0


def look(
    groups: Sequence[Sequence[Source]],
    *,
    bandit: bool = False,
    wall_s: float = 60.0,
    deadline: float = float("inf"),
    now: Callable[[], float] = time.monotonic,
    cancel: CancelToken | None = None,
) -> Looked:
    """Look at all groups with one process of each tool, which is left out where it takes longer than `wall_s` seconds.

    A file is looked at in all groups or in none: when `deadline` (a reading of `now`) has passed the rest is left out,
    and `is_whole` is False. Raises `UserError` (missing-extra) for bandit, and `Cancelled`.
    """
    if bandit and _bandit_command() is None:
        raise missing_extra("--bandit", extra="bandit")
    found = Looked(placed=[[] for _ in groups])
    everything = [source for group in groups for source in group]
    tools = [_ruff(everything, found, wall_s), _bandit(everything, found, wall_s) if bandit else []]
    by_path: dict[str, list[tuple[int, int]]] = defaultdict(list)
    numbers = count()
    for group, sources in enumerate(groups):
        for source in sources:
            by_path[source.path].append((group, next(numbers)))
    for places in by_path.values():
        if cancel is not None:
            cancel.check()
        if now() > deadline:
            found.is_whole = False
            break
        for group, number in places:
            seen = find_smells(everything[number]) + [one for said in tools if said for one in said[number]]
            found.placed[group] += place(everything[number], seen)
        found.files += 1
    return found


def _ruff(sources: Sequence[Source], found: Looked, wall_s: float) -> list[list[Sighting]]:
    ruff = rules.find_ruff()
    if ruff is None:
        found.notes.append(NO_RUFF)
        return []
    try:
        said = rules.check(ruff, sources, wall_s=wall_s)
        found.tools["ruff"] = rules.version_of(ruff)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        is_late = isinstance(error, subprocess.TimeoutExpired)
        found.is_whole = found.is_whole and not is_late
        why = "it gave no answer in time" if is_late else str(error)
        found.notes.append(f"ruff's rules were left out: {why.splitlines()[0] if why else 'it failed'}.")
        return []
    return said


def _bandit_command() -> list[str] | None:
    """How bandit is started: aqe's own, else the one on PATH."""
    if find_spec("bandit") is not None:
        return [sys.executable, "-m", "bandit"]
    found = shutil.which("bandit")
    return [found] if found is not None else None


def _bandit(sources: Sequence[Source], found: Looked, wall_s: float) -> list[list[Sighting]]:
    """bandit's findings, by test id, in one process."""
    seen: list[list[Sighting]] = [[] for _ in sources]
    with scratch_folder("bandit") as folder:
        for number, source in enumerate(sources):
            if not source.is_test:
                (folder / f"{number}.py").write_bytes(source.text.encode("utf-8", "surrogatepass"))
        command = [*(_bandit_command() or ()), "-q", "-r", str(folder), "-f", "json", "--exit-zero"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=wall_s, check=False, cwd=folder
            )
            rows = json.loads(done.stdout)["results"]
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            found.is_whole = found.is_whole and not isinstance(error, subprocess.TimeoutExpired)
            found.notes.append(f"bandit gave no answer: {type(error).__name__}.")
            return []
        for row in rows:
            number = int(Path(row["filename"]).stem)
            lines = (int(row["line_number"]), int(max(row["line_range"])))
            severity, confidence = (
                _LEVELS.get(row["issue_severity"], "note"),
                _CONFIDENCE.get(row["issue_confidence"], 0.4),
            )
            sighting = Sighting(row["test_id"], severity, confidence, lines, str(row["issue_text"]), tool="bandit")
            seen[number].append(sighting)
    return seen
