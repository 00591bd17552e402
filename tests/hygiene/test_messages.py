"""Error codes: every one has its paragraph, and every paragraph its code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from sources import files, nodes

from aqe.engine.errors import CODES

pytestmark = pytest.mark.tree
ERRORS = {"AqeError", "UserError", "GateFailed", "OutOfTime", "Cancelled", "InternalError"}


def sections(repository: Path) -> dict[str, str]:
    """Each `## code` of docs/messages.md with the text under it."""
    text = (repository / "docs" / "messages.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (body.strip() for body in parts[1::2]), strict=True))


def codes_in_source() -> set[str]:
    """Every string constant of the floors outside the table itself."""
    return {
        node.value
        for module, path in files()
        if module != "aqe.engine.errors"
        for node in nodes(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_codes_and_paragraphs_are_the_same(repository: Path) -> None:
    """docs/messages.md has exactly the codes of CODES, in alphabetical order."""
    assert list(sections(repository)) == sorted(CODES)


def test_every_paragraph_says_something(repository: Path) -> None:
    """Each code's paragraph has at least one full sentence."""
    assert [code for code, body in sections(repository).items() if not body.endswith((".", "`", "```"))] == []


def test_every_code_is_used() -> None:
    """Each code of CODES is raised somewhere (or mentioned as a whole word in an error's sentence)."""
    words = re.findall(r"(?:^|\[)([a-z0-9-]+)(?=$|\])", "\n".join(codes_in_source()), re.MULTILINE)
    assert CODES - set(words) == set()


def raised_codes(path: Path) -> set[str]:
    """Each constant given as `code=` to an error."""
    return {
        keyword.value.value
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }


def test_every_raised_code_is_known() -> None:
    """Each `code=` given to an error stands in CODES."""
    unknown = {module: raised_codes(path) - CODES for module, path in files()}
    assert {module: codes for module, codes in unknown.items() if codes} == {}
