"""The search's answer as plain data."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Sequence, Set

from .campaign import Campaign, arm_bit, arms_of, home_of, own_function
from .labels import label_of
from .minimise import Graded
from .namespace import Namespace
from .reading import Target
from .recipes import COLLECT, FEW, Case, Step

_CALLED_BY_NAME = {
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__add__", "__sub__", "__mul__", "__truediv__",
    "__floordiv__", "__mod__",
    "__pow__", "__and__", "__or__", "__xor__", "__lshift__", "__rshift__", "__neg__", "__pos__", "__invert__",
    "__len__", "__str__",
    "__repr__", "__bool__", "__abs__", "__int__", "__float__", "__next__", "__contains__", "__getitem__",
    "__setitem__", "__delitem__",
}  # fmt: skip


def step_data(step: Step) -> Dict[str, Any]:
    """One step: a call where it is one, else a read (`kind` get) whose callee is the whole expression."""
    data: Dict[str, Any] = {
        "bind": step.bind,
        "receiver": step.receiver,
        "await": step.awaits,
        "kind": "call",
        "expr": step.expression(),
    }
    data["args"] = [recipe.source for recipe in step.args]
    data["kwargs"] = [[name, recipe.source] for name, recipe in step.kwargs]
    data["callee"] = step.callee
    if step.collects:
        inner, some = step.form[len(COLLECT) : -2], ", %d" % FEW
        data.update(collect=True, first=FEW if inner.endswith(some) else 0)
        inner = inner[: -len(some)] if inner.endswith(some) else inner
        if inner != "{f}({args})":
            data.update(kind="get", callee=dataclasses.replace(step, form=inner).expression(), args=[], kwargs=[])
        return data
    bare = step.form[len("asyncio.run(") : -1] if step.awaits and step.form.startswith("asyncio.run(") else step.form
    if bare == "{f}({args})" and step.callee:
        return data
    if step.is_statement and step.form.endswith(" = {0}") and "[" not in step.form:
        data["kind"] = "set"
        return data
    if step.callee.rpartition(".")[2] in _CALLED_BY_NAME and step.receiver:
        return data
    data.update(kind="get", callee=step.expression(), args=[], kwargs=[])
    if step.awaits:
        data["await"] = False
    return data


def case_data(one: Graded, names: Namespace, campaign: Campaign) -> Dict[str, Any]:
    """One case as the renderer reads it."""
    exam, target = one.exam, one.entry.target
    outcome: Dict[str, Any] = {"kind": exam.kind, "src": exam.source, "type": exam.type, "approx": exam.approx}
    outcome.update(exception=exam.exception, exception_module=exam.exception_module, message=exam.message)
    steps = [step_data(step) for step in exam.case.steps]
    sources = [step.expression() for step in exam.case.steps if not step.is_statement] + [exam.source or ""]
    sources += [recipe.source for step in exam.case.steps for recipe in (*step.args, *(v for _, v in step.kwargs))]
    sources += [text for check in exam.checks for text in (check.expr, check.source)]
    imports = names.imports_for(*[text for text in sources if text])
    if exam.kind == "raises":
        imports = sorted({*imports, *names.imports_for(exam.exception)})
    elif exam.source is None and exam.type and not exam.checks:
        imports = sorted({*imports, *names.imports_for(exam.type.rpartition(".")[2])})
    return {
        "target": exam.case.target,
        "steps": steps,
        "outcome": outcome,
        "checks": [{"expr": check.expr, "src": check.source} for check in exam.checks],
        "origin": exam.case.origin,
        "documented": exam.documented or exam.case.origin in ("doctest", "docstring"),
        "arms": arms_of(one.arms),
        "kills": sorted(one.kills),
        "imports": imports,
        "label": label_of(exam, target),
        "statement": exam.case.last.is_statement,
    }


def function_data(target: Target, campaign: Campaign, why: str) -> Dict[str, Any]:
    """One target: its arms and what was done with it."""
    arms = arms_of(campaign.function_arms.get(own_function(target), 0))
    return {
        "qualname": target.qualname,
        "line": target.line,
        "end_line": target.end_line,
        "kind": target.kind,
        "arms": arms,
        "hit": [arm for arm in arms if campaign.covered & arm_bit(arm)],
        "executed": campaign.tries.get(id(target), 0),
        "why_not": why,
    }


def why_not(target: Target, campaign: Campaign) -> str:
    """Why a target has no case; empty when it has some."""
    if target.why_not:
        return target.why_not
    if campaign.archive.get(id(target)):
        return ""
    kinds = campaign.kinds.get(id(target), {})
    if target.is_private:
        own = campaign.function_arms.get(own_function(target), 0)
        is_entered = not own or own & campaign.covered
        return "" if is_entered else "private, and no call of %s enters it" % _callers(target, campaign)
    if not kinds:
        return "no object of its class could be made" if target.owner is not None else "not called in the time given"
    worst = max(sorted(kinds), key=lambda kind: kinds[kind])
    return {
        "endless": "does not end in the time given",
        "unbuilt": "no object of its class could be made",
        "borrows": "opens files by numbers that it did not make",
        "odd": "its results cannot be looked at",
    }.get(worst, "gives another result at every run")


def _callers(target: Target, campaign: Campaign) -> str:
    """The public names whose text names a private one, at most three."""
    names = [t.qualname for t in campaign.builder.targets if not t.is_private and target.name in t.uses][:3]
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "a public name"


def not_reached(targets: Sequence[Target], campaign: Campaign, meta: Any) -> List[Dict[str, Any]]:
    """The open branch arms, each with the reason that is known."""
    found = []
    reasons = {own_function(target): why_not(target, campaign) for target in targets}
    private = {own_function(target): _callers(target, campaign) for target in targets if target.is_private}
    entered: Set[str] = {home_of(arm.function) for arm in meta.arms if campaign.covered & arm_bit(arm.id)}
    for arm in meta.arms:
        if arm.counted and not campaign.covered & arm_bit(arm.id):
            home = home_of(arm.function)
            reason = reasons.get(home) or ("" if home in entered else "its function was never entered")
            goes = "to line %d" % arm.target if arm.target > 0 else "to the end"
            searched = "call of %s" % private[home] if home in private else "input"
            found.append(
                {
                    "function": home,
                    "line": arm.line,
                    "why": reason or "no %s found that goes from here %s" % (searched, goes),
                }
            )
    return found


def mutant_data(meta: Any, campaign: Campaign, killed: Set[int]) -> List[Dict[str, Any]]:
    """All mutants with what became of them."""
    reached = {m for entry in campaign.entries() for m in (entry.reached or ())}
    return [
        {
            "id": mutant.id,
            "operator": mutant.operator,
            "line": mutant.line,
            "function": mutant.function,
            "original": mutant.original,
            "replacement": mutant.replacement,
            "killed": mutant.id in killed,
            "reached": mutant.id in reached or mutant.at_import,
            "left_out": mutant.left_out,
        }
        for mutant in meta.mutants
    ]


def case_text(case: Case) -> str:
    """The lines of a case as Python."""
    return "\n".join(
        ("%s = %s" % (step.bind, step.expression())) if step.bind else step.expression() for step in case.steps
    )
