"""Bad texts, ids and queries at the tools of the engine: an error with a code, and a memory that stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

OnStdio = Callable[..., Any]
MB = "word " * 210_000

CALLS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("query", {"prompt": ""}, "bad-text"),
    ("query", {"prompt": MB}, "text-too-long"),
    ("query", {"prompt": MB * 2}, "argument-too-large"),
    ("query", {"prompt": "a\0b"}, "bad-text"),
    ("query", {"prompt": 5}, "bad-argument"),
    ("query", {"prompt": "x", "namespace": "a:b"}, "bad-namespace"),
    ("query", {"prompt": "x", "session": "a/b"}, "bad-session"),
    ("feedback", {"request_id": "nil", "rating": 3}, "unknown-request"),
    ("feedback", {"request_id": "nil", "rating": 9}, "bad-argument"),
    ("feedback", {"request_id": "nil"}, "bad-feedback"),
    ("feedback", {"request_id": "nil", "correction": " "}, "bad-text"),
    ("route", {"prompt": ""}, "bad-text"),
    ("route", {"prompt": "x", "strategy": "costs"}, "unknown-argument"),
    ("memory_add", {"text": ""}, "bad-text"),
    ("memory_add", {"text": MB}, "text-too-long"),
    ("memory_add", {"text": "a\0b"}, "bad-text"),
    ("memory_add", {"text": "x", "namespace": "../x"}, "bad-namespace"),
    ("memory_add", {"text": "x", "namespace": "knowledge/flaky"}, "bad-namespace"),
    ("memory_search", {"query": "x", "namespace": "a b"}, "bad-namespace"),
    ("memory_search", {"query": "x", "k": 0}, "bad-argument"),
)
SYNTAX = ('"', "*", "NEAR", "-", "a:b", "^a", "(a", '"un balanced', "a AND")


@pytest.mark.parametrize(
    ("connection", "mode"), [pytest.param("on_stdio", "legacy", marks=pytest.mark.services), ("in_memory", "auto")]
)
def test_mistake_in_a_call_is_an_error_with_its_code(
    request: pytest.FixtureRequest, project: Path, connection: str, mode: str
) -> None:
    """Each mistake is answered as an error whose code says which, and what was remembered is still found."""
    connect: OnStdio = request.getfixturevalue(connection)

    async def talk() -> None:
        async with connect(project, mode) as client:
            await client.call_tool("memory_add", {"text": "prices are kept in cents"})
            await client.call_tool("query", {"prompt": "where are prices?"})
            before = (await client.call_tool("stats", {})).structured_content["memories"]
            codes = []
            for tool, arguments, _ in CALLS:
                said = await client.call_tool(tool, arguments)
                codes.append((tool, said.structured_content.get("code") if said.is_error else "answered"))
            assert codes == [(tool, code) for tool, _, code in CALLS]
            found = await client.call_tool("memory_search", {"query": "cents"})
            assert "prices are kept in cents" in found.content[0].text
            assert (await client.call_tool("stats", {})).structured_content["memories"] == before

    anyio.run(talk)


def test_syntax_of_the_text_index_is_only_text(in_memory: OnStdio, project: Path) -> None:
    """Quotes, stars and operators in a question or a search are answered like any other words."""

    async def talk() -> None:
        async with in_memory(project, "auto") as client:
            await client.call_tool("memory_add", {"text": "prices are kept in cents"})
            for signs in SYNTAX:
                found = await client.call_tool("memory_search", {"query": f"{signs} cents"})
                assert "prices are kept in cents" in found.content[0].text, signs
                said = await client.call_tool("query", {"prompt": f"{signs} cents"})
                assert not said.is_error, signs

    anyio.run(talk)


@pytest.mark.services
def test_a_path_of_kernels_that_is_none_is_a_bad_setting(
    on_stdio: OnStdio, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was started with such an AQE_SIMD says so to each call that needs a kernel, and lives on."""
    monkeypatch.setenv("AQE_SIMD", "avx9")

    async def talk() -> None:
        async with on_stdio(project, "auto") as client:
            for _ in range(2):
                said = await client.call_tool("memory_add", {"text": "prices are kept in cents"})
                assert (said.is_error, said.structured_content["code"]) == (True, "bad-setting")
                assert "Choose one of " in said.structured_content["fix"]

    anyio.run(talk)
