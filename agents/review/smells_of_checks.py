"""Tests that check nothing, or less than they seem to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from aqe.agents.review.sources import Source
from aqe.agents.review.test_functions import (
    Checks,
    TestFunction,
    dotted,
    last_name,
    statement_lists,
)

Seen = Iterator[tuple[int, str]]

MANY = 12
"""From so many bare assertions on a failure says too little."""

_MEANT = re.compile(
    r"(no|not|never|without|doesnt|does_not|dont|do_not|cannot|isnt|wont)_?(\w+_)?(an?_)?"
    r"(err|except|rais|crash|warn|fail|hang|leak|block|break|deadlock|throw)|smoke|import|noop|no_op|benchmark|repr_works",
    re.IGNORECASE,
)
"""A test with such a name is meant to pass by coming to its end."""

_PLAIN_MARKS = frozenset(
    {
        "parametrize",
        "asyncio",
        "anyio",
        "trio",
        "slow",
        "usefixtures",
        "filterwarnings",
        "timeout",
        "flaky",
        "django_db",
    }
    | {"order", "dependency", "patch", "object", "dict", "staticmethod", "classmethod", "unit", "integration", "skipif"}
)
"""Decorators that check nothing by themselves."""

_EQUALITY = re.compile(r"eq|hash|same|identi|reflex|compar|nan|order|interned|singleton|cache", re.IGNORECASE)
_AGAIN = re.compile(r"cache|idempot|twice|repeat|again|second|memo|determin|stable|once|stateful", re.IGNORECASE)
_NEVER_MOCK = frozenset({"called_once", "called_once_with", "called_with", "has_calls", "any_call", "not_called"})


def no_assertion(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """A test that passes whatever the code returns."""
    if not [node for node in test.body if not _is_nothing(node)]:
        if not _is_skipped(test):
            yield test.node.lineno, f"{test.node.name} does nothing: it passes whatever the code does."
        return
    if any(map(checks.holds, test.body)) or _MEANT.search(test.name) or _is_checked_elsewhere(test, source):
        return
    yield test.node.lineno, f"{test.node.name} checks nothing: it passes unless the code raises. Assert the outcome."


def _is_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _is_skipped(test: TestFunction) -> bool:
    return any(last_name(one) in ("skip", "xfail", "skipif", "skipIf") for one in test.node.decorator_list)


def _is_checked_elsewhere(test: TestFunction, source: Source) -> bool:
    """Whether a decorator, a fixture that is called, or an inherited method may hold the check."""
    if any(last_name(one) not in _PLAIN_MARKS for one in test.node.decorator_list):
        return True
    methods = set()
    if test.owner is not None:
        methods = {node.name for node in test.owner.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for call in test.calls:
        whole = dotted(call)
        root, _, rest = whole.partition(".")
        if root in test.parameters and root != "self" and not rest:
            return True
        if root == "self" and rest and "." not in rest and rest not in methods:
            return True
    return False


def always_true(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """An assertion that no change of the code can fail."""
    for node in test.nodes:
        if isinstance(node, ast.Assert):
            why = _why_true(node.test, test)
            if why:
                yield node.lineno, f"This assertion cannot fail: {why}."
        elif isinstance(node, ast.Call) and dotted(node).startswith("self.assert"):
            why = _why_unittest_true(node, test)
            if why:
                yield node.lineno, f"This assertion cannot fail: {why}."


def _why_true(node: ast.expr, test: TestFunction) -> str:
    if isinstance(node, ast.Constant):
        return f"{ast.unparse(node)} is always true" if node.value else ""
    if isinstance(node, ast.Tuple) and node.elts:
        return "a tuple that is not empty is always true; the parentheses hold both the condition and the message"
    if isinstance(node, (ast.GeneratorExp, ast.Lambda)):
        return "a generator or a function is always true, whatever it yields"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Constant):
        return "" if node.operand.value else f"{ast.unparse(node)} is always true"
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return next((why for one in node.values if (why := _why_true(one, test))), "")
    if isinstance(node, ast.Call) and dotted(node) == "isinstance" and len(node.args) == 2:
        return "everything is an object" if dotted(node.args[1]) == "object" else ""
    if last_name(node) in _NEVER_MOCK:
        return f"{last_name(node)} is no check of a mock, and an unknown attribute of a mock is true"
    return _why_comparison_true(node, test) if isinstance(node, ast.Compare) else ""


def _why_comparison_true(node: ast.Compare, test: TestFunction) -> str:
    left, operator, right = node.left, node.ops[0], node.comparators[0]
    if isinstance(operator, ast.GtE) and dotted(left) == "len" and _is_number(right, 0):
        return "a length is never below 0"
    same = ast.dump(left) == ast.dump(right) and not any(isinstance(one, ast.Call) for one in ast.walk(left))
    if same and isinstance(operator, (ast.Eq, ast.Is, ast.LtE, ast.GtE)) and not _EQUALITY.search(test.name):
        return f"{ast.unparse(left)} is compared with itself"
    return ""


def _why_unittest_true(node: ast.Call, test: TestFunction) -> str:
    name, arguments = last_name(node), node.args
    if name in ("assertTrue", "assert_") and arguments:
        return _why_true(arguments[0], test)
    if name == "assertFalse" and arguments and isinstance(arguments[0], ast.Constant) and not arguments[0].value:
        return f"{ast.unparse(arguments[0])} is always false"
    if name in ("assertEqual", "assertEquals", "assertIs") and len(arguments) >= 2:
        return _why_comparison_true(ast.Compare(arguments[0], [ast.Eq()], [arguments[1]]), test)
    return ""


def _is_number(node: ast.expr, value: int) -> bool:
    return isinstance(node, ast.Constant) and node.value == value and not isinstance(node.value, bool)


def returned_comparison(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """A test that hands its verdict to pytest, which does not look at it."""
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in test.nodes):
        return
    for node in test.nodes:
        if isinstance(node, ast.Return) and isinstance(node.value, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            yield node.lineno, "The result is returned, and pytest does not look at it: write `assert`."


def unreachable_checks(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """Assertions behind what always leaves."""
    for body in statement_lists(test.body):
        left = False
        for node in body:
            if left and isinstance(node, ast.Assert):
                yield node.lineno, "This assertion never runs: the statement before it always leaves the test."
            left = left or isinstance(node, (ast.Return, ast.Raise)) or _always_leaves(node)
    for block in test.nodes:
        if isinstance(block, (ast.With, ast.AsyncWith)):
            yield from _after_raising(block)


def _always_leaves(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and dotted(node.value) in ("pytest.fail", "pytest.skip", "self.fail")


def _after_raising(node: ast.With | ast.AsyncWith) -> Seen:
    """Assertions inside `with pytest.raises`, after the call that raises."""
    expecting = [item for item in node.items if last_name(item.context_expr) in ("raises", "assertRaises")]
    if not expecting or len(node.body) < 2 or "AssertionError" in ast.unparse(expecting[0].context_expr):
        return
    caught = {one.optional_vars.id for one in expecting if isinstance(one.optional_vars, ast.Name)}
    for one in node.body[1:]:
        if not isinstance(one, ast.Assert):
            continue
        names = {name.id for name in ast.walk(one) if isinstance(name, ast.Name)}
        if names & caught or not any(isinstance(part, ast.Call) for part in ast.walk(one)):
            yield one.lineno, "This assertion never runs: what stands before it in the block raises. Move it out."


def uncalled_checks(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """A function inside a test that asserts and that nobody calls."""
    inner = [node for node in test.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    for node in inner:
        used = any(isinstance(one, ast.Name) and one.id == node.name for one in ast.walk(test.node))
        if not used and not node.decorator_list and any(isinstance(one, ast.Assert) for one in ast.walk(node)):
            yield node.lineno, f"{node.name} is never called, so its assertions never run."


def swallowed_exception(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """`except` that turns a failure into a pass."""
    for node in test.nodes:
        if not isinstance(node, ast.Try) or _expects_to_raise(node, checks):
            continue
        asserts_inside = any(map(checks.holds, node.body))
        rest = [one for one in test.body if one is not node]
        asserts_outside = any(checks.holds(one) for one in rest) or any(map(checks.holds, node.orelse))
        for handler in node.handlers:
            broad = handler.type is None or last_name(handler.type) in ("Exception", "BaseException", "AssertionError")
            hides = (asserts_inside and broad) or not asserts_outside
            if hides and _is_silent(handler) and not _is_about_imports(handler):
                what = "any exception" if handler.type is None else ast.unparse(handler.type)
                yield handler.lineno, f"The test passes when {what} is raised. Use pytest.raises, or let it fly."


def _expects_to_raise(node: ast.Try, checks: Checks) -> bool:
    """The long form of pytest.raises: the block, or its `else`, ends by failing."""
    ends = [*node.body[-1:], *node.orelse[-1:]]
    return any(_fails(one) for one in ends)


def _fails(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assert):
        return isinstance(node.test, ast.Constant) and not node.test.value
    return isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and "fail" in last_name(node.value).lower())


def _is_silent(handler: ast.ExceptHandler) -> bool:
    return all(
        _is_nothing(node)
        or isinstance(node, (ast.Continue, ast.Break))
        or (isinstance(node, ast.Return) and node.value is None)
        or (
            isinstance(node, ast.Expr) and dotted(node.value).partition(".")[0] in ("print", "log", "logger", "logging")
        )
        for node in handler.body
    )


def _is_about_imports(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and "Import" in ast.unparse(handler.type)


def checks_under_condition(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """All assertions stand under an `if` without `else` whose condition comes from what the code returned."""
    assigned = {
        name.id
        for node in test.nodes
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and _comes_from_call(node.value)
        for name in ast.walk(node)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }
    holding = [node for node in test.body if checks.holds(node)]
    if len(holding) != 1 or not isinstance(holding[0], (ast.If, ast.For)):
        return
    node = holding[0]
    names = {
        one.id for one in ast.walk(node.test if isinstance(node, ast.If) else node.iter) if isinstance(one, ast.Name)
    }
    if not names & assigned or names & test.parameters or any(map(checks.holds, node.orelse)):
        return
    if isinstance(node, ast.If):
        yield node.lineno, f"Nothing is checked where `{ast.unparse(node.test)}` is false, and the test still passes."
    elif not any(isinstance(one, ast.Call) for one in ast.walk(node.iter)):
        yield node.lineno, f"Nothing is checked where {ast.unparse(node.iter)} is empty, and the test still passes."


def _comes_from_call(node: ast.expr | None) -> bool:
    return node is not None and any(isinstance(one, ast.Call) for one in ast.walk(node))


def duplicate_assertions(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """The same assertion twice with nothing but assertions between."""
    if _AGAIN.search(test.name):
        return
    for body in statement_lists(test.body):
        seen: dict[str, int] = {}
        for node in body:
            if not isinstance(node, ast.Assert):
                seen.clear()
                continue
            text = ast.unparse(node)
            if text in seen and not _may_change_something(node):
                yield node.lineno, f"The same assertion stands on line {seen[text]}; was something else meant?"
            seen.setdefault(text, node.lineno)


def _may_change_something(node: ast.Assert) -> bool:
    made = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    return any(isinstance(one.func, ast.Attribute) or dotted(one) == "next" for one in made) or any(
        isinstance(one, (ast.Await, ast.NamedExpr)) for one in ast.walk(node)
    )


def many_assertions(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """So many bare assertions that a failure does not say which promise broke."""
    bare = [node for node in test.nodes if isinstance(node, ast.Assert) and node.msg is None]
    if len(bare) >= MANY:
        yield test.node.lineno, f"{len(bare)} assertions without a word in one test: split it by behaviour."


def mocked_subject(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """An assertion about the very function that the test replaced."""
    replaced = dict(_replaced(test))
    if not replaced:
        return
    results: dict[str, str] = {}
    for node in test.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _matches(node.value, replaced):
            results |= {one.id: _matches(node.value, replaced) for one in node.targets if isinstance(one, ast.Name)}
    for node in test.nodes:
        if not isinstance(node, ast.Assert) or not isinstance(node.test, ast.Compare):
            continue
        for side in (node.test.left, *node.test.comparators):
            name = _matches(side, replaced) if isinstance(side, ast.Call) else results.get(dotted(side), "")
            if name:
                yield (
                    node.lineno,
                    f"{name} is replaced by a mock in this test, so this checks the mock and not the code.",
                )
                break


def _replaced(test: TestFunction) -> Iterator[tuple[str, str]]:
    """Last name and holder of each function that is replaced by a mock with a result of its own."""
    candidates: list[ast.AST] = [*test.node.decorator_list, *test.nodes]
    for node in candidates:
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name, first = dotted(node), node.args[0]
        gives = len(node.args) > 1 or any(keyword.arg in ("return_value", "new") for keyword in node.keywords)
        is_patch = name.rpartition(".")[2] == "patch"
        text = first.value if isinstance(first, ast.Constant) else None
        if gives and isinstance(text, str) and (is_patch or name == "monkeypatch.setattr"):
            holder, _, last = text.rpartition(".")
            yield last, holder.rpartition(".")[2]
        elif name.endswith("patch.object") or name == "monkeypatch.setattr":
            second = node.args[1] if len(node.args) > 1 else None
            if isinstance(second, ast.Constant) and isinstance(second.value, str):
                yield second.value, last_name(first)


def _matches(call: ast.Call, replaced: dict[str, str]) -> str:
    """The dotted name of a call that is one of the replaced functions, else empty."""
    whole = dotted(call)
    holder, _, last = whole.rpartition(".")
    if last not in replaced or (holder and holder.rpartition(".")[2] != replaced[last]):
        return ""
    return whole
