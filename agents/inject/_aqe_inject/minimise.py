"""From many kept cases to a readable few: greedy cover over arms and kills, then shorter inputs with the same kills."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import Counter
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

from .campaign import Entry, arms_of
from .exam import Exam
from .recipes import Atom, Case, Items, Make, Pairs, Recipe, Step

MOST_PER_TARGET = 30
"""Cases of one target beyond which nobody reads on."""


@dataclasses.dataclass
class Graded:
    """An exam with the arms that its case takes and the mutants that it kills."""

    exam: Exam
    entry: Entry
    arms: int
    kills: Set[int]


def cover(graded: Sequence[Graded], counted: int) -> List[Graded]:
    """A small set that keeps every arm and every kill: each turn takes the case that adds most for its length."""
    left_arms = 0
    left_kills: Set[int] = set()
    for one in graded:
        left_arms |= one.arms & counted
        left_kills |= one.kills
    chosen: List[Graded] = []
    for one in graded:
        if one.exam.case.origin == "doctest" and (one.arms & left_arms or one.kills & left_kills):
            chosen.append(one)
            left_arms &= ~one.arms
            left_kills -= one.kills
    taken = {id(one) for one in chosen}
    heap = [
        (-_gain(one, left_arms, left_kills), one.exam.cost(), one.entry.number, place)
        for place, one in enumerate(graded)
        if id(one) not in taken
    ]
    heapq.heapify(heap)
    per_target: Dict[str, int] = {}
    while heap and (left_arms or left_kills):
        _, cost, number, place = heapq.heappop(heap)
        best = graded[place]
        gain = _gain(best, left_arms, left_kills)  # it can only have fallen since it was put there
        if gain <= 0:
            continue
        if heap and (-gain, cost, number, place) > heap[0]:
            heapq.heappush(heap, (-gain, cost, number, place))
            continue
        count = per_target.get(best.exam.case.target, 0)
        if count >= MOST_PER_TARGET:
            continue
        per_target[best.exam.case.target] = count + 1
        chosen.append(best)
        left_arms &= ~best.arms
        left_kills -= best.kills
    return _without_idle(chosen, counted)


def _gain(one: Graded, left_arms: int, left_kills: Set[int]) -> float:
    gain = bin(one.arms & left_arms).count("1") + len(one.kills & left_kills)
    return gain / math.sqrt(20.0 + one.exam.cost())


def _without_idle(chosen: List[Graded], counted: int) -> List[Graded]:
    """Drop cases whose arms and kills the others have as well, dearest first."""
    arms: Counter[int] = Counter()
    kills: Counter[int] = Counter()
    own_arms = {id(one): arms_of(one.arms & counted) for one in chosen}
    for one in chosen:
        arms.update(own_arms[id(one)])
        kills.update(one.kills)
    dropped: Set[int] = set()
    for one in sorted(chosen, key=lambda g: (-g.exam.cost(), g.entry.number)):
        if one.exam.case.origin == "doctest":
            continue
        if all(arms[arm] > 1 for arm in own_arms[id(one)]) and all(kills[mutant] > 1 for mutant in one.kills):
            dropped.add(id(one))
            arms.subtract(own_arms[id(one)])
            kills.subtract(one.kills)
    return [one for one in chosen if id(one) not in dropped]


# ---------------------------------------------------------------- shrinking


def shrink(case: Case, holds: Callable[[Case], bool], tries: int = 60) -> Case:
    """A shorter case for which `holds` is still true; at most `tries` questions."""
    best = case
    left = tries
    improved = True
    while improved and left > 0:
        improved = False
        for smaller in smaller_cases(best):
            if smaller.cost() >= best.cost():
                continue
            left -= 1
            if holds(smaller):
                best, improved = smaller, True
                break
            if left <= 0:
                break
    return best


def smaller_cases(case: Case) -> Iterator[Case]:
    """Cases with a line, an argument or a part of one less."""
    for place in range(len(case.steps) - 1):
        if case.steps[place].bind is None:
            yield _like(case, (*case.steps[:place], *case.steps[place + 1 :]))
    for place, step in enumerate(case.steps):
        for smaller in _smaller_steps(step):
            yield _like(case, (*case.steps[:place], smaller, *case.steps[place + 1 :]))


def _like(case: Case, steps: Tuple[Step, ...]) -> Case:
    return dataclasses.replace(case, steps=steps)


def _smaller_steps(step: Step) -> Iterator[Step]:
    for place in range(len(step.kwargs)):
        yield dataclasses.replace(step, kwargs=(*step.kwargs[:place], *step.kwargs[place + 1 :]))
    if step.form == "{f}({args})" and step.args:
        yield dataclasses.replace(step, args=step.args[:-1])
    for place, recipe in enumerate(step.args):
        for smaller in smaller_recipes(recipe):
            yield dataclasses.replace(step, args=(*step.args[:place], smaller, *step.args[place + 1 :]))
    for place, (name, recipe) in enumerate(step.kwargs):
        for smaller in smaller_recipes(recipe):
            yield dataclasses.replace(step, kwargs=(*step.kwargs[:place], (name, smaller), *step.kwargs[place + 1 :]))


def smaller_recipes(recipe: Recipe, depth: int = 4) -> Iterator[Recipe]:
    """Simpler values of the same type, the simplest first."""
    if isinstance(recipe, Atom):
        yield from _smaller_atoms(recipe)
    elif isinstance(recipe, Items) and depth:
        for place in range(len(recipe.items)):
            yield Items(recipe.kind, (*recipe.items[:place], *recipe.items[place + 1 :]))
        for place, item in enumerate(recipe.items):
            for smaller in smaller_recipes(item, depth - 1):
                yield Items(recipe.kind, (*recipe.items[:place], smaller, *recipe.items[place + 1 :]))
    elif isinstance(recipe, Pairs) and depth:
        for place in range(len(recipe.pairs)):
            yield Pairs((*recipe.pairs[:place], *recipe.pairs[place + 1 :]))
        for place, (key, value) in enumerate(recipe.pairs):
            for smaller in smaller_recipes(value, depth - 1):
                yield Pairs((*recipe.pairs[:place], (key, smaller), *recipe.pairs[place + 1 :]))
    elif isinstance(recipe, Make) and depth:
        for place in range(len(recipe.kwargs)):
            yield Make(recipe.callee, recipe.args, (*recipe.kwargs[:place], *recipe.kwargs[place + 1 :]))
        for place, item in enumerate(recipe.args):
            for smaller in smaller_recipes(item, depth - 1):
                yield Make(recipe.callee, (*recipe.args[:place], smaller, *recipe.args[place + 1 :]), recipe.kwargs)


_READABLE = ("apple", "Hello", "hello world", "Hello World")
"""Words that a reader takes in at once, tried in place of longer texts."""


def _smaller_atoms(recipe: Atom) -> Iterator[Recipe]:
    value: Any = recipe.value
    if isinstance(value, (str, bytes)):
        size = len(value)
        if isinstance(value, str):
            yield from (Atom(word) for word in _READABLE if len(word) < size and value not in _READABLE)
        if size > 3:
            yield Atom(value[: size // 2])
            yield Atom(value[size // 2 :])
        for place in range(min(size, 24)):
            left, right = recipe.value[:place], recipe.value[place + 1 :]
            yield Atom(left + right)
        if isinstance(value, str):
            plain = "".join("a" if not ch.isascii() and ch.isalpha() else ch for ch in value)
            if plain != value:
                yield Atom(plain)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int) and abs(value) > 9:
        for smaller in (0, 1, 2, 10, value // 10, value // 2):
            yield Atom(smaller)
    elif isinstance(value, float) and len(repr(value)) > 3:
        for shorter in (
            0.0,
            1.0,
            float(int(value)) if abs(value) < 1e15 else 1.0,
            round(value, 1) if abs(value) < 1e15 else 1.0,
        ):
            yield Atom(shorter)
