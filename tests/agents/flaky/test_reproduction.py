"""Commands that show a flaky test again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from aqe.agents.flaky.causes import Cause
from aqe.agents.flaky.reproduction import command_for
from aqe.agents.gate.interpreter import Interpreter

PROJECT = Path("/work/shop")
PYTHON = Interpreter("/opt/py/bin/python", (3, 12, 1), "/opt/py", "/opt/py", (), True, True, "--python")


def command(cause: Cause, *, rate: float = 0.5, plugins: tuple[str, ...] = (), options: str = "") -> str:
    return command_for("tests/test_a.py::test_b[x y]", cause, rate, PYTHON, PROJECT, plugins, options)


def test_a_victim_runs_after_its_polluters_in_their_order() -> None:
    """The polluters stand before the test, and each node id is one word for the shell."""
    words = shlex.split(command(Cause("order", "", "order", ("t.py::p", "t.py::q"))))
    assert words == ["/opt/py/bin/python", "-m", "pytest", "t.py::p", "t.py::q", "tests/test_a.py::test_b[x y]"]


def test_a_brittle_test_runs_alone() -> None:
    """A test that lives on a setter fails by itself."""
    assert "setter" not in command(Cause("order", "", "order", ("t.py::setter",), brittle=True))


def test_seed_and_zone_are_set_for_the_command_alone() -> None:
    """Hash seed and zone stand before the command, quoted."""
    told = command(Cause("time", "", "zone", hash_seed=7, zone="<+14>-14"))
    assert told.startswith("PYTHONHASHSEED=7 TZ='<+14>-14' /opt/py/bin/python")


def test_chance_is_tried_until_it_shows() -> None:
    """A random flake runs as often as its rate asks, and the loop ends at the first failure."""
    assert command(Cause("random", "", "chance"), rate=0.5).startswith("(for n in $(seq 7); do ")
    assert command(Cause("random", "", "chance"), rate=0.5).endswith(" || exit 1; done)")


@pytest.mark.parametrize(
    ("plugins", "options", "word"),
    [
        (("randomly",), "", "no:randomly"),
        (("xdist",), "-q -n 4", "-n0"),
        (("rerunfailures",), "--reruns 2", "--reruns=0"),
    ],
)
def test_plugins_that_would_hide_it_are_settled(plugins: tuple[str, ...], options: str, word: str) -> None:
    """What the project's settings add and what would change order or outcome is taken back, and only then."""
    cause = Cause("order", "", "order", ("t.py::p",))
    assert word in shlex.split(command(cause, plugins=plugins, options=options))
    assert word not in command(cause)


def test_an_interpreter_of_the_project_is_named_from_its_folder() -> None:
    """The project's own environment is named by a relative path."""
    inside = Interpreter("/work/shop/.venv/bin/python", (3, 12, 1), "", "", (), True, True, ".venv")
    told = command_for("t.py::a", Cause("time", "", "zone", zone="JST-9"), 1.0, inside, PROJECT, ())
    assert told == "TZ=JST-9 .venv/bin/python -m pytest t.py::a"
