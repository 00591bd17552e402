"""The block for CLAUDE.md or AGENTS.md that says when to use which tool: between markers, nothing else touched."""

from __future__ import annotations

import re

from aqe.engine.errors import UserError

BEGIN = "<!-- aqe:begin (written by `aqe mcp install --block`) -->"
END = "<!-- aqe:end -->"
_BEGIN = re.compile(r"<!-- aqe:begin\b[^>]*-->")
_END = re.compile(r"<!-- aqe:end\b[^>]*-->")

WORDS = """\
## Testing with aqe

The MCP server `aqe` runs code and measures; use its tools instead of guessing, and report only figures they measured.

| when | call |
|---|---|
| before you read files one by one, or work on something new here | `query`, `memory_search` |
| code needs tests | `generate_tests`; look at the suspected bugs that it names |
| you wrote tests | `verify_tests` with the draft, before you keep it |
| after an edit, before you say it is done | `select_tests` with `run=true`, then `review_changes` |
| a test fails and the code looks right | `find_flaky_tests` with `test=NODEID` |
| asked what is untested | `coverage_gaps` |
| asked whether the tests are any good | `review_changes` with `scope="tests"` |
| an answer of `query` helped or misled, or a fact should outlive this session | `feedback`, `memory_add` |

A tool that answers `running` goes on with its `job_id`. The whole suite: `aqe execute` in the shell.
"""


def with_block(text: str, words: str = WORDS) -> str:
    """`text` with the block between its markers renewed, or added at the end; all else stays byte for byte.

    Raises `UserError` (bad-client-config) where only one of the markers is there, or they stand twice.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    block = f"{BEGIN}\n{words.rstrip()}\n{END}".replace("\n", newline)
    begins, ends = list(_BEGIN.finditer(text)), list(_END.finditer(text))
    if not begins and not ends:
        if not text.strip("\ufeff"):
            return text + block + newline
        gap = newline if text.endswith("\n") else newline * 2
        return text + gap + block + newline
    if len(begins) != 1 or len(ends) != 1 or ends[0].start() < begins[0].end():
        raise UserError(
            "The markers of aqe's block do not stand once each, the beginning before the end.",
            code="bad-client-config",
            fix=f"Leave one `{BEGIN}` and one `{END}` after it, or take both out.",
        )
    return text[: begins[0].start()] + block + text[ends[0].end() :]
