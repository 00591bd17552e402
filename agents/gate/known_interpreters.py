"""What interpreters said of themselves, kept in the user's cache until they, or what is installed in them, change."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

Stamp = list[list[int]]
MOST_KEPT = 32
SETTINGS = ("HOME", "PYTHONUSERBASE", "PYENV_VERSION", "PYENV_ROOT")


def stamp_of(executable: str, sys_path: Iterable[str]) -> Stamp:
    """Changes whenever the program, its configuration or what is installed for it does.

    Each entry is size, inode, time of change and time of the inode's change, the last of which nobody can set.
    """
    return [_facts(place) for place in _places(executable, sys_path)]


def _places(executable: str, sys_path: Iterable[str]) -> Iterator[str]:
    yield executable
    yield os.path.realpath(executable)
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(executable))), "pyvenv.cfg")
    for folder in sys_path:
        yield folder
        if folder.endswith("-packages"):
            try:
                yield from sorted(os.path.join(folder, name) for name in os.listdir(folder) if _steers(name))
            except OSError:
                continue


def _steers(name: str) -> bool:
    """Whether a file of site-packages decides what is on the path or runs at each start."""
    return name.endswith(".pth") or name in ("sitecustomize.py", "usercustomize.py")


def _facts(path: str) -> list[int]:
    try:
        facts = os.stat(path)
    except OSError:
        return []
    return [facts.st_size, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns]


def _file() -> Path:
    return Path(platformdirs.user_cache_dir("aqe")) / "interpreters.json"


def _key(executable: str) -> str:
    settings = [os.environ.get(name, "") for name in SETTINGS]
    return "\n".join([executable, str(Path(__file__).stat().st_mtime_ns), *settings])


def _load() -> dict[str, Any]:
    path = _file()
    try:
        facts = path.stat()
        if not hasattr(os, "geteuid") or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            return {}  # somebody else could have written it
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def recall(executable: str) -> str | None:
    """The answer that `executable` gave, where nothing has changed since."""
    entry = _load().get(_key(executable))
    try:
        if entry is None or entry["stamp"] != stamp_of(executable, entry["path"]):
            return None
        return str(entry["answer"])
    except (KeyError, TypeError):
        return None


def remember(executable: str, sys_path: Iterable[str], answer: str) -> None:
    """Keep an answer; nowhere to write means that the next process asks again."""
    path = _file()
    kept = _load()
    folders = list(sys_path)
    key = _key(executable)
    kept.pop(key, None)
    kept[key] = {"path": folders, "stamp": stamp_of(executable, folders), "answer": answer}
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as stream:
            json.dump(dict(list(kept.items())[-MOST_KEPT:]), stream)
        os.replace(stream.name, path)
    except OSError:
        return
