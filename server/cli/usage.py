"""The parser's complaints in aqe's own words: one sentence that names what was given, and the next step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from aqe.engine.errors import UserError

_BAD_VALUE = re.compile(r"Invalid value for '([^']+)': (?:Input should be (?P<kind>.+)|.* is not one of (?P<known>.+))")
_NO_VALUE = re.compile(r"Option '([^']+)' (?P<how>requires an argument|does not take a value)")
_MISSING = re.compile(r"Missing (?:argument|option|parameter) '([^']+)'")
_TOO_MANY = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)")
_KINDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "less than or equal to": "at most",
    "greater than or equal to": "at least",
    "a valid boolean": "true or false",
}
"""The parser's words for what a value should be, and ours."""

_GONE = ("delete", "remove", "end", "revoke", "release")
_SEEN = ("show", "get", "list")
_MEANT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("forget", "rm", "del", "erase", "drop", "discard", "destroy"), _GONE),
    **dict.fromkeys(("delete", "remove"), _GONE),
    **dict.fromkeys(("history", "turns", "cat", "view", "read", "print"), _SEEN),
    **dict.fromkeys(("ls", "all", "names"), ("list",)),
    **dict.fromkeys(("find", "recall", "ask"), ("search", "query", "chat", "list")),
    **dict.fromkeys(("remember", "store", "put", "insert"), ("add",)),
    **dict.fromkeys(("new", "create", "start", "begin"), ("add", "chat")),
    **dict.fromkeys(("edit", "change", "modify"), ("update",)),
    **dict.fromkeys(("save", "dump"), ("export", "backup")),
    **dict.fromkeys(("stop", "close", "quit"), ("end",)),
    "continue": ("resume",),
    "load": ("import",),
}
"""Words that people try, each with the commands that may be meant by it; the first that there is counts."""

_MEANT_THERE = {
    "aqe": {"forget": "memory delete", "recall": "memory search", "remember": "memory add", "search": "memory search"},
    "aqe knowledge": {"restore": "add --starter", "reset": "add --starter", "search": "list"},
    "aqe memory": {"undelete": "merge --undo", "revive": "merge --undo", "undo": "merge --undo"},
}
"""As `_MEANT`, where a word means something of its own."""


def usage_error(error: Any, verb: str, words: Sequence[str], command: Any) -> UserError:
    """The parser's complaint about `words`, which stood behind `verb`, as the user's mistake."""
    context = getattr(error, "ctx", None)
    path, command = _where(verb, words, command) if context is None else (context.command_path, context.command)
    message = " ".join(error.format_message().split())
    fix = ""
    if type(error).__name__ == "NoSuchOption":
        option = str(getattr(error, "option_name", ""))
        message = f"{path} has no option {option}."
        fix = nearest(option, [name for param in command.params for name in param.opts])
        if path == "aqe execute" and not fix:
            fix = "pytest's own options stand after `--`, as in `aqe execute -- -x`."
        elif not fix and any(param.param_type_name == "argument" for param in command.params):
            fix = f"What begins with a dash and is no option stands behind `--`; see `{path} --help`."
    elif message.startswith("No such command"):
        wanted = message.split("'")[1] if "'" in message else ""
        message = f"{path} has no command {wanted!r}."
        fix = meant(path, wanted, list(getattr(command, "commands", {})))
    elif (found := _BAD_VALUE.match(message)) is not None:
        message = f"{found[1]} takes {_kind(found)}{_given(error)}."
    elif (found := _NO_VALUE.match(message)) is not None:
        message = f"{found[1]} {'needs a value' if found['how'].startswith('requires') else 'takes no value'}."
    elif (found := _MISSING.match(message)) is not None:
        message = f"{path} needs {found[1]}."
        if _may_be_piped(command, found[1]):
            fix = f"Give it, or - to read it from stdin; see `{path} --help`."
    elif (found := _TOO_MANY.match(message)) is not None:
        message = f"{path} has no place for {f'{found[1]!r}' if found[1] else 'one more, empty argument'}."
        fix = f"A text of several words stands in quotes; see `{path} --help`."
    if not message.endswith((".", "?")):
        message += "."
    return UserError(message, code="usage", fix=fix or f"See `{path} --help`.")


def meant(path: str, word: str, known: list[str]) -> str:
    """A did-you-mean sentence for a command below `path` that is none: by what people mean by the word, else by its
    letters; nothing where neither tells."""
    told = _MEANT_THERE.get(path, {}).get(word) or next((name for name in _MEANT.get(word, ()) if name in known), None)
    return f"Did you mean `{told}`?" if told else nearest(word, known)


def nearest(word: str, known: list[str]) -> str:
    """A did-you-mean sentence, or nothing where no known word is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else ""


def _may_be_piped(command: Any, name: str) -> bool:
    """Whether the command's help says of the argument `name` that a dash reads it from standard input."""
    return any(param.metavar == name and "- reads stdin" in (param.help or "") for param in command.params)


def _where(verb: str, words: Sequence[str], command: Any) -> tuple[str, Any]:
    """The command that was meant, where the complaint does not say: down the groups as far as the words name them."""
    path = f"aqe {verb}"
    for word in words:
        if word not in (below := getattr(command, "commands", {})):
            break
        path, command = f"{path} {word}", below[word]
    return path, command


def _kind(found: re.Match[str]) -> str:
    """What a value should be."""
    if found["known"]:
        known = re.findall(r"'([^']*)'", found["known"]) or [found["known"]]
        return " or ".join(part for part in (", ".join(known[:-1]), known[-1]) if part)
    said = found["kind"]
    ours = next((words for start, words in _KINDS.items() if said.startswith(start)), said.partition(",")[0])
    return f"{ours} {said.rpartition(' ')[2]}" if ours in ("at most", "at least") else ours


def _given(error: BaseException) -> str:
    """`, not 'abc'` where the complaint came with the value."""
    cause = error.__cause__ or error.__context__
    found = cause.errors() if cause is not None and hasattr(cause, "errors") else []
    return f", not {str(found[0]['input'])!r}" if found and "input" in found[0] else ""
