"""What a test adds to the others, on footprints small enough to check by eye."""

from __future__ import annotations

from aqe.agents.gate.nearest import Footprint, compare


def footprint(lines: str = "", branches: str = "", kills: str = "") -> Footprint:
    """A footprint whose lines, branches and kills are single letters."""
    return Footprint(frozenset(lines), frozenset(branches), frozenset(kills))


def test_own_parts_are_those_that_no_other_test_has() -> None:
    """A test adds the lines, branches and kills that are in its footprint only."""
    own = compare({"a": footprint("xyz", "pq", "k"), "b": footprint("yz", "q", "kl")})
    assert (own["a"].adds_lines, own["a"].adds_branches, own["a"].adds_kills) == (1, 1, 0)
    assert (own["b"].adds_lines, own["b"].adds_branches, own["b"].adds_kills) == (0, 0, 1)
    assert not own["a"].adds_nothing
    assert not own["b"].adds_nothing


def test_of_tests_alike_the_first_stays() -> None:
    """Of three tests with one footprint two add nothing, and the first by name keeps it."""
    own = compare({name: footprint("xy", "p", "k") for name in ("c", "a", "b")})
    assert [own[name].adds_nothing for name in ("a", "b", "c")] == [False, True, True]
    assert own["a"].adds_lines == 2


def test_removing_all_that_add_nothing_loses_nothing() -> None:
    """What two surplus tests share with each other only is kept by one of them."""
    footprints = {"a": footprint("x"), "b": footprint("y"), "c": footprint("xy"), "d": footprint("")}
    own = compare(footprints)
    kept = [name for name, one in own.items() if not one.adds_nothing]
    union = frozenset().union(*(footprints[name].lines for name in kept))
    assert union == frozenset("xy")
    assert own["d"].adds_nothing


def test_nearest_shares_the_largest_part() -> None:
    """The nearest test has the largest common share, not the largest overlap of a test that covers everything."""
    own = compare(
        {"small": footprint("ab"), "same": footprint("abc"), "all": footprint("abcdefghij"), "far": footprint("z")}
    )
    assert own["small"].nearest == "same"
    assert own["far"].nearest is None
