"""Flips of the present code that earlier runs of the suite already showed, from the outcomes that the store keeps.

Outcomes count where they carry the present commit and the present digest of the Python files that a run had loaded
(`code` in what the plugin records): without the digest somebody may have mended the test in between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aqe.agents.flaky.runs import GREEN, RED
from aqe.engine.errors import AqeError
from aqe.engine.memory.opening import has_store, open_store, whereabouts

NEWEST = 200_000


@dataclass(frozen=True)
class Past:
    """How often a test passed and failed in earlier runs of the present code, where it did both."""

    passed: int
    failed: int


def read_flips(project: Path, code: str) -> tuple[dict[str, Past], str]:
    """The tests that flipped in recorded runs of the present commit and `code`; why they could not be read, or ""."""
    if not code:
        return {}, ""
    try:
        if not has_store(project):
            return {}, ""
        with open_store(project) as store, store.reading() as connection:
            rows = connection.execute(
                "SELECT nodeid, outcome, facts FROM test_runs WHERE coalesce(\"commit\", '') = ?"
                " ORDER BY row DESC LIMIT ?",
                (whereabouts(project).commit, NEWEST),
            )
            return flips(((str(nodeid), str(outcome), str(facts)) for nodeid, outcome, facts in rows), code), ""
    except AqeError as error:
        return {}, f"earlier runs could not be read: {error.message}"


def flips(rows: Iterable[tuple[str, str, str]], code: str) -> dict[str, Past]:
    """The flips among rows of node id, outcome and facts (JSON) that carry this code.

    >>> flips([("t", "passed", '{"code": "a"}'), ("t", "failed", '{"code": "a"}'), ("u", "failed", "{}")], "a")
    {'t': Past(passed=1, failed=1)}
    """
    counts: dict[str, list[int]] = {}
    for nodeid, outcome, facts in rows:
        if (outcome in RED or outcome in GREEN) and json.loads(facts or "{}").get("code") == code:
            counts.setdefault(nodeid, [0, 0])[outcome in RED] += 1
    return {nodeid: Past(passed, failed) for nodeid, (passed, failed) in counts.items() if passed and failed}
