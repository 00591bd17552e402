"""Write docs/cli.md anew from what `--help` says; a test compares the two (`make cli-docs`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aqe.server.cli import app
from aqe.server.cli.verbs import VERBS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
HEAD = """# The command line

Made from `--help` by `tools/cli_docs.py`; edit the commands, then run `make cli-docs`.
Exit status: 0 done, 1 a gate failed or some input failed, 2 the user's mistake, 3 a fault of aqe's own,
4 out of time with a partial result, 130 interrupted. Each error ends with a code: [messages.md](messages.md).
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Each command with its full name, groups before their members."""

    def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for word, member in getattr(command, "commands", {}).items():
            yield from below(f"{name} {word}", member)

    for verb in VERBS:
        yield from below(f"aqe {verb}", app.load(verb))


def help_of(name: str, command: Any) -> str:
    """The help page of one command, as a terminal of 80 columns shows it."""
    with command.make_context(name, [], resilient_parsing=True) as context:
        return "\n".join(line.rstrip() for line in command.get_help(context).strip().splitlines())


def render() -> str:
    """The whole page."""
    os.environ.update(COLUMNS="80", NO_COLOR="1")
    parts = [HEAD, f"\n## aqe\n\n```text\n{app.help_page()}\n```\n"]
    for name, command in commands():
        level = "#" * (1 + len(name.split()))
        parts.append(f"\n{level} {name}\n\n```text\n{help_of(name, command)}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE}")
