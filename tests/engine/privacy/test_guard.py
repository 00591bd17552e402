"""What may leave in each mode, to whom, and what is written down of it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.opening import open_store
from aqe.engine.privacy import Guard, audit, consent, open_guard
from aqe.engine.privacy.guard import NO_CONTENT, WITHHELD, payload_of
from aqe.engine.providers import Message
from aqe.engine.providers.configured import Recipient
from aqe.engine.settings import load_settings

AWS = "AKIAQYLPMN5HNMZ2KJQP"
OPENAI = Recipient("openai", "https://api.openai.com/v1", "OPENAI_API_KEY")
KEYLESS = replace(OPENAI, key_env="")
MESSAGES = (Message("system", "Answer."), Message("user", f"why does {AWS} fail for jane@acme.io and bob@acme.io?"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one file of its own."""
    folder = tmp_path / "shop"
    (folder / "secret" / "deep").mkdir(parents=True)
    (folder / "secret" / "deep" / "plan.py").write_text(
        "def launch_price(units: int) -> int:\n    floor = units * 41\n"
        "    return floor + 977 if units > 12 else floor\n"
    )
    return folder


def _guard(project: Path, store: Store, **privacy: Any) -> Guard:
    flags = {f"privacy.{name}": value for name, value in privacy.items()}
    return open_guard(project, load_settings(project, flags, environ={}), store)


def _events(store: Store) -> list[tuple[str, str, str]]:
    return [(entry.event, entry.recipient, entry.purpose) for entry in audit.entries(store)]


def _refused(guard: Guard, **options: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        guard.outgoing(MESSAGES, **{"to": OPENAI, "purpose": "query", **options})
    return caught.value


def test_balanced_is_the_default(project: Path, store: Store) -> None:
    """Without a setting text leaves redacted and with consent, and MCP clients get it redacted."""
    guard = _guard(project, store)
    assert (guard.mode, guard.content) == ("balanced", "redacted")


def test_balanced_sends_nothing_without_consent(project: Path, store: Store) -> None:
    """Without consent the error has the command that gives it, and the refusal is logged."""
    error = _refused(_guard(project, store))
    assert error.code == "no-consent"
    assert error.fix.endswith("aqe privacy consent grant openai --purpose query")
    assert _events(store) == [("refused", OPENAI.label, "query")]


def test_balanced_sends_redacted_text_after_consent(project: Path, store: Store) -> None:
    """With consent the messages leave with placeholders, and the log has their hash and what was taken out."""
    guard = _guard(project, store)
    consent.grant(store, OPENAI, "query", mode="balanced")
    sent = guard.outgoing(MESSAGES, to=OPENAI, purpose="query")
    assert sent[0] == MESSAGES[0]
    assert sent[1].content == "why does [redacted:aws-access-token] fail for [redacted:email] and [redacted:email-2]?"
    entry = audit.entries(store)[-1]
    assert entry.event == "sent"
    assert entry.spans == {"aws-access-token": 1, "email": 2}
    assert entry.payload_sha256 == hashlib.sha256(payload_of(sent).encode()).hexdigest()


def test_known_secret_is_taken_out_where_no_rule_sees_it(project: Path, store: Store) -> None:
    """A value that a rule knows in one part of a request is taken out of every part, also inside a longer word."""
    guard = _guard(project, store)
    value = {"replacement": f"'XX{AWS}YY'", "original": f"'{AWS}'"}
    assert guard.for_client(value) == {
        "replacement": "'XX[redacted:aws-access-token]YY'",
        "original": "'[redacted:aws-access-token]'",
    }


def test_consent_is_for_its_provider_and_purpose(project: Path, store: Store) -> None:
    """A consent covers neither another provider nor another purpose, and ends when it is taken back."""
    guard = _guard(project, store)
    consent.grant(store, OPENAI, "query", mode="balanced")
    assert _refused(guard, to=replace(OPENAI, name="other")).code == "no-consent"
    assert _refused(guard, purpose="complete").code == "no-consent"
    consent.grant(store, OPENAI, mode="balanced")
    guard.outgoing(MESSAGES, to=OPENAI, purpose="complete")
    assert consent.revoke(store, "openai", mode="balanced") == 2
    assert _refused(guard).code == "no-consent"
    assert [event for event, _, _ in _events(store)].count("consent-granted") == 2
    assert audit.verify(store).intact


def test_off_sends_text_as_it_is_and_logs_it(project: Path, store: Store) -> None:
    """In mode off nothing is changed and no consent asked, but the log has its entry."""
    with _guard(project, store, mode="off") as guard:
        assert guard.outgoing(MESSAGES, to=KEYLESS, purpose="query") == MESSAGES
        assert guard.for_client({"text": AWS}) == {"text": AWS}
    assert _events(store) == [("sent", KEYLESS.label, "query")]


def test_strict_lets_only_this_machine(project: Path, store: Store) -> None:
    """In strict mode a provider elsewhere may not be used whatever was consented to, one on this machine may."""
    with _guard(project, store, mode="strict") as guard:
        consent.grant(store, OPENAI, mode="strict")
        assert not guard.may_leave(provider_is_local=False)
        assert guard.may_leave(provider_is_local=True)
        assert _refused(guard).code == "strict-mode"


@pytest.mark.parametrize("mode", ["strict", "balanced", "off"])
def test_covered_file_never_leaves(project: Path, store: Store, mode: str) -> None:
    """Text of a file that never_send covers leaves in no mode, named by path or quoted."""
    with _guard(project, store, mode=mode, never_send="secret/") as guard:
        assert guard.withholds("secret/deep/plan.py:3")
        assert guard.withholds(str(project / "secret" / "deep" / "plan.py"))
        assert not guard.withholds("src/secretary.py")
        consent.grant(store, OPENAI, mode=mode)
        quoted = (project / "secret" / "deep" / "plan.py").read_text().replace("\n", "\n    ")
        for options in ({"paths": ["secret/deep/plan.py"]}, {}):
            messages = (Message("user", f"Look:\n    {quoted}\nWhy?" if not options else "Why?"),)
            with pytest.raises(UserError) as caught:
                guard.outgoing(messages, to=OPENAI, purpose="query", **options)
            assert caught.value.code == ("strict-mode" if mode == "strict" else "never-send")
        row = {"id": "m1", "file": "secret/deep/plan.py:1", "text": "floor = units * 41", "score": 0.5}
        assert guard.for_client(row) == row | {"text": WITHHELD}
        assert guard.redact("floor", "secret/deep/plan.py").text == WITHHELD


@pytest.mark.parametrize(
    ("glob", "covered", "free"),
    [
        ("*.pem", "certs/a.pem", "certs/a.pem.md"),
        ("/src/**/keys.py", "src/a/b/keys.py", "lib/keys.py"),
        ("docs/*.md", "docs/a.md", "docs/deep/a.md"),
        ("billing", "src/billing/tax.py", "src/billings.py"),
        (".env*", ".env.local", "env.py"),
        ("a?.txt", "x/ab.txt", "x/abc.txt"),
    ],
)
def test_globs_are_those_of_gitignore(project: Path, store: Store, glob: str, covered: str, free: str) -> None:
    """A bare name counts at any depth, a folder with all below it, `*` stays within a folder, `**` does not."""
    guard = _guard(project, store, never_send=glob)
    assert guard.withholds(covered)
    assert not guard.withholds(free)


def test_references_hold_no_text(project: Path, store: Store) -> None:
    """With references an MCP client gets ids, places, names and numbers, and no content."""
    guard = _guard(project, store, mcp_content="references")
    row = {"id": "m1", "score": 0.25, "file": "a.py:3", "text": "the fact", "metadata": {"k": "v"}, "tags": ["x", "y"]}
    assert guard.for_client(row) == {
        "id": "m1",
        "score": 0.25,
        "file": "a.py:3",
        "text": NO_CONTENT,
        "metadata": {"k": NO_CONTENT},
        "tags": [NO_CONTENT, NO_CONTENT],
    }


def test_memory_is_redacted_before_it_is_written_where_asked(project: Path) -> None:
    """With memory.redact the text and metadata of a memory are redacted in the file; without it they stay whole."""
    (project / "pyproject.toml").write_text("[tool.aqe.memory]\nredact = true\n")
    with open_store(project) as store:
        kept = store.add(f"deploy with {AWS}", metadata={"by": ["jane@acme.io"], "password": "hunter2"})
        found = store.get(kept)
        assert found is not None
        assert found.text == "deploy with [redacted:aws-access-token]"
        assert found.metadata == {"by": ["[redacted:email]"], "password": "[redacted:password-assignment]"}
    (project / "pyproject.toml").write_text("")
    with open_store(project) as store:
        found = store.get(store.add(f"deploy with {AWS}"))
        assert found is not None
        assert AWS in found.text


CHILD = """
import asyncio, socket, sys
from pathlib import Path
from aqe.engine.memory import Store
from aqe.engine.privacy import open_guard
from aqe.engine.settings import load_settings

project = Path(sys.argv[1])
store = Store.open(project / "aqe.db")
guard = open_guard(project, load_settings(project, {"privacy.mode": sys.argv[2]}, environ={}), store)

def attempt(name, act):
    try:
        act()
        print(name, "went through")
    except Exception as error:
        print(name, getattr(error, "code", type(error).__name__))

listener = socket.create_server(("127.0.0.1", 0))
attempt("loopback", lambda: socket.create_connection(listener.getsockname(), 5).close())
attempt("localhost", lambda: socket.getaddrinfo("localhost", 80))
attempt("tcp", lambda: socket.create_connection(("192.0.2.1", 9), 0.01))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)))
attempt("name", lambda: socket.getaddrinfo("provider.example", 443))
attempt("reverse", lambda: socket.gethostbyaddr("192.0.2.1"))
attempt("service", lambda: socket.getnameinfo(("192.0.2.1", 80), 0))
attempt("asyncio", lambda: asyncio.run(asyncio.open_connection("provider.example", 443)))
guard.close()
attempt("after", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9)))
"""


@pytest.fixture
def child(project: Path) -> Callable[[str], dict[str, str]]:
    """Runs the attempts in a process of their own, since an audit hook stays for good."""

    def run(mode: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(project), mode], capture_output=True, text=True, timeout=60, check=True
        )
        return dict(line.split(" ", 1) for line in done.stdout.splitlines())

    return run


def test_strict_process_reaches_nothing_but_this_machine(child: Any) -> None:
    """While a strict guard is open, connections, datagrams and look-ups beyond loopback are refused."""
    found = child("strict")
    assert found["loopback"] == found["localhost"] == "went through"
    beyond = ("tcp", "udp", "name", "reverse", "service", "asyncio")
    assert {name: found[name] for name in beyond} == dict.fromkeys(beyond, "strict-mode")
    assert found["after"] != "strict-mode"


def test_other_modes_leave_the_network_alone(child: Any) -> None:
    """In balanced mode no connection is refused by aqe."""
    assert "strict-mode" not in child("balanced").values()
