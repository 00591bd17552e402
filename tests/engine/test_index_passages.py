"""How a file becomes passages: where it is cut, and what each is called."""

from __future__ import annotations

from aqe.engine.index.passages import MOST_LINES, lines_of
from aqe.engine.index.prose import read_prose
from aqe.engine.index.source import read_source


def test_long_function_is_split_before_statements() -> None:
    """A function of 200 lines gives passages of readable size that follow each other without a gap, under one name."""
    body = "".join(f"    value_{number} = [\n        {number},\n    ]\n" for number in range(66))
    found = read_source(f"def long():\n{body}")
    lines = f"def long():\n{body}".split("\n")
    assert {one.name for one in found} == {"long"}
    assert all(one.last - one.first < MOST_LINES for one in found)
    assert [one.first for one in found[1:]] == [one.last + 1 for one in found[:-1]]
    assert all(lines[one.first - 1].startswith("    value_") for one in found[1:])


def test_headings_give_the_path_and_code_in_fences_does_not() -> None:
    """ATX and setext headings nest; a `#` in a fenced block or in front matter is no heading."""
    text = (
        "---\ntitle: x\n---\nTop\n===\n\nIntro.\n\n## Use `it` ##\n\n```sh\n# no heading\n```\n\nOther\n-----\nEnd.\n"
    )
    found = read_prose("a.md", lines_of(text))
    assert [(one.name, one.first, one.last) for one in found] == [
        ("", 1, 3),
        ("Top", 4, 7),
        ("Top > Use it", 9, 13),
        ("Top > Other", 15, 17),
    ]


def test_titles_of_restructured_text_nest_in_the_order_of_their_marks() -> None:
    """The first mark is the highest; a line above and below is another mark than the same line below alone."""
    text = "=====\nGuide\n=====\n\nStart\n=====\n\nOne.\n\nDeep\n~~~~\n\nTwo.\n\nEnd\n===\n\nThree.\n"
    found = read_prose("a.rst", lines_of(text))
    assert [(one.name, one.first) for one in found] == [
        ("Guide > Start", 5),
        ("Guide > Start > Deep", 10),
        ("Guide > End", 15),
    ]
