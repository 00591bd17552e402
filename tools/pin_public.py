"""Write the names and signatures that aqe's packages hand out to tests/hygiene/public.txt.

A test compares that file with the code, so that no public name changes unseen: after a wanted change run this
(`make public`), look at the difference, and say it in CHANGELOG.md.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

PACKAGES = (
    "aqe.server",
    "aqe.agents",
    "aqe.agents.generate",
    "aqe.agents.gate",
    "aqe.engine",
    "aqe.simd",
)
PINS = Path(__file__).resolve().parent.parent / "tests" / "hygiene" / "public.txt"


def signature(thing: object, names_only: bool) -> str:
    """The call signature as written; only its names where the object behind a name depends on the machine."""
    if not callable(thing):
        return ": " + type(thing).__name__
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    if names_only:
        return "(...)"
    return str(found)


def lines_of(package: str) -> list[str]:
    """One line for each public name of a package, and one for each public member of a class."""
    module = import_module(package)
    names_only = package == "aqe.simd"
    lines = []
    for name in sorted(getattr(module, "__all__", ())):
        thing = getattr(module, name)
        lines.append(f"{package}.{name}{signature(thing, names_only)}")
        if not inspect.isclass(thing) or names_only:
            continue
        for member, value in sorted(vars(thing).items()):
            if member.startswith("_"):
                continue
            raw = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if inspect.isfunction(raw):
                lines.append(f"{package}.{name}.{member}{signature(raw, False)}")
            elif isinstance(raw, property):
                lines.append(f"{package}.{name}.{member}: property")
    return lines


def render() -> str:
    """The whole text of the pinned file."""
    return "".join(f"{line}\n" for package in PACKAGES for line in lines_of(package))


if __name__ == "__main__":
    PINS.write_text(render(), encoding="utf-8")
    print(f"wrote {PINS}")
