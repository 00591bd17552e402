"""Tests whose verdict depends on something else than the code: time, chance, the machine, other tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from aqe.agents.review.sources import Source
from aqe.agents.review.test_functions import Checks, TestFunction, dotted, last_name

Seen = Iterator[tuple[int, str]]

_SLEEPS = frozenset({"time.sleep", "asyncio.sleep", "anyio.sleep", "trio.sleep"})
_LEAST_SLEEP_S = 0.02
_NOW = frozenset({"now", "utcnow", "today", "time"})
_FROZEN = re.compile(r"freez|time_machine|travel|fake_?time|mock_?time|frozen|patch|monkeypatch", re.IGNORECASE)
_SEEDED = re.compile(r"\bseed\(|Random\(\s*[\w.]+|default_rng\(\s*[\w.]+|random_state|RandomState\(")
_RANDOM = frozenset(
    {"random", "randint", "choice", "choices", "sample", "shuffle", "uniform", "randrange", "gauss", "getrandbits"}
    | {"rand", "randn", "normal", "integers"}
)
_RESTORES = re.compile(
    r"monkeypatch|patch|environ|cwd|chdir|restore|clean|isolat|reset|sys_path|syspath", re.IGNORECASE
)
_REPLACED_NETWORK = re.compile(
    r"responses|requests_mock|httpx_mock|respx|vcr|httpretty|betamax|MockTransport|aioresponses|pook|httpserver|"
    r"monkeypatch|patch\(|patch\.|network|online|integration|internet",
)
_NEAR = re.compile(
    r"//(localhost|127\.|0\.0\.0\.0|\[::1\]|([\w-]+\.)*(test|invalid|local|localhost|example|example\.(com|org|net))(?=[/:?]|$))"
)
_ABSENT = re.compile(r"nonexist|non_exist|missing|not[_-]?(exist|there|found)|no[_-]?such|invalid|bogus", re.IGNORECASE)
_OPENING = frozenset(
    {"open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "touch", "unlink", "makedirs", "remove"}
    | {"rmtree", "listdir", "iterdir"}
)


def sleeping(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """A fixed wait in the test itself; one inside a polling loop has a condition to end it."""
    if "sleep" in test.name.lower():
        return
    polling = {id(node) for loop in test.nodes if isinstance(loop, ast.While) for node in ast.walk(loop)}
    for call in test.calls:
        name = dotted(call)
        if name == "sleep":
            name = "time.sleep" if _imports(source, "sleep") else ""
        if name not in _SLEEPS or id(call) in polling or not call.args:
            continue
        amount = call.args[0]
        if isinstance(amount, ast.Constant) and (
            not isinstance(amount.value, (int, float)) or amount.value < _LEAST_SLEEP_S
        ):
            continue
        yield (
            call.lineno,
            (f"{ast.unparse(call)} is too long on a fast machine and too short on a busy one: wait for the condition."),
        )


def _imports(source: Source, name: str) -> bool:
    return source.tree is not None and any(
        alias.name == name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "asyncio", "anyio", "trio")
        for alias in node.names
    )


def random_input(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """Unseeded random numbers as input: a failure cannot be seen again."""
    if re.search(r"random|shuffle|sampl", test.name, re.IGNORECASE) or _SEEDED.search(source.text):
        return
    for call in test.calls:
        parts = dotted(call).split(".")
        if len(parts) > 1 and parts[-2] == "random" and parts[-1] in _RANDOM:
            yield call.lineno, f"{ast.unparse(call)} has no seed: a failure cannot be seen again."
            return


def current_time(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """An equality with the clock, read once more than the code reads it."""
    if _FROZEN.search(ast.unparse(test.node)):
        return
    clocks = {
        target.id
        for node in test.nodes
        if isinstance(node, ast.Assign) and _is_clock(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in test.nodes:
        if not isinstance(node, ast.Assert) or not isinstance(node.test, ast.Compare):
            continue
        if not all(isinstance(operator, ast.Eq) for operator in node.test.ops) or _is_rough(node.test):
            continue
        sides = (node.test.left, *node.test.comparators)
        if any(_is_clock(one) for side in sides for one in ast.walk(side)):
            yield node.lineno, "The clock moves on between the code and this comparison: freeze it, or compare a range."
        elif any(isinstance(side, ast.BinOp) and dotted(side.left) in clocks for side in sides):
            yield node.lineno, "The clock was read before the code read it: freeze it, or compare a range."


def _is_clock(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or (node.args and last_name(node) == "time"):
        return False
    parts = dotted(node).split(".")
    return len(parts) > 1 and parts[-1] in _NOW and parts[-2] in ("datetime", "date", "time", "dt", "timezone")


def _is_rough(node: ast.Compare) -> bool:
    return any(isinstance(one, ast.Call) and last_name(one) in ("approx", "isclose", "round") for one in ast.walk(node))


def leaked_state(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """What a test changes for the whole process and does not put back."""
    if any(map(_RESTORES.search, test.parameters)) or _puts_back(test, source):
        return
    for node in test.nodes:
        what = _changed_for_all(node)
        if what:
            yield (
                getattr(node, "lineno", test.node.lineno),
                (f"{what} stays changed for the tests that run after this one: use monkeypatch."),
            )


def _puts_back(test: TestFunction, source: Source) -> bool:
    """Whether something around or in the test undoes it: `finally`, `del`, a patch, a tear-down."""
    if any(map(_undoes, test.nodes)) or "autouse" in source.text:
        return True
    if any("patch" in dotted(one) for one in test.node.decorator_list):
        return True
    return test.owner is not None and any(
        getattr(node, "name", "").lower().startswith(("teardown", "tear_down")) for node in test.owner.body
    )


def _undoes(node: ast.AST) -> bool:
    if isinstance(node, (ast.Delete, ast.With, ast.AsyncWith)):
        return re.search(r"environ|sys\.|chdir|patch", ast.unparse(node).partition(":")[0]) is not None
    if isinstance(node, ast.Call):
        return last_name(node) in ("pop", "remove", "addCleanup", "addfinalizer")
    return isinstance(node, ast.Try) and bool(node.finalbody)


def _changed_for_all(node: ast.AST) -> str:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Subscript) and dotted(target.value) in ("os.environ", "sys.modules"):
                return ast.unparse(target)
    if isinstance(node, ast.Call):
        name = dotted(node)
        if name in ("os.chdir", "os.putenv", "locale.setlocale", "os.umask", "socket.setdefaulttimeout"):
            return f"What {name} sets"
        if name in ("sys.path.insert", "sys.path.append", "os.environ.update"):
            return name.rpartition(".")[0]
    return ""


def absolute_paths(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """A file of this machine that the test opens."""
    if test.parameters & {"fs", "fake_filesystem"}:
        return
    expected = {
        id(node)
        for block in test.nodes
        if isinstance(block, (ast.With, ast.AsyncWith)) and "raises" in ast.unparse(block.items[0]).lower()
        for node in ast.walk(block)
    }
    for call in test.calls:
        if last_name(call) not in _OPENING or id(call) in expected:
            continue
        path = _literal_path(call)
        if path:
            yield call.lineno, f"{path!r} is not on every machine, and shared by all runs on one: use tmp_path."


def _literal_path(call: ast.Call) -> str:
    """The absolute path that a call opens, where it stands there as a text; else empty."""
    place: ast.expr | None = None
    if dotted(call) in ("open", "io.open") or dotted(call).startswith(("os.", "shutil.")):
        place = call.args[0] if call.args else None
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
        inner = call.func.value
        place = inner.args[0] if last_name(inner) == "Path" and inner.args else None
    if not isinstance(place, ast.Constant) or not isinstance(place.value, str):
        return ""
    text = place.value
    is_absolute = text.startswith(("/", "~/")) or re.match(r"[A-Za-z]:[\\/]", text) is not None
    is_of_system = text == "/" or text.startswith(("/dev/", "/proc", "/sys/"))
    return text if is_absolute and not is_of_system and not _ABSENT.search(text) else ""


def outside_network(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """A request to a server that the test does not bring."""
    if _REPLACED_NETWORK.search(source.text):
        return
    for call in test.calls:
        root = dotted(call).partition(".")[0]
        if root not in ("requests", "httpx", "urllib", "urlopen", "aiohttp", "urllib3") or not call.args:
            continue
        address = next((one.value for one in call.args[:2] if isinstance(one, ast.Constant)), None)
        if isinstance(address, str) and re.match(r"https?://", address) and not _NEAR.search(address):
            yield call.lineno, f"The test needs {address}, which may be away or answer otherwise: replace the server."


def skipped_without_reason(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """A test that is switched off and does not say why."""
    for one in test.node.decorator_list:
        if last_name(one) == "skip" and not (isinstance(one, ast.Call) and (one.args or one.keywords)):
            yield one.lineno, f"{test.node.name} is switched off without a reason."
    for node in test.body:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and dotted(call) == "pytest.skip" and not (call.args or call.keywords):
            yield node.lineno, f"{test.node.name} is switched off without a reason."


def printing(test: TestFunction, source: Source, checks: Checks) -> Seen:
    """Output for a reader who is not there."""
    if re.search(r"capsys|capfd|capture|redirect_stdout|print", f"{test.name} {' '.join(test.parameters)}"):
        return
    for call in test.calls:
        if dotted(call) == "print" and "redirect_stdout" not in source.text:
            yield call.lineno, "Nobody reads what a test prints: assert it, or take it out."
            return
