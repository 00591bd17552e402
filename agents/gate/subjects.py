"""Which modules the tests are about: those that are named, else those of the project that the tests import."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

from aqe.agents.gate.box import Box
from aqe.agents.gate.collection import IMPORT_WALL_S, TestPlan, imported_names, path_as_module, read_source
from aqe.engine.errors import UserError

_NOT_OURS = ("site-packages", "dist-packages", ".tox", ".nox", "node_modules")


@dataclass(frozen=True)
class Mutant:
    """One mutant of a subject, as the project's Python numbers it; `id` turns it on, `key` is `line:col:operator:n`."""

    id: int
    key: str
    operator: str
    line: int
    function: str
    original: str
    replacement: str
    at_import: bool
    left_out: str


@dataclass(frozen=True)
class Subject:
    """One module under test. With `within` (first and last lines) only those lines and their mutants count."""

    module: str
    path: str
    sha256: str
    mutants: tuple[Mutant, ...]
    within: tuple[tuple[int, int], ...] = ()

    def counts(self, line: int) -> bool:
        """Whether a line belongs to what is judged."""
        return not self.within or any(first <= line <= last for first, last in self.within)

    def narrowed(self, within: tuple[tuple[int, int], ...]) -> Subject:
        """The same module, judged on some of its lines only."""
        one = replace(self, within=within)
        return replace(one, mutants=tuple(mutant for mutant in self.mutants if one.counts(mutant.line)))


def find_subjects(plan: TestPlan, named: tuple[str, ...], box: Box) -> list[Subject]:
    """The subjects of a run. Errors: no-subject, module-not-found, import-failed, import-hangs, import-exits,
    c-extension, not-python, syntax-error.
    """
    _refuse_unreadable(plan, only_if_all=True)
    for name in named:
        _refuse_other_files(name, plan)
    modules = [path_as_module(name, plan.project) or name for name in named]
    asked: list[tuple[str, str | None]] = [(module, None) for module in modules] or _imports(plan)
    found, failed = _resolve(plan, asked, box)
    for module in modules:
        if module in failed:
            raise _cannot_import(module, failed[module], plan)
        if not found.get(module, "").endswith(".py"):
            raise UserError(f"{module} has no Python source that could be measured.", code="c-extension")
    chosen = {name: found[name] for name in modules} if modules else _of_project(plan, found)
    if not chosen:
        _refuse_unreadable(plan)
        reasons = "; ".join(f"{name}: {text}" for name, text in sorted(failed.items())[:2] if _may_be_ours(plan, name))
        raise UserError(
            "The tests import no module of the project" + (f" ({reasons})." if reasons else "."),
            code="no-subject",
            fix="Name the module under test: --subject MODULE.",
        )
    return [read_subject(name, path, box) for name, path in sorted(chosen.items())]


def _refuse_other_files(name: str, plan: TestPlan) -> None:
    """A subject named by its file has to be Python source."""
    path = Path(plan.project, name)
    if name.endswith(".py") or not path.is_file():
        return
    if name.endswith((".so", ".pyd")):
        raise UserError(
            f"{name} is compiled: it has no Python source that could be measured.",
            code="c-extension",
            fix="Name a Python module.",
        )
    raise UserError(
        f"{name} is not a Python file.", code="not-python", fix="Name a module, or a file that ends in .py."
    )


def module_not_found(name: str) -> UserError:
    """The error for a module that the project's Python does not find."""
    return UserError(
        f"The project's Python finds no module {name}.",
        code="module-not-found",
        fix="Name its file, or pass --python with the interpreter that has it.",
    )


def _cannot_import(module: str, why: str, plan: TestPlan) -> UserError:
    kind = why.partition(":")[0]
    missing = re.search(r"No module named '([\w.]+)'", why)
    if kind == "ModuleNotFoundError" and missing and f"{module}.".startswith(f"{missing[1]}."):
        return module_not_found(module)
    fix = f"It was imported by {plan.interpreter.executable}; name another with --python."
    if kind in {"SyntaxError", "IndentationError", "TabError"}:
        return UserError(f"{module} cannot be imported: {why}.", code="syntax-error", fix=f"Correct it. {fix}")
    if kind in {"SystemExit", "KeyboardInterrupt"}:
        fix = "Move what ends it under a main guard."
        return UserError(f"Importing {module} ends the process ({why}).", code="import-exits", fix=fix)
    return UserError(f"{module} cannot be imported: {why}.", code="import-failed", fix=fix)


def _refuse_unreadable(plan: TestPlan, *, only_if_all: bool = False) -> None:
    """Where nothing is imported, a test file that is no Python is the reason; one beside others is a verdict."""
    sources = plan.sources()
    faults = {name: fault for name, text in sources.items() if (fault := _syntax_fault(text))}
    if faults and (len(faults) == len(sources) or not only_if_all):
        name, fault = next(iter(faults.items()))
        raise UserError(f"{name} is not valid Python: {fault}.", code="syntax-error", fix="Correct it.")


def _syntax_fault(text: str) -> str:
    """What keeps `text` from being Python, with its line; empty where nothing does."""
    try:
        ast.parse(text)
    except SyntaxError as error:
        return error.msg + (f", line {error.lineno}" if error.lineno else "")
    except ValueError as error:
        return str(error)
    return ""


def read_subject(module: str, path: str, box: Box) -> Subject:
    """Read one module and number its mutants. Errors: syntax-error."""
    result = box.run("_aqe_inject.mutant_case:describe", {"path": path}, wall_s=IMPORT_WALL_S)
    if result.state != "ok":
        said = result.error.splitlines()[0] if result.error else result.state
        raise UserError(f"{path} cannot be read as Python: {said}", code="syntax-error")
    mutants = tuple(Mutant(*values) for values in result.value)
    return Subject(module, path, hashlib.sha256(Path(path).read_bytes()).hexdigest(), mutants)


def _imports(plan: TestPlan) -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]] = []
    for source in plan.sources().values():
        pairs.extend(imported_names(source))
    unneeded = {"pytest", "unittest", "__future__", "typing", "hypothesis"}
    return [pair for pair in dict.fromkeys(pairs) if pair[0].partition(".")[0] not in unneeded]


def _resolve(plan: TestPlan, asked: list[tuple[str, str | None]], box: Box) -> tuple[dict[str, str], dict[str, str]]:
    args = {"names": asked, "path": list(plan.path), "side": plan.side}
    result = box.run("_aqe_inject.pytest_case:resolve", args, wall_s=IMPORT_WALL_S)
    names = ", ".join(dict.fromkeys(name for name, _ in asked))
    if result.state == "timeout":
        raise UserError(f"Importing {names} took over {IMPORT_WALL_S:.0f} s.", code="import-hangs")
    if result.state != "ok":
        how = f"exit status {result.exit_status}" if result.exit_status is not None else result.error or result.state
        raise UserError(f"Importing {names} ended the process: {how}.", code="import-exits")
    return dict(result.value["found"]), dict(result.value["failed"])


def _of_project(plan: TestPlan, found: dict[str, str]) -> dict[str, str]:
    """Modules whose file lies in the project and is neither a test, nor a conftest, nor installed."""
    stdlib = os.path.realpath(sysconfig.get_paths()["stdlib"])
    files = set(plan.files)
    ours = {}
    for name, path in found.items():
        parts = Path(path).parts
        if not path.endswith(".py") or not Path(path).is_relative_to(plan.project) or path in files:
            continue
        if any(part in parts for part in _NOT_OURS) or path.startswith((stdlib, plan.interpreter.prefix + os.sep)):
            continue
        stem = Path(path).stem
        if stem == "conftest" or stem.startswith("test_") or stem.endswith("_test") or "tests" in name.split("."):
            continue
        ours[name] = path
    with_code = {
        name: path for name, path in ours.items() if Path(path).name != "__init__.py" or "def " in read_source(path)
    }
    return with_code or ours


def _may_be_ours(plan: TestPlan, name: str) -> bool:
    top = name.partition(".")[0]
    return any((Path(folder) / top).exists() or (Path(folder) / f"{top}.py").exists() for folder in plan.path)
