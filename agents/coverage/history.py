"""Which functions were changed of late: distinct commits on their lines, by git's blame."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aqe.agents.changes.git import ask_git
from aqe.engine.errors import UserError

RECENT_DAYS = 182
MOST_FILES = 200
WALL_S = 10.0
LEAST_S = 0.1
_LOG = ("--no-show-signature", "--format=", "--name-only", "-z", "--no-ext-diff", "--no-textconv")
_DIFF = ("--name-only", "-z", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty")
_HEADER = re.compile(rb"([0-9a-f]{40,64}) \d+ (\d+)(?: \d+)?$")


@dataclass(frozen=True)
class History:
    """For each file that was looked at the commit of each line that is recent.

    `changed` are all files that a recent commit touched, or that differ from the last one; `known` is False where git
    could not be asked or did not answer in time, and `left_out` counts wanted files for which there was no time.
    """

    recent: Mapping[str, Mapping[int, str]]
    known: bool
    changed: frozenset[str] = frozenset()
    left_out: int = 0

    def commits(self, path: str, lines: Container[int]) -> int | None:
        """How many recent commits left one of `lines`; what is not committed yet counts as one. None: not known."""
        if not self.known or (path in self.changed and path not in self.recent):
            return None
        return len({commit for line, commit in self.recent.get(path, {}).items() if line in lines})


def read_history(project: Path, paths: Iterable[str], now: float) -> History:
    """The recent commits on the lines of `paths`: those of the last 182 days before `now` (seconds since 1970).

    All of it takes about ten seconds at most. No program that the repository's configuration names is started.
    """
    since = int(now - RECENT_DAYS * 86400)
    ends = time.monotonic() + WALL_S
    try:
        said = _ask(project, ends, "log", *_LOG, f"--since={since}", "--relative", "--", ".")
        changed = _ask(project, ends, "diff", *_DIFF, "--relative", "HEAD", "--", ".", fails=False)
    except UserError:
        return History({}, False)
    counts = Counter(name.decode("utf-8", "replace").strip() for name in (said or b"").split(b"\0"))
    counts.update(name.decode("utf-8", "replace") for name in (changed or b"").split(b"\0"))
    wanted = sorted((path for path in set(paths) if counts[path]), key=lambda path: (-counts[path], path))
    recent: dict[str, Mapping[int, str]] = {}
    for path in wanted[:MOST_FILES]:
        if time.monotonic() > ends:
            break
        try:
            blamed = _ask(project, ends, "blame", "--porcelain", "--no-textconv", "-w", "--", path, fails=False)
        except UserError:  # it took too long: the others may not
            continue
        recent[path] = read_blame(blamed or b"", since)
    return History(recent, True, frozenset(counts), len(wanted) - len(recent))


def _ask(project: Path, ends: float, *words: str, fails: bool = True) -> bytes | None:
    """What git says by `ends`, a reading of `time.monotonic`."""
    return ask_git(project, *words, fails=fails, wall_s=max(LEAST_S, ends - time.monotonic()))


def read_blame(said: bytes, since: int) -> dict[int, str]:
    """The commit of each line (1-based) whose committer's time is not before `since`, from `git blame --porcelain`."""
    commits: dict[int, str] = {}
    times: dict[str, int] = {}
    commit = ""
    for row in said.split(b"\n"):
        match = _HEADER.match(row)
        if match:
            commit = match[1].decode()
            commits[int(match[2])] = commit
        elif row.startswith(b"committer-time "):
            times[commit] = int(row.split()[1])
    return {line: name for line, name in commits.items() if times.get(name, 0) >= since}
