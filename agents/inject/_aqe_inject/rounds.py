"""The first rounds of a search: a few cases for each target, then each format, pattern, table entry and option."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Tuple

from .campaign import FIRST_SHARE, Campaign
from .documents import DOCUMENTS, TERMS
from .hints import Shape
from .patterns import matching_text
from .reading import Target
from .recipes import Atom, recipe_of
from .sequences import choices_of, with_option


def first_round(campaign: Campaign) -> None:
    """A few fresh cases for every target, so that each is known before any is pursued: first a handful for all of
    them, in the order of the text, then as many again and more."""
    for count in (4, 8):
        for target in list(campaign.targets):
            if target.is_private:
                continue
            campaign.entering(target)
            for _ in range(count):
                if target.why_not:
                    break
                if campaign.pace.done() > FIRST_SHARE:
                    return
                campaign.fresh(target)


_EDGES: Dict[str, Tuple[Any, ...]] = {
    "str": ("", " "), "bytes": (b"",), "int": (0, -1, 1), "float": (0.0, -1.0, 1.0), "list": ([],), "tuples": ((),),
    "dict": ({},), "set": (set(),), "iterator": ([],), "bool": (False, True),
}  # fmt: skip


def edge_round(campaign: Campaign) -> None:
    """For each argument the values at the edge of its type, the other arguments as they come."""
    for target in list(campaign.targets):
        if target.is_private or not target.parameters:
            continue
        campaign.entering(target)
        for place, parameter in enumerate(target.parameters):
            kinds = [part.kind for shape in parameter.shapes[:1] for part in (shape, *shape.inner)]
            for value in (value for kind in dict.fromkeys(kinds) for value in _EDGES.get(kind, ())):
                if campaign.pace.done() > FIRST_SHARE:
                    return
                if target.why_not:
                    break
                made = recipe_of(value)
                case = campaign.builder.case(target)
                if made is None or case is None or place >= len(case.last.args):
                    continue
                args = (*case.last.args[:place], made, *case.last.args[place + 1 :])
                campaign.attempt(case.with_last(dataclasses.replace(case.last, args=args)), target)


def table_round(campaign: Campaign) -> None:
    """Inputs that match each regular expression a target may use, and each entry of its tables."""
    for target in list(campaign.targets):
        if not (target.patterns or target.entries) or target.is_private or not target.parameters:
            continue
        campaign.entering(target)
        for pattern in target.patterns:
            for _ in range(3):
                made = matching_text(pattern, campaign.rng)
                if made is not None:
                    _with_first(campaign, target, made)
        for entry in target.entries:
            _with_first(campaign, target, entry)
            if campaign.pace.done() > FIRST_SHARE:
                return


def _with_first(campaign: Campaign, target: Target, value: Any) -> None:
    """Try a value as the first argument that it suits."""
    case = campaign.builder.case(target)
    if case is None or not case.last.args or target.why_not:
        return
    args = list(case.last.args)
    given = target.parameters[: len(args)]
    if isinstance(value, str):
        suits = [i for i, one in enumerate(given) if any(_is_text(shape) for shape in one.shapes)]
    else:
        suits = [i for i, one in enumerate(given) if "int" in [shape.kind for shape in one.shapes]]
    kwargs = list(case.last.kwargs)
    named = [i for i, (name, held) in enumerate(kwargs) if isinstance(held, Atom) and type(held.value) is str]
    if named and isinstance(value, str) and campaign.rng.random() < 0.5:
        place = campaign.rng.choice(named)
        kwargs[place] = (kwargs[place][0], Atom(value))
    else:
        args[campaign.rng.choice(suits) if suits else 0] = Atom(value)
        kwargs = kwargs if len(suits) > 1 or campaign.rng.random() < 0.3 else []
    step = dataclasses.replace(case.last, args=tuple(args), kwargs=tuple(kwargs))
    campaign.attempt(case.with_last(step), target)


def format_round(campaign: Campaign) -> None:
    """For functions that take text, one input in each of the common formats."""
    for target in list(campaign.targets):
        texts = [one for one in target.parameters if any(_is_text(shape) for shape in one.shapes[:2])]
        if target.is_private or not texts:
            continue
        campaign.entering(target)
        for text in (*DOCUMENTS, *TERMS):
            if campaign.pace.done() > FIRST_SHARE * 0.7:
                return
            _with_first(campaign, target, text)


def flag_round(campaign: Campaign) -> None:
    """Each option of a function once: the other truth value, each choice, None where that is the default."""
    for target in list(campaign.targets):
        if target.is_private or not campaign.archive[id(target)]:
            continue
        campaign.entering(target)
        for parameter in target.parameters:
            for value in choices_of(parameter):
                for entry in list(campaign.archive[id(target)].values())[:3]:
                    if campaign.pace.done() > FIRST_SHARE or target.why_not:
                        break
                    case = with_option(entry.case, target, parameter, value)
                    if case is not None:
                        campaign.attempt(case, target)


def _is_text(shape: Shape) -> bool:
    return shape.kind == "str" or (shape.kind == "union" and any(part.kind == "str" for part in shape.inner))
