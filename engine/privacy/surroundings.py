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
_TRANSLATION_PATH = re.compile(
    r"(?i)(?:^|[/\\._-])(?:locales?|i18n|l10n|lang|languages?|translations?|messages?|strings?)(?:[/\\._-]|$)"
)
_STATEMENT = re.compile(
    r"(?:async )?def \w+\(|class \w+\b.{0,80}?[:{]|import [\w{*]|from [\w.]+ import |return\b"
    r"|raise \w|yield\b|assert |(?:(?:el)?if|for|while) .{1,120}?[:{]$|(?:try|else|finally)\b ?[:{]"
    r"|except\b|with .{1,120}?:$|@\w+[\w.]*(?:\(|$)|(?:public|private|protected|static|final) \w|(?:const|let|var|val)"
    r" \w|(?:export )?(?:default )?(?:async )?function\b|func \w|(?:pub )?(?:fn|struct|enum|impl|trait|mod) \w"
    r"|interface \w|type \w+ (?:=|struct)|package \w|using \w|#include|#define|namespace \w|<\?php|use [\w\\:]+;"
    r"|module \w|\}\)?;?$|>{3} |resource \"|variable \"|output \""
)
_EXPRESSION = re.compile(r"\w\(\)|=> ?[{(\[]|\b(?:self|this)\.\w|\w->\w|\w::\w|[ \t]==[ \t]")
_ENDS = (";", "{", "(", "):")
LONGEST_LINE = 300
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
    _counts: dict[int, tuple[int, int, int]] = field(default_factory=dict)

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

    @cached_property
    def is_translation(self) -> bool:
        """Whether the file's name says that it holds what users read, in some language."""
        return self.path is not None and _TRANSLATION_PATH.search(self.path) is not None

    def _judge(self, number: int) -> Context:
        if self.path is not None:
            if _CODE_PATH.search(self.path):
                return "code"
            if self.is_settings_file:
                return "config"
        counts = [self._counted(near) for near in (number - 1, number, number + 1) if near >= 0]
        lines, signs, settings = map(sum, zip(*counts, strict=True))
        if signs * 8 >= lines and signs:
            return "code"
        return "config" if lines > 1 and settings * 10 >= lines * 7 else "unknown"

    def _counted(self, number: int) -> tuple[int, int, int]:
        """How many lines begin in a part of the text, what of programs and how many settings there are in them."""
        if number not in self._counts:
            text, least = self.text, number * BLOCK
            begin = text.find("\n", least - 1, least + BLOCK) + 1 if least else 0
            end = text.find("\n", least + BLOCK - 1, least + 2 * BLOCK)
            part = text[begin : end if end >= 0 else least + BLOCK] if begin or not least else ""
            lines = [line for line in part.splitlines() if line.strip()]
            settings = sum(_SETTING.match(line) is not None for line in lines)
            self._counts[number] = len(lines), sum(map(_signs, lines)), settings
        return self._counts[number]


def _signs(line: str) -> int:
    """How much of a line is that of a program: its begin, its end, what stands within."""
    line = line.strip()
    begins = _STATEMENT.match(line[:LONGEST_LINE]) is not None
    within = _EXPRESSION.search(line[:LONGEST_LINE]) is not None
    return begins + within + line.endswith(_ENDS)
