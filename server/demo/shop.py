"""The shop that the demo works on: where it lies, a copy of it, and the truth about it."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqe.engine.errors import InternalError, UserError
from aqe.engine.project import unwritable

_LEAVE_OUT = shutil.ignore_patterns("__pycache__", ".*")


@dataclass(frozen=True)
class PlantedBug:
    """One bug of the truth. `line` is 1-based; `raises` is the exception's name, "" where a wrong value comes back.
    `partner` is the other function of a broken round trip.

    `found_by` is "execution" where running the code can show it, "reading" where only the docs tell.
    """

    id: str
    module: str
    file: str
    function: str
    line: int
    code: str
    kind: str
    found_by: str
    why: str
    raises: str = ""
    partner: str = ""


@dataclass(frozen=True)
class PlantedFlaky:
    """One flaky test of the truth, by its node id. `partners` are the tests without or before which it fails: the
    polluter of a victim, the setter of a brittle test."""

    id: str
    category: str
    why: str
    partners: tuple[str, ...] = ()


@dataclass(frozen=True)
class Truth:
    """What is planted in the shop. `untested` are functions that no test runs: (file, qualified name)."""

    package: str
    modules: tuple[str, ...]
    bugs: tuple[PlantedBug, ...]
    flaky: tuple[PlantedFlaky, ...] = ()
    untested: tuple[tuple[str, str], ...] = ()


def fixtures() -> Path:
    """The folder that holds `shop/` and `shop.truth.toml`: package data of an installed aqe, else of its sources."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "data", here.parent / "fixtures"):
        if (folder / "shop.truth.toml").is_file():
            return folder
    raise InternalError(
        "This installation of aqe lacks the demo's shop.",
        code="internal",
        fix="Install aqe again from a wheel or its sources.",
    )


def read_truth() -> Truth:
    """The truth about the shop."""
    return truth_of(tomllib.loads((fixtures() / "shop.truth.toml").read_text(encoding="utf-8")))


def truth_of(table: dict[str, Any]) -> Truth:
    """The parts of a truth file that the demo compares with."""
    project = table["project"]
    bugs = tuple(
        PlantedBug(
            id=bug["id"],
            module=bug["file"].removesuffix(".py").replace("/", "."),
            raises=bug.get("raises", ""),
            partner=bug.get("partner", ""),
            **{name: bug[name] for name in ("file", "function", "line", "code", "kind", "found_by", "why")},
        )
        for bug in table["bugs"]
    )
    flaky = tuple(
        PlantedFlaky(
            id=test["id"],
            category=test["category"],
            why=test["why"],
            partners=tuple(test[name] for name in ("polluter", "setter") if name in test),
        )
        for test in table.get("flaky", ())
    )
    untested = tuple((file, name) for file, names in table.get("untested", {}).items() for name in names)
    return Truth(project["package"], tuple(project["modules"]), bugs, flaky, untested)


def copy_shop(folder: Path) -> Path:
    """Copy the shop into `folder`/shop and return that; raises `UserError` (folder-not-empty, project-read-only)."""
    target = folder / "shop"
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(
            f"{str(target)!r} is there already.", code="folder-not-empty", fix="Name another folder with --dir."
        )
    try:
        shutil.copytree(fixtures() / "shop", target, ignore=_LEAVE_OUT, dirs_exist_ok=True)
    except shutil.Error as error:
        raise unwritable(target, OSError(None, str(error.args[0][0][2]))) from error
    except OSError as error:
        raise unwritable(target, error) from error
    return target.resolve()


def learn_at_once(shop: Path) -> None:
    """Let feedback count from the first mark on in this shop, where a project of one's own waits for 15."""
    with (shop / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.aqe.learning]\nmin_marks = 1\n")
