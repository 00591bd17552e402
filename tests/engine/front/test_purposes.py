"""What a consent is asked for: a question is one thing, a prompt as it is given another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.engine.answer import QueryConfig
from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.privacy import audit, consent
from aqe.engine.providers.configured import recipient_of
from aqe.engine.settings import load_settings

pytestmark = pytest.mark.anyio

FAR = """[tool.aqe.providers.far]
kind = "openai-compatible"
base_url = "https://far.invalid/v1"
models = ["m"]
timeout_s = 1
"""


@pytest.fixture
def far(project: Path) -> Path:
    """The project with one model, which is elsewhere, under a name that no network knows."""
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(FAR)
    return project


def allow(project: Path, purpose: str) -> None:
    """The user's consent for one purpose."""
    with Store.open(project / ".aqe" / "aqe.db") as store:
        to = recipient_of("far", load_settings(project, environ={}).providers["far"])
        consent.grant(store, to, purpose, mode="balanced")


def left(project: Path) -> list[tuple[str, str]]:
    """What was sent or refused, and for what."""
    with Store.open(project / ".aqe" / "aqe.db") as store:
        return [(one.event, one.purpose) for one in audit.entries(store) if one.event in ("sent", "refused")]


@pytest.mark.parametrize(
    ("given", "questions", "completions"),
    [("query", "sent", "refused"), ("complete", "refused", "sent"), ("*", "sent", "sent")],
)
async def test_a_consent_to_one_purpose_is_none_to_the_other(
    opened: Any, far: Path, given: str, questions: str, completions: str
) -> None:
    """A yes to questions lets no prompt out, a yes to prompts no passages of the project; the log tells them apart."""
    async with opened(providers=None) as engine:
        await anyio.to_thread.run_sync(allow, far, given)
        await engine.query("When is shipping free?", config=QueryConfig(timeout_s=1.0))
        with pytest.raises(UserError) as caught:
            await engine.complete("hello", timeout_s=1.0)
    assert left(far)[0] == (questions, "query")
    assert (completions, "complete") in left(far)
    if completions == "refused":
        assert (caught.value.code, caught.value.fix.endswith("--purpose complete")) == ("no-consent", True)


def test_a_purpose_that_is_none_is_refused(far: Path) -> None:
    """A misspelt purpose gives no consent, and the words that are purposes are named."""
    (far / ".aqe").mkdir()
    with pytest.raises(UserError, match="no purpose 'bogus'") as caught:
        allow(far, "bogus")
    assert "query, complete, embed" in caught.value.fix
