"""What users install is enough: every module imports with the run-time dependencies alone."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from sources import files, folder, nodes

INJECT = folder("aqe.agents.inject")
WITHOUT = """
import importlib, importlib.abc, json, sys

class NotInstalled(importlib.abc.MetaPathFinder):
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r} (no run-time dependency)", name=name)

told = json.load(sys.stdin)
sys.path.insert(0, told["inject"])
sys.meta_path.insert(0, NotInstalled(set(told["without"])))
failed = {}
for name in told["modules"]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""


def normal(name: str) -> str:
    """A distribution's name in its one spelling."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run_time_closure() -> set[str]:
    """aqe and every distribution that an install of it brings here."""
    found: set[str] = set()
    waiting = [("aqe", frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        if normal(name) in found and not extras:
            continue
        found.add(normal(name))
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for line in lines:
            wanted = Requirement(line)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                waiting.append((wanted.name, frozenset(wanted.extras)))
    return found


@pytest.mark.services
def test_every_module_imports_with_the_run_time_dependencies_alone() -> None:
    """Where the development tools are not installed, each module of aqe still imports."""
    installed = run_time_closure()
    owners = metadata.packages_distributions()
    without = [top for top, dists in owners.items() if not {normal(dist) for dist in dists} & installed]
    assert {"hypothesis", "xdist", "ruff", "jsonschema"} & set(without)
    modules = []
    for module, path in files():
        if path.stem == "__main__":
            continue
        inside = Path(path).is_relative_to(INJECT) and path.parent != INJECT
        modules.append(module.removeprefix("aqe.agents.inject.") if inside else module)
    told = json.dumps({"inject": str(INJECT), "without": without, "modules": modules})
    done = subprocess.run([sys.executable, "-c", WITHOUT], input=told, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_one_table_names_the_agents_for_every_face() -> None:
    """Each agent of the registry has its verb on the command line and, where it says so, its tool."""
    from aqe.agents.registry import AGENTS
    from aqe.server.cli.verbs import VERBS
    from aqe.server.mcp import Service, make_tools

    tools = {tool.name for tool in make_tools(Service())}
    assert {agent.verb for agent in AGENTS.values()} <= set(VERBS)
    assert {agent.tool for agent in AGENTS.values() if agent.tool} <= tools


def test_every_variable_that_is_read_is_a_setting_or_listed_apart() -> None:
    """Each AQE_ variable that is read is one that `aqe config` shows, or stands in the list of those for no file."""
    from aqe.engine.settings import APART, declared_keys, variable

    read = {
        node.value
        for _, path in files()
        if b"AQE_" in path.read_bytes()
        for node in nodes(path)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch("AQE_[A-Z_]+[A-Z]", node.value)
    }
    assert read <= {variable(key) for key in declared_keys()} | APART
    assert read >= APART - {"AQE_NATIVE"}  # which setup.py reads


def test_every_setting_stands_in_its_page(repository: Path) -> None:
    """docs/settings.md lists each key with its variable, its default and what it is for, and each variable apart."""
    from aqe.engine.settings import APART, declared_keys, variable

    def shown(value: object) -> str:
        return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value).lower()

    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \| `(\w+)` \| (.+) \| (.+) \|$", page, flags=re.MULTILINE)
    keys = sorted(declared_keys().items())
    assert rows == [(key, variable(key), shown(field.default), field.description) for key, field in keys]
    assert set(re.findall(r"^\| `(AQE_\w+)` \|", page, flags=re.MULTILINE)) == APART
