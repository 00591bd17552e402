"""The risk of a gap: its bounds, its order, and the levels that follow from the project."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqe.agents.coverage.risk import WEIGHTS, Facts, Population, Project, level, risk

counts = st.integers(0, 40)
populations = st.lists(counts, max_size=12).map(Population)
projects = st.builds(Project, populations, populations, populations, populations)
facts = st.builds(
    Facts,
    complexity=counts,
    callers=counts,
    commits=st.none() | counts,
    missing_lines=counts,
    missing_share=st.floats(0, 1),
    is_public=st.booleans(),
    misses_errors=st.booleans(),
)
NUMBERS = ("complexity", "callers", "commits", "missing_lines")


@given(facts, projects, st.sampled_from(NUMBERS), st.integers(1, 20))
def test_more_of_a_number_never_lowers_the_risk(one: Facts, project: Project, name: str, more: int) -> None:
    """A more complex, more called, more changed or longer gap has at least the risk of the lesser one."""
    if getattr(one, name) is not None:
        assert risk(replace(one, **{name: getattr(one, name) + more}), project) >= risk(one, project)


@given(facts, projects)
def test_public_untested_errors_and_more_missing_never_lower_the_risk(one: Facts, project: Project) -> None:
    """A public name, error handling that never runs and a larger missing share can only raise the risk."""
    lesser = replace(one, is_public=False, misses_errors=False, missing_share=one.missing_share / 2)
    greater = replace(one, is_public=True, misses_errors=True)
    assert 0 <= risk(lesser, project) <= risk(greater, project) <= 100


def test_the_risk_is_the_documented_sum() -> None:
    """A function above all others in everything, with nothing run, has the risk 100; half of it run takes a quarter."""
    project = Project(Population([1]), Population([0]), Population([0]), Population([1]))
    worst = Facts(9, 5, 3, 20, 1.0, True, True)
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert risk(worst, project) == 100
    assert risk(replace(worst, missing_share=0.5), project) == 75
    assert risk(replace(worst, is_public=False), project) == 90


def test_without_git_the_other_factors_make_the_whole() -> None:
    """Where recent commits are unknown the worst function still has the risk 100."""
    project = Project(Population([1]), Population([0]), Population([0]), Population([1]))
    assert risk(Facts(9, 5, None, 20, 1.0, True, True), project) == 100


def test_levels_are_places_in_the_project() -> None:
    """The riskiest tenth is high, the rest of the first half medium, the other half low."""
    risks = [float(value) for value in range(20)]
    found = [level(value, risks) for value in risks]
    assert found == ["low"] * 10 + ["medium"] * 8 + ["high"] * 2
