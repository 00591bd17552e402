"""When two sightings of one call count as different behaviour. Pure: sightings in, a word out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aqe.agents.review.executed.comparison import Kind

Sighting = Mapping[str, Any]
USABLE = ("returns", "raises")
ENDLESS_STEPS = 20_000
MANY_TIMES = 50
"""An answer that took the base this many times fewer steps than the head was given is one that no longer comes."""

OUT_OF_DOMAIN = frozenset({"TypeError", "AttributeError", "NameError", "UnboundLocalError", "RecursionError"})
"""What the interpreter raises for arguments that a function was not made for."""

MISUSE = frozenset({"TypeError", "AttributeError"})


def is_compared(before: Sighting, after: Sighting) -> bool:
    """Whether the call said something on both sides."""
    return before["kind"] in USABLE and after["kind"] in (*USABLE, "endless", "died")


def steadied(before: Sighting, after: Sighting, elsewhere: Sighting) -> tuple[Sighting, Sighting] | None:
    """Both sightings without the parts that the base does not repeat elsewhere; None where nothing is left of them."""
    if before["kind"] != elsewhere["kind"] or before.get("type") != elsewhere.get("type"):
        return None
    one, other = dict(before), dict(after)
    for key in ("value", "after"):
        if before[key] == elsewhere[key]:
            continue
        is_public = before[key][1:] == elsewhere[key][1:]
        for side in (one, other):
            if key in side:
                side[key] = [side[key][1], side[key][1], ""] if is_public else ["", "", ""]
    if before["printed"] != elsewhere["printed"]:
        one["printed"] = other["printed"] = ""
    return one, other


def difference(before: Sighting, after: Sighting) -> Kind | None:
    """The kind of difference between the base's sighting and the head's; None where there is none worth a word."""
    if not is_compared(before, after) or _is_out_of_domain(before):
        return None
    if after["kind"] == "died":
        return "exception"
    if after["kind"] == "endless":
        ends = before["steps"] * MANY_TIMES < ENDLESS_STEPS <= after["steps"]
        return "exception" if ends else None
    if "raises" in (before["kind"], after["kind"]):
        return _raising(before, after)
    if _differ(before["value"], after["value"]):
        return "value" if before["type"] == after["type"] else "type"
    return _effects(before, after)


def is_crash(before: Sighting, after: Sighting) -> bool:
    """Whether the head fails in a way that nobody planned, on arguments that a caller may well give."""
    if after["kind"] in ("died", "endless"):
        return True
    return bool(after.get("crash")) and bool(after.get("fair")) and before.get("type") != after.get("type")


def breaks_hint(before: Sighting, after: Sighting) -> bool:
    """Whether the head's value contradicts its return hint where the base's kept to its own."""
    return after.get("fits") is False and before.get("fits") is not False and before["kind"] == "returns"


def fairness(before: Sighting, after: Sighting) -> int:
    """How much the arguments are such as callers give: 2, 1, or 0 for none of the sort."""
    grades = [int(one["fair"]) for one in (before, after) if "fair" in one]
    return min(grades, default=0)


def is_hidden(before: Sighting, after: Sighting) -> bool:
    """Whether only private attributes differ: what a caller may never notice."""
    if before["kind"] != "returns" or after["kind"] != "returns":
        return False
    return all(before[key][1] == after[key][1] for key in ("value", "after")) and before["printed"] == after["printed"]


def _is_out_of_domain(before: Sighting) -> bool:
    return before["kind"] == "raises" and not before["own"] and before["type"] in OUT_OF_DOMAIN


def _raising(before: Sighting, after: Sighting) -> Kind | None:
    both = before["kind"] == after["kind"]
    if both and before["type"] == after["type"]:
        return _effects(before, after) if before["own"] and after["own"] and fairness(before, after) else None
    is_misuse = after["kind"] == "raises" and not after["own"] and after["type"] in MISUSE
    if is_misuse and not after["fair"]:
        return None
    if both and (not fairness(before, after) or not (before["own"] or after["own"])):
        return None
    return "exception"


def _effects(before: Sighting, after: Sighting) -> Kind | None:
    if _differ(before["after"], after["after"]):
        return "arguments"
    return "output" if before["printed"] != after["printed"] else None


def _differ(one: Any, other: Any) -> bool:
    """Digests of everything, of the public part, of the names of private attributes: private content counts where both
    sides have the same private attributes."""
    if one[1] != other[1]:
        return True
    return bool(one[2] == other[2] and one[0] != other[0])
