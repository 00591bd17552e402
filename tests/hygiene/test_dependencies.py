"""Dependencies: what is imported is declared, what is declared is imported, and each is accounted for."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from sources import files, imports

OWN = {"aqe", "_aqe_inject"}
FOR_TYPES_ALONE = {"typing-extensions"}
FOR_THE_SIDE_FOLDER = {"exceptiongroup", "tomli"}  # copied for projects on 3.10, which pytest needs there
RUN_AS_PROGRAMS = {"bandit", "ruff"}


def normal(name: str) -> str:
    """A distribution's name in its one spelling."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture
def declared(repository: Path) -> set[str]:
    """The distributions that pyproject.toml asks for at run time, those of the extras too."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {normal(re.split(r"[<>=!~;\[ ]", line)[0]) for line in lines}


def imported() -> dict[str, str]:
    """Each distribution that the floors import, with one module that does."""
    owners = packages_distributions()
    found: dict[str, str] = {}
    for module, path in files():
        for name in imports(path):
            top = name.split(".")[0]
            if top not in OWN and top not in sys.stdlib_module_names:
                for owner in owners.get(top, [top]):
                    found.setdefault(normal(owner), module)
    return found


def test_what_is_imported_is_declared(declared: set[str]) -> None:
    """No module imports a distribution that only happens to be installed."""
    assert {name: by for name, by in imported().items() if name not in declared | FOR_TYPES_ALONE} == {}


def test_what_is_declared_is_imported(declared: set[str]) -> None:
    """No dependency is asked for that nothing uses."""
    assert declared - imported().keys() - FOR_THE_SIDE_FOLDER - RUN_AS_PROGRAMS == set()


def test_every_dependency_stands_in_the_table(repository: Path, declared: set[str]) -> None:
    """CONTRIBUTING.md says of each dependency what it is for, its size, why this one, and how it is kept."""
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", text, flags=re.MULTILINE)) == declared
