"""The mutation operators: for one syntax node, the small wrong programs that tests should notice.

The set is the usual one of mutation analysis (Offutt et al. 1996, "sufficient operators", and what mutation tools for
Python share): arithmetic, comparison, boolean, constants, conditions, returns, removed statements, loop jumps, slices.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Tuple

MAX_NODES = 400  # an expression with more nodes than this is not copied into a mutant


@dataclass(frozen=True)
class Mutant:
    """One small change. `id` is the value of the switch that turns it on; `key` is stable: `line:col:operator:n`.

    `at_import` mutants lie in code that runs when the module is imported and need a module each; `left_out` is the
    reason why a mutant is set aside as equivalent-looking, empty where it is not.
    """

    id: int
    key: str
    operator: str
    line: int
    function: str
    original: str
    replacement: str
    at_import: bool
    left_out: str = ""


@dataclass(frozen=True)
class Alternative:
    """What stands in place of a node when its mutant is on."""

    operator: str
    node: Any
    original: str
    replacement: str


_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_COMPARISON = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_SYMBOL = {
    "Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "FloorDiv": "//", "Mod": "%", "Pow": "**", "MatMult": "@",
    "LShift": "<<", "RShift": ">>", "BitAnd": "&", "BitOr": "|", "BitXor": "^", "Lt": "<", "LtE": "<=", "Gt": ">",
    "GtE": ">=", "Eq": "==", "NotEq": "!=", "Is": "is", "IsNot": "is not", "In": "in", "NotIn": "not in",
    "And": "and", "Or": "or", "Not": "not", "USub": "-", "UAdd": "+", "Invert": "~",
}  # fmt: skip
_METHODS = {
    "lower": "upper", "upper": "lower", "lstrip": "rstrip", "rstrip": "lstrip", "startswith": "endswith",
    "endswith": "startswith", "find": "rfind", "rfind": "find", "ljust": "rjust", "rjust": "ljust",
    "partition": "rpartition", "rpartition": "partition", "split": "rsplit", "rsplit": "split",
}  # fmt: skip
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}


def symbol(operator: ast.AST) -> str:
    """The operator as it is written."""
    return _SYMBOL[type(operator).__name__]


def is_small(node: ast.AST) -> bool:
    """Whether a copy of the expression costs little."""
    return sum(1 for _ in zip(ast.walk(node), range(MAX_NODES + 1))) <= MAX_NODES


def with_field(node: Any, **fields: Any) -> Any:
    """A deep copy of `node` with some fields replaced."""
    changed = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def constant(value: Any, like: ast.AST) -> ast.Constant:
    """A constant that stands where `like` stands."""
    return ast.copy_location(ast.Constant(value=value), like)


def expression_alternatives(node: ast.expr, text: str) -> Iterator[Alternative]:
    """The mutants of one expression, apart from those its parent makes of it; `text` is its source."""
    if isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.JoinedStr):
        changed = with_field(node, values=[constant("XX", node), *copy.deepcopy(node.values)])
        yield Alternative("string", changed, text, "f'XX" + text[2:])
    elif isinstance(node, (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare)):
        if is_small(node):
            yield from _operators(node, text)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and isinstance(node.ctx, ast.Load):
        for bound in ("lower", "upper"):
            if getattr(node.slice, bound) is not None and is_small(node):
                changed = with_field(node, slice=with_field(node.slice, **{bound: None}))
                yield Alternative("slice", changed, text, "without its %s bound" % bound)
    elif isinstance(node, ast.Call) and is_small(node):
        yield from _calls(node)


def _constants(node: ast.Constant) -> Iterator[Alternative]:
    value = node.value
    values: List[Tuple[str, object]] = []
    if isinstance(value, bool):
        values = [("boolean", not value)]
    elif isinstance(value, (int, float, complex)):
        values = [("number", value + 1)]
        if isinstance(value, int) and value != 0:
            values.append(("number", value - 1))
    elif isinstance(value, str):
        values = [("string", "XX" + value)]
        if value:
            values.append(("string", ""))
    elif isinstance(value, bytes):
        values = [("string", b"XX" + value)]
    for operator, changed in values:
        yield Alternative(operator, constant(changed, node), repr(value), repr(changed))


def _operators(node: Any, text: str) -> Iterator[Alternative]:
    if isinstance(node, ast.BinOp):
        new = _ARITHMETIC[type(node.op)]()
        yield Alternative("arithmetic", with_field(node, op=new), symbol(node.op), symbol(new))
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield Alternative("boolean operator", with_field(node, op=other), symbol(node.op), symbol(other))
        for position in range(len(node.values)):
            yield _without_operand(node, text, position)
    elif isinstance(node, ast.UnaryOp):
        yield Alternative("unary", copy.deepcopy(node.operand), text, text[len(symbol(node.op)) :].strip())
    else:
        for position, op in enumerate(node.ops):
            for kind in _COMPARISON[type(op)]:
                ops = list(node.ops)
                ops[position] = kind()
                yield Alternative("comparison", with_field(node, ops=ops), symbol(op), symbol(ops[position]))


def _without_operand(node: ast.BoolOp, text: str, position: int) -> Alternative:
    """`a or b` without one operand, as the operand replacements of Major (Just 2014) are."""
    rest = copy.deepcopy(node.values[:position] + node.values[position + 1 :])
    changed = rest[0] if len(rest) == 1 else with_field(node, values=rest)
    dropped = ast.unparse(node.values[position])
    return Alternative("boolean operand", changed, text, "without `%s`" % dropped)


def _calls(node: ast.Call) -> Iterator[Alternative]:
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr in _METHODS:
        other = _METHODS[function.attr]
        yield Alternative("call", with_field(node, func=with_field(function, attr=other)), function.attr, other)
    elif isinstance(function, ast.Name) and function.id in _FUNCTIONS:
        other = _FUNCTIONS[function.id]
        yield Alternative("call", with_field(node, func=with_field(function, id=other)), function.id, other)


def condition_alternatives(test: ast.expr, text: str, truths: Tuple[bool, ...]) -> Iterator[Alternative]:
    """A condition that is always true or always false."""
    if not isinstance(test, ast.Constant):
        for truth in truths:
            yield Alternative("condition", constant(truth, test), text, str(truth))


def value_alternatives(value: Optional[ast.expr], operator: str, text: str) -> Iterator[Alternative]:
    """A returned or assigned value that becomes None."""
    if value is not None and not (isinstance(value, ast.Constant) and (value.value is None or value.value is ...)):
        yield Alternative(operator, constant(None, value), text, "None")


def statement_alternatives(node: ast.stmt, text: str) -> Iterator[Alternative]:
    """The mutants of one statement as a whole; the node is the statement that runs in its place."""
    if isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Await)):
        yield Alternative("remove call", ast.copy_location(ast.Pass(), node), text, "pass")
    elif isinstance(node, ast.Raise):
        yield Alternative("remove raise", ast.copy_location(ast.Pass(), node), text, "pass")
    elif isinstance(node, ast.Break):
        yield Alternative("loop jump", ast.copy_location(ast.Continue(), node), "break", "continue")
    elif isinstance(node, ast.Continue):
        yield Alternative("loop jump", ast.copy_location(ast.Break(), node), "continue", "break")
    elif isinstance(node, ast.AugAssign) and is_small(node):
        new = _ARITHMETIC[type(node.op)]()
        changed = with_field(node, op=new)
        yield Alternative("augmented assignment", changed, symbol(node.op) + "=", symbol(new) + "=")


_QUIET_CALLS = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log"})
_QUIET_OWNERS = ("log", "logger", "logging", "warnings", "_log", "_logger", "LOG", "LOGGER")
_NAMING_CALLS = frozenset({"TypeVar", "ParamSpec", "TypeVarTuple", "NewType", "getLogger", "deprecated"})
_METADATA = frozenset(
    {"__all__", "__version__", "__author__", "__email__", "__license__", "__slots__", "__title__", "__copyright__"}
)
_TEXT_METHODS = frozenset({"__repr__"})


def quiet_call(node: ast.Call) -> str:
    """Why what happens in this call is invisible to a test, or an empty string."""
    function = node.func
    if isinstance(function, ast.Attribute):
        owner = function.value
        name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
        if function.attr in _QUIET_CALLS and name in _QUIET_OWNERS:
            return "text of a log or warning"
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return "name given to a type or logger" if called in _NAMING_CALLS else ""


def quiet_statement(node: ast.stmt, function: str) -> str:
    """Why the mutants inside this statement look equivalent, or an empty string."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id in _METADATA for target in targets):
            return "metadata"
    if isinstance(node, ast.If) and _is_main_guard(node.test):
        return "only when run as a script"
    if isinstance(node, ast.Assert):
        return "internal assertion"
    if function.rsplit(".", 1)[-1] in _TEXT_METHODS:
        return "text of a repr"
    return ""


def _is_main_guard(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and any(isinstance(other, ast.Constant) and other.value == "__main__" for other in test.comparators)
    )
