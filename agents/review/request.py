"""What to review, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["changes", "tests"]

DEFAULT_BUDGET_S = 20.0


@dataclass(frozen=True)
class ReviewRequest:
    """A review of a change (`scope="changes"`) or an audit of the whole test suite (`scope="tests"`).

    `since` is a git reference to compare the working tree with (HEAD when None); `base` and `head` are two folders
    instead, for which no git is needed. `message` is the change's description, for the reviewer to hold it against
    what was executed; None takes the messages of the commits. `budget_s` is wall time in seconds. `bandit` adds
    bandit's findings. `paths` narrows an audit to these files and folders (all of the suite when empty).
    """

    project: str
    since: str | None = None
    base: str | None = None
    head: str | None = None
    message: str | None = None
    budget_s: float = DEFAULT_BUDGET_S
    scope: Scope = "changes"
    seed: int = 0
    python: str | None = None
    bandit: bool = False
    cwd: str | None = None
    paths: tuple[str, ...] = ()
