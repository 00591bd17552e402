"""Which folder is the project, and where aqe keeps its own files of it."""

from __future__ import annotations

import errno
import os
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.worktree import find_checkout

MARKERS = (".aqe", "pyproject.toml", ".git")
_OF_A_PROJECT = ("pyproject.toml", ".git", "setup.py", "setup.cfg")
"""What makes a project of the user's own folder."""
DATABASE = "aqe.db"
OWNERS_ALONE = 0o700
"""The mode of a new `.aqe`, which holds what was asked and remembered. One that is there keeps its own: a team that
shares a store makes the folder itself."""


_LOOP = "Symlink loop from "


def find_project(
    start: Path | None = None,
    explicit: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    given_by: str = "--project",
) -> Path:
    """The project's root: `explicit` (which `given_by` names where it is refused), else AQE_PROJECT, else the nearest
    folder from `start` upwards with a marker, else `start` (the working directory when None). What a command that was
    begun at home left there makes no project of all that lies below.

    Raises `UserError` (no-such-project) when a folder that was named does not exist.
    """
    environ = os.environ if environ is None else environ
    if explicit:
        return _named(explicit, given_by)
    if environ.get("AQE_PROJECT"):
        return _named(environ["AQE_PROJECT"], "AQE_PROJECT")
    start = Path.cwd() if start is None else start.resolve()
    if start.is_file():
        start = start.parent
    above = (folder for folder in start.parents if has_marker(folder) and not is_whole_machine(folder))
    return start if has_marker(start) else next(above, start)


def has_marker(folder: Path) -> bool:
    """Whether `folder` itself is marked as a project's root."""
    return any(os.path.exists(folder / name) for name in MARKERS)


def is_whole_machine(folder: Path) -> bool:
    """Whether `folder` is the root of the file system or the user's own, and no project by itself."""
    own = os.path.expanduser("~")
    is_wide = folder == folder.parent or str(folder) in (own, os.path.realpath(own))
    return is_wide and not any(os.path.exists(folder / name) for name in _OF_A_PROJECT)


def _named(text: str, origin: str) -> Path:
    path = Path(os.path.expanduser(text))
    if not os.path.isdir(path):  # which, unlike the path's own, says no of a name that is too long
        what = "is a file, not a folder" if os.path.exists(path) else "does not exist"
        raise UserError(
            f"The project folder {text!r} given by {origin} {what}.",
            code="no-such-project",
            fix="Name the folder that holds the project.",
        )
    return path.resolve()


def locate(text: str, project: Path) -> Path:
    """The file or folder that a path typed by the user means: from the working directory, else from the project.

    Raises `UserError` (no-such-path) that names both places.
    """
    path = Path(os.path.expanduser(text))
    for base in (Path.cwd(), project):
        if os.path.lexists(base / path):
            return base / path
    raise no_such_path(text, project)


def no_such_path(text: str, project: Path) -> UserError:
    """The error for a path that is neither in the working directory nor in the project."""
    places = dict.fromkeys((str(Path.cwd()), str(project)))
    where = "" if Path(os.path.expanduser(text)).is_absolute() else f" in {' or '.join(map(repr, places))}"
    return UserError(f"There is no {text!r}{where}.", code="no-such-path", fix="Check the path.")


def looping_link(error: Exception) -> UserError | None:
    """What an error that Python raises of a link which leads back to itself says to its user; None for any other."""
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        named = "A path" if error.filename is None else repr(error.filename)
    elif isinstance(error, RuntimeError) and str(error).startswith(_LOOP):  # of `Path.resolve`, up to Python 3.12
        named = str(error).removeprefix(_LOOP)
    else:
        return None
    return UserError(
        f"{named} is a link that leads back to itself.",
        code="no-such-path",
        fix="Mend it, or name what it meant.",
    )


def as_seen_from_here(path: Path) -> str:
    """`path` as it can be opened from the working directory: relative where it lies below it, else absolute."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def aqe_dir(project: Path) -> Path:
    """`.aqe/` of the project, made for its owner alone and with its own `.gitignore` when missing.

    Raises `UserError` (project-private where it is another user's alone; project-read-only, disk-full when it cannot
    be made).
    """
    return _own_folder(project / ".aqe")


@contextmanager
def aqe_dir_if_done(project: Path) -> Iterator[Path]:
    """As `aqe_dir`, for work that may fail: a folder that was made for it then goes again, unless something is in it.

    Raises `UserError` (project-read-only, disk-full) when it cannot be made.
    """
    was_there = (project / ".aqe").exists()
    folder = aqe_dir(project)
    try:
        yield folder
    except BaseException:
        if not was_there and [path.name for path in folder.iterdir()] == [".gitignore"]:
            with suppress(OSError):
                (folder / ".gitignore").unlink()
                folder.rmdir()
        raise


def store_dir(project: Path, store: str = "shared") -> Path:
    """The `.aqe/` that holds the database: in a linked git worktree the main worktree's, unless `store` is
    "local". Results and spool always stay in the project's own (`aqe_dir`).

    Raises `UserError` (no-such-path, project-read-only, disk-full) when it cannot be made, or hold a database.
    """
    home = store_home(project, store)
    if os.fsencode(home) != str(home).encode("utf-8", "replace"):
        raise UserError(
            f"The name {str(home)!r} is no UTF-8, and SQLite opens no file there.",
            code="no-such-path",
            fix="Rename the folder, or work on a copy of the project.",
        )
    return _own_folder(home / ".aqe")


def store_home(project: Path, store: str = "shared") -> Path:
    """The project folder whose `.aqe/` holds the database; nothing is written."""
    if store == "local":
        return project
    checkout = find_checkout(project)
    if checkout is None or not checkout.worktree or checkout.main_root is None:
        return project
    home = checkout.main_root / project.relative_to(checkout.root)
    return home if home.is_dir() else project


def check_enterable(folder: Path) -> None:
    """Raise `UserError` (project-private) for an `.aqe` that is there and that this user may not enter."""
    if os.path.isdir(folder) and not os.access(folder, os.X_OK):
        raise UserError(
            f"{str(folder)!r} is another user's, who alone may read it.",
            code="project-private",
            fix="Have its owner share it (`chmod -R g+rwX` and a group), or work on a copy of the project without it.",
        )


def database_path(project: Path, store: str = "shared") -> Path:
    """The project's database file; its folder is made when missing."""
    return store_dir(project, store) / DATABASE


def _own_folder(folder: Path) -> Path:
    ignore = folder / ".gitignore"
    check_enterable(folder)
    if folder.is_file():
        raise UserError(
            f"{str(folder)!r} is a file, and aqe keeps what it remembers in a folder of that name.",
            code="project-read-only",
            fix="Move the file away.",
        )
    try:
        if ignore.is_file():
            return folder
        folder.mkdir(mode=OWNERS_ALONE, exist_ok=True)
        _write_whole(ignore, "*\n")
    except OSError as exc:
        with suppress(OSError):
            folder.rmdir()  # only where it is empty, so that a full disk leaves no trace
        raise unwritable(folder, exc) from exc
    return folder


def _write_whole(file: Path, text: str) -> None:
    """Write a small file so that it is never seen empty."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, file)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise


def unwritable(path: Path, exc: OSError) -> UserError:
    """The error for a file or folder of the project that could not be written."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(
            f"There is no space left to write {str(path)!r}.", code="disk-full", fix="Free some space and try again."
        )
    reason = exc.strerror or type(exc).__name__
    return UserError(
        f"{str(path)!r} cannot be written: {reason}.",
        code="project-read-only",
        fix="Make the folder writable, or work on a copy of the project.",
    )


def pyproject_table(project: Path) -> dict[str, object]:
    """`[tool.aqe]` of the project's pyproject.toml, empty where there is none.

    Raises `UserError` (bad-setting) when the file is not TOML.
    """
    return toml_table(project / "pyproject.toml", ("tool", "aqe"))


def toml_table(file: Path, path: tuple[str, ...] = ()) -> dict[str, object]:
    """The table at `path` of a TOML file, empty where file or table are missing."""
    try:
        found: object = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as exc:
        raise UserError(f"{str(file)!r} cannot be read as TOML: {exc}.", code="bad-setting", fix="Mend it.") from exc
    for key in path:
        found = found.get(key, {}) if isinstance(found, dict) else {}
    if not isinstance(found, dict):
        raise UserError(
            f"[{'.'.join(path)}] in {str(file)!r} is not a table.", code="bad-setting", fix="Make it a table."
        )
    return found
