"""The entry point that pytest finds where aqe is installed: the same plugin that `aqe execute` injects.

It imports nothing of aqe but the plugin's own module, because every test run of every user of aqe passes here.
"""

from aqe.agents.inject._aqe_inject.plugin import (
    pytest_addoption,
    pytest_configure,
    pytest_load_initial_conftests,
)

__all__ = ["pytest_addoption", "pytest_configure", "pytest_load_initial_conftests"]
