"""Only what a change brought is told: findings of the head less those of the base, whatever lines they are on."""

from __future__ import annotations

from aqe.agents.review.brought import Placed, Sighting, brought, place
from aqe.agents.review.finding import fingerprint
from aqe.agents.review.sources import Source


def placed(text: str, *lines: int, touched: tuple[int, ...] = (), rule: str = "S307") -> list[Placed]:
    source = Source("shop/cart.py", text, frozenset(touched))
    return place(source, [Sighting(rule, "error", 0.9, (line, line), "no") for line in lines])


def test_a_finding_that_only_moved_down_is_not_new() -> None:
    """Lines before it do not make a finding new."""
    head = placed("import os\nimport re\n\n\ndef f(x):\n    return eval(x)\n", 6, touched=(1, 2))
    assert brought(head, placed("def f(x):\n    return eval(x)\n", 2)) == []


def test_formatting_and_comments_do_not_make_it_new() -> None:
    """The statement is compared, not its text."""
    head = placed("def f(x):\n    return eval(\n        x,\n    )  # fine\n", 2, touched=(2, 3, 4))
    assert brought(head, placed("def f(x):\n    return eval(x)\n", 2)) == []


def test_a_second_one_beside_the_first_is_new() -> None:
    """Findings are counted: one more of the same is one that the change brought, and it is the one on a new line."""
    head = placed("def f(x):\n    eval(x)\n    y = 1\n    eval(x)\n", 2, 4, touched=(3, 4))
    assert [one.line for one in brought(head, placed("def f(x):\n    eval(x)\n", 2))] == [4]


def test_a_renamed_function_brings_nothing() -> None:
    """What stands on untouched lines of a function that got another name was there before."""
    head = placed("def g(x):\n    return eval(x)\n", 2, touched=(1,))
    assert brought(head, placed("def f(x):\n    return eval(x)\n", 2)) == []


def test_another_statement_of_the_same_kind_is_a_note() -> None:
    """Where the function had the like of it already, in another statement, it is told more quietly."""
    head = placed("def f(x):\n    return eval(x, {})\n", 2, touched=(2,))
    (found,) = brought(head, placed("def f(x):\n    return eval(x)\n", 2))
    assert (found.severity, found.confidence) == ("note", 0.54)


def test_what_an_unchanged_line_brings_by_a_change_elsewhere_is_new() -> None:
    """A finding on an old line counts when the base had none: its cause was taken away elsewhere."""
    head = placed("def f():\n    return os.name\n", 2, rule="F821")
    assert [one.rule for one in brought(head, placed("import os\ndef f():\n    return os.name\n", rule="F821"))] == [
        "F821"
    ]


def test_the_id_holds_neither_line_nor_path() -> None:
    """The same code in a renamed file, further down, has the same id; other code has another."""
    (one,) = brought(placed("def f(x):\n    return eval(x)\n", 2, touched=(2,)), [])
    source = Source("shop/other.py", "import os\n\ndef f(x):\n    return  eval(x)\n", frozenset({4}))
    (two,) = brought(place(source, [Sighting("S307", "error", 0.9, (4, 4), "no")]), [])
    assert one.id == two.id == fingerprint("S307", "f", "return eval(x)")
    assert one.id != fingerprint("S307", "f", "return eval(y)")


def test_modules_tell_findings_outside_of_functions_apart() -> None:
    """At module level the id holds the file, so that two modules with the same line are two findings."""
    ids = set()
    for path in ("a.py", "b.py"):
        source = Source(path, "password = 'x'\n", frozenset({1}))
        ids |= {one.id for one in brought(place(source, [Sighting("S105", "warning", 0.6, (1, 1), "no")]), [])}
    assert len(ids) == 2
