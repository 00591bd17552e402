"""`aqe flaky` and `aqe quarantine` as a user types them."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aqe.agents.flaky import FlakyReport, TestVerdict
from aqe.agents.gate.evidence import Evidence
from aqe.server.cli.flaky_text import text_of
from aqe.server.cli.output import refuse_output, write_output

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
Run = Callable[..., tuple[int, str, str]]
NODE = "test_a.py::test_one"


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in a project with one test file, in this process; gives exit status, stdout and stderr."""
    Path("test_a.py").write_text("def test_one(): pass\n", encoding="utf-8")
    return in_process


def valid(command: str, printed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{command}.json").read_text(encoding="utf-8")))
    return found


def test_a_test_goes_into_quarantine_is_listed_and_released(aqe: Run) -> None:
    """Add, list and release say in JSON what they did; the file holds what they say."""
    last = (datetime.date.today() + datetime.timedelta(14)).isoformat()
    status, out, _ = aqe("quarantine", "add", NODE, "--reason", "flips  with\norder", "--expires", "14d", "--json")
    (added,) = valid("quarantine-add", out)["tests"]
    assert status == 0
    assert (added["id"], added["reason"], added["expires"]) == (NODE, "flips with order", last)
    assert added["since"] == datetime.date.today().isoformat()
    _, out, _ = aqe("quarantine", "list", "--json")
    assert valid("quarantine-list", out)["tests"] == [added]
    _, out, _ = aqe("quarantine", "release", NODE, "--json")
    assert valid("quarantine-release", out)["tests"] == [added]
    status, out, err = aqe("quarantine", "list")
    assert (status, out, err) == (0, "", "0 in quarantine\n")


def test_an_expired_entry_is_called_so(aqe: Run) -> None:
    """The list tells an entry whose last day is past from one that holds."""
    Path("aqe-quarantine.toml").write_text(
        f"[[test]]\nid = '{NODE}'\nreason = 'r'\nsince = 2026-01-01\nexpires = 2026-01-02\n", encoding="utf-8"
    )
    _, out, _ = aqe("quarantine", "list")
    assert out == f"{NODE}: r (since 2026-01-01, expired 2026-01-02)\n"


def report(**tests: TestVerdict) -> FlakyReport:
    names = {f"t.py::{name}": one for name, one in tests.items()}
    nothing = Evidence("1", "3.11", "", {}, "suite: overlay", False, (), (), 0, (), 2, None, 1.0, (), (), (), 0, 0, 0)
    flaky = sum(one.flaky for one in tests.values())
    return FlakyReport(names, 3, 2, 1, 9, flaky, 1, 1, 1.0, 0, False, "overlay", nothing, ("a note",))


def test_the_words_name_each_flaky_test_with_cause_and_command() -> None:
    """A table, then cause and command of each flaky test; broken ones apart; advice where one test was asked for."""
    flips = TestVerdict(
        True, "flaky", "order", ("t.py::p",), 0.99, "python -m pytest t.py::p t.py::a", "It fails after t.py::p.",
        message="assert 1 == 2", passed=3, failed=1, experiments=("alone: 8 of 8 passed",), advice="Reset it.",
        advice_source="a book",
    )  # fmt: skip
    told = report(a=flips, b=TestVerdict(False, "broken", message="assert 0"), c=TestVerdict(False, "stable"))
    text = text_of(told)
    assert "3 tests in 2 runs and 1 session of experiments, 1.0 s: 1 flaky, 1 broken, 1 stable" in text
    assert "t.py::a     order     1 of 4  0.990" in text
    assert "  It fails after t.py::p." in text
    assert "  See it:  python -m pytest t.py::p t.py::a" in text
    assert "  t.py::b: assert 0" in text
    assert "Note: a note" in text
    assert "Broken (1), failed in every run:" in text
    assert text_of(replace(told, runs=1)).startswith("3 tests in 1 run and 1 session")
    assert "Reset it." not in text
    assert "Reset it. (a book)" in text_of(told, detail=True)
    assert "Tried:   alone: 8 of 8 passed" in text_of(told, detail=True)


def test_a_name_that_a_terminal_would_obey_is_escaped() -> None:
    """An escape in a test's name or message is shown as one."""
    text = text_of(report(**{"a[\x1b[31m]": TestVerdict(False, "broken", message="\x1b[2Jgone")}))
    assert "  t.py::a[\\x1b[31m]: \\x1b[2Jgone\n" in text


def test_cases_of_one_function_are_told_together_and_in_plain_words() -> None:
    """Of many cases with one cause three are shown and the rest counted; `nio` is said in words."""
    flips = TestVerdict(True, "flaky", "nio", why="It is there already.", passed=1, failed=1)
    text = text_of(report(**{f"a[{number}]": flips for number in range(9)}))
    assert text.count("It is there already.") == 3
    assert "t.py::a: and 6 more cases; --json has all" in text
    assert "not idempotent" in text
    assert "nio" not in text


def test_a_name_that_the_file_does_not_define_is_warned_of(aqe: Run) -> None:
    """A slip in a node id is put into quarantine with a warning that names the nearest test."""
    status, _, err = aqe("quarantine", "add", "test_a.py::test_oen", "--reason", "r")
    assert (status, err) == (0, "Warning: test_a.py defines no 'test_oen'; did you mean 'test_one'?\n")
    _, _, err = aqe("quarantine", "add", f"{NODE}[a]", "--reason", "r")
    assert err == ""


def test_a_suite_without_flakes_has_no_table() -> None:
    """Where nothing flips the text is the count and the notes."""
    assert text_of(report(c=TestVerdict(False, "stable"))).splitlines() == [
        "1 test in 2 runs and 1 session of experiments, 1.0 s: 0 flaky, 1 broken, 1 stable",
        "",
        "Note: a note",
    ]


@pytest.mark.parametrize(("out", "words"), [("there", "is a folder"), ("gone/report.json", "in no folder that exists")])
def test_a_report_that_cannot_be_written_is_refused_before_the_hunt(aqe: Run, out: str, words: str) -> None:
    """Where FILE cannot be written nothing is run: also a project whose suite is broken hears of FILE first."""
    Path("there").mkdir()
    Path("test_a.py").write_text("this is no Python", encoding="utf-8")
    status, printed, err = aqe("flaky", "--runs", "1", "--out", out)
    assert (status, printed) == (2, "")
    assert words in err
    assert "[bad-output]" in err
    status, _, err = aqe("analyze", "--html", out)
    assert (status, "[bad-output]" in err) == (2, True)


def test_a_report_goes_through_links_and_into_pipes(tmp_path: Path) -> None:
    """A link stays a link and its file is replaced whole; a pipe stays a pipe."""
    real, link, pipe = tmp_path / "real.json", tmp_path / "link.json", tmp_path / "pipe"
    real.write_text("old", encoding="utf-8")
    link.symlink_to(real)
    write_output(link, "new")
    assert (link.is_symlink(), real.read_text(encoding="utf-8")) == (True, "new")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        refuse_output(pipe, "The report")
        write_output(pipe, "told")
        assert os.read(reader, 10) == b"told"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "pipe", "real.json"]
