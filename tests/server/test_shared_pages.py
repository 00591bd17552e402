"""Pages that are made to be passed on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aqe.agents.review import Finding
from aqe.server.reports.analysis import analysis_page

SAID = "login('jane.roe@acme-corp.io', password='hunter2x') < 3"


def _report() -> Any:
    finding = Finding("aaaa", "behaviour-changed", "error", 0.9, "a.py", 7, 9, "login", SAID, ("DB_PASSWORD=hunter3y",))
    review = SimpleNamespace(findings=(finding,), hidden=0, notes=("api_key: kd83hfk29sjf02ks9d was read",))
    evidence = SimpleNamespace(python_version="3.11.0", packages={}, aqe_version="1.0", seed=0, rung="none")
    parts = {"coverage": None, "review": review, "audit": None, "parts": ()}
    return SimpleNamespace(**parts, duration_s=1.0, partial=False, local=False, evidence=evidence)


@pytest.mark.parametrize("secret", ["jane.roe", "hunter2x", "hunter3y", "kd83hfk29sjf02ks9d"])
def test_page_of_an_analysis_holds_no_secret(secret: str) -> None:
    """Messages, evidence and notes stand on the page without their secrets, unless redaction is off."""
    page = analysis_page(_report(), "shop", "2026-11-22")
    assert secret not in page
    assert "login(" in page
    assert "[redacted:" in page
    assert secret in analysis_page(_report(), "shop", "2026-11-22", redacts=False)
