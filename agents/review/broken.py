"""Tests that a change breaks: they pass on the base and fail on the head.

What failed in the head's run is run on the base, then on the head once more, in the suite profile. A test that fails on
the base too, that passes the second time, or that is known to be flaky (quarantined, or found so by the hunter) is left
out: its failure says nothing of the change.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aqe.agents.changes import definitions
from aqe.agents.execute import WITH_SIDE, Lines, TestFailure, suite_environ
from aqe.agents.flaky.quarantine import read_quarantine
from aqe.agents.gate.interpreter import side_folder
from aqe.agents.gate.suite import run_suite
from aqe.agents.review.finding import Finding, fingerprint
from aqe.agents.review.sides import Sides
from aqe.agents.review.sources import Source, parse
from aqe.engine.errors import AqeError, Cancelled
from aqe.engine.memory.opening import has_store, open_store
from aqe.engine.scratch import scratch_folder

RULE = "test-breaks"
CONFIDENCE = 0.99
MOST = 50
LEAST_S = 3.0
FLAKY = "agents/flaky"
_RED = frozenset({"failed", "error", "crashed"})
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Broken:
    """The findings, and whether the time ended before all failures were tried on both versions."""

    found: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    partial: bool = False


def find_broken(failures: Sequence[TestFailure], heads: Sequence[Source], sides: Sides) -> Broken:
    """The failures of the head's run that the base does not have. A suite that cannot run is a note.

    Raises `Cancelled`.
    """
    known = known_flaky(sides.head) if failures else frozenset()
    failed = [one for one in failures if not {one.nodeid, one.nodeid.partition("[")[0]} & known]
    if not failed:
        return Broken()
    base = sides.base()
    asked = {one.nodeid: _node(one.nodeid, base) for one in failed}
    there = [one for one in failed if asked[one.nodeid]][:MOST]
    if not there:
        return Broken()
    try:
        before = _outcomes(sides, base, [asked[one.nodeid] for one in there])
        passed = [one for one in there if before.get(one.nodeid) == "passed"]
        again = _outcomes(sides, sides.head, [_unbound(one.nodeid) for one in passed]) if passed else {}
    except Cancelled:
        raise
    except AqeError as error:
        return Broken(notes=(f"The tests that fail could not be run on the version before: {error.message}",))
    if before == {} or (passed and again == {}):
        text = "No time was left to run the tests that fail on the version before."
        return Broken(notes=(text,), partial=True)
    touched = {one.path: one for one in heads}
    return Broken(tuple(_finding(one, touched) for one in passed if again.get(one.nodeid) in _RED))


def known_flaky(project: Path) -> frozenset[str]:
    """The node ids of tests that are quarantined today, or that the hunter's memory calls flaky."""
    found: set[str] = set()
    with contextlib.suppress(AqeError):
        today = datetime.datetime.now(datetime.UTC).date()
        found |= {one.id for one in read_quarantine(project) if not one.has_expired(today)}
    with contextlib.suppress(AqeError):
        if has_store(project):
            with open_store(project) as store:
                kept = store.list(namespace=FLAKY, limit=10_000)
            found |= {str(one.metadata.get("test")) for one in kept if one.metadata.get("state") == "flaky"}
    return frozenset(found)


def _node(nodeid: str, base: Path) -> str:
    """What to name to pytest on the base, so that it knows it: the function, of an inherited test the class; "" where
    the base has no such test."""
    path, _, inside = nodeid.partition("::")
    names = inside.partition("[")[0].split("::")
    try:
        text = (base / path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
    have = {one.qualname for one in definitions(text)} if path.endswith(".py") and parse(text) is not None else set()
    if ".".join(names) in have:
        return "::".join((path, *names))
    return "::".join((path, *names[:-1])) if len(names) > 1 and ".".join(names[:-1]) in have else ""


def _unbound(nodeid: str) -> str:
    """A node id without its parameters: their names may hold what a command line cannot."""
    return nodeid.partition("[")[0]


def _outcomes(sides: Sides, folder: Path, nodes: Sequence[str]) -> dict[str, str]:
    """The outcome of each test by its id; empty where the time did not suffice."""
    left = sides.deadline - time.monotonic()
    if left < LEAST_S:
        return {}
    with scratch_folder("broken") as scratch:
        answer = scratch / "tests.json"
        side = side_folder(sides.interpreter, sides.head)
        is_plain = side is None or sides.interpreter.has_pytest
        start = ["-m", "pytest"] if is_plain else ["-c", WITH_SIDE.format(side=side)]
        plugin = ["-p", "_aqe_inject.plugin", f"--aqe-report={answer}"]
        run_suite(
            [sides.interpreter.executable, *start, *plugin, *dict.fromkeys(nodes)],
            folder,
            environ=_environ(sides, folder),
            wall_s=left,
            keep=(answer.parent,),
            on_output=Lines(sides.progress),
            cancel=sides.cancel,
        )
        sides.cancel.check()
        try:
            told = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
    return {test["nodeid"]: test["outcome"] for test in told.get("tests", [])}


def _environ(sides: Sides, folder: Path) -> dict[str, str]:
    """The user's environment; a tree that is not installed comes before what is."""
    environ = suite_environ(folder)
    if folder != sides.head or sides.import_from_head:
        inject, _, rest = environ["PYTHONPATH"].partition(os.pathsep)
        own = [str(one) for one in (folder / "src", folder) if one.is_dir()]
        environ["PYTHONPATH"] = os.pathsep.join([inject, *own, *([rest] if rest else [])])
    return environ


def _finding(one: TestFailure, touched: Mapping[str, Source]) -> Finding:
    path, _, inside = one.nodeid.partition("::")
    source = touched.get(path)
    line = max(1, one.line)
    name = inside.partition("[")[0].replace("::", ".")
    known = next((found for found in source.definitions if found.qualname == name), None) if source else None
    is_touched = (
        known is not None
        and source is not None
        and any(known.first_line <= number <= known.last_line for number in source.touched)
    )
    return Finding(
        id=fingerprint(RULE, one.nodeid, _ADDRESS.sub("", one.message)),
        rule=RULE,
        severity="error",
        confidence=CONFIDENCE,
        path=path,
        line=line,
        end_line=line,
        name=name,
        message=f"{one.nodeid} passed before the change and fails now.",
        evidence=(
            one.message,
            "it passed on the version before, and failed twice on the changed one",
            "the change touched this test too" if is_touched else "the change did not touch this test",
        ),
    )
