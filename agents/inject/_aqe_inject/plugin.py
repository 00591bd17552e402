"""The pytest plugin: `--aqe` records each test's outcome, duration, order and environment in the project's spool.

Beside recording it runs failed tests again (`--aqe-flaky`), forgives those in quarantine (`--aqe-quarantine`), records
which test runs which function (`--aqe-map`) and runs only what a change needs (`--aqe-select`, `--aqe-since`). The rest
(`--aqe-report`, `--aqe-hunt`, `--aqe-selection`) is for aqe's own commands. Where none is given, this module adds the
nine options and nothing else: what they do lives in other modules, each imported only when it is asked for.

The module may be present twice (as `_aqe_inject.plugin`, injected, and as the entry point `aqe.agents.plugin`);
whichever comes second finds the marks of the first and does nothing. A copy named by `-p` keeps the entry point from
being loaded at all.
"""

from typing import Any, List

_ENTRY_POINT = "aqe"
_OPTIONS = "aqe-options"
_RECORDER = "aqe-recorder"
_HUNTER = "aqe-hunter"
_QUARANTINE = "aqe-quarantine"
_RETRIER = "aqe-retrier"
_MAPPER = "aqe-mapper"
_SELECTOR = "aqe-selector"


def pytest_addoption(parser: Any, pluginmanager: Any) -> None:
    """Add the options, unless the other copy of the plugin did."""
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
    group.addoption(
        "--aqe-flaky",
        action="store_true",
        default=False,
        help="run each failed test again, alone in a fresh process, and say which are flaky; implies --aqe",
    )
    group.addoption(
        "--aqe-quarantine",
        action="store_true",
        default=False,
        help="failures of the tests listed in aqe-quarantine.toml are shown and do not fail the session",
    )
    group.addoption(
        "--aqe-hunt",
        metavar="FILE",
        default=None,
        help="run in the order and way that FILE says; made by `aqe flaky`",
    )
    group.addoption(
        "--aqe-map",
        action="store_true",
        default=False,
        help="record which test executes which function of the project, for --aqe-select and `aqe select`",
    )
    group.addoption(
        "--aqe-select",
        action="store_true",
        default=False,
        help="run only the tests that the change needs, most directly hit first",
    )
    group.addoption(
        "--aqe-since",
        metavar="REF",
        default=None,
        help="with --aqe-select: the change from this git revision on (else from HEAD)",
    )
    group.addoption(
        "--aqe-selection",
        metavar="FILE",
        default=None,
        help="run the tests that FILE lists, in its order and time; made by `aqe select --run`",
    )


def pytest_load_initial_conftests(early_config: Any, args: List[str]) -> None:
    """What comes before the first conftest: `--aqe-hunt` takes back what would hide a flip, `--aqe-map` begins."""
    if getattr(early_config.known_args_namespace, "aqe_hunt", None):
        from .hunting import settle

        settle(early_config, args)
    if getattr(early_config.known_args_namespace, "aqe_map", False):
        from .impact import ImpactRecorder

        early_config.pluginmanager.register(ImpactRecorder(early_config), _MAPPER)


def pytest_configure(config: Any) -> None:
    """Register what the options that are given ask for, unless the other copy of the plugin did."""
    hunt = config.getoption("aqe_hunt", None)
    if hunt and not config.pluginmanager.has_plugin(_HUNTER):
        from .hunting import Hunter

        config.pluginmanager.register(Hunter(config, hunt), _HUNTER)
    if config.getoption("aqe_map", False):
        _start_mapper(config)
    if config.getoption("aqe_select", False) or config.getoption("aqe_selection", None):
        _start_selector(config)
    if config.getoption("aqe_quarantine", False) and not config.pluginmanager.has_plugin(_QUARANTINE):
        from .quarantine import Quarantine

        config.pluginmanager.register(Quarantine(config), _QUARANTINE)
    retry = config.getoption("aqe_flaky", False)
    config.option.aqe = config.getoption("aqe", False) or retry
    on = config.option.aqe or config.getoption("aqe_report", None)
    if not on or config.pluginmanager.has_plugin(_RECORDER):
        return
    from .recording import Recorder

    recorder = Recorder(config)
    config.pluginmanager.register(recorder, _RECORDER)
    if retry and not recorder.is_worker:
        from .retrying import Retrier

        config.pluginmanager.register(Retrier(config, recorder.run), _RETRIER)


def _start_mapper(config: Any) -> None:
    """Let the recorder of the map write; it began before the first conftest, but in an xdist worker."""
    mapper = config.pluginmanager.get_plugin(_MAPPER)
    if mapper is None:
        from .impact import ImpactRecorder

        mapper = ImpactRecorder(config)
        config.pluginmanager.register(mapper, _MAPPER)
    mapper.start(config)


def _start_selector(config: Any) -> None:
    """Register what deselects, unless the other copy of the plugin did."""
    if not config.pluginmanager.has_plugin(_SELECTOR):
        from .selecting import Selector

        config.pluginmanager.register(Selector(config), _SELECTOR)


class _Mark:
    """Stands in the plugin manager for "the options are there"."""
