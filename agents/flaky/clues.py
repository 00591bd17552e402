"""What a failure and the source of a test hint at, where no experiment decides.

The failure speaks first (the classes of its exception, its errno, its message), then the functions that the test uses:
its own, then those of the fixtures and project functions that it calls, nearest first. Nothing is imported or run.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aqe.agents.flaky.report import Category
from aqe.agents.flaky.runs import Observation

DEEPEST = 3
WORKER_SLEEP = "time.sleep in a worker"

_NETWORK_KINDS = (
    "ConnectionError", "socket.gaierror", "socket.herror", "urllib.error.", "http.client.", "ssl.", "requests.",
    "httpx.", "aiohttp.", "urllib3.", "httpcore.", "ftplib.", "smtplib.",
)  # fmt: skip
_TIMEOUT_KINDS = ("TimeoutError", "asyncio.exceptions.TimeoutError", "concurrent.futures._base.TimeoutError")
_ERRNOS: dict[str, Category] = {
    "errno 11": "resource", "errno 12": "resource", "errno 23": "resource", "errno 24": "resource",
    "errno 28": "resource", "errno 98": "resource", "errno 101": "network", "errno 104": "network",
    "errno 110": "network", "errno 111": "network", "errno 113": "network",
}  # fmt: skip
_WORDS: tuple[tuple[str, Category], ...] = (
    (r"did not end within|^Failed: Timeout [>(]|Timeout >\s*\d", "timeout"),
    (r"changed size during iteration|mutated during iteration|deadlock|race condition|[Ll]ost update", "concurrency"),
    (r"cannot schedule new futures|generator already executing", "concurrency"),
    (r"[Tt]oo many open files|[Nn]o space left|can't start new thread|[Aa]ddress already in use", "resource"),
    (r"database is locked|ResourceWarning|unclosed |out of memory|Cannot allocate memory", "resource"),
    (r"[Cc]onnection (?:refused|reset|aborted|timed out)|Name or service not known|unreachable", "network"),
)

_USES: tuple[tuple[Category, tuple[str, ...]], ...] = (
    ("network", (
        "socket.", "urllib.request.", "http.client.", "http.server.", "requests.", "httpx.", "aiohttp.", "ftplib.",
        "smtplib.", "socketserver.", "urllib3.", "xmlrpc.",
    )),
    ("async_wait", ("asyncio.", "anyio.", "trio.")),
    ("concurrency", ("threading.", "concurrent.futures.", "multiprocessing.", "_thread.", "queue.")),
    ("resource", (
        "resource.", "gc.", "tracemalloc.", "psutil.", "os.open", "os.pipe", "weakref.", "shutil.disk_usage",
        "os.getloadavg", "os.dup",
    )),
    ("timeout", (
        "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns", "time.process_time",
        "timeit.", "signal.alarm", "signal.setitimer",
    )),
    ("random", ("random.", "secrets.", "uuid.", "numpy.random.", "os.urandom", "faker.", "tempfile.mktemp")),
    ("time", (
        "time.time", "time.time_ns", "time.localtime", "time.ctime", "time.strftime", "time.mktime", "calendar.",
        "zoneinfo.", "datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow",
        "datetime.datetime.fromtimestamp", "datetime.date.today", "datetime.date.fromtimestamp",
    )),
    ("unordered", ("set", "frozenset", "os.listdir", "os.scandir", "glob.", "hash", ".iterdir", ".glob", ".rglob")),
)  # fmt: skip


def from_failure(seen: Observation) -> Category | None:
    """The category that a failure names by itself, or None."""
    if seen.hung:
        return "timeout"
    for kind in seen.kinds:
        if kind.startswith(_NETWORK_KINDS):
            return "network"
        if kind in ("MemoryError", "ResourceWarning") or kind.endswith("PytestUnraisableExceptionWarning"):
            return "resource"
        if kind.endswith(("BrokenBarrierError", "PytestUnhandledThreadExceptionWarning")):
            return "concurrency"
        if kind == "subprocess.TimeoutExpired":
            return "timeout"
    if any(kind in _TIMEOUT_KINDS for kind in seen.kinds):
        if "errno 110" in seen.kinds or "socket.py" in seen.text:
            return "network"
        return "async_wait"
    if "_queue.Empty" in seen.kinds or "queue.Empty" in seen.kinds:
        return "async_wait"
    numbered = next((_ERRNOS[kind] for kind in seen.kinds if kind in _ERRNOS), None)
    if numbered is not None:
        return numbered
    return next((category for pattern, category in _WORDS if re.search(pattern, seen.message)), None)


def is_rounding(seen: Observation) -> bool:
    """Whether the failure compares two floats that differ in their last digits only."""
    for line in [seen.message, *(line for line in seen.text.splitlines() if line.startswith("E "))]:
        numbers = [float(text) for text in re.findall(r"(?<![\w.])-?\d+\.\d+(?:e[+-]?\d+)?", line)]
        for place, one in enumerate(numbers):
            if any(0 < abs(one - other) <= 1e-6 * max(abs(one), abs(other)) for other in numbers[place + 1 :]):
                return True
    return False


def from_source(uses: Iterable[frozenset[str]]) -> tuple[Category | None, int]:
    """The category that the functions used hint at, and how far from the test they are (0: in the test itself).

    Threads or processes with a plain sleep beside them are a wait without a signal; a clock read twice, or around a
    sleep, is a limit of time.
    """
    for depth, names in enumerate(uses):
        category = _hint(names)
        if category is not None:
            return category, depth
    return None, 0


def _hint(names: frozenset[str]) -> Category | None:
    sleeps = "time.sleep" in names
    for category, prefixes in _USES:
        if not any(_matches(name, one) for name in names for one in prefixes):
            continue
        if category == "concurrency" and sleeps:
            return "async_wait"
        return "timeout" if category == "time" and sleeps else category
    return "async_wait" if sleeps and any(name.startswith("subprocess.") for name in names) else None


def _matches(name: str, wanted: str) -> bool:
    """`a.` stands for all that begins so, `.a` for a method of that name, anything else for itself."""
    if wanted.endswith("."):
        return name.startswith(wanted)
    return name.endswith(wanted) if wanted.startswith(".") else name == wanted


class Sources:
    """Reads what a test uses from the project's files."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._modules: dict[Path, _Module | None] = {}

    def uses(self, nodeid: str) -> list[frozenset[str]]:
        """The dotted names that a test uses: in itself, then one, two and three calls away."""
        path, *names = re.sub(r"\[.*", "", nodeid).split("::")
        module = self._module(self._project / path)
        if module is None or not names:
            return []
        found: list[frozenset[str]] = []
        level: list[tuple[_Module, str]] = [(module, names[-1])]
        places = _folders(self._project, path)
        conftests = [one for folder in places if (one := self._module(folder / "conftest.py")) is not None]
        done: set[tuple[Path, str]] = set()
        for _ in range(DEEPEST + 1):
            used: set[str] = set()
            further: list[tuple[_Module, str]] = []
            for home, name in level:
                if (home.path, name) in done:
                    continue
                done.add((home.path, name))
                for word in home.functions.get(name, frozenset()):
                    used.add(word)
                    further += self._targets(home, word, conftests)
            found.append(frozenset(used))
            level = further
        return found

    def _module(self, path: Path) -> _Module | None:
        """The functions of a file; None where there is no such Python."""
        if path not in self._modules:
            try:
                with tokenize.open(path) as file:
                    self._modules[path] = _Module(path, ast.parse(file.read()))
            except (OSError, SyntaxError, ValueError, RecursionError):
                self._modules[path] = None
        return self._modules[path]

    def _targets(self, home: _Module, word: str, conftests: list[_Module]) -> Iterator[tuple[_Module, str]]:
        """The functions of the project that a word may mean."""
        if word in home.functions:
            yield home, word
            return
        for other in conftests:
            if word in other.functions:
                yield other, word
                return
        module, _, name = word.rpartition(".")
        while module:
            for base in (self._project, self._project / "src", home.path.parent):
                place = base / Path(*module.split("."))
                for file in (place.with_suffix(".py"), place / "__init__.py"):
                    other_module = self._module(file)
                    if other_module is not None:
                        yield other_module, name.split(".")[0]
                        return
            module, _, more = module.rpartition(".")
            name = more


def _folders(project: Path, path: str) -> list[Path]:
    parts = Path(path).parts[:-1]
    return [project.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


class _Module:
    """The functions of a module (methods and fixtures too) and the dotted names that each uses."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.path = path
        self._imports = dict(_imported(tree))
        self.functions: Mapping[str, frozenset[str]] = {
            node.name: frozenset(self._names(node))
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }

    def _names(self, function: ast.AST) -> Iterator[str]:
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from (argument.arg for argument in function.args.args)  # fixtures
        if any(isinstance(node, (ast.Await, ast.AsyncFunctionDef)) for node in ast.walk(function)):
            yield "asyncio.await"
        outside = list(_outside_workers(function))
        clocks = 0
        for node in ast.walk(function):
            if isinstance(node, (ast.Set, ast.SetComp)):
                yield "set"
            elif isinstance(node, (ast.Name, ast.Attribute)):
                name = self._named(node)
                clocks += name in ("time.time", "time.time_ns")
                yield WORKER_SLEEP if name == "time.sleep" and node not in outside else name
        if clocks > 1:
            yield "time.perf_counter"  # two readings are a duration

    def _named(self, node: ast.AST) -> str:
        head, _, rest = _dotted(node).partition(".")
        if head in self._imports:
            return f"{self._imports[head]}.{rest}" if rest else self._imports[head]
        if head == "self":
            return rest.partition(".")[0]
        return f"().{rest}" if rest else head


def _outside_workers(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function that are not in a function defined inside it, which a thread may run."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from _outside_workers(node)


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "()"


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else (alias.name.partition(".")[0]),
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
