"""`aqe info`: what is installed and where things lie, for a report of a fault."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, project_at

EXTRAS = {"openai": ("openai", "genai-prices"), "sentence-transformers": ("sentence-transformers",)}
LIBRARIES = ("apsw-sqlite3mc", "sqlite-vec", "numpy", "mcp", "pydantic", "coverage", "pytest")


@dataclass(frozen=True)
class EmbedderShown:
    """The embedder in use; `error` says why there is none."""

    id: str
    dimension: int
    error: str


@dataclass(frozen=True)
class InfoShown:
    """What `aqe info --json` prints. `extras` maps each extra to whether it is installed, `libraries` names to
    versions ("" where missing)."""

    version: str
    python: str
    platform: str
    executable: str
    project: str
    store: str
    store_exists: bool
    user_settings: str
    user_cache: str
    kernels: str
    embedder: EmbedderShown
    extras: dict[str, bool]
    libraries: dict[str, str]


def command(json: JsonOption = False, project: ProjectOption = None) -> None:
    """Show versions, paths, kernels and the embedder. `aqe doctor` tries what works."""

    root = project_at(project)
    shown = examine(root)
    if json:
        print_json("info", shown, project=kept_where(root))
        return
    embedder = shown.embedder
    rows = [
        ("aqe", f"{shown.version} on Python {shown.python} ({shown.executable})"),
        ("platform", shown.platform),
        ("project", shown.project),
        ("store", shown.store if shown.store_exists else f"{shown.store} (not yet made)"),
        ("settings", shown.user_settings),
        ("cache", shown.user_cache),
        ("kernels", shown.kernels),
        ("embedder", embedder.error or f"{embedder.id}, {embedder.dimension} dimensions"),
        ("extras", ", ".join(name for name, there in shown.extras.items() if there) or "none installed"),
        ("libraries", ", ".join(f"{name} {version or 'missing'}" for name, version in shown.libraries.items())),
    ]
    for name, value in rows:
        print(f"{name:<11}{value}")


def examine(root: Path) -> InfoShown:
    """Everything that `aqe info` tells of the project at `root`."""
    import platformdirs

    from aqe import simd
    from aqe.engine.project import DATABASE, store_home
    from aqe.engine.settings import load_settings, user_file

    store = store_home(root, load_settings(root).store) / ".aqe" / DATABASE
    try:
        kernels = f"{simd.active()}, of {', '.join(simd.paths())}"
    except simd.PathUnavailable as error:
        kernels = f"none: {error}"
    return InfoShown(
        version=_version("aqe"),
        python=sys.version.split()[0],
        platform=platform.platform(),
        executable=sys.executable,
        project=root.as_posix(),
        store=store.as_posix(),
        store_exists=os.path.exists(store),
        user_settings=user_file().as_posix(),
        user_cache=platformdirs.user_cache_path("aqe").as_posix(),
        kernels=kernels,
        embedder=_embedder(root),
        extras={extra: all(_version(name) for name in names) for extra, names in EXTRAS.items()},
        libraries={name: _version(name) for name in LIBRARIES},
    )


def _embedder(root: Path) -> EmbedderShown:
    from aqe.engine.embedding import open_embedder
    from aqe.engine.errors import AqeError
    from aqe.engine.settings import load_settings

    try:
        embedder = open_embedder(load_settings(root))
    except AqeError as error:
        return EmbedderShown("", 0, str(error))
    return EmbedderShown(embedder.id, embedder.dimension, "")


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
