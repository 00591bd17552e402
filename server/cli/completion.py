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


def script(shell: str) -> str:
    """The lines that switch completion on in `shell`. Raises `UserError` (usage)."""
    if shell not in SCRIPTS:
        fix = f"Write `--show-completion {'|'.join(SCRIPTS)}`."
        raise UserError(f"There is no completion for the shell {shell!r}.", code="usage", fix=fix)
    return SCRIPTS[shell]


def candidates(words: list[str], options: list[str]) -> list[str]:
    """What can stand in place of the last of `words` (those after `aqe`); `options` are those before the command."""
    *before, at = words or [""]
    while before and before[0].startswith("-"):
        before = before[2:] if before[0] == "--project" else before[1:]
    if not before or before[0] == "help":
        return _beginning(at, options if at.startswith("-") else list(VERBS))
    if before[0] not in VERBS:
        return []
    from aqe.server.cli.app import load

    command = load(before[0])
    for word in before[1:]:
        command = getattr(command, "commands", {}).get(word, command)
    by_name = {name: param for param in command.params for name in (*param.opts, *param.secondary_opts)}
    if before[-1] in by_name and not getattr(by_name[before[-1]], "is_flag", False):
        return _beginning(at, _choices(by_name[before[-1]]))
    if at.startswith("-"):
        return _beginning(at, [*(name for name in by_name if name.startswith("-")), "--help"])
    return _beginning(at, list(getattr(command, "commands", {})))


def _choices(param: Any) -> list[str]:
    return [str(choice) for choice in getattr(param.type, "choices", ())]


def _beginning(start: str, names: list[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(start)})
