"""Writes engine/privacy/data/redaction_rules.toml anew from a configuration of gitleaks.

python tools/redaction_rules.py FILE

What is changed on the way, so that the rules serve a redactor in Python instead of a scanner in Go:

- Go's syntax becomes Python's: flags in mid-pattern become groups, `\\z` becomes `\\Z`, POSIX classes become ranges.
- Each rule gets `anchors`, lower-case literals one of which stands where its match begins. A rule is tried only at
  their places and never searched for, which bounds the time; what a match may begin with before them is dropped.
- Every repetition gets an upper bound.
- A value may be followed by any closing mark and stand in escaped or subscripted source ("key\\": \\"value\\"",
  d["key"] = "value", key: str = "value"): a redactor that misses there leaks.
- Rules that span lines (curl, private keys, Kubernetes secrets) are in engine/privacy/blocks.py instead, and three
  that read a whole hash or path where a word stands near it are narrowed (see `REPLACED`).
"""

from __future__ import annotations

import re
import sys
import tomllib
from itertools import islice, product
from pathlib import Path
from re import _constants as op  # the parser's own names of its nodes
from re import _parser as parser
from typing import Any

from aqe.engine.privacy.rules import compile_pattern

TARGET = Path(__file__).resolve().parents[1] / "engine/privacy/data/redaction_rules.toml"
BEFORE = r"[\w.-]{0,50}?"
ASSIGNED = r"""(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}"""
ASSIGNED_BEHIND = r"""(?:[ \t\w.-]{0,20})[\s'"]{0,3})"""
CLOSED = r"""(?:[\x60'"\s;]|\\[nr]|$)"""
OWN_ASSIGNED, OWN_CLOSED = "<assigned>", "<closed>"  # engine/privacy/rules.py has what they stand for
OWN_END = r"(?![0-9A-Za-z])"
IN_BLOCKS = {"curl-auth-header", "curl-auth-user", "kubernetes-secret-yaml", "private-key"}
LONGEST = 2000
REPLACED: dict[str, tuple[str, list[str] | None, list[int]]] = {
    "azure-ad-client-secret": (r"(?<![\w~.])([a-zA-Z0-9_~.]{3}\dQ~[a-zA-Z0-9_~.-]{31,34})(?![\w~.-])", ["q~"], [4]),
    "facebook-access-token": (r"(?i)(?<!\w)(\d{15,16}[|%][0-9a-z\-_]{27,40})(?![0-9a-z_-])", ["|", "%"], [15, 16]),
    "hashicorp-tf-api-token": (r"(?<!\w)((?i:[a-z0-9]{14})\.atlasv1\.(?i:[a-z0-9\-_=]{60,70}))", [".atlasv1."], [14]),
    "maxmind-license-key": (r"\b([A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk)\b", ["_mmk"], [36]),
    "slack-webhook-url": (r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{43,56}", None, []),
    "sourcegraph-access-token": (r"(?i)\b(sgp_(?:(?:[a-f0-9]{16}|local)_)?[a-f0-9]{40})\b", None, []),
    "microsoft-teams-webhook": (
        r"webhook\.office\.com/webhookb2/[a-z0-9@-]{36,110}/IncomingWebhook/[a-z0-9]{32}/[a-z0-9-]{36}",
        None,
        [],
    ),
    "sidekiq-sensitive-url": (
        r"(?i)([a-f0-9]{8}:[a-f0-9]{8})@(?:gems|enterprise)\.contribsys\.com",
        ["@gems.contribsys.com", "@enterprise.contribsys.com"],
        [17],
    ),
}
HEAD = """# Made by tools/redaction_rules.py from the default configuration of gitleaks at b58d3f102cf3; do not edit.
# Copyright (c) 2019 Zachary Rice, MIT licence: LICENSES/gitleaks.txt. What was changed is said in that tool.
"""


def main() -> None:
    """Read the configuration named on the command line and write the rules."""
    source = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = [HEAD]
    allowed = source["allowlist"]
    lines += _list("allowed", [_python(regex) for regex in allowed["regexes"]])
    lines += _list("stopwords", allowed["stopwords"])
    lines += _list("generated_paths", [_python(path) for path in allowed["paths"]])
    for rule in source["rules"]:
        if rule["id"] not in IN_BLOCKS:
            lines += ["", "[[rules]]", *_rule(rule)]
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rule(rule: dict[str, Any]) -> list[str]:
    lines = [f'id = "{rule["id"]}"']
    if "regex" in rule:
        pattern, anchors, back = _pattern(rule)
        compile_pattern(pattern)
        lines += [f"pattern = {_quoted(pattern)}", *_list("anchors", anchors)]
        lines += [f"back = {back}"] if back else []
    lines += [f"group = {rule['secretGroup']}"] if "secretGroup" in rule else []
    lines += [f"entropy = {float(rule['entropy'])}"] if "entropy" in rule else []
    if "path" in rule and rule["id"] not in ("freemius-secret-key", "nuget-config-password"):
        lines.append(f"path = {_quoted(_python(rule['path']))}")
    for allow in rule.get("allowlists", ()):
        if "paths" in allow:
            continue  # two vendored files and BitBake's recipes: no reason to let a token out
        name = {"match": "allow_match", "line": "allow_line"}.get(allow.get("regexTarget", ""), "allow")
        lines += _list(name, [_python(regex) for regex in allow["regexes"]])
        lines += _list("stopwords", allow["stopwords"]) if "stopwords" in allow else []
    return lines


def _pattern(rule: dict[str, Any]) -> tuple[str, list[str], list[int]]:
    if rule["id"] in REPLACED:
        pattern, anchors, back = REPLACED[rule["id"]]
        return pattern, anchors or _anchors(pattern), back
    pattern = _python(rule["regex"])
    for before in (f"(?i){BEFORE}", f"{BEFORE}(?i:{BEFORE}"):
        if pattern.startswith(before):
            pattern = ("(?i)" if before.startswith("(?i)") else "(?i:") + pattern.removeprefix(before)
    assigned = ASSIGNED in pattern or ASSIGNED_BEHIND in pattern
    if ASSIGNED in pattern:
        pattern = pattern.replace(ASSIGNED, OWN_ASSIGNED)
    elif assigned:
        head, _, tail = pattern.partition(ASSIGNED_BEHIND)
        pattern = f"{head}){OWN_ASSIGNED}{tail.partition('{0,5}')[2]}"
    pattern = _bounded(pattern.replace(CLOSED, OWN_CLOSED if assigned else OWN_END))
    pattern = re.sub(r"(\{\d+,\d+\})(\)+<closed>)", r"\1+\2", pattern)
    if rule["id"] == "generic-api-key":
        pattern = pattern.replace("{10,150}|", "{10,150}+|")
    return pattern, _anchors(pattern), []


def _python(regex: str) -> str:
    """A Go regular expression in Python's syntax."""
    regex = re.sub(r"\(\?P<\w+>", "(?:", regex)  # one rule names parts of its value, which are no secret by themselves
    regex = regex.replace(r"(?:[^\w-]|\z)", r"(?![\w-])").replace(r"(?:[^a-zA-Z0-9+/]|\z)", "(?![a-zA-Z0-9+/])")
    regex = regex.replace(r"\z", r"\Z").replace("[[:alnum:]]", "[a-zA-Z0-9]").replace("[^]]", r"[^\]]")
    place = regex.find("(?i)", 1)
    while place > 0:
        depth, end, in_class = 0, place + 4, False
        while end < len(regex) and depth >= 0:
            char = regex[end]
            if char == "\\":
                end += 1
            elif in_class:
                in_class = char != "]"
            elif char == "[":
                in_class = True
            else:
                depth += {"(": 1, ")": -1}.get(char, 0)
            end += 1
        end -= 1 if depth < 0 else 0
        regex = f"{regex[:place]}(?i:{regex[place + 4 : end]}){regex[end:]}"
        place = regex.find("(?i)", 1)
    return re.sub(r"\$$", r"\\Z", regex)


def _bounded(pattern: str) -> str:
    """The pattern with an upper bound at each repetition that has none."""
    pattern = re.sub(r"\{(\d+),\}", lambda found: f"{{{found[1]},{LONGEST}}}", pattern)
    return re.sub(r"(\]|\\d|\\s|\\w)([*+])(?![+])", lambda found: f"{found[1]}{{{int(found[2] == '+')},200}}", pattern)


def _anchors(pattern: str) -> list[str]:
    """The lower-case literals with which a match of the pattern can begin."""
    found = sorted(
        {"".join(word).lower() for word in _beginnings(list(parser.parse(pattern.replace(OWN_ASSIGNED, "[0-9]"))))}
    )
    if not found or min(map(len, found)) < 2 or len(found) > 60:
        raise SystemExit(f"no anchors for {pattern}: {found}")
    return found


def _beginnings(nodes: list[Any]) -> list[tuple[str, ...]]:
    """The ways to begin with literals, as far as they go (at most 8 characters)."""
    ways: list[tuple[str, ...]] = [()]
    for kind, value in nodes:
        step, ends = _step(kind, value)
        if step is None:
            break
        ways = list({(*way, *more) for way, more in islice(product(ways, step), 200)})
        if ends or min(map(len, ways)) >= 8:
            break
    return ways


def _step(kind: Any, value: Any) -> tuple[list[tuple[str, ...]] | None, bool]:
    if kind is op.AT or kind in (op.ASSERT, op.ASSERT_NOT):
        return [()], False
    if kind is op.LITERAL:
        return [(chr(value),)], False
    if kind is op.IN and all(item[0] is op.LITERAL for item in value):
        return [(chr(item[1]),) for item in value], False
    if kind is op.SUBPATTERN:
        return _beginnings(list(value[3])), not _is_literal(value[3])
    if kind is op.BRANCH:
        ways = [way for branch in value[1] for way in _beginnings(list(branch))]
        return ways, not all(_is_literal(branch) for branch in value[1])
    if kind is op.MAX_REPEAT and value[:2] == (0, 1) and _is_literal(value[2]):
        return [(), *_beginnings(list(value[2]))], False
    return None, True


def _is_literal(nodes: Any) -> bool:
    for kind, value in nodes:
        if kind is op.SUBPATTERN:
            if not _is_literal(value[3]):
                return False
        elif kind is op.BRANCH:
            if not all(_is_literal(branch) for branch in value[1]):
                return False
        elif not (kind in (op.LITERAL, op.AT) or (kind is op.IN and all(item[0] is op.LITERAL for item in value))):
            return False
    return True


def _list(name: str, items: list[str]) -> list[str]:
    if len(items) < 2:
        return [f"{name} = [{', '.join(map(_quoted, items))}]"]
    rows, row = [], "   "
    for item in map(_quoted, items):
        if len(row) + len(item) > 110 and row.strip():
            rows.append(row)
            row = "   "
        row += f" {item},"
    return [f"{name} = [", *rows, row, "]"]


def _quoted(text: str) -> str:
    if "'" not in text:
        return f"'{text}'"
    if "\\" not in text and '"' not in text:
        return f'"{text}"'
    if "'''" in text or text.endswith("'"):
        raise SystemExit(f"cannot be written as a literal string: {text}")
    return f"'''{text}'''"


if __name__ == "__main__":
    main()
