"""Builds cases: arguments for a target, an object for a method, calls before it that bring the object into a state."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import keyword
import random
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .hints import ANY, Shape, resolve, shape_of
from .namespace import Namespace
from .reading import Parameter, Target
from .recipes import COLLECT, Atom, Case, Make, Recipe, Step
from .usage import guess_by_name
from .values import Pools, Values

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
Arguments = Tuple[Tuple[Recipe, ...], Tuple[Tuple[str, Recipe], ...]]


class Builder:
    """Draws whole cases. It learns while the search runs: which calls return a class, which methods change a state."""

    def __init__(self, targets: Sequence[Target], names: Namespace, rng: random.Random) -> None:
        self.targets = list(targets)
        self.names = names
        self.rng = rng
        self.providers: Dict[type, List[Recipe]] = {}
        self.values = Values(rng, names, self.providers)
        self.values.constructor = self.construct
        self.pools = {id(target): Pools.of(target.constants, target.patterns) for target in targets}
        self.methods: Dict[type, List[Target]] = {}
        self.factories: Dict[type, List[Target]] = {}
        self.changers: Dict[type, List[Target]] = {}
        self.idle: Dict[type, int] = {}
        self._foreign: Dict[Any, Optional[List[Parameter]]] = {}
        self._inits = {
            target.owner: target for target in targets if target.flavour == "init" and target.owner is not None
        }
        for target in targets:
            self._index(target)

    def _index(self, target: Target) -> None:
        if target.why_not or target.owner is None:
            made = target.returns.value if target.returns.kind == "class" else None
            if target.flavour == "function" and isinstance(made, type) and not target.awaits and not target.is_private:
                self.factories.setdefault(made, []).append(target)
            return
        if target.flavour in ("method", "setter") and (not target.name.startswith("_") or target.name.endswith("__")):
            for kind in target.in_classes:
                self.methods.setdefault(kind, []).append(target)
        if target.flavour in ("classmethod", "static") and not target.is_private and not target.awaits:
            if target.returns.value is target.owner or re.match(
                r"(from|parse|create|make|of|load|new|build)(_|$)", target.name
            ):
                self.factories.setdefault(target.owner, []).append(target)

    # ------------------------------------------------------------ cases

    def case(self, target: Target) -> Optional[Case]:
        """A fresh case for a target; None when no object of its class can be made."""
        self.values.pools = self.pools[id(target)]
        self.values.echo = []
        args, kwargs = self.arguments(target.parameters)
        steps, receiver = self.setting(target)
        if steps is None:
            return None
        callee = self.callee(target, receiver)
        if callee is None:
            return None
        last = self.last_step(target, callee, receiver, args, kwargs)
        return Case(target.qualname, (*self._environment(target), *steps, last))

    def _environment(self, target: Target) -> List[Step]:
        """Lines that set environment variables which the target reads; mostly one, often none."""
        if not target.variables or self.rng.random() < 0.35:
            return []
        steps = []
        for name in self.rng.sample(target.variables, min(len(target.variables), self.rng.choice((1, 1, 1, 2)))):
            value = (
                self.values.of((Shape("str"),), 2) if self.rng.random() < 0.6 else Atom(self.rng.choice(("1", "", "0")))
            )
            steps.append(Step("monkeypatch.setenv", args=(Atom(name), value)))
        return steps

    def last_step(self, target: Target, callee: str, receiver: Optional[str], args: Any, kwargs: Any) -> Step:
        """The call under test for given arguments."""
        form = target.form.replace("{r}", receiver or "")
        return Step(callee, form, None, receiver, tuple(args), tuple(kwargs), target.is_statement, target.awaits)

    def setting(self, target: Target) -> Tuple[Optional[List[Step]], Optional[str]]:
        """The lines that make the receiver and its name; no lines for what needs none."""
        if target.flavour not in ("method", "property", "setter"):
            return [], None
        if not target.in_classes:
            return None, None
        kind = self.rng.choice(target.in_classes)
        made = self.values.make(Shape("class", value=kind), 3)
        if not isinstance(made, Make):
            return None, None
        receiver = self.variable(kind)
        steps = [Step(made.callee, "{f}({args})", receiver, None, made.args, made.kwargs)]
        steps.extend(self._before(kind, receiver))
        self.values.pools = self.pools[id(target)]
        return steps, receiver

    def _before(self, kind: type, receiver: str) -> List[Step]:
        """Calls on the receiver, mostly such as changed a state before."""
        pool = self.changers.get(kind) or []
        every = self.methods.get(kind) or []
        steps: List[Step] = []
        self.idle[kind] = 0 if pool else self.idle.get(kind, 0) + 1
        if not every or self.idle[kind] > 150 or self.rng.random() < (0.3 if pool else 0.75):
            return steps
        for _ in range(self.rng.choice((1, 1, 2, 2, 3, 5))):
            target = self.rng.choice(pool if pool and self.rng.random() < 0.85 else every)
            self.values.pools = self.pools[id(target)]
            args, kwargs = self.arguments(target.parameters)
            callee = self.callee(target, receiver)
            if callee is not None and not target.form.startswith(COLLECT):
                steps.append(self.last_step(target, callee, receiver, args, kwargs))
        return steps

    def callee(self, target: Target, receiver: Optional[str]) -> Optional[str]:
        """What is called: `slugify`, `Stack`, `stack.push`, `Version.parse`."""
        if target.flavour == "function":
            return target.qualname
        if receiver is not None:
            return "%s.%s" % (receiver, target.name)
        kinds = target.in_classes or ([target.owner] if target.owner else [])
        owner = self.names.name_of(kinds[0]) if kinds else None
        if owner is None:
            return None
        return owner if target.flavour == "init" else "%s.%s" % (owner, target.name)

    def variable(self, kind: type) -> str:
        """A variable name for an object of a class."""
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__.strip("_")).lower() or "thing"
        if name in self.names.globals or keyword.iskeyword(name) or hasattr(builtins, name) or name == "result":
            name = "a_" + name if name[0] not in "aeiou" else "an_" + name
        return name

    # ------------------------------------------------------------ arguments

    def arguments(self, parameters: Sequence[Parameter], depth: int = 3) -> Arguments:
        """Arguments for a signature: what is required always, what has a default half of the time, by keyword."""
        rng, args, kwargs = self.rng, [], []
        spread = next((p for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
        extra = self._spread(spread, depth) if spread is not None else []
        keep = rng.choice((0.15, 0.5, 0.5, 0.8))
        by_position = True
        for one in parameters:
            if one.kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(extra)
                by_position = False
            elif one.kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.extend(self._named(one, parameters, depth))
            elif one.has_default and not extra and rng.random() > keep:
                by_position = False
            elif (
                one.kind in _POSITIONAL and by_position and (not one.has_default or extra or one.kind is _POSITIONAL[0])
            ):
                args.append(self._argument(one, depth))
            elif one.kind is not inspect.Parameter.POSITIONAL_ONLY:
                kwargs.append((one.name, self._argument(one, depth)))
        return tuple(args), tuple(kwargs)

    def _argument(self, one: Parameter, depth: int) -> Recipe:
        self.values.topic = one.name
        seeds = self.values.pools.seeds.get(one.name)
        if seeds and self.rng.random() < 0.3:
            return self.rng.choice(seeds)
        if one.has_default and isinstance(one.default, (int, float, str)) and self.rng.random() < 0.1:
            return Atom(one.default)
        return self.values.of(one.shapes, depth)

    def _spread(self, one: Parameter, depth: int) -> List[Recipe]:
        shapes = one.shapes if one.is_stated else (ANY,)
        return [self.values.of(shapes, depth - 1) for _ in range(self.rng.choice((0, 1, 1, 2, 2, 3)))]

    def _named(self, one: Parameter, parameters: Sequence[Parameter], depth: int) -> List[Tuple[str, Recipe]]:
        taken = {p.name for p in parameters}
        pool = [t for t in self.values.pools.texts if t.isidentifier() and not keyword.iskeyword(t) and t not in taken]
        names = list(dict.fromkeys([*pool, "a", "b", "key", "value"]))
        chosen = self.rng.sample(names, min(len(names), self.rng.choice((0, 1, 1, 2, 3))))
        shapes = one.shapes if one.is_stated else (ANY,)
        return [(name, self.values.of(shapes, depth - 1)) for name in chosen]

    # ------------------------------------------------------------ objects

    def construct(self, kind: Any, depth: int) -> Optional[Recipe]:
        """A call that makes an object of a class: its constructor, or a factory of the subject."""
        for one in self._concrete(kind):
            factories = self.factories.get(one)
            if factories and self.rng.random() < 0.35:
                target = self.rng.choice(factories)
                callee = self.callee(target, None)
                if callee is not None:
                    return self._with_pools(callee, target, depth)
            name = self.names.name_of(one)
            init = self._inits.get(one)
            if name is None:
                continue
            if init is not None:
                return self._with_pools(name, init, depth)
            foreign = self._signature(one)
            if foreign is not None:
                return Make(name, *self.arguments(foreign, depth))
        return None

    def _with_pools(self, callee: str, target: Target, depth: int) -> Recipe:
        before = self.values.pools
        self.values.pools = self.pools[id(target)]
        made = Make(callee, *self.arguments(target.parameters, depth))
        self.values.pools = before
        return made

    def _concrete(self, kind: Any) -> List[type]:
        if not isinstance(kind, type):
            return []
        if not inspect.isabstract(kind) and not getattr(kind, "_is_protocol", False):
            return [kind]
        subs = [
            one for one in self._inits if one is not None and _is_subclass(one, kind) and not inspect.isabstract(one)
        ]
        self.rng.shuffle(subs)
        return subs

    def _signature(self, kind: type) -> Optional[List[Parameter]]:
        """Parameters of a class that is not the subject's."""
        if kind not in self._foreign:
            self._foreign[kind] = foreign_parameters(kind)
        return self._foreign[kind]

    def learn_provider(self, value: Any, case: Case) -> None:
        """Remember that the case's call returned an object that may serve as an argument or receiver elsewhere."""
        kind = type(value)
        self.values.learn_result(value)
        if (
            kind.__module__ in ("builtins", "datetime", "decimal", "re", "types", "functools", "collections")
            or len(case.steps) > 1
        ):
            return
        last = case.last
        if last.form != "{f}({args})":
            return
        known = self.providers.setdefault(kind, [])
        made = Make(last.callee, last.args, last.kwargs)
        if len(known) < 30 and all(one.source != made.source for one in known):
            known.append(made)

    def learn_changer(self, target: Target, kind: type) -> None:
        """Remember that a method changed the state of its object."""
        known = self.changers.setdefault(kind, [])
        if target not in known and target in self.methods.get(kind, ()):
            known.append(target)


def _is_subclass(one: type, kind: type) -> bool:
    try:
        return issubclass(one, kind)
    except TypeError:
        return False


def foreign_parameters(kind: type) -> Optional[List[Parameter]]:
    """The parameters of a class from another module, from its hints, defaults and names; None when unreadable."""
    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):
        return None
    hints = getattr(getattr(kind, "__init__", None), "__annotations__", None) or {}
    scope = dict(getattr(inspect.getmodule(kind), "__dict__", {}))
    made = []
    for one in signature.parameters.values():
        stated = shape_of(resolve(hints.get(one.name, one.annotation), scope))
        has_default = one.default is not inspect.Parameter.empty
        shapes = [stated] if stated != ANY else []
        if has_default and one.default is not None:
            shapes.append(shape_of(type(one.default)))
        shapes.append(guess_by_name(one.name))
        chosen = tuple(shape for shape in shapes if shape != ANY) or (ANY,)
        made.append(
            Parameter(one.name, one.kind, chosen, stated != ANY, has_default, one.default if has_default else None)
        )
    return made


def choices_of(parameter: Parameter) -> List[Any]:
    """The few values that an option takes: both truth values, the members of a Literal, None."""
    if not parameter.has_default or parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        return []
    if isinstance(parameter.default, bool):
        return [not parameter.default]
    for shape in parameter.shapes:
        for part in (shape, *shape.inner):
            if part.kind == "literal":
                return list(part.value)[:8]
            if part.kind == "bool":
                return [True, False]
    return [None] if parameter.default is None else []


def with_option(case: Case, target: Target, parameter: Parameter, value: Any) -> Optional[Case]:
    """The case with an option set by keyword; None where it stands in the case already or the call is no plain one."""
    last = case.last
    place = next((i for i, one in enumerate(target.parameters) if one.name == parameter.name), 0)
    if "{args}" not in last.form or (parameter.kind in _POSITIONAL and place < len(last.args)):
        return None
    kwargs = [(name, recipe) for name, recipe in last.kwargs if name != parameter.name]
    return case.with_last(dataclasses.replace(last, kwargs=(*kwargs, (parameter.name, Atom(value)))))


def with_receiver(case: Case, steps: Sequence[Step]) -> Case:
    """The case with other set-up lines."""
    return dataclasses.replace(case, steps=(*steps, case.last))
