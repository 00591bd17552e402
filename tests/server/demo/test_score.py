"""How suspected bugs are compared with planted ones."""

from __future__ import annotations

import dataclasses

import pytest

from aqe.server.demo.scoring import Suspect, compare, suspects_of
from aqe.server.demo.shop import PlantedBug, fixtures, read_truth

BUG = PlantedBug(
    id="b",
    module="shop.parsing",
    file="shop/parsing.py",
    function="parse_price",
    line=34,
    code="",
    kind="undocumented-exception",
    found_by="execution",
    why="",
    raises="IndexError",
)
QUIET = dataclasses.replace(BUG, id="q", function="format_price", line=48, raises="", partner="parse_price")


def suspect(**changes: str | int) -> Suspect:
    base = Suspect("shop.parsing", "parse_price", "undocumented-exception", 34, "why", "repro", "IndexError")
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "bug", "speaks"),
    [
        (suspect(), BUG, True),
        (suspect(exception="builtins.IndexError"), BUG, True),
        (suspect(target="read_form"), BUG, True),
        (suspect(target="read_form", line=90), BUG, False),
        (suspect(exception="TypeError"), BUG, False),
        (suspect(module="shop.dates"), BUG, False),
        (suspect(target="format_price", kind="docstring-broken", exception="", line=0), QUIET, True),
        (suspect(kind="docstring-broken", exception="", line=21), QUIET, True),
        (suspect(target="format_price", exception="TypeError"), QUIET, False),
    ],
    ids=[
        *("same", "qualified", "caller", "other line", "other exception", "other module"),
        *("promise", "other end", "not a promise"),
    ],
)
def test_a_suspect_counts_where_function_and_kind_agree(found: Suspect, bug: PlantedBug, speaks: bool) -> None:
    """A suspect counts for a planted bug of its function (or line) with its exception or a broken promise."""
    score = compare([bug], [found])
    assert score.suspected == int(speaks)
    assert len(score.false_alarms) == int(not speaks)


@pytest.mark.parametrize(
    ("planted", "found", "alarms", "met"), [(4, 2, 1, True), (4, 1, 0, False), (4, 4, 2, False), (3, 2, 0, True)]
)
def test_the_bar_is_half_of_the_bugs_and_one_false_alarm(planted: int, found: int, alarms: int, met: bool) -> None:
    """The bar holds with at least half of the bugs suspected and at most one false alarm."""
    bugs = [dataclasses.replace(BUG, id=str(n), function=f"f{n}", line=n) for n in range(planted)]
    suspects = [suspect(target=f"f{n}", line=n) for n in range(found)]
    suspects += [suspect(target=f"other{n}", line=900 + n) for n in range(alarms)]
    assert compare(bugs, suspects).met is met


def test_suspects_are_read_from_a_generators_report() -> None:
    """Fields that the demo does not know are ignored."""
    entry = dataclasses.asdict(suspect()) | {"expected": "ValueError", "actual": ""}
    assert suspects_of({"suspects": [entry]}) == (suspect(),)


def test_every_module_of_the_truth_exists() -> None:
    """The truth names the shop's modules and the bugs lie in them."""
    truth = read_truth()
    for name in truth.modules:
        assert (fixtures() / "shop" / truth.package / f"{name}.py").is_file()
    assert {bug.module for bug in truth.bugs} <= {f"{truth.package}.{name}" for name in truth.modules}
