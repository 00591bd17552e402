"""Whether a place of a text stands in a program, in a file of settings, or in neither."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from aqe.engine.privacy.values import Context

BLOCK = 1024
_CODE_PATH = re.compile(
    r"(?i)\.(?:pyi?|pyx|ipynb|jsx?|mjs|cjs|tsx?|vue|svelte|java|kts?|scala|groovy|go|rs|rb|php|cs|fs|vb|c|h|cc|cpp|hpp|m|mm"
    r"|swift|dart|lua|pl|pm|r|jl|ex|exs|erl|hs|clj|ml|sql|tf|hcl|html?|css|scss|proto|graphql)\Z"
)
_CONFIG_PATH = re.compile(
    r"(?i)(?:\.(?:ya?ml|ini|cfg|conf|cnf|config|properties|toml|tfvars|env|json|jsonc|xml|plist|npmrc|pypirc|netrc|pgpass|cred"
    r"|credentials|service|reg|editorconfig)|(?:^|[/\\])(?:\.env[\w.-]*|credentials|config|\.?netrc|Dockerfile[\w.-]*"
    r"|\.npmrc|\.pypirc|hosts|inventory))\Z"
)
_CODE = re.compile(
    r"(?m)^[ \t]{0,200}+(?:(?:async )?def \w+\(|class \w+\b.{0,80}?[:{]|import [\w{*]|from [\w.]+ import |return\b"
    r"|raise \w|yield\b|assert |(?:(?:el)?if|for|while) .{1,120}?[:{]$|(?:try|else|finally)\b ?[:{]"
    r"|except\b|with .{1,120}?:$|@\w+[\w.]*(?:\(|$)|(?:public|private|protected|static|final) \w|(?:const|let|var|val)"
    r" \w|(?:export )?(?:default )?(?:async )?function\b|func \w|(?:pub )?(?:fn|struct|enum|impl|trait|mod) \w"
    r"|interface \w|type \w+ (?:=|struct)|package \w|using \w|#include|#define|namespace \w|<\?php|use [\w\\:]+;"
    r"|module \w|\}\)?;?$|>{3} |resource \"|variable \"|output \")"
    r"|[;{(]$|\w\(\)|\):$|=> ?[{(\[]|\bself\.\w|\bthis\.\w|\w->\w|\w::\w|[ \t]==[ \t]"
)
_SETTING = re.compile(
    r"[ \t]{0,80}+(?:-[ \t]{1,4})?(?:export |set |ENV |ARG |- )?[\"']?[\w./@-]{1,100}+[\"']?[ \t]{0,20}+"
    r"(?:[:=](?:[ \t]|$|(?<==))|=).{0,300}\Z"
    r"|[ \t]{0,20}+\[[^\]]{1,80}\][ \t]{0,9}\Z|[ \t]{0,40}+[#;].{0,300}\Z|---\Z|[ \t]{1,80}+-[ \t].{0,300}\Z"
    r"|[{}][ \t]{0,9}\Z"
)


@dataclass
class Surroundings:
    """Of one text; what is found out about a part of it is kept."""

    text: str
    path: str | None
    _known: dict[int, Context] = field(default_factory=dict)

    def at(self, place: int) -> Context:
        """What stands around `place`, by the file's name where that says it, else by the lines near it."""
        number = place // BLOCK
        if number not in self._known:
            self._known[number] = self._judge(number)
        return self._known[number]

    @cached_property
    def is_settings_file(self) -> bool:
        """Whether the file's name says that it holds settings."""
        return self.path is not None and _CONFIG_PATH.search(self.path) is not None

    def _judge(self, number: int) -> Context:
        if self.path is not None:
            if _CODE_PATH.search(self.path):
                return "code"
            if self.is_settings_file:
                return "config"
        least = max(0, number - 2) * BLOCK
        begin = max(least, self.text.rfind("\n", least, max(0, number - 1) * BLOCK) + 1)
        part = self.text[begin : (number + 2) * BLOCK]
        lines = [line for line in part.splitlines() if line.strip()]
        signs = sum(1 for _ in _CODE.finditer(part))
        if signs * 8 >= len(lines) and signs:
            return "code"
        settings = sum(_SETTING.match(line) is not None for line in lines)
        return "config" if len(lines) > 1 and settings * 10 >= len(lines) * 7 else "unknown"
