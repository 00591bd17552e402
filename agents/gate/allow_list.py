"""What exists inside a box: the system's programs and libraries, the interpreter, the project, nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path

from aqe.agents.gate.probing import Interpreter
from aqe.engine.project import store_home

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/timezone",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
NEVER_CODE = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/run")
PYTHON_FOLDERS = ("site-packages", "dist-packages", "python")
FRESH = ("/tmp", "/dev/shm")  # made anew inside a new root
ETC = {
    "passwd": "root:x:0:0:root:/:/bin/sh\naqe:x:{uid}:{gid}:aqe:/tmp/scratch:/bin/sh\n",
    "group": "root:x:0:\naqe:x:{gid}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
}


@dataclass(frozen=True)
class AllowList:
    """Absolute paths that exist inside. `private` are the user's own; `links` are symlinks to make.

    `masked` are the `.aqe/` folders (database, token) in them: those show empty, but for the paths in `shown`.
    """

    system: tuple[str, ...]
    private: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]
    shown: tuple[str, ...]


def make_allow_list(interpreter: Interpreter, project: str, more: Iterable[str]) -> AllowList:
    """The list for one box; `more` are further paths that the caller names."""
    links: dict[str, str] = {}
    system = _real((*SYSTEM, *SYSTEM_FILES, *DEVICES), links)
    named = _real([project, *more], links)
    derived = _real((path for path in _interpreter_places(interpreter) if _may_hold_code(path)), links)
    private = [path for path in (*named, *derived) if path != "/" and not _within(path, system)]
    private = _outermost(private)
    homes = {str(store_home(Path(project))), *named, *derived}
    own = (os.path.realpath(os.path.join(home, ".aqe")) for home in homes)
    masked = _outermost(path for path in own if os.path.isdir(path) and _within(path, private))
    shown = [path for path in named if path not in masked and _within(path, masked)]
    return AllowList(
        tuple(_outermost(system)),
        tuple(private),
        tuple(sorted(links.items())),
        tuple(masked),
        tuple(_outermost(shown)),
    )


def _may_hold_code(path: str) -> bool:
    """Whether a folder that an interpreter names may be shown to the code that runs under it.

    A hostile environment names what it likes. So neither what holds a whole home, nor what describes this machine,
    nor a hidden folder of a home (keys, settings of programs) that has nothing of a Python in it.
    """
    real = os.path.realpath(path)
    homes = set(_homes_near(real))
    if any(_within(home, [real]) for home in homes) or _within(real, NEVER_CODE):
        return False
    inside = [os.path.relpath(real, home).split(os.sep) for home in homes if _within(real, [home])]
    if not any(parts[0].startswith(".") for parts in inside):
        return True
    named = (part in PYTHON_FOLDERS or part.startswith(("python3", "python.", "lib3")) for part in real.split(os.sep))
    return any(named) or os.path.isfile(os.path.join(real, "pyvenv.cfg")) or bool(glob(f"{escape(real)}/lib*/python3*"))


def _homes_near(real: str) -> Iterator[str]:
    """The homes that a folder may be in or hold: the one that HOME names, root's, and what lies where homes do."""
    yield os.path.realpath(os.path.expanduser("~"))
    yield "/root"
    for folder in ("/home", "/Users"):
        if _within(real, [folder]):
            yield os.sep.join(real.split(os.sep)[:3])


def entry_by_entry(paths: Iterable[str]) -> tuple[str, ...]:
    """`paths`, with the files and folders in them in place of those that a new root makes anew."""
    shown: list[str] = []
    for path in paths:
        if path not in FRESH:
            shown.append(path)
            continue
        with os.scandir(path) as entries:
            kinds = (
                (entry.path, entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False))
                for entry in entries
            )
            shown += [found for found, is_shown in kinds if is_shown]
    return tuple(_outermost(shown))


def _interpreter_places(interpreter: Interpreter) -> Iterator[str]:
    home = os.path.realpath(os.path.expanduser("~"))
    for prefix in (interpreter.prefix, interpreter.base_prefix):
        real = os.path.realpath(prefix)
        if real == "/" or home == real or home.startswith(real.rstrip("/") + "/"):
            yield from (os.path.join(prefix, name) for name in ("lib", "lib64", "pyvenv.cfg"))
        else:
            yield prefix
    yield from _link_chain(interpreter.executable)
    yield from interpreter.sys_path
    yield from interpreter.editable
    if interpreter.user_base:
        yield os.path.join(interpreter.user_base, "lib")


def _link_chain(path: str) -> Iterator[str]:
    """`path` and, while it is a symlink, what it points to."""
    for _ in range(40):
        yield path
        if not os.path.islink(path):
            return
        path = os.path.join(os.path.dirname(path), os.readlink(path))


def _real(paths: Iterable[str], links: dict[str, str]) -> list[str]:
    """The real paths of those that exist; the symlinks on the way are put into `links`."""
    found = []
    for path in paths:
        if not os.path.isabs(path) or not os.path.exists(path):
            continue
        _note_links(os.path.normpath(path), links)
        found.append(os.path.realpath(path))
    return found


def _note_links(path: str, links: dict[str, str]) -> None:
    """Record each symlink that is met while `path` is resolved."""
    for _ in range(40):
        so_far = "/"
        parts = path.strip("/").split("/")
        for position, part in enumerate(parts):
            so_far = os.path.join(so_far, part)
            if os.path.islink(so_far):
                target = os.readlink(so_far)
                links[so_far] = target
                joined = os.path.join(os.path.dirname(so_far), target, *parts[position + 1 :])
                path = os.path.normpath(joined)
                break
        else:
            return


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _outermost(paths: Iterable[str]) -> list[str]:
    """Without doubles and without what lies inside another one."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not _within(path, kept):
            kept.append(path)
    return kept
