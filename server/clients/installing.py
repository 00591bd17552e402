"""What would change in a client's files, shown before it is done, and done with a backup beside each."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aqe.engine.errors import UserError
from aqe.engine.marker import write_bytes_atomic
from aqe.engine.project import unwritable
from aqe.server.clients import jsonc
from aqe.server.clients.block import with_block
from aqe.server.clients.configs import NAME, Client

LARGEST_BYTES = 20_000_000
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Change:
    """One file as it is (None: there is none) and as it would be. `path` is where it is named, through links."""

    path: Path
    before: bytes | None
    after: bytes

    @property
    def state(self) -> Literal["new", "changed", "unchanged"]:
        """What would happen to it."""
        if self.before is None:
            return "new"
        return "unchanged" if self.before == self.after else "changed"

    def difference(self) -> str:
        """A unified diff of the two; empty where nothing changes."""
        before = "" if self.before is None else self.before.decode("utf-8")
        old = "/dev/null" if self.before is None else str(self.path)
        return "".join(_lines(before, self.after.decode("utf-8"), old, str(self.path)))


def plan_server(client: Client, project: Path, *, user: bool, command: Sequence[str]) -> Change:
    """The client's list of servers with aqe in it; what else stands in aqe's entry, such as `env`, stays.

    Raises `UserError` (bad-client-config) where the file is not JSON.
    """
    entry = client.entry(command, user=user)

    def edit(text: str) -> str:
        found = jsonc.read(text)
        there = found.get(client.section) if isinstance(found, dict) else None
        own = there.get(NAME) if isinstance(there, dict) else None
        if isinstance(own, dict) and "url" not in own:
            return jsonc.set_members(text, (client.section, NAME), entry)
        return jsonc.set_members(text, (client.section,), {NAME: entry})

    return changed(client.file(project, user=user), edit, within=None if user else project)


def has_server(client: Client, project: Path) -> bool:
    """Whether the project's own file of the client names aqe's server; not where it cannot be read."""
    try:
        found = jsonc.read((_read(client.file(project, user=False)) or b"").decode("utf-8-sig"))
    except (UserError, UnicodeError, jsonc.NotJson):
        return False
    there = found.get(client.section) if isinstance(found, dict) else None
    return isinstance(there, dict) and NAME in there


def plan_block(client: Client, project: Path) -> Change:
    """The project's file of words for assistants with aqe's block in it."""
    return changed(project / client.guide, with_block, within=project)


def changed(path: Path, edit: Callable[[str], str], *, within: Path | None) -> Change:
    """What `edit` makes of a file's text; its byte order mark stays.

    Raises `UserError` (bad-client-config), also where a link leads out of the folder `within`.
    """
    if within is not None and not path.resolve().is_relative_to(within.resolve()):
        raise _bad(path, f"is a link that leaves the project, to {str(path.resolve())!r}")
    before = _read(path)
    try:
        text = "" if before is None else before.decode("utf-8")
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        return Change(path, before, (mark + edit(text.removeprefix(mark))).encode("utf-8"))
    except jsonc.NotJson as error:
        raise _bad(path, f"is not JSON: {error}") from None
    except UnicodeError:
        raise _bad(path, "is not UTF-8") from None
    except UserError as error:
        raise UserError(f"{str(path)!r}: {error.message}", code=error.code, fix=error.fix) from None


def apply(change: Change) -> Path | None:
    """Write one file, whole or not at all, after a backup of what was there; returns the backup's path.

    Raises `UserError`: file-changed where it is not any more as it was shown, project-read-only, disk-full.
    """
    if change.state == "unchanged":
        return None
    if _read(change.path) != change.before:
        raise UserError(
            f"{str(change.path)!r} was changed by somebody else meanwhile; nothing was written.",
            code="file-changed",
            fix="Run the command again.",
        )
    real = change.path.resolve()  # a link of somebody's dotfiles stays a link
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        backup = None if change.before is None else _back_up(real, change.before)
    except OSError as error:
        raise unwritable(real, error) from error
    write_bytes_atomic(real, change.after)
    return backup


def _back_up(path: Path, content: bytes) -> Path:
    """A copy beside the file, under the first name that is free or holds the same already."""
    for backup in _backups(path):
        if not backup.exists():
            shutil.copy2(path, backup)
            return backup
        if backup.read_bytes() == content:
            return backup
    raise AssertionError("names never end")


def _backups(path: Path) -> Iterator[Path]:
    yield path.with_name(f"{path.name}.aqe-backup")
    number = 1
    while True:
        number += 1
        yield path.with_name(f"{path.name}.aqe-backup-{number}")


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            found = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise _bad(path, "lies below a file") from None
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror or type(error).__name__}") from None
    if len(found) > LARGEST_BYTES:
        raise _bad(path, "is larger than 20 MB")
    return found


def _bad(path: Path, what: str) -> UserError:
    return UserError(
        f"{str(path)!r} {what}.",
        code="bad-client-config",
        fix="Mend it, or move it away; nothing was written.",
    )


def _lines(before: str, after: str, old: str, new: str) -> Iterator[str]:
    for line in difflib.unified_diff(_LINE.findall(before), _LINE.findall(after), old, new):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
