"""Changes an input a little: edits of text and numbers, elements in and out, one argument drawn anew."""

from __future__ import annotations

import dataclasses
import random
from typing import Any, List, Sequence, Tuple

from .documents import edit_lines
from .reading import Target
from .recipes import Atom, Case, Items, Make, Pairs, Recipe, Step, atoms_in
from .values import Values

_GLUE = (
    "",
    " ",
    "-",
    "_",
    ",",
    ".",
    "/",
    ":",
    "\n",
    "  ",
    "0",
    "1",
    "a",
    "A",
    "~",
    "+",
    "#",
    '"',
    "'",
    "&",
    "=",
    "(",
    ")",
    "[",
    "]",
    "%",
    "s",
    "é",
)


class Mutation:
    """Draws neighbours of a case."""

    def __init__(self, rng: random.Random, values: Values) -> None:
        self.rng = rng
        self.values = values

    def change(self, recipe: Recipe, depth: int = 3) -> Recipe:
        """A neighbour of a recipe, of the same type mostly."""
        if isinstance(recipe, Atom):
            return Atom(self._atom(recipe.value))
        if isinstance(recipe, Items):
            return Items(recipe.kind, self._items(recipe.items, depth, recipe.kind))
        if isinstance(recipe, Pairs):
            return self._pairs(recipe, depth)
        if isinstance(recipe, Make) and (recipe.args or recipe.kwargs):
            return self._make(recipe, depth)
        return recipe

    def _atom(self, value: Any) -> Any:
        rng = self.rng
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            pool = self.values.pools.numbers
            if pool and rng.random() < 0.3:
                return rng.choice(pool)
            return rng.choice(
                (
                    value + 1,
                    value - 1,
                    -value,
                    value * 2,
                    value // 2,
                    value + 10,
                    value * 10,
                    0,
                    value + rng.randint(-5, 5),
                )
            )
        if isinstance(value, float):
            return rng.choice(
                (
                    value + 1,
                    value - 1,
                    -value,
                    value * 2,
                    value / 2,
                    float(int(value)) if abs(value) < 1e15 else 0.0,
                    value + 0.25,
                )
            )
        if isinstance(value, str):
            return self.edit(value)
        if isinstance(value, bytes):
            return self.edit(value.decode("latin-1")).encode("utf-8", "replace")
        return value

    def edit(self, text: str) -> str:
        """One or two edits of a text."""
        for _ in range(1 if self.rng.random() < 0.65 else 2):
            if "\n" in text and self.rng.random() < 0.4:
                text = edit_lines(text, self.rng)
            else:
                text = self._edit_once(text)
        return text[:400]

    def _edit_once(self, text: str) -> str:
        rng = self.rng
        at = rng.randint(0, len(text))
        end = min(len(text), at + rng.choice((1, 1, 2, 4, 8)))
        pool = self.values.pools.texts
        piece = rng.choice(pool) if pool and rng.random() < 0.4 else rng.choice(_GLUE) or self.values.text()
        choice = rng.randrange(9)
        if choice == 0:
            return text[:at] + text[end:]
        if choice in (1, 2):
            return text[:at] + piece + text[at:]
        if choice == 3:
            return text[:at] + piece + text[end:]
        if choice == 4:
            return text[:at] + text[at:end] * 2 + text[end:]
        if choice == 5:
            return rng.choice(
                (text.upper(), text.lower(), text.swapcase(), text.title(), text.strip(), " " + text + " ")
            )
        if choice == 6:
            return text + rng.choice((piece, text[:20]))
        if choice == 7 and at < len(text):
            ch = text[at]
            near = (
                chr(max(1, ord(ch) + rng.choice((-1, 1))))
                if not ch.isdigit()
                else str((int(ch) + rng.choice((1, 9))) % 10 if ch.isdecimal() else 1)
            )
            return text[:at] + near + text[at + 1 :]
        return text[:at] if rng.random() < 0.5 else text[at:]

    def _items(self, items: Sequence[Recipe], depth: int, kind: type) -> List[Recipe]:
        rng, made = self.rng, list(items)
        choice = rng.randrange(6)
        if not made or choice == 0:
            fresh = self.change(rng.choice(made), depth - 1) if made else self.values.anything(1)
            made.insert(rng.randint(0, len(made)), fresh)
        elif choice == 1:
            del made[rng.randrange(len(made))]
        elif choice == 2:
            made.insert(rng.randrange(len(made)), rng.choice(made))
        elif choice == 3 and len(made) > 1:
            i, j = rng.randrange(len(made)), rng.randrange(len(made))
            made[i], made[j] = made[j], made[i]
        else:
            place = rng.randrange(len(made))
            made[place] = self.change(made[place], depth - 1)
        if kind in (set, frozenset):
            made = list({one.source: one for one in made if not isinstance(one, (Pairs,))}.values())
        return made

    def _pairs(self, recipe: Pairs, depth: int) -> Recipe:
        rng, pairs = self.rng, list(recipe.pairs)
        choice = rng.randrange(4)
        if not pairs or choice == 0:
            pairs.append(
                (Atom(self.values.text()), self.change(pairs[0][1], depth - 1) if pairs else self.values.anything(1))
            )
        elif choice == 1:
            del pairs[rng.randrange(len(pairs))]
        else:
            place = rng.randrange(len(pairs))
            key, value = pairs[place]
            pairs[place] = (self.change(key, depth - 1), value) if choice == 2 else (key, self.change(value, depth - 1))
        return Pairs(list({key.source: (key, value) for key, value in pairs}.values()))

    def _make(self, recipe: Make, depth: int) -> Recipe:
        args, kwargs = list(recipe.args), list(recipe.kwargs)
        place = self.rng.randrange(len(args) + len(kwargs))
        if place < len(args):
            args[place] = self.change(args[place], depth - 1)
        else:
            name, value = kwargs[place - len(args)]
            kwargs[place - len(args)] = (name, self.change(value, depth - 1))
        return Make(recipe.callee, args, kwargs)

    def step(self, step: Step) -> Step:
        """A neighbour of a step: one argument changed, or an optional one left out."""
        count = len(step.args) + len(step.kwargs)
        if not count:
            return step
        place = self.rng.randrange(count)
        args, kwargs = list(step.args), list(step.kwargs)
        if place < len(args):
            args[place] = self.change(args[place])
        elif self.rng.random() < 0.15:
            del kwargs[place - len(args)]
        else:
            name, value = kwargs[place - len(args)]
            kwargs[place - len(args)] = (name, self.change(value))
        return dataclasses.replace(step, args=tuple(args), kwargs=tuple(kwargs))

    def case(self, case: Case, target: Target) -> Case:
        """A neighbour of a case: mostly its last call, else a line of its set-up."""
        if len(case.steps) > 1 and (self.rng.random() < 0.4 or not (case.last.args or case.last.kwargs)):
            place = self.rng.randrange(len(case.steps) - 1)
            steps = list(case.steps)
            steps[place] = self.step(steps[place])
            return dataclasses.replace(case, steps=tuple(steps), origin="search", expected=None)
        if self.rng.random() < 0.12:
            return self.echoed(case)
        changed = self.step(case.last)
        if self.rng.random() < 0.25:
            changed = self.step(changed)
        return case.with_last(changed)

    def echoed(self, case: Case) -> Case:
        """The case with one value of it repeated in another place; an argument may be a copy of the receiver."""
        rng = self.rng
        first, last = case.steps[0], case.last
        if len(case.steps) > 1 and last.args and first.callee and rng.random() < 0.4:
            place = rng.randrange(len(last.args))
            copy = (
                self.change(Make(first.callee, first.args, first.kwargs))
                if rng.random() < 0.7
                else Make(first.callee, first.args, first.kwargs)
            )
            return case.with_last(dataclasses.replace(last, args=(*last.args[:place], copy, *last.args[place + 1 :])))
        atoms = [
            atom
            for step in case.steps
            for recipe in (*step.args, *(v for _, v in step.kwargs))
            for atom in atoms_in(recipe)
        ]
        places = [i for i, recipe in enumerate(last.args) if isinstance(recipe, Atom)]
        if not places or not atoms:
            return case.with_last(self.step(last))
        place = rng.choice(places)
        mine = last.args[place]
        same = [atom for atom in atoms if isinstance(mine, Atom) and type(atom.value) is type(mine.value)]
        fresh = rng.choice(same) if same else rng.choice(atoms)
        return case.with_last(dataclasses.replace(last, args=(*last.args[:place], fresh, *last.args[place + 1 :])))

    def cross(self, one: Case, other: Case) -> Case:
        """The first case with an argument of the second."""
        if not one.last.args or len(one.last.args) != len(other.last.args):
            return one
        place = self.rng.randrange(len(one.last.args))
        args: Tuple[Recipe, ...] = (*one.last.args[:place], other.last.args[place], *one.last.args[place + 1 :])
        return one.with_last(dataclasses.replace(one.last, args=args))
