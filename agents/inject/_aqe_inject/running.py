"""Run one collected pytest item and say how it ended, without the reports that nobody reads.

The hooks for set-up, call and teardown run as in a session, with the wrappers that give them their meaning (skips,
captured output, fixtures, unraisable errors). Left out are the report objects, their terminal lines and the traceback
of a failure. Where a report carries the meaning itself (expected failures, unittest, warnings turned into errors, item
types and hooks of plugins and conftests), the whole protocol of pytest runs.
"""

from __future__ import annotations

import time
from typing import Any, Optional, Tuple

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_perf_counter = time.perf_counter
_OWN_HOOKS = ("_pytest.", "_aqe_inject.")


def run_item(item: Any, following: Optional[Any]) -> Tuple[str, float]:
    """Outcome ("passed", "failed", "skipped", "xfailed") and milliseconds of one item; `following` comes next."""
    started = _perf_counter()
    try:
        outcome = _short(item, following) if is_plain(item) else _whole(item, following)
    except BaseException:  # pytest.exit, KeyboardInterrupt: what a session would not survive
        outcome = FAILED
    return outcome, (_perf_counter() - started) * 1000.0


def is_plain(item: Any) -> bool:
    """Whether an exception of set-up, call or teardown is all that decides about the item."""
    import pytest

    known = getattr(item, "_aqe_is_plain", None)
    if known is None:
        marked = any(item.get_closest_marker(name) is not None for name in ("xfail", "filterwarnings"))
        # the fixture tmp_path reads the reports of its test
        known = type(item) is pytest.Function and not marked and "tmp_path" not in item.fixturenames
        known = known and not _filters_warnings(item.config) and not _has_other_hooks(item)
        item._aqe_is_plain = known
    return bool(known)


def _has_other_hooks(item: Any) -> bool:
    """Whether a conftest or a plugin takes part in running or reporting items."""
    hooks = (item.ihook.pytest_runtest_protocol, item.ihook.pytest_runtest_makereport)
    places = [getattr(impl.function, "__module__", "") or "" for hook in hooks for impl in hook.get_hookimpls()]
    return not all(place.startswith(_OWN_HOOKS) for place in places)


def _filters_warnings(config: Any) -> bool:
    try:
        return bool(config.getini("filterwarnings")) or bool(config.getoption("pythonwarnings", None))
    except (KeyError, ValueError):
        return False


def _short(item: Any, following: Optional[Any]) -> str:
    hook = item.ihook
    if hasattr(item, "_request") and not item._request:
        item._initrequest()
    outcome = _step(hook.pytest_runtest_setup, item=item)
    if outcome == PASSED:
        outcome = _step(hook.pytest_runtest_call, item=item)
    ended = _step(hook.pytest_runtest_teardown, item=item, nextitem=following)
    if hasattr(item, "_request"):
        item._request = False
        item.funcargs = None
    return ended if ended != PASSED and outcome != FAILED else outcome


def _step(call: Any, **arguments: Any) -> str:
    from _pytest.outcomes import Skipped

    try:
        call(**arguments)
    except Skipped:
        return SKIPPED
    except BaseException:
        return FAILED
    return PASSED


class _Reports:
    """Keeps the worst outcome among the reports of one item."""

    def __init__(self) -> None:
        self.outcome = PASSED

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.outcome = FAILED
        elif report.skipped and self.outcome == PASSED:
            self.outcome = "xfailed" if hasattr(report, "wasxfail") else SKIPPED


def _whole(item: Any, following: Optional[Any]) -> str:
    reports = _Reports()
    manager = item.config.pluginmanager
    manager.register(reports)
    try:
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
    finally:
        manager.unregister(reports)
    return reports.outcome
