"""The demo's page: one file that needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from aqe.server.cli.demo import page_of, summary
from aqe.server.demo.report import DemoReport
from aqe.server.reports.page import render_page

SCREENSHOTS = Path(__file__).resolve().parents[3] / "tools" / "screenshots.py"
Make = Callable[..., DemoReport]


class Outline(HTMLParser):
    """Collects tags and attributes, and checks that what is opened is closed."""

    VOID = frozenset({"meta", "link", "br", "img", "path", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_asks_for_nothing(sample_report: Make) -> None:
    """Every tag is closed, there is no script, and no attribute or style names an address elsewhere."""
    page = page_of(sample_report())
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert not {tag for tag, _ in outline.tags} & {"script", "iframe", "img", "object", "base"}
    addresses = {value for _, attrs in outline.tags for name, value in attrs.items() if name in ("href", "src")}
    inside = {f"#{attrs['id']}" for _, attrs in outline.tags if attrs.get("id")}
    assert addresses - inside == {"data:,"}
    assert not re.search(r"url\(|@import|https?://", page)


def test_what_comes_from_code_is_escaped(sample_report: Make) -> None:
    """Markup in a reason or a reproduction is shown, never obeyed."""
    page = page_of(sample_report(why="<script>alert(1)</script>"))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def part_of(page: str, name: str) -> str:
    """The page from the heading of one part to the next one."""
    return page.partition(f'<h2 id="{name}">')[2].partition("<h2")[0]


def test_the_page_tells_found_missed_and_false(sample_report: Make) -> None:
    """Page and terminal show the same counts, each planted entry once, and the false alarms."""
    report = sample_report(missed=3, alarms=1)
    page, text = page_of(report), summary(report)
    bugs, flaky, change = (part_of(page, name) for name in ("bugs", "flaky", "change"))
    assert bugs.count("✓ suspected") == report.suspected == 10
    assert bugs.count("✗ missed") == flaky.count("✗ missed") == change.count("✗ missed") == 3
    assert bugs.count("○ for a reader") == 2
    assert bugs.count('<span class="chip bad">false alarm') == change.count('<span class="chip bad">false alarm') == 1
    assert flaky.count("✓ found") == 5
    assert part_of(page, "gaps").count("✗ missed") == 3
    assert "<title>aqe demo: 31 of 45 planted flaws found</title>" in page
    assert "Planted bugs: 10 of 15 suspected" in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("bugs ", "flaky tests ", "flaws "))]
    assert [row[-3:] for row in rows] == [["15", "10", "1"], ["8", "5", "0"], ["10", "7", "1"]]
    assert "bar is missed" not in text


def test_a_missed_bar_is_said(sample_report: Make) -> None:
    """With less than half of the bugs suspected the terminal says that the bar is missed."""
    report = sample_report(missed=8)
    assert not report.met
    assert "The bar is missed" in summary(report)


def test_a_failed_tool_is_said_where_its_part_would_be(sample_report: Make) -> None:
    """A part whose tool failed has no row of planted and found; page and terminal tell the error."""
    report = sample_report(failed=True)
    page, text = page_of(report), summary(report)
    assert "✗ not shown" in part_of(page, "flaky")
    assert "No such tool." in page
    assert "find_flaky_tests: failed: no such tool" in text
    assert "flaky tests" not in text
    assert "The bar is missed" in text


def test_answers_before_and_after_feedback_stand_side_by_side(sample_report: Make) -> None:
    """Each lesson shows both answers with their confidence, and what feedback took from a passage's score."""
    shown = part_of(page_of(sample_report()), "feedback")
    assert shown.count("<h4>Before</h4>") == shown.count("<h4>After</h4>") == shown.count("✓ mended") == 2
    assert "confidence 0.64" in shown
    assert "confidence 0.71" in shown
    assert "(-0.33 by feedback)" in shown


def test_the_interpreter_of_a_command_has_its_bare_name(sample_report: Make) -> None:
    """Commands that reproduce a flaky test name python, not where it lies on this machine."""
    flaky = part_of(page_of(sample_report()), "flaky")
    assert "python -m pytest tests/test_cart.py::test_receipt_shows_euros" in flaky
    assert "/usr/bin/python" not in flaky


def test_a_hole_in_the_data_is_an_error() -> None:
    """A template that lacks a value fails instead of leaving a hole."""
    with pytest.raises(Exception, match="undefined"):
        render_page("demo.html")


@pytest.mark.services
def test_no_horizontal_scrolling_and_no_request_in_a_browser(sample_report: Make, tmp_path: Path) -> None:
    """In Chromium at 1280 and 390 px, light and dark, the content fits the width and nothing else is loaded."""
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome", "chrome")):
        subprocess.run(["apt-get", "install", "-y", "-q", "chromium"], check=True, capture_output=True, timeout=600)
    page = tmp_path / "report.html"
    page.write_text(page_of(sample_report(why="x" * 300)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, SCREENSHOTS, page, "--out", tmp_path / "shots"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    views = json.loads(done.stdout)
    assert [(view["width"], view["scheme"]) for view in views] == [
        (1280, "light"),
        (1280, "dark"),
        (390, "light"),
        (390, "dark"),
    ]
    for view in views:
        assert view["scroll_width"] <= view["inner_width"] == view["width"]
        assert view["requests"] == [page.as_uri()]
    light, dark = views[0]["paper"], views[1]["paper"]
    assert light != dark
    assert len(list((tmp_path / "shots").iterdir())) == 4
