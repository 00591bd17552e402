"""What is to be run: test files or drafts, the interpreter, pytest's configuration, the paths, and the subjects."""

from __future__ import annotations

import ast
import configparser
import os
import tokenize
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from aqe.agents.gate.box import Box, BoxSpec, CaseResult, Limits
from aqe.agents.gate.interpreter import find_interpreter
from aqe.agents.gate.probing import Interpreter
from aqe.agents.gate.side import side_folder
from aqe.engine.errors import UserError
from aqe.engine.progress import CancelToken
from aqe.engine.settings import Settings, load_settings

DRAFTS = "drafts"
REHEARSAL = b"def test_warm_up():\n    assert [1] == [1]\n"
WARM_WALL_S = 30.0
MAX_OTHER_FILES = 12
_NOT_WALKED = frozenset({"venv", "env", "node_modules", "site-packages", "build", "dist", "__pycache__"})
IMPORT_WALL_S = 20.0
_PLUGIN_SIGNS = ("async def test_", "mark.asyncio", "mark.anyio", "mark.trio", "pytest_asyncio", "pytest_plugins")


ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class TestPlan:
    """Everything that a box needs to know to run the tests. `files` are absolute; `drafts` map a name to its text."""

    __test__ = False

    project: str
    interpreter: Interpreter
    side: str | None
    files: tuple[str, ...]
    drafts: Mapping[str, str]
    config: str | None
    import_mode: str
    autoload: bool
    path: tuple[str, ...]
    extra: Mapping[str, bytes] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def open_box(
        self,
        *,
        hash_seed: int = 0,
        env: Mapping[str, str] | None = None,
        readable: tuple[str, ...] = (),
        cancel: CancelToken | None = None,
    ) -> Box:
        """A box in which `session` arguments of this plan make sense; `env` stands over its usual environment, and
        `readable` is shown besides what the tests need."""
        files = {f"{DRAFTS}/{name}": text.encode() for name, text in self.drafts.items()}
        files.update({f"{DRAFTS}/{name}": data for name, data in self.extra.items()})
        files["rehearsal/test_warm_up.py"] = REHEARSAL
        files[f"{ELSEWHERE}/about"] = b"HOME and TMPDIR of the runs elsewhere\n"
        outside = tuple(str(Path(file).parent) for file in self.files if not Path(file).is_relative_to(self.project))
        spec = BoxSpec(
            python=self.interpreter.executable,
            project=self.project,
            path=self.path,
            readable=(*outside, *((self.side,) if self.side else ()), *readable),
            files=files,
            hash_seed=hash_seed,
            env=env or {},
            limits=self.limits,
        )
        return Box.open(spec, cancel=cancel)

    def warm(self, box: Box, modules: tuple[str, ...], *, rehearse: bool = False) -> CaseResult:
        """Import pytest and the subjects in the zygote of `box`; `rehearse` pays where it runs several sessions."""
        args = {
            "path": list(self.path),
            "side": self.side,
            "modules": list(modules),
            "autoload": self.autoload,
            "rehearse": f"{box.scratch}/rehearsal/test_warm_up.py" if rehearse else None,
            "report": ["pytest", "coverage"],
        }
        return box.preload("_aqe_inject.pytest_case:warm", args, wall_s=WARM_WALL_S)

    def session(self, box: Box) -> dict[str, Any]:
        """The arguments of one pytest session in `box`."""
        drafts = f"{box.scratch}/{DRAFTS}"
        return {
            "path": list(self.path),
            "side": self.side,
            "files": [*self.files, *(f"{drafts}/{name}" for name in self.drafts)],
            "roots": [drafts, self.project],
            "rootdir": self.project if self.files else drafts,
            "config": self.config,
            "import_mode": self.import_mode,
        }

    def sources(self) -> dict[str, str]:
        """The text of every test file, by its name in the evidence."""
        texts = dict(self.drafts)
        for file in self.files:
            texts[name_of(file, self.project)] = read_source(file)
        return texts


def name_of(file: str, project: str) -> str:
    """A file's name in the evidence: relative to the project where it lies inside."""
    path = Path(file)
    return path.relative_to(project).as_posix() if path.is_relative_to(project) else path.as_posix()


def read_source(file: str) -> str:
    """The text of a Python file in its own encoding; undecodable bytes are replaced."""
    try:
        with tokenize.open(file) as stream:
            return stream.read()
    except (SyntaxError, UnicodeDecodeError):
        return Path(file).read_bytes().decode("utf-8", "replace")


def plan_tests(
    tests: tuple[str, ...],
    sources: Mapping[str, str],
    project: str,
    python: str | None,
    *,
    autoload: bool | None = None,
) -> TestPlan:
    """Find files, interpreter, limits and configuration.

    Errors: no-such-path, not-python, no-tests, no-interpreter, unknown-setting, bad-setting, ...
    """
    root = Path(project).resolve()
    settings = load_settings(root)
    files = tuple(dict.fromkeys(str(file) for test in tests for file in _files(test, root)))
    if not files and not sources:
        raise UserError("No test file was given.", code="no-tests", fix="Name at least one, as in `aqe verify tests/`.")
    for name in sources:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not name.endswith(".py"):
            raise UserError(
                f"{name} cannot be the name of a draft.",
                code="not-python",
                fix="Give a relative name that ends in .py.",
            )
    interpreter = find_interpreter(root, python, settings.python)
    options = _pytest_options(root)
    import_mode = import_mode_for([*files, *sources], options.get("import_mode") or "prepend")
    texts = [*sources.values(), *(read_source(file) for file in files)]
    if autoload is None:
        autoload = bool(options.get("needs_plugins")) or any(sign in text for text in texts for sign in _PLUGIN_SIGNS)
    path = tuple(
        str(folder) for folder in (root, root / "src") if folder.is_dir() and (folder == root or _is_src(folder))
    )
    return TestPlan(
        project=str(root),
        interpreter=interpreter,
        side=side_folder(interpreter, root),
        files=files,
        drafts=dict(sources),
        config=options.get("config"),
        import_mode=import_mode,
        autoload=autoload,
        path=path,
        extra=_conftests(root, sources),
        limits=box_limits(settings),
    )


def import_mode_for(files: Sequence[str], mode: str) -> str:
    """pytest's import mode for these files: two of one name are one module in any mode but importlib."""
    plain = [Path(file).name for file in files if not os.path.isfile(Path(file).parent / "__init__.py")]
    return "importlib" if len(set(plain)) < len(plain) else mode


def box_limits(settings: Settings) -> Limits:
    """What `[tool.aqe.sandbox]` allows a box."""
    box = settings.sandbox
    return Limits(memory_mb=box.memory_mb, processes=box.processes, scratch_mb=box.scratch_mb)


def _is_src(folder: Path) -> bool:
    return not os.path.exists(folder / "__init__.py")


def _files(test: str, root: Path) -> list[Path]:
    path = Path(test) if Path(test).is_absolute() else root / test
    if not os.path.exists(path) and os.path.exists(Path(test)):
        path = Path(test)
    path = path.resolve()
    if os.path.isdir(path):
        found = sorted({*path.rglob("test_*.py"), *path.rglob("*_test.py")})
        if not found:
            raise UserError(
                f"{test} holds no test files.", code="no-tests", fix="Test files are called test_*.py or *_test.py."
            )
        return found
    if not os.path.isfile(path):
        raise UserError(f"{test} does not exist.", code="no-such-path", fix="Give the path of a test file or folder.")
    if path.suffix != ".py":
        raise UserError(f"{test} is not a Python file.", code="not-python", fix="Give a file that ends in .py.")
    return [path]


def _conftests(root: Path, sources: Mapping[str, str]) -> dict[str, bytes]:
    """The conftest files that a draft would see if it lay where its name says."""
    found: dict[str, bytes] = {}
    for name in sources:
        for parent in PurePosixPath(name).parents:
            place = str(parent / "conftest.py")
            file = root / place
            if place not in sources and os.path.isfile(file):
                found[place] = file.read_bytes()
    return found


def _pytest_options(root: Path) -> dict[str, Any]:
    """pytest's configuration file, its import mode, and whether it asks for plugins."""
    for name in ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
        file = root / name
        values = _section(file) if os.path.isfile(file) else None
        if values is None:
            continue
        addopts = values.get("addopts", "")
        words = addopts.split() if isinstance(addopts, str) else [str(word) for word in addopts]
        mode = next((word.partition("=")[2] for word in words if word.startswith("--import-mode=")), None)
        needs = "required_plugins" in values or any(key.startswith(("asyncio_", "anyio_")) for key in values)
        return {"config": str(file), "import_mode": mode, "needs_plugins": needs}
    return {}


def _section(file: Path) -> dict[str, Any] | None:
    try:
        if file.suffix == ".toml":
            tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("pytest")
            return None if tool is None else dict(tool.get("ini_options", tool))
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read(file, encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return None
    section = "tool:pytest" if file.name == "setup.cfg" else "pytest"
    return dict(parser[section]) if parser.has_section(section) else ({} if file.name.endswith("pytest.ini") else None)


def other_tests(plan: TestPlan, modules: Sequence[str]) -> tuple[str, ...]:
    """Test files of the project outside the plan that import one of the modules, the smallest first."""
    wanted = set(modules)
    tops = {module.partition(".")[0] for module in modules}
    found: list[tuple[int, str]] = []
    for file in _project_tests(Path(plan.project)):
        path = str(file)
        if path in plan.files:
            continue
        source = read_source(path)
        if not any(top in source for top in tops):
            continue
        names = {part for module, name in imported_names(source) for part in (module, f"{module}.{name}")}
        # a name re-exported by the package counts: the package itself is imported
        if names & wanted or names & tops:
            found.append((len(source), path))
    return tuple(path for _, path in sorted(found)[:MAX_OTHER_FILES])


def _project_tests(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in _NOT_WALKED)
        for name in sorted(files):
            if name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py")):
                yield Path(folder) / name


def imported_names(source: str) -> list[tuple[str, str | None]]:
    """The (module, name) pairs that a test file imports absolutely; empty for one that does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.extend((node.module, None if alias.name == "*" else alias.name) for alias in node.names)
    return list(dict.fromkeys(found))


def path_as_module(text: str, project: str) -> str | None:
    """The module name of a file given as a path, from the outermost folder that is not a package; None for a name."""
    if not text.endswith(".py") and os.sep not in text and "/" not in text:
        return None
    path = (Path(text) if Path(text).is_absolute() else Path(project) / text).resolve()
    if not os.path.isfile(path):
        raise UserError(
            f"{text} does not exist.", code="no-such-path", fix="Give a module name or the path of its file."
        )
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while os.path.isfile(folder / "__init__.py"):
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)
