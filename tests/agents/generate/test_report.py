"""What a person reads at the end of a run."""

from __future__ import annotations

from dataclasses import replace

from aqe.agents.gate.evidence import Evidence, SubjectMeasure
from aqe.agents.generate import GenerateReport, SuspectedBug, Unreached
from aqe.agents.generate.report import text_of

REPORT = GenerateReport(
    target="shop.cart",
    files=("tests/test_cart.py",),
    tests=3,
    evidence=None,
    suspects=(
        SuspectedBug(
            "shop.cart", "first", "undocumented-exception", 4, "IndexError that nothing announces", "first([])"
        ),
    ),
    unreached=(
        Unreached("shop.cart", "add", 7, "no input found"),
        Unreached("shop.cart", "add", 5, "no input found"),
        Unreached("shop.cart", "save", 0, "needs a file"),
    ),
    executions=120,
    phases_s={"searching": 2.0},
    partial=True,
)


def test_report_groups_what_was_not_reached_by_function_and_reason() -> None:
    """Lines of one function with one reason stand together; a whole function has no line."""
    text = text_of(REPORT)
    assert "  shop.cart::add lines 5, 7: no input found\n" in text
    assert "  shop.cart::save: needs a file\n" in text


def test_report_shows_suspects_apart_with_their_reproduction() -> None:
    """A suspected bug comes with its place, its reason and what to paste."""
    text = text_of(REPORT)
    assert "Suspected bugs (1), not asserted by any test\n" in text
    assert "  shop.cart::first, line 4: IndexError that nothing announces\n      first([])\n" in text


def test_report_says_when_it_is_partial_or_empty() -> None:
    """A partial result says so first, and no file is said plainly."""
    assert text_of(REPORT).startswith("partial result: 3 tests of shop.cart in tests/test_cart.py\n")
    empty = GenerateReport("shop.cart", (), 0, None, (), (), 0)
    assert text_of(empty) == "No test of shop.cart was written.\n"


def test_report_of_one_name_says_that_figures_are_of_it_alone() -> None:
    """Where one function was named, the figures say that they are of that function."""
    subject = SubjectMeasure("shop.cart", "shop/cart.py", "0" * 64, 5, 10, 1, 2, within=((4, 9),))
    evidence = Evidence(
        aqe_version="1", python_version="3.12.1", python_executable="python", packages={}, rung="namespaces",
        below_namespaces=False, layers=(), layers_missing=(), seed=0, hash_seeds=(0,), runs=5, budget_s=None,
        duration_s=1.0, subjects=(subject,), tests=(), mutants=(), mutants_total=0, mutants_killed=0,
        mutants_left_out=0, notes=(),
    )  # fmt: skip
    words = "  figures of shop.cart::add alone:\n  lines "
    assert words in text_of(replace(REPORT, target="shop.cart::add", evidence=evidence))
    whole = replace(evidence, subjects=(replace(subject, within=()),))
    assert "alone" not in text_of(replace(REPORT, evidence=whole))


def test_report_puts_helpers_after_public_names() -> None:
    """What is private stands at the end of what was not reached."""
    gaps = (Unreached("shop.cart", "_zone", 3, "private"), Unreached("shop.cart", "add", 9, "no input found"))
    text = text_of(replace(REPORT, unreached=gaps))
    assert text.index("shop.cart::add") < text.index("shop.cart::_zone")
