"""Lines on stdio that no server can read: the client that sent one is answered."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aqe.server.mcp.unreadable import top_of

DEEP = '{"a":' * 3000 + "1" + "}" * 3000
CALLS = {
    "half a character": '{"text": "half a pair \\ud800"}',
    "3,000 levels": '{"text": "deep", "metadata": ' + DEEP + "}",
    "5,000 digits": '{"query": "x", "k": 1' + "0" * 5000 + "}",
    "cut short": '{"text": "the end is miss',
}


def call(id: Any, arguments: str) -> str:
    """The line of a call whose arguments stand in it as they are."""
    params = f'{{"name": "memory_add", "arguments": {arguments}}}'
    return f'{{"jsonrpc": "2.0", "id": {json.dumps(id)}, "method": "tools/call", "params": {params}}}'


def answers(project: Path, *lines: str) -> list[dict[str, Any]]:
    """What a server says to these lines after its handshake, and to a ping behind them."""
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": about}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    ping = {"jsonrpc": "2.0", "id": "ping", "method": "ping"}
    sent = [json.dumps(hello), json.dumps(ready), *lines, json.dumps(ping)]
    command = [sys.executable, "-m", "aqe.server.cli", "serve", "--project", str(project)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(f"{line}\n" for line in sent))
        process.stdin.flush()
        told: list[dict[str, Any]] = []
        while not told or told[-1].get("id") != "ping":
            told.append(json.loads(process.stdout.readline()))
        process.stdin.close()
    return told[1:-1]


@pytest.mark.services
def test_call_that_cannot_be_read_is_answered_on_its_id(project: Path) -> None:
    """Half a character, 3,000 levels, 5,000 digits and half a line are each an error of that request, whether its id
    is a number or a text."""
    ids = [*range(10, 13), "the last"]
    told = answers(project, *(call(id, arguments) for id, arguments in zip(ids, CALLS.values(), strict=True)))
    assert [one["id"] for one in told] == ids
    assert {one["error"]["code"] for one in told} == {-32700}
    assert all(one["error"]["message"].startswith("The message cannot be read: ") for one in told)


def test_what_is_no_message_is_answered_and_notifications_are_not(project: Path) -> None:
    """What is no JSON or no message is answered, without an id where it has none; a broken notification, a broken
    answer and an empty line get nothing."""
    asked = ['{"jsonrpc": "2.0", "id": 2}', "[]", "{broken", '{"jsonrpc": "2.0", "id": 3, "method": "x", "params": []}']
    silent = [
        "",
        '{"jsonrpc": "2.0", "method": "notifications/x", "params": {"a": "\\ud800"}}',
        '{"jsonrpc": "2.0", "id": 9, "result": {"a": "\\ud800"}}',
        '{"jsonrpc": "2.0", "id": 9, "result": []}',
    ]
    told = answers(project, *silent, *asked, *silent)
    assert [(one["id"], one["error"]["code"]) for one in told] == [
        (2, -32600),
        (None, -32600),
        (None, -32700),
        (3, -32600),
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"params": {"id": 1}, "id": "a\\u00e9"}', {"id": "aé"}),
        ('{"x": "\\"id\\": 1", "id": 2, "method": "y"', {"id": 2, "method": "y"}),
        ('{"id": [3], "method": "y"}', {"method": "y"}),
        ('{"a": ["id", 1, {"id": 2}], "error": {}}', {"error": None}),
        ('{"id": 1' + "0" * 5000 + "}", {"id": None}),
        ('"id": 5', {}),
    ],
)
def test_only_the_first_level_tells_whose_line_it_is(line: str, found: dict[str, Any]) -> None:
    """An id within a text, a list or the parameters is not the request's."""
    assert top_of(line) == found


@pytest.mark.services
def test_a_long_line_that_is_broken_is_read_in_one_pass() -> None:
    """Ten times as long a line of opened texts and brackets takes some ten times as long, not a hundred times."""

    def taken_s(count: int) -> float:
        line = '{"id": 4, "a": "' + '\\"[{"' * count
        began = time.process_time()
        assert top_of(line)["id"] == 4
        return time.process_time() - began

    assert min(taken_s(200_000) for _ in range(3)) < 40 * min(taken_s(20_000) for _ in range(3))
