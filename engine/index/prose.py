"""Passages of Markdown, reStructuredText, plain text and settings files: a section each, under its heading path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aqe.engine.index.passages import Passage, split

MOST_RECORDS = 30
_RECORD = re.compile(rb"^(?:\[\[|- )", re.MULTILINE)
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*")
_TABLE = re.compile(r"\[{1,2}([^\[\]]+)\]{1,2}[ \t]*(?:[#;].*)?")
_KEY = re.compile(r"([A-Za-z_][\w.-]*):(?:\s|$)")


@dataclass(frozen=True)
class _Heading:
    """A heading on lines `line` to `body - 1`, of a level counted from 1."""

    line: int
    body: int
    level: int
    title: str


def read_prose(name: str, lines: Sequence[str]) -> list[Passage]:
    """The passages of a file of prose; its form is told by its suffix."""
    suffix = name.rpartition(".")[2].lower()
    if suffix in ("md", "markdown", "mdx"):
        return _sections(lines, list(_markdown_headings(lines)))
    if suffix == "rst":
        return _sections(lines, list(_rst_headings(lines)))
    headings = list(_rst_headings(lines)) or list(_markdown_headings(lines)) or _questions(lines)
    return _sections(lines, headings) if headings else split(lines, 1, len(lines), "", "text")


def is_records(data: bytes) -> bool:
    """Whether a TOML or YAML file is a list of many records: data that a program reads, which settings are not.

    >>> is_records(b"[[case]]\\nn = 1\\n" * 31), is_records(b"[tool]\\nn = 1\\n")
    (True, False)
    """
    return len(_RECORD.findall(data)) > MOST_RECORDS


def read_settings(name: str, lines: Sequence[str]) -> list[Passage]:
    """The passages of a TOML, INI or YAML file: its tables, or its top-level keys."""
    pattern = _KEY if name.endswith((".yaml", ".yml")) else _TABLE
    found = [(at, match) for at, line in enumerate(lines, start=1) if (match := pattern.match(line))]
    starts = [_Heading(at, at, 1, match.group(1).strip()) for at, match in found]
    return _sections(lines, starts, kind="settings")


def _sections(lines: Sequence[str], headings: Sequence[_Heading], kind: str = "section") -> list[Passage]:
    """A passage for each heading with what stands below it, up to the next; a heading that has no text of its own is
    in the path of those below it."""
    first = headings[0].line - 1 if headings else len(lines)
    found = split(lines, 1, first, "", kind) if first else []
    path: list[_Heading] = []
    for at, heading in enumerate(headings):
        end = headings[at + 1].line - 1 if at + 1 < len(headings) else len(lines)
        path = [*(above for above in path if above.level < heading.level), heading]
        is_bare = not any(line.strip() for line in lines[heading.body - 1 : end])
        if is_bare and at + 1 < len(headings) and headings[at + 1].level > heading.level:
            continue
        found += split(lines, heading.line, end, " > ".join(one.title for one in path if one.title), kind)
    return found


def _questions(lines: Sequence[str]) -> list[_Heading]:
    """The questions of a plain text that have a line each, with the answer indented below."""
    found = []
    for at, line in enumerate(lines[:-1], start=1):
        is_first = at == 1 or not lines[at - 2].strip()
        if is_first and line.rstrip().endswith("?") and line[:1].strip() and lines[at][:1].isspace():
            found.append(_Heading(at, at, 1, line.strip()))
    return found if len(found) > 1 else []


def _markdown_headings(lines: Sequence[str]) -> Iterator[_Heading]:
    """ATX and setext headings outside fenced code and front matter (CommonMark 4.2, 4.3, 4.5)."""
    fence = ""
    at = start = _front_matter(lines)
    while at < len(lines):
        line = lines[at]
        at += 1
        opened = _FENCE.fullmatch(line)
        if fence:
            if opened and opened.group(1).startswith(fence) and not opened.group(2).strip():
                fence = ""
        elif opened:
            fence = opened.group(1)
        elif match := _ATX.fullmatch(line):
            yield _Heading(at, at + 1, len(match.group(1)), _plain(match.group(2) or ""))
        elif at < len(lines) and _is_paragraph(line) and (below := _SETEXT.fullmatch(lines[at])):
            if at == start + 1 or not lines[at - 2].strip():
                yield _Heading(at, at + 2, 1 if below.group(1)[0] == "=" else 2, _plain(line))
            at += 1


def _front_matter(lines: Sequence[str]) -> int:
    """How many lines a block between `---` at the very beginning takes."""
    if lines and lines[0].rstrip() == "---":
        for at, line in enumerate(lines[1:200], start=2):
            if line.rstrip() in ("---", "..."):
                return at
    return 0


def _is_paragraph(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("    ", "\t")) and line.lstrip()[0] not in ">|-*+"


def _plain(title: str) -> str:
    """A heading without the marks of emphasis, code and links."""
    title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[`*]|(?<!\w)_+|_+(?!\w)", "", title).strip()


def _rst_headings(lines: Sequence[str]) -> Iterator[_Heading]:
    """Titles with a line of one punctuation mark below, or above and below; the order of first use gives the levels."""
    styles: list[str] = []
    at = 0
    while at + 1 < len(lines):
        over, title, under = _adorned(lines, at)
        if not title:
            at += 1
            continue
        style = under.strip()[0] * (2 if over else 1)
        if style not in styles:
            styles.append(style)
        body = at + (3 if over else 2)
        yield _Heading(at + 1, body + 1, styles.index(style) + 1, title.strip().replace("`", ""))
        at = body


def _adorned(lines: Sequence[str], at: int) -> tuple[bool, str, str]:
    """Whether the title has a line above it, the title, and the line below it; "" where there is no title."""
    line = lines[at]
    if _ADORNMENT.fullmatch(line):
        if at + 2 < len(lines) and lines[at + 1].strip() and lines[at + 2].rstrip() == line.rstrip():
            return True, lines[at + 1], lines[at + 2]
        return False, "", ""
    under = lines[at + 1]
    is_title = line.strip() and not line[0].isspace() and (at == 0 or not lines[at - 1].strip())
    if is_title and _ADORNMENT.fullmatch(under) and len(under.rstrip()) >= min(len(line.rstrip()), 4):
        return False, line, under
    return False, "", ""
