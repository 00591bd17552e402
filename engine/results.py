"""The last result of each command, kept in `.aqe/results/<command>.json`."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.marker import write_bytes_atomic
from aqe.engine.memory.file.keys import is_sealed
from aqe.engine.project import aqe_dir, unwritable

LIMIT_BYTES = 200_000_000
_SURROGATE = re.compile("[\ud800-\udfff]")
_COMMAND = re.compile(r"[a-z][a-z0-9]*(?:[-_ ][a-z0-9]+)*")


def json_text(obj: Any, *, indent: int | None = None) -> str:
    """`obj` as JSON that any reader can decode: bytes of odd file names are percent-encoded.

    >>> json_text({"file": "caf\\udce9.py"})
    '{"file": "caf%E9.py"}'
    """
    text = json.dumps(obj, ensure_ascii=False, indent=indent, allow_nan=False, default=_plain)
    return _SURROGATE.sub(_encode, text)


def _encode(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"%{number - 0xDC00:02X}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} is not JSON")


def result_path(project: Path, command: str) -> Path:
    """Where the last result of `command` lies; a group's command is `memory search` or `memory-search`."""
    if not _COMMAND.fullmatch(command):
        raise ValueError(f"{command!r} is not a command's name")
    return project / ".aqe" / "results" / f"{re.sub('[ _]', '-', command)}.json"


def write_result(project: Path, command: str, obj: Any, *, limit_bytes: int = LIMIT_BYTES) -> Path:
    """Keep `obj` as the last result of `command`; the oldest results go when all exceed `limit_bytes`.

    Where the store has a key nothing is kept, since a result would lie in clear beside the encrypted store. Raises
    `UserError` (project-read-only, disk-full); then the earlier result stands.
    """
    path = result_path(project, command)
    if is_sealed(project / ".aqe"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return path
    folder = aqe_dir(project) / "results"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as exc:
        raise unwritable(folder, exc) from exc
    write_bytes_atomic(path, (json_text(obj, indent=1) + "\n").encode("utf-8"))
    prune(folder, limit_bytes, keep=path)
    return path


def read_result(project: Path, command: str) -> Any:
    """The last result of `command`; raises `UserError` (no-result) when there is none."""
    path = result_path(project, command)
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"There is no result of `aqe {command}` in this project yet.",
            code="no-result",
            fix=f"Run `aqe {command}` first.",
        ) from None
    except (OSError, ValueError) as exc:
        raise UserError(
            f"The result {str(path)!r} cannot be read: {exc}.",
            code="no-result",
            fix=f"Run `aqe {command}` again.",
        ) from exc


def prune(folder: Path, limit_bytes: int, *, keep: Path | None = None) -> int:
    """Delete the oldest files of `folder` but `keep` until they hold at most `limit_bytes`; returns how many went."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.is_file():
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in found)
    gone = 0
    for _, size, path in sorted(found):
        if total <= limit_bytes:
            break
        if path == keep:
            continue
        with contextlib.suppress(OSError):
            path.unlink()
            total -= size
            gone += 1
    return gone
