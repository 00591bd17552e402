"""`aqe benchmark`: the published figures as data, the comparison, and the command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aqe.server.benchmark import Claim, compare, measures, read_claims
from aqe.server.benchmark.measures import Size
from aqe.server.cli import main

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "benchmark.json"
TINY = Size(memories=40, questions=2, rounds=2)
FACTOR = {"": 1.0, "K": 1e3, "M": 1e6}


def run(project: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["benchmark", "--quick", "--json", "--project", str(project)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.services
def test_every_row_is_measured_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row has a ratio or the reason why there is none; every figure that a row names was measured and is above
    zero; the object is what its schema says, and is kept in `.aqe/results`."""
    monkeypatch.setattr(measures, "QUICK", TINY)
    found = run(tmp_path, capsys)
    jsonschema.validate(found, json.loads(SCHEMA.read_text()), cls=jsonschema.Draft202012Validator)
    assert [row["what"] for row in found["rows"] if (row["ratio"] is None) != bool(row["why"])] == []
    named = {(claim.what, claim.source) for claim in read_claims()[1] if claim.measure}
    measured = {(row["what"], row["source"]) for row in found["rows"] if (row["ours"] or 0) > 0}
    resident = {("Memory footprint", "ruvllm-0-2-3")}  # Linux alone tells it
    assert named - resident <= measured <= named
    assert json.loads((tmp_path / ".aqe" / "results" / "benchmark.json").read_text()) == found


def test_reasons_are_no_longer_those_of_what_is_there() -> None:
    """What aqe has by now is measured, or has a reason that does not deny it."""
    whys = {claim.what: claim.why for claim in read_claims()[1] if claim.why}
    assert {"Normalize, 768d", "Softmax, 768d"}.isdisjoint(whys)
    measured = {claim.what for claim in read_claims()[1] if claim.measure}
    assert {"Export state", "SafeTensors write", "SafeTensors read"} <= measured
    denied = ("no such kernel", "no inverted file", "no graph memory", "no adapters to write")
    assert [(what, why) for what, why in whys.items() if any(one in why for one in denied)] == []


def test_published_numbers_are_those_of_the_text() -> None:
    """The number of each row is the one that its published text shows, in the row's unit, and its source is listed."""
    sources, claims = read_claims()
    assert {claim.source for claim in claims} <= {source.id for source in sources}
    for claim in claims:
        if claim.value is None:
            continue
        shown = {
            float(number.replace(",", "")) * FACTOR[scale]
            for number, scale in re.findall(r"(\d[\d,]*\.?\d*)([KM]?)", claim.published)
        }
        in_ns = claim.value * 1000
        assert any(value == pytest.approx(one) for one in shown for value in (claim.value, in_ns)), claim


def test_ratio_above_one_says_that_ours_is_better() -> None:
    """A shorter time and a higher rate are better; a row with a reason has no ratio, nor one that was not measured."""
    claims = [
        Claim("g", "time", "s", "2 ms", 2.0, "ms", "a"),
        Claim("g", "rate", "s", "100/s", 100.0, "per_s", "b"),
        Claim("g", "no recall", "s", "2 us", 2.0, "us", "a", why="published without recall"),
        Claim("g", "missing", "s", "2 us", 2.0, "us", "c"),
    ]
    rows = compare(claims, {"a": 500.0, "b": 50.0})
    assert [(row.ours, row.ratio) for row in rows] == [(0.5, 4.0), (50.0, 0.5), (500.0, None), (None, None)]
    assert rows[3].why


def test_quick_measures_less() -> None:
    """The quick form measures less than the full one in every respect."""
    assert measures.QUICK.memories < measures.FULL.memories
    assert measures.QUICK.questions < measures.FULL.questions
    assert measures.QUICK.rounds < measures.FULL.rounds


@pytest.mark.services
def test_table_shows_published_and_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real quick run prints one line a row with both figures, then the machine and the sources."""
    assert main(["benchmark", "--quick", "--project", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("  Dot product, 768d  ")]
    assert re.search(r"908 ns +[\d.]+ [nu]s +[\d.]+", line)
    assert "README of the npm package @ruvector/ruvllm 0.2.4" in out
    assert "n/a  no adapters yet (L5)" in out
