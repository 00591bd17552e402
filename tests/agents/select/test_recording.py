"""What `--aqe-map` sees of a suite, on a real run of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.inject._aqe_inject.entries import Record
from aqe.agents.select.impact_map import ImpactMap
from tests.agents.select.conftest import INJECT, parts_of, record, take

CORE = "tests/test_core.py::"
CHILD = "tests/test_processes.py::"


@pytest.mark.parametrize(
    ("test", "executed"),
    [
        (f"{CORE}test_double", {"double"}),
        (f"{CORE}test_thread", {"started", "in_thread", "double"}),
        (f"{CORE}test_box", {"Box.volume"}),
        (f"{CORE}test_later", {"later"}),
        (f"{CORE}test_plain", set()),
        (f"{CHILD}test_process", {"main", "double", "at_import"}),
        (f"{CHILD}test_killed", {"double", "at_import"}),
        (f"{CHILD}test_fork", {"unused", "at_import"}),
        (f"{CHILD}test_spawn", {"unused", "at_import"}),
    ],
)
def test_each_test_has_the_functions_that_it_executed(recorded: ImpactMap, test: str, executed: set[str]) -> None:
    """Functions, methods, coroutines, threads and child processes of every kind are seen, each by its own test."""
    found = {name.partition(":")[2] for name in parts_of(recorded, test) if name.startswith("thing/core.py:")}
    if test == f"{CHILD}test_fork":  # whether the fork imports anew depends on which tests ran before
        found |= {"at_import"}
    assert found - {"<module>"} == executed


def test_a_session_fixture_belongs_to_each_test_that_uses_it(recorded: ImpactMap) -> None:
    """Set-up and tear-down of a session fixture are depended on by its users and by nobody else."""
    both = {"thing/resource.py:open_resource", "thing/resource.py:close_resource"}
    assert both <= parts_of(recorded, f"{CORE}test_uses")
    assert both <= parts_of(recorded, f"{CORE}test_uses_too")
    others = [test for test in recorded.tests if "test_uses" not in test and both & parts_of(recorded, test)]
    assert others == []


def test_what_an_import_executes_is_known_by_file(recorded: ImpactMap) -> None:
    """A function that runs when a module is imported, and one whose result is cached, belong to the import."""
    executed = {recorded.parts[number][:2] for number in recorded.imports["thing/core.py"]}
    core = {name for file, name in executed if file == "thing/core.py"}
    assert {"at_import", "cached", "built"} <= core
    assert "double" not in core
    assert ("thing/consts.py", "<module>") in executed


def test_read_files_and_imports_by_name_are_known(recorded: ImpactMap) -> None:
    """A data file that a test reads and a module that it imports by name are among what it depends on."""
    assert parts_of(recorded, f"{CORE}test_reads") == {"tests/data/in.txt:<data>"}
    assert parts_of(recorded, f"{CORE}test_dynamic") == {"thing/lone.py:<module>", "thing/lone.py:alone"}


def test_a_process_that_ignores_its_environment_makes_a_test_opaque(recorded: ImpactMap) -> None:
    """Only the test whose Python is started with -I cannot be seen into."""
    assert [test for test in recorded.tests if ":<opaque>" in parts_of(recorded, test)] == [f"{CHILD}test_alone"]


def test_a_partial_run_renews_only_the_tests_that_ran(thing: Path) -> None:
    """After a run of one test another test's dependences stay; a test that went from its file goes from the map."""
    only = ("tests/test_core.py", "-k", "double or box or limit")
    record(thing, *only)
    assert {test for test, one in take(thing).tests.items() if one.outcome} == {
        f"{CORE}test_double", f"{CORE}test_box", f"{CORE}test_limit",
    }  # fmt: skip
    core, tests = thing / "thing" / "core.py", thing / "tests" / "test_core.py"
    core.write_text(core.read_text().replace("return number * FACTOR", "return at_import(number * FACTOR) - 1"))
    tests.write_text(tests.read_text().replace("def test_limit", "def limit"))
    record(thing, "tests/test_core.py", "-k", "double")
    found = take(thing)
    assert "thing/core.py:at_import" in parts_of(found, f"{CORE}test_double")
    assert "thing/core.py:Box.volume" in parts_of(found, f"{CORE}test_box")
    assert f"{CORE}test_limit" not in found.tests


def test_a_run_that_was_not_ended_waits_in_the_spool(thing: Path) -> None:
    """Lines of a run without an end are not taken, and a file that is no record does no harm."""
    spool = thing / ".aqe" / "spool"
    record(thing, "tests/test_core.py", "-k", "double")
    (path,) = spool.glob("*-main.map")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["k"] != "end"))
    with pytest.raises(AssertionError):
        take(thing)
    path.write_text("".join([*lines, "{no json\n", '{"k": "test"}\n']))
    with pytest.raises(AssertionError):
        take(thing)
    assert list(spool.glob("*.map")) == []


@pytest.mark.services
def test_xdist_workers_record_as_one_process_does(thing: Path, recorded: ImpactMap) -> None:
    """Under xdist each test depends on what it depends on without it."""
    done = record(thing, "-p", "xdist.plugin", "-n2")
    assert "what 17 tests executed is mapped" in done.stdout, done.stdout + done.stderr
    found = take(thing)
    kept = {
        "thing/core.py:cached",
        "thing/core.py:built",
        "thing/core.py:<module>",
    }  # of the first caller in each worker
    for test in recorded.tests:
        functions = {name for name in parts_of(found, test) ^ parts_of(recorded, test) if "<import>" not in name}
        assert {name for name in functions if not name.startswith("thing/resource.py")} <= kept | {
            "thing/core.py:at_import", "thing/consts.py:<module>", "thing/__init__.py:<module>",
            "tests/test_processes.py:<module>",
        }, test  # fmt: skip


@pytest.mark.services
def test_coverage_beside_it_measures_the_same(thing: Path) -> None:
    """In a run under coverage.py the covered lines and branches are those of a run without the map."""
    found = []
    for options in ((), ("--aqe-map",)):
        pytest_words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "_aqe_inject.plugin", *options)
        words = ("run", "--branch", "--source=thing", *pytest_words, "tests/test_core.py")
        for command in (words, ("json", "-o", "cov.json")):
            environ = {**os.environ, "PYTHONPATH": str(INJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            subprocess.run(
                [sys.executable, "-m", "coverage", *command], cwd=thing, env=environ, check=True, timeout=120
            )
        files = json.loads((thing / "cov.json").read_text(encoding="utf-8"))["files"]
        kept = ("executed_lines", "missing_lines", "executed_branches", "missing_branches")
        found.append({name: {key: file[key] for key in kept} for name, file in files.items()})
    assert found[0] == found[1]
    assert found[0]["thing/core.py"]["missing_lines"]


def test_compiled_code_is_kept_out_of_git_and_never_beside_an_encrypted_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of marked code lies in an ignored folder; with a key for the database there is none."""
    source = b"def f():\n    return 'secret'\n"
    for name, key in (("plain", ""), ("encrypted", "k")):
        project = tmp_path / name
        project.mkdir()
        monkeypatch.setenv("AQE_DB_KEY", key)
        told: list[dict[str, Any]] = []
        code = Record(str(project), told.append).code_of("m.py", str(project / "m.py"), source)
        assert "f" in code.co_names
        assert [line["functions"][0][0] for line in told if line["k"] == "file"] == ["f"]
    assert (tmp_path / "plain" / ".aqe" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    assert len(list((tmp_path / "plain" / ".aqe" / "impact").iterdir())) == 1
    assert list((tmp_path / "encrypted").iterdir()) == []
