"""Shell completion: what can stand at the cursor, and the lines that tell bash, zsh or fish to ask for it.

The shell calls `aqe --complete WORDS...`, where the last word is the one under the cursor (it may be empty), and gets
one candidate a line; where there is none it completes file names by itself.
"""

from __future__ import annotations

from typing import Any

from aqe.engine.errors import UserError
from aqe.server.cli.verbs import VERBS

_BASH = """\
_aqe() {
    local IFS=$'\\n'
    COMPREPLY=($(aqe --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _aqe aqe
"""
_ZSH = """\
#compdef aqe
_aqe() {
    local -a found
    found=("${(@f)$(aqe --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _aqe aqe
"""
_FISH = """\
complete -c aqe -a '(aqe --complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_SIDES = ("local", "cloud")
_PARTS = ("patterns", "quality", "smells", "flaky")
_KINDS = ("covers", "imports", "calls", "fixed-by", "co-retrieved", "similar")
_PURPOSES = ("query", "complete", "embed")
_REPORTS = ("text", "json", "sarif", "github")
NAMED: dict[tuple[str, str], tuple[str, ...]] = {
    ("query", "--strategy"): ("balanced", "cost", "latency", "quality", "privacy"),
    ("route", "--strategy"): ("balanced", "cost", "latency", "quality", "privacy"),
    ("route", "--force"): _SIDES,
    ("route", "--privacy"): ("public", "internal", "secret"),
    ("feedback", "--signal"): ("positive", "negative", "correction", "implicit"),
    ("memory neighbours", "--kind"): _KINDS,
    ("memory link", "--kind"): _KINDS,
    ("memory unlink", "--kind"): _KINDS,
    ("memory export", "--format"): ("jsonl", "markdown", "state"),
    ("memory import", "--format"): ("jsonl", "markdown", "lines", "state", "agentic-qe", "server-memory", "mem0"),
    ("memory import", "--conflict"): ("keep", "take", "fail"),
    ("privacy consent grant", "--purpose"): _PURPOSES,
    ("privacy consent revoke", "--purpose"): _PURPOSES,
    ("mcp install", "client"): ("claude", "cursor", "vscode"),
    ("review", "--format"): _REPORTS,
    ("audit", "--format"): _REPORTS,
    ("knowledge list", "--namespace"): _PARTS,
    ("knowledge add", "--namespace"): _PARTS,
    ("knowledge remove", "--namespace"): _PARTS,
}
"""The names that a parameter of a command takes, where it takes a few; here, so that nothing is loaded for them."""


def script(shell: str) -> str:
    """The lines that switch completion on in `shell`. Raises `UserError` (usage)."""
    if shell not in SCRIPTS:
        fix = f"Write `--show-completion {'|'.join(SCRIPTS)}`."
        raise UserError(f"There is no completion for the shell {shell!r}.", code="usage", fix=fix)
    return SCRIPTS[shell]


def candidates(words: list[str], options: list[str]) -> list[str]:
    """What can stand in place of the last of `words` (those after `aqe`); `options` are those before the command."""
    *before, at = words or [""]
    before = [word for word in before if word != "="]  # bash gives `--format=te` as three words, the others as one
    at = "" if at == "=" else at
    name, joins, value = at.partition("=")
    if joins and name.startswith("--"):
        return [f"{name}={found}" for found in candidates([*before, name, value], options)]
    while before and before[0].startswith("-"):
        if before == ["--project"]:
            return []
        before = before[2:] if before[0] == "--project" else before[1:]
    if not before or before[0] == "help":
        return _beginning(at, options if at.startswith("-") else list(VERBS))
    if before[0] not in VERBS:
        return []
    from aqe.server.cli.app import load

    command, path = load(before[0]), before[:1]
    for word in before[1:]:
        if word in getattr(command, "commands", {}):
            command = command.commands[word]
            path.append(word)
    by_name = {name: param for param in command.params for name in (*param.opts, *param.secondary_opts)}
    if before[-1] in by_name and not getattr(by_name[before[-1]], "is_flag", False):
        return _beginning(at, _values(command, by_name[before[-1]], path))
    if at.startswith("-"):
        return _beginning(at, [*(name for name in by_name if name.startswith("-")), "--help"])
    if found := list(getattr(command, "commands", {})):
        return _beginning(at, found)
    arguments = [param for param in command.params if not param.opts[0].startswith("-")]
    return _beginning(at, _values(command, arguments[0], path)) if arguments else []


def _values(command: Any, param: Any, path: list[str]) -> list[str]:
    """What the value of a parameter can be, where that is one of a few names."""
    import typer

    own = param.shell_complete(typer.Context(command), "")
    return [*NAMED.get((" ".join(path), param.opts[0]), ()), *(item.value for item in own if item.type == "plain")]


def _beginning(start: str, names: list[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(start)})
