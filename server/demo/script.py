"""What the demo asks, teaches and changes, and the truth about its change."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aqe.engine.errors import InternalError
from aqe.server.demo.shop import fixtures

_AUTHOR = ("-c", "user.name=aqe demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
_PLAIN = ("-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", "-c", "init.defaultBranch=main")


@dataclass(frozen=True)
class Question:
    """A question whose answer should quote `words` from `file`."""

    prompt: str
    file: str
    words: str


@dataclass(frozen=True)
class LessonPlan:
    """A question that is asked, marked (`rating` from 1 to 5, or a `correction`) and asked again. The first quote
    should hold `words`. The passages of the namespace `drawer` with the metadata `filter` are ranked
    before and after."""

    prompt: str
    words: str
    why: str
    drawer: str
    filter: Mapping[str, str] = field(default_factory=dict)
    rating: int | None = None
    correction: str | None = None


@dataclass(frozen=True)
class Edit:
    """`old`, which stands once in `file`, becomes `new`; None for `old` makes the file."""

    file: str
    old: str | None
    new: str


@dataclass(frozen=True)
class PlantedFlaw:
    """One flaw of the change. A finding with its path, name and one of `rules` (patterns) speaks of it.

    Where `kind` is "behaviour", `expression` gives `before` on the old side and `after` on the new one. Findings with
    a rule of `also` are true of it, but are not what was planted.
    """

    id: str
    kind: str
    file: str
    name: str
    why: str
    rules: tuple[str, ...]
    also: tuple[str, ...] = ()
    setup: str = ""
    expression: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Script:
    """The whole script. `harmless` are functions (file, qualified name) that are only worded differently; `breaks` are
    tests that the change turns red."""

    question: Question
    lessons: tuple[LessonPlan, ...]
    message: str
    edits: tuple[Edit, ...]
    planted: tuple[PlantedFlaw, ...]
    harmless: tuple[tuple[str, str], ...]
    breaks: tuple[str, ...]


def read_script() -> Script:
    """The script, from beside the shop."""
    return script_of(tomllib.loads((fixtures() / "shop.story.toml").read_text(encoding="utf-8")))


def script_of(table: dict[str, Any]) -> Script:
    """The script that a parsed file holds."""
    return Script(
        question=Question(**table["question"]),
        lessons=tuple(LessonPlan(**entry) for entry in table["lessons"]),
        message=table["change"]["message"],
        edits=tuple(Edit(entry["file"], entry.get("old"), entry["new"]) for entry in table["edits"]),
        planted=tuple(PlantedFlaw(**_with_tuples(entry)) for entry in table["planted"]),
        harmless=tuple((entry["file"], entry["name"]) for entry in table["harmless"]),
        breaks=tuple(entry["test"] for entry in table["breaks"]),
    )


def _with_tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}


def keep_base(shop: Path) -> bool:
    """Keep the shop as it is now in a git commit of its own, to compare with later; False where there is no git."""
    if shutil.which("git") is None:
        return False
    (shop / ".gitignore").write_text("__pycache__/\n.aqe/\n", encoding="utf-8")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "--no-verify", "-m", "The shop")):
        _git(shop, *arguments)
    return True


def _git(shop: Path, *arguments: str) -> None:
    """One git command that heeds no configuration or environment of the user's."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", *_AUTHOR, *_PLAIN, *arguments]
    done = subprocess.run(command, cwd=shop, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:300]
        raise InternalError(f"git {arguments[0]} failed in the demo's shop: {said}", code="internal", fix="Mend git.")


def make_change(shop: Path, edits: tuple[Edit, ...]) -> None:
    """Make the edits in the shop; raises `InternalError` where the shop is not the one that they were written for."""
    for edit in edits:
        path = shop / edit.file
        if edit.old is None:
            path.write_text(edit.new, encoding="utf-8")
            continue
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise InternalError(
                f"An edit of the demo does not fit {edit.file}.", code="internal", fix="Install aqe again."
            )
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
