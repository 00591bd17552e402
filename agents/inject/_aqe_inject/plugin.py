"""The pytest plugin: `--aqe` records each test's outcome, duration, order and environment in the project's spool.

Without `--aqe` this module adds two options and nothing else: the recorder lives in `recording` and is imported only
when it is asked for. The module may be present twice (as `_aqe_inject.plugin`, injected, and as the entry point
`aqe.agents.plugin`); whichever comes second finds the marks of the first and does nothing. A copy named by `-p`
keeps the entry point from being loaded at all.
"""

from typing import Any

_ENTRY_POINT = "aqe"
_OPTIONS = "aqe-options"
_RECORDER = "aqe-recorder"


def pytest_addoption(parser: Any, pluginmanager: Any) -> None:
    """Add `--aqe` and `--aqe-report`, unless the other copy of the plugin did."""
    if pluginmanager.has_plugin(_OPTIONS):
        return
    pluginmanager.register(_Mark(), _OPTIONS)
    if not pluginmanager.has_plugin(_ENTRY_POINT):
        pluginmanager.set_blocked(_ENTRY_POINT)
    group = parser.getgroup("aqe", "aqe, the quality engineer")
    group.addoption(
        "--aqe",
        action="store_true",
        default=False,
        help="record outcome, duration, order, seed and environment of each test in .aqe/spool",
    )
    group.addoption(
        "--aqe-report",
        metavar="FILE",
        default=None,
        help="also write the counts, failures and durations of this run to FILE as JSON",
    )


def pytest_configure(config: Any) -> None:
    """Register the recorder when `--aqe` or `--aqe-report` is given and no other copy did."""
    on = config.getoption("aqe", False) or config.getoption("aqe_report", None)
    if not on or config.pluginmanager.has_plugin(_RECORDER):
        return
    from .recording import Recorder

    config.pluginmanager.register(Recorder(config), _RECORDER)


class _Mark:
    """Stands in the plugin manager for "the options are there"."""
