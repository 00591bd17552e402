"""Which tests a change needs: the whole selector on a recorded project, one change at a time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aqe.agents.select import SelectReport, SelectRequest, select
from tests.agents.select.conftest import FILES, record, take, write

CORE = "tests/test_core.py::"
CHILD = "tests/test_processes.py::"
OPAQUE = f"{CHILD}test_alone"
ALL = 17


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The project as it was, and the same one with its map."""
    folder = tmp_path_factory.mktemp("selected")
    base = write(folder / "base", FILES)
    head = write(folder / "head", FILES)
    record(head)
    take(head)
    return base, head


@pytest.fixture
def head(bases: tuple[Path, Path]) -> Iterator[Path]:
    """The recorded project, to be changed; it is as before afterwards."""
    base, head = bases
    yield head
    for name in ("thing", "tests", "docs", "new"):
        shutil.rmtree(head / name, ignore_errors=True)
    write(head, FILES)
    for left in head.iterdir():
        if left.name != ".aqe" and not (base / left.name).exists():
            left.unlink()


@pytest.fixture
def selected(bases: tuple[Path, Path]) -> Callable[[], SelectReport]:
    """Selects for what differs between the two folders."""
    base, head = bases
    return lambda: select(SelectRequest(str(head), base=str(base), head=str(head)))


def names(report: SelectReport) -> set[str]:
    return {test.nodeid for test in report.tests}


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_change_in_a_function_needs_the_tests_that_executed_it(
    head: Path, selected: Callable[[], SelectReport]
) -> None:
    """Only those are named, each with function and line, and the one that cannot be seen into as the last."""
    replace(head / "thing" / "core.py", "return number * FACTOR", "return FACTOR * number")
    report = selected()
    users = {f"{CORE}test_double", f"{CORE}test_thread", f"{CHILD}test_process", f"{CHILD}test_killed"}
    assert names(report) == users | {OPAQUE}
    assert not report.whole_suite
    assert report.all_tests == ALL
    reasons = {test.nodeid: test.reason for test in report.tests}
    assert reasons[f"{CORE}test_double"] == "executes core.double, changed at line 9"
    assert report.tests[-1].nodeid == OPAQUE
    assert "cannot be seen into" in reasons[OPAQUE]


def test_formatting_and_comments_need_no_test(head: Path, selected: Callable[[], SelectReport]) -> None:
    """A change that no syntax tree shows selects nothing, and says what that means."""
    replace(head / "thing" / "core.py", "return number * FACTOR", "# twice\n    return (number\n            * FACTOR)")
    report = selected()
    assert report.tests == ()
    assert "no proof that it is right: only formatting and comments changed" in report.why


@pytest.mark.parametrize(
    ("file", "old", "new", "needed"),
    [
        ("thing/consts.py", "FACTOR = 2", "FACTOR = 3", "both test files"),
        ("thing/core.py", "LIMIT = at_import(3)", "LIMIT = at_import(4)", "both test files"),
        ("thing/core.py", "    size = 3", "    size = 4", "both test files"),
        ("thing/core.py", "return number + 1", "return number + 2", "both test files"),
        ("thing/core.py", "    return 5", "    return 6", "both test files"),
        ("tests/conftest.py", "yield opened", "yield dict(opened)", "all"),
        pytest.param("pyproject.toml", 'version = "0"', 'version = "1"', "all", marks=pytest.mark.services),
    ],
    ids=["constant", "module level", "class level", "run at import", "cached", "conftest", "configuration"],
)
def test_what_reaches_further_than_a_function_needs_more(
    head: Path, selected: Callable[[], SelectReport], file: str, old: str, new: str, needed: str
) -> None:
    """Module and class level, functions that an import or a cache runs, conftests and configuration need every user."""
    replace(head / file, old, new)
    found = names(selected())
    assert len(found) == ALL, needed


def test_settings_of_tools_need_no_test(head: Path, selected: Callable[[], SelectReport]) -> None:
    """A change of pyproject.toml that only a linter feels selects nothing."""
    with (head / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("[tool.ruff]\nline-length = 100\n")
    report = selected()
    assert report.tests == ()
    assert "only in what no test feels" in report.why


def test_a_data_file_needs_the_tests_that_read_it(head: Path, selected: Callable[[], SelectReport]) -> None:
    """A file that a recorded test opened selects that test; prose that none opened selects none and says so."""
    (head / "tests" / "data" / "in.txt").write_text("hullo\n", encoding="utf-8")
    (head / "README.md").write_text("# New\n", encoding="utf-8")
    report = selected()
    assert names(report) == {f"{CORE}test_reads", OPAQUE}
    assert "reads tests/data/in.txt" in report.tests[0].reason
    assert "no recorded test reads README.md" in report.notes


@pytest.mark.services
def test_a_file_that_nobody_opened_may_concern_all(
    bases: tuple[Path, Path], head: Path, selected: Callable[[], SelectReport]
) -> None:
    """A changed file that is neither code nor prose, and that no test was seen to open, selects the whole suite."""
    (bases[0] / "rates.bin").write_bytes(b"\0\1")
    (head / "rates.bin").write_bytes(b"\0\2")
    try:
        report = selected()
    finally:
        (bases[0] / "rates.bin").unlink()
    assert report.whole_suite
    assert len(report.tests) == ALL
    assert "rates.bin" in report.why


@pytest.mark.services
def test_new_and_changed_tests_are_needed(head: Path, selected: Callable[[], SelectReport]) -> None:
    """A changed test, a new one with its parameters, and a new file's tests are named; those that went are not."""
    tests = head / "tests" / "test_core.py"
    replace(tests, "assert Box().volume == 27", "assert Box().volume == 3 ** 3")
    new = "\n\nimport pytest\n\n\n@pytest.mark.parametrize('n', [1, 2])\ndef test_fresh(n):\n    assert n\n"
    (head / "tests" / "test_fresh.py").write_text(new, encoding="utf-8")
    (head / "tests" / "test_processes.py").unlink()
    report = selected()
    fresh = {f"tests/test_fresh.py::test_fresh[{n}]" for n in (1, 2)}
    assert names(report) == {f"{CORE}test_box"} | fresh
    reasons = {test.nodeid: test.reason for test in report.tests}
    assert reasons[f"{CORE}test_box"].startswith("is itself changed at line")
    assert {reasons[name] for name in fresh} == {"is a new test"}


@pytest.mark.services
def test_a_changed_helper_of_a_test_file_needs_its_tests(head: Path, selected: Callable[[], SelectReport]) -> None:
    """A function of a test file that is no test concerns every test in it."""
    replace(head / "tests" / "test_processes.py", "assert queue.get() == 1", "assert queue.get() == 2")
    assert {name for name in names(selected()) if name.startswith(CHILD)} == {
        f"{CHILD}test_{name}" for name in ("process", "killed", "alone", "fork", "spawn")
    }


def test_deleted_and_renamed_code_needs_those_who_used_it(head: Path, selected: Callable[[], SelectReport]) -> None:
    """Taking a function or moving a file away selects the tests that executed what is gone."""
    (head / "thing" / "lone.py").rename(head / "thing" / "alone.py")
    replace(head / "thing" / "resource.py", 'def close_resource(resource):\n    resource["open"] = False\n', "")
    found = names(selected())
    assert f"{CORE}test_dynamic" in found
    assert {f"{CORE}test_uses", f"{CORE}test_uses_too"} <= found


def test_a_new_file_that_nobody_imports_needs_nothing_and_is_named(
    head: Path, selected: Callable[[], SelectReport]
) -> None:
    """New code without a test is told, not passed over."""
    (head / "thing" / "fresh.py").write_text("def fresh():\n    return 1\n", encoding="utf-8")
    report = selected()
    assert names(report) <= {OPAQUE}
    assert "thing/fresh.py is new and nothing imports it" in report.notes


def test_what_changed_since_the_map_was_recorded_counts_too(bases: tuple[Path, Path], head: Path) -> None:
    """A change that both sides have, but the map has not, still selects the tests that executed it."""
    base = bases[0]
    for folder in (base, head):
        replace(folder / "thing" / "core.py", "self.size ** 3", "self.size * self.size * self.size")
    try:
        report = select(SelectRequest(str(head), base=str(base), head=str(head)))
    finally:
        write(base, FILES)
    assert names(report) == {f"{CORE}test_box", OPAQUE}
    assert "since the map was recorded" in report.tests[0].reason


@pytest.mark.services
def test_a_map_of_the_new_version_knows_new_names(tmp_path: Path, bases: tuple[Path, Path]) -> None:
    """Where the map was recorded after the change, what executes a renamed function is found by its new name."""
    head = write(tmp_path / "head", FILES)
    replace(head / "thing" / "lone.py", "def alone", "def on_its_own")
    replace(head / "tests" / "test_core.py", ".alone()", ".on_its_own()")
    record(head, "tests/test_core.py")
    report = select(SelectRequest(str(head), base=str(bases[0]), head=str(head)))
    reasons = {test.nodeid: test.reason for test in report.tests}
    assert "lone.on_its_own" in reasons[f"{CORE}test_dynamic"] or "is itself" in reasons[f"{CORE}test_dynamic"]
    assert f"{CORE}test_double" not in reasons


def test_code_that_is_no_python_selects_all_its_users(head: Path, selected: Callable[[], SelectReport]) -> None:
    """A file that cannot be parsed any more concerns all tests that import it or executed it."""
    (head / "thing" / "lone.py").write_text("def alone(:\n", encoding="utf-8")
    assert f"{CORE}test_dynamic" in names(selected())


def test_nothing_changed_selects_nothing_and_says_so(head: Path, selected: Callable[[], SelectReport]) -> None:
    """Without a change there is a sentence in place of tests."""
    report = selected()
    assert report.tests == ()
    assert report.why.startswith("No test is needed: nothing changed")


@pytest.mark.services
def test_without_a_map_the_whole_suite_is_selected(thing: Path, bases: tuple[Path, Path]) -> None:
    """Where nothing was recorded, all tests are collected and named, and how to record is said."""
    report = select(SelectRequest(str(thing), base=str(bases[0]), head=str(thing)))
    assert report.whole_suite
    assert len(report.tests) == ALL
    assert "aqe execute --map" in report.why


def test_failing_tests_come_first(head: Path, bases: tuple[Path, Path], tmp_path: Path) -> None:
    """Among tests that are hit alike the one that failed last time comes first, then the faster one."""
    import random

    from aqe.agents.select.history import Past

    past = Past({"a": ("passed", "failed"), "b": ("failed",), "c": ("passed",)}, {})
    order = ["c", "a", "b"]
    random.Random(1).shuffle(order)
    assert sorted(order, key=lambda name: -past.failing(name)) == ["b", "a", "c"]
    assert past.failing("d", "failed") == 1.0


@pytest.mark.services
def test_git_says_what_changed(thing: Path) -> None:
    """In a repository the working tree is compared with HEAD, or with the revision that is named."""
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=thing, check=True)
    record(thing, "tests/test_core.py")
    replace(thing / "thing" / "core.py", "self.size ** 3", "self.size ** 2")
    assert f"{CORE}test_box" in names(select(SelectRequest(str(thing))))
    subprocess.run([*git, "commit", "-qam", "two"], cwd=thing, check=True)
    record(thing, "tests/test_core.py")
    later = select(SelectRequest(str(thing)))
    assert {name for name in names(later) if name.startswith(CORE)} == set()
    assert f"{CORE}test_box" in names(select(SelectRequest(str(thing), since="HEAD~1")))
