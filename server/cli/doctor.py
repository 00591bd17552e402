"""`aqe doctor`: what this machine gives, and what would give more."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqe.server.cli.output import JsonOption, ProjectOption, PythonOption, kept_where, print_json, project_at

if TYPE_CHECKING:
    from aqe.server.cli.doctor_models import Checked

SHOWN_IN_CLEAR = 10
_OTHERS = ((0o010, 0o040), (0o001, 0o004))
"""For the group and for everybody the bits that let them into a folder and read a file."""


def command(json: JsonOption = False, project: ProjectOption = None, python: PythonOption = None) -> None:
    """Show what this machine gives: sandbox layers, interpreters, kernels, the project's database, models.

    The sandbox is tried afresh: one full trial box per rung, from the strongest down, until one holds. Of the models'
    servers those on this machine are asked whether they answer; nothing goes elsewhere.
    """

    root = project_at(project)
    report = examine(root, python)
    if json:
        print_json("doctor", report, project=kept_where(root))
    else:
        print("\n".join(_lines(report)))


def examine(root: Path, python: str | None) -> dict[str, Any]:
    """Everything that `aqe doctor` tells, as JSON types and dataclasses."""
    from importlib.metadata import version

    from aqe.agents.gate.diagnosis import diagnose_interpreter, diagnose_sandbox
    from aqe.engine.errors import AqeError
    from aqe.server.cli.doctor_models import check_embedder, check_providers, refused_by_searches

    setting, store, wrong_setting = None, "shared", ""
    models: list[Checked] = []
    embedder: Checked | None = None
    try:
        from aqe.engine.settings import load_settings

        settings = load_settings(root)
        setting, store = settings.python, settings.store
        models, embedder = check_providers(settings), check_embedder(settings)
        wrong_setting = refused_by_searches(settings)
    except AqeError as error:
        wrong_setting = str(error)
    return {
        "aqe": {"version": version("aqe"), "python": sys.version.split()[0], "executable": sys.executable},
        "project": root.as_posix(),
        "settings_error": wrong_setting,
        "sandbox": diagnose_sandbox(),
        "interpreter": diagnose_interpreter(root, python, setting),
        "kernels": _kernels(),
        "store": _store(root, store),
        "models": models,
        "embedder": embedder,
    }


def _kernels() -> dict[str, Any]:
    from aqe import simd

    try:
        active = simd.active()
    except Exception as error:  # AQE_SIMD names a path that cannot run here
        active = f"none: {error}"
    return {"active": active, "paths": simd.paths(), "native": simd.features()["native"]}


def _store(root: Path, store: str) -> dict[str, Any]:
    """The state of the database file; nothing is made, migrated or repaired."""
    from aqe.engine.errors import AqeError
    from aqe.engine.project import check_enterable, store_home

    path = store_home(root, store) / ".aqe" / "aqe.db"
    try:
        check_enterable(path.parent)
    except AqeError as error:
        return {"path": str(path), "state": f"unusable: {error}", "bytes": 0, "in_clear": [], "read_by_others": False}
    clear = _in_clear(root, path)
    if not path.exists():
        return {"path": str(path), "state": "none yet", "bytes": 0, "in_clear": clear, "read_by_others": False}
    try:
        from aqe.engine.memory.care import Place
        from aqe.engine.memory.file.keys import store_key

        connection = Place(path, store_key(path)).connect_to_read()
        try:
            said = [str(row[0]) for row in connection.execute("pragma quick_check")]
        finally:
            connection.close()
        state = "healthy" if said == ["ok"] else f"broken: {said[0]}"
    except AqeError as error:
        state = f"unusable: {error}"
    except Exception as error:
        state = f"broken: {error}"
    found = {"path": str(path), "state": state, "bytes": path.stat().st_size, "in_clear": clear}
    return {**found, "read_by_others": _is_read_by_others(path)}


def _is_read_by_others(database: Path) -> bool:
    """Whether the modes of the file and its `.aqe` let other users of this machine read it."""
    folder, file = database.parent.stat().st_mode, database.stat().st_mode
    return os.name != "nt" and any(folder & may_enter and file & may_read for may_enter, may_read in _OTHERS)


def _in_clear(root: Path, database: Path) -> list[str]:
    """Where the store has a key: each file that can be read without it, of its `.aqe` and those of the git worktrees
    that share it."""
    from aqe.engine.memory.care.clear import in_clear, shared_folders
    from aqe.engine.memory.file.keys import is_sealed

    folders = {root / ".aqe", database.parent, *shared_folders(database.parent, database.name)}
    return [path.as_posix() for path in in_clear(folders)] if is_sealed(database.parent) else []


def _lines(report: dict[str, Any]) -> list[str]:
    sandbox, interpreter, store = report["sandbox"], report["interpreter"], report["store"]
    rows = [
        ("aqe", f"{report['aqe']['version']} on Python {report['aqe']['python']} ({report['aqe']['executable']})"),
        ("project", report["project"]),
    ]
    if report["settings_error"]:
        rows.append(("settings", report["settings_error"]))
    rows += [("kernel", sandbox.kernel), ("sandbox", f"rung {sandbox.rung}")]
    rows += [("", f"+ {layer}") for layer in sandbox.in_force]
    rows += [("", f"- {layer}") for layer in sandbox.missing]
    rows += [("", f"rung {rung} does not hold: {why}") for rung, why in sandbox.higher.items()]
    rows += [("", f"hint: {hint}") for hint in sandbox.hints]
    if interpreter.error:
        rows.append(("interpreter", interpreter.error))
    else:
        rows.append(("interpreter", f"{interpreter.executable} (Python {interpreter.version}, {interpreter.origin})"))
        for name, there in (("pytest", interpreter.has_pytest), ("coverage", interpreter.has_coverage)):
            rows.append(
                ("", f"{name}: {'its own' if there else 'none of its own, a copy of aqe' + chr(39) + 's is used'}")
            )
        rows += [("", f"note: {note}") for note in interpreter.notes]
    kernels = report["kernels"]
    built = (
        "" if kernels["native"] else " (installed without native kernels: re-install with --no-cache and a C compiler)"
    )
    others = "" if kernels["active"] not in kernels["paths"] else f", of {', '.join(kernels['paths'])}"
    rows.append(("kernels", f"{kernels['active']}{others}{built}"))
    rows.append(("database", f"{store['state']} ({store['path']}, {store['bytes']:,} bytes)"))
    if store["read_by_others"]:
        private = f"chmod 700 {shlex.quote(str(Path(store['path']).parent))}"
        rows.append(("", f"others on this machine may read it; unless a team shares it: {private}"))
    clear = store["in_clear"]
    why = "AQE_DB_KEY is set" if os.environ.get("AQE_DB_KEY") else "the keyring has a key"
    rows += [("", f"in clear although {why}: {name}") for name in clear[:SHOWN_IN_CLEAR]]
    if len(clear) > SHOWN_IN_CLEAR:
        rows.append(("", f"and {len(clear) - SHOWN_IN_CLEAR} more files in clear (--json lists them)"))
    rows += _models(report)
    return [f"{name:<12} {text}".rstrip() for name, text in rows]


def _models(report: dict[str, Any]) -> list[tuple[str, str]]:
    """A line for each provider and one for the embedder, each with what to do where it cannot work."""
    if report["embedder"] is None:
        return []
    rows = [("" if at else "models", _checked(one)) for at, one in enumerate(report["models"])]
    none = [("models", "none configured: questions are answered by passages")]
    return [*(rows or none), ("embedder", _checked(report["embedder"]))]


def _checked(one: Checked) -> str:
    from aqe.engine.terminal import one_line

    fix = f". {one.fix}" if one.fix else ""
    return one_line(f"{one.name}: {one.state.rstrip('.')}{fix}")
