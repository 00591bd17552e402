"""What `--aqe-quarantine` does: tests listed in aqe-quarantine.toml run, but their failure does not fail the session.

Each is shown in the summary with its reason. An entry that has expired counts again, and the summary says so.
"""

import datetime
import os
from typing import Any, Dict, List, Optional

import pytest

from .quarantine_file import FILE, Entry, Unreadable, read_entries
from .recording import first_line

LISTED = 50


class Quarantine:
    """Hooks of one pytest process; with xdist the workers mark the reports and the controller shows them."""

    def __init__(self, config: Any, today: Optional[datetime.date] = None) -> None:
        self.config = config
        self.today = today or datetime.date.today()
        path = os.path.join(str(config.rootpath), FILE)
        self.found = os.path.exists(path)
        self.entries: Dict[str, Entry] = {}
        if self.found:
            try:
                with open(path, encoding="utf-8-sig") as file:
                    self.entries = {entry.id: entry for entry in read_entries(file.read())}
            except (OSError, UnicodeDecodeError, Unreadable) as error:
                raise pytest.UsageError("%s cannot be read: %s" % (FILE, error)) from None
        self.failures: Dict[str, str] = {}
        self.passes: List[str] = []
        self.expired: List[str] = []

    def entry_of(self, nodeid: str) -> Optional[Entry]:
        """The entry that names this test, or the function of which it is one case."""
        return self.entries.get(nodeid) or self.entries.get(nodeid.partition("[")[0])

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        outcome = yield
        entry = self.entry_of(item.nodeid)
        report = outcome.get_result()
        if entry is not None and report.failed and entry.holds(self.today):
            report.aqe_quarantined = entry.reason or "in quarantine"
            report.wasxfail = "quarantined: " + report.aqe_quarantined  # pytest then does not count it as a failure

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> Any:
        if getattr(report, "aqe_quarantined", None) and report.failed:
            return "quarantined", "q", ("QUARANTINED", {"yellow": True})
        return None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if getattr(report, "aqe_quarantined", None) and report.failed:
            self.failures.setdefault(report.nodeid, first_line(report))
            return
        entry = self.entry_of(report.nodeid) if report.when == "call" else None
        if entry is not None and not entry.holds(self.today):
            self.expired.append(report.nodeid)
        elif entry is not None and report.passed:
            self.passes.append(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if hasattr(self.config, "workerinput"):
            return
        if not self.found:
            terminalreporter.write_line("aqe: there is no %s in %s" % (FILE, self.config.rootpath), yellow=True)
            return
        if self.failures or self.passes or self.expired:
            terminalreporter.section("aqe quarantine", yellow=True)
        for nodeid, message in list(self.failures.items())[:LISTED]:
            entry = self.entry_of(nodeid)
            reason = entry.reason if entry is not None else ""
            terminalreporter.write_line("quarantined, failed: %s (%s): %s" % (nodeid, reason, message))
        for nodeid in self.passes[:LISTED]:
            if nodeid not in self.failures:
                terminalreporter.write_line("quarantined, passed: %s" % nodeid)
        for nodeid in self.expired[:LISTED]:
            terminalreporter.write_line("quarantine expired, counts again: %s" % nodeid, yellow=True)
