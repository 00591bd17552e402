"""Where test files go, and how they get there whole, locked and never over somebody else's."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from aqe.agents.generate.naming import slug
from aqe.agents.generate.target import Subject
from aqe.engine.errors import UserError
from aqe.engine.marker import is_ours, lock_target, mark, write_atomic
from aqe.engine.project import unwritable


def output_folder(project: Path, out: str | None) -> Path:
    """`out` from the working directory if that lies in the project, else from the project; without it the project's
    `tests` or `test` folder, else `tests`."""
    if out is not None:
        here = Path.cwd()
        folder = (here if here.is_relative_to(project) else project) / os.path.expanduser(out)
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is not a folder.", code="bad-output", fix="Pass --out with a folder.")
        return folder
    found = (project / name for name in ("tests", "test") if (project / name).is_dir())
    return next(found, project / "tests")


def refuse_unwritable(folder: Path) -> None:
    """`UserError` (project-read-only) when files can surely not be written below `folder`."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise unwritable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def file_names(subjects: Sequence[Subject], suffix: str | None = None) -> dict[str, str]:
    """`test_<module>.py` for each module, with its package in front where two modules of the run share a name."""
    if suffix is not None and not slug(suffix):
        raise UserError(
            f"The suffix {suffix!r} has no letter or digit.", code="bad-output", fix="Pass a word, like --suffix aqe."
        )
    ending = f"_{slug(suffix)}" if suffix else ""
    modules = {subject.module for subject in subjects}
    for parts in range(1, max((module.count(".") for module in modules), default=0) + 2):
        names = {module: "_".join(module.split(".")[-parts:]) for module in modules}
        counts = Counter(name.lower() for name in names.values())
        shared = {module for module in modules if counts[names[module].lower()] > 1}
        if not shared:
            break
    short = {module: module.rpartition(".")[2] for module in modules}
    counts = Counter(name.lower() for name in short.values())
    chosen = {module: names[module] if counts[short[module].lower()] > 1 else short[module] for module in modules}
    return {module: f"test_{name.strip('_') or name}{ending}.py" for module, name in chosen.items()}


def refuse_foreign(paths: Sequence[Path]) -> None:
    """`UserError` when a file that would be written exists and is not aqe's own unchanged work."""
    for path in paths:
        if path.exists() and not is_ours(path):
            raise UserError(
                f"{path} exists and was not written by aqe, or was changed since.",
                code="file-not-ours",
                fix="Pass --suffix WORD for a name beside it, or --out DIR.",
            )


@contextlib.contextmanager
def locked(project: Path, paths: Sequence[Path]) -> Iterator[None]:
    """Hold every path against a second run for the length of the block."""
    with contextlib.ExitStack() as stack:
        for path in sorted(paths):
            stack.enter_context(lock_target(project, str(path)))
        yield


def write_tests(path: Path, text: str) -> None:
    """Write one marked test file whole; its folder is made when missing."""
    refuse_foreign([path])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    write_atomic(path, mark(text))
