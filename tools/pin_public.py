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
    "aqe.server.http",
    "aqe.server.mcp",
    "aqe.agents",
    "aqe.agents.generate",
    "aqe.agents.gate",
    "aqe.engine",
    "aqe.simd",
)
PINS = Path(__file__).resolve().parent.parent / "tests" / "hygiene" / "public.txt"


PLAIN = (type(None), bool, int, float, str, tuple)


def default(value: object) -> str:
    """A default as one would write it; "..." for what only the running process knows."""
    if isinstance(value, PLAIN):
        return repr(value)
    return getattr(value, "__name__", "...")


def parameter(given: inspect.Parameter) -> str:
    """One parameter: name, annotation as written, default."""
    star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(given.kind, "")
    text = star + given.name
    if given.annotation is not given.empty:
        text += f": {given.annotation if isinstance(given.annotation, str) else default(given.annotation)}"
    return text if given.default is given.empty else f"{text} = {default(given.default)}"


def signature(thing: object, names_only: bool) -> str:
    """The call signature as written; nothing of it where the object behind a name depends on the machine."""
    if not callable(thing):
        return ": " + type(thing).__name__
    if names_only:
        return "(...)"
    if fields := getattr(thing, "model_fields", None):
        return f"(*, {', '.join(sorted(fields))})"
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    words = []
    keyword_only = False
    for given in found.parameters.values():
        if given.kind is given.KEYWORD_ONLY and not keyword_only:
            words.append("*")
            keyword_only = True
        keyword_only = keyword_only or given.kind is given.VAR_POSITIONAL
        words.append(parameter(given))
    if inspect.isclass(thing) or found.return_annotation is found.empty:
        return f"({', '.join(words)})"
    return f"({', '.join(words)}) -> {found.return_annotation}"


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
                lines.append(f"{package}.{name}.{member}{signature(raw, names_only=False)}")
            elif isinstance(raw, property):
                lines.append(f"{package}.{name}.{member}: property")
    return lines


def render() -> str:
    """The whole text of the pinned file."""
    return "".join(f"{line}\n" for package in PACKAGES for line in lines_of(package))


if __name__ == "__main__":
    PINS.write_text(render(), encoding="utf-8")
    print(f"wrote {PINS}")
