"""A consent counts for the very place that the user saw, and only where that user gave it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.opening import open_store
from aqe.engine.privacy import Guard, audit, consent, open_guard
from aqe.engine.privacy.seal import key_file
from aqe.engine.providers import Message
from aqe.engine.providers.configured import Recipient, address_of
from aqe.engine.settings import Settings, load_settings

OPENAI = Recipient("openai", "https://api.openai.com/v1", "OPENAI_API_KEY")
ASKED = (Message("user", "why?"),)


def _guard(store: Store, mode: str = "balanced") -> Guard:
    return open_guard(store.path.parent, Settings.model_validate({"privacy": {"mode": mode}}), store)


def _refusal(store: Store, to: Recipient, mode: str = "balanced") -> UserError:
    guard = _guard(store, mode)
    assert not guard.may_reach(to)
    with pytest.raises(UserError) as caught:
        guard.outgoing(ASKED, to=to, purpose="query")
    assert caught.value.code == "no-consent"
    return caught.value


@pytest.mark.parametrize("mode", ["balanced", "off"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"address": "https://openai.evil.example/v1"}, "its address is now https://openai.evil.example/v1, not https"),
        ({"address": "http://api.openai.com/v1"}, "its address is now http://api.openai.com/v1, not https"),
        ({"address": "https://api.openai.com:8443/v1"}, "its address is now https://api.openai.com:8443/v1, not https"),
        ({"address": "https://api.openai.com/other"}, "its address is now https://api.openai.com/other, not https"),
        ({"key_env": "GITHUB_TOKEN"}, "its key is now that of GITHUB_TOKEN, not that of OPENAI_API_KEY"),
    ],
)
def test_a_changed_provider_asks_anew_and_says_what_changed(
    store: Store, mode: str, change: dict[str, str], said: str
) -> None:
    """Another scheme, host, port, path or key variable under one name gets neither text nor key until consented."""
    consent.grant(store, OPENAI, mode=mode)
    _guard(store, mode).outgoing(ASKED, to=OPENAI, purpose="query")
    changed = replace(OPENAI, **change)
    error = _refusal(store, changed, mode)
    assert said in error.message
    assert error.fix == "To give it: aqe privacy consent grant openai --purpose query"
    consent.grant(store, changed, mode=mode)
    assert _guard(store, mode).may_reach(changed)
    _guard(store, mode).outgoing(ASKED, to=changed, purpose="query")
    assert "is not what you consented to" in _refusal(store, OPENAI, mode).message


def test_a_key_that_is_taken_away_is_a_change_too(store: Store) -> None:
    """A provider that lost its key variable is another one."""
    consent.grant(store, OPENAI, mode="balanced")
    assert "its key is now none" in _refusal(store, replace(OPENAI, key_env="")).message


def test_mode_off_asks_for_the_key_alone(store: Store) -> None:
    """In mode off text leaves without consent, a key does not; a consent for one purpose shows the key for all."""
    guard = _guard(store, "off")
    guard.outgoing(ASKED, to=replace(OPENAI, key_env=""), purpose="query")
    assert "no consent yet" in _refusal(store, OPENAI, "off").message
    consent.grant(store, OPENAI, "embed", mode="off")
    guard.outgoing(ASKED, to=OPENAI, purpose="query")


def test_first_refusal_says_where_the_text_would_go(store: Store) -> None:
    """The first error names address and key variable; signs that pose as others or speak to a terminal are escaped."""
    to = Recipient("my ai", "https://\u0430pi.openai.com\x1b[2K", "GITHUB_TOKEN")
    error = _refusal(store, to)
    assert r"my ai (https://\u0430pi.openai.com\x1b[2K, key of GITHUB_TOKEN)" in error.message
    assert error.fix == "To give it: aqe privacy consent grant 'my ai' --purpose query"


def test_the_log_says_to_which_address(store: Store) -> None:
    """What leaves, is refused or consented to stands in the log with the address, so that a name tells no lies."""
    _refusal(store, OPENAI)
    consent.grant(store, OPENAI, mode="balanced")
    _guard(store).outgoing(ASKED, to=OPENAI, purpose="query")
    assert [(entry.event, entry.recipient) for entry in audit.entries(store)] == [
        (event, "openai (https://api.openai.com/v1, key of OPENAI_API_KEY)")
        for event in ("refused", "consent-granted", "sent")
    ]


def test_consent_again_keeps_its_time(store: Store) -> None:
    """A consent that stands is not given anew, so its time and the log stay."""
    first = consent.grant(store, OPENAI, mode="balanced")
    assert consent.grant(store, OPENAI, mode="balanced") == first
    assert consent.grant(store, replace(OPENAI, key_env="OTHER"), mode="balanced").granted_at > first.granted_at
    assert len(audit.entries(store)) == 2


def _rewrite(store: Store, sql: str) -> None:
    with store.writing() as connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE consents SET address = 'https://openai.evil.example/v1'",
        "UPDATE consents SET key_env = 'GITHUB_TOKEN'",
        "UPDATE consents SET purpose = '*'",
        "UPDATE consents SET provider = 'other'",
        "UPDATE consents SET granted_at = granted_at + 1",
        "UPDATE consents SET seal = ''",
        "UPDATE consents SET seal = 'é' || seal",
        "UPDATE consents SET seal = replace(hex(zeroblob(32)), '00', 'ab')",
    ],
)
def test_a_forged_row_does_not_count(store: Store, sql: str) -> None:
    """A row that somebody else wrote or bent gives nothing, and the list tells so."""
    consent.grant(store, OPENAI, "query", mode="balanced")
    _rewrite(store, sql)
    (row,) = consent.consents(store)
    assert not row.own
    assert "not given by you" in consent.flaw(row, None)
    bent = Recipient(row.provider, row.address, row.key_env)
    assert "not given by you" in _refusal(store, bent).message


def test_a_store_that_is_brought_gives_no_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with a consent counts neither for another user nor in another folder, and counts again where it was."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Store.open(tmp_path / "one" / "aqe.db") as store:
        consent.grant(store, OPENAI, mode="balanced")
    shutil.copy(tmp_path / "one" / "aqe.db", tmp_path / "two" / "aqe.db")
    with Store.open(tmp_path / "two" / "aqe.db") as copied:
        assert "for this folder" in _refusal(copied, OPENAI).message
    with Store.open(tmp_path / "one" / "aqe.db") as store:
        assert consent.missing(store, OPENAI, "query") == ""
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody-else"))
        assert "not given by you" in _refusal(store, OPENAI).message
        assert not key_file().exists()
        consent.grant(store, OPENAI, mode="balanced")
        assert consent.missing(store, OPENAI, "query") == ""


def test_a_link_to_another_store_gives_no_consent(tmp_path: Path) -> None:
    """A project whose .aqe is a link to that of another one does not get its consents."""
    for name in ("mine", "clone"):
        (tmp_path / name).mkdir()
    with open_store(tmp_path / "mine") as store:
        consent.grant(store, OPENAI, mode="balanced")
    (tmp_path / "clone" / ".aqe").symlink_to(tmp_path / "mine" / ".aqe", target_is_directory=True)
    with open_store(tmp_path / "clone") as store:
        assert "for this folder" in _refusal(store, OPENAI).message
    with open_store(tmp_path / "mine") as store:
        assert consent.missing(store, OPENAI, "query") == ""


def test_consent_of_before_asks_anew(store: Store) -> None:
    """A consent from the time when it named no address does not count, and says why."""
    _rewrite(store, "INSERT INTO consents (provider, purpose, granted_at) VALUES ('openai', '*', 1)")
    assert "named no address" in _refusal(store, OPENAI).message


def test_key_is_its_owners_alone(store: Store) -> None:
    """The key is made at the first consent, for its owner only; one that others could read is closed to them."""
    assert not key_file().exists()
    consent.grant(store, OPENAI, mode="balanced")
    key = key_file().read_text()
    if os.name == "posix":
        assert key_file().stat().st_mode & 0o777 == 0o600
        key_file().chmod(0o644)
        assert consent.missing(store, OPENAI, "query") == ""
        assert key_file().stat().st_mode & 0o777 == 0o600
    consent.grant(store, replace(OPENAI, name="other"), mode="balanced")
    assert key_file().read_text() == key
    assert [path.name for path in key_file().parent.iterdir()] == [key_file().name]


@pytest.mark.parametrize("content", ["", "no key", "ab" * 31])
def test_broken_key_is_said_and_nothing_counts(store: Store, content: str) -> None:
    """A key file that holds no key seals nothing: earlier consents do not count, a new one is an error with its fix."""
    consent.grant(store, OPENAI, mode="balanced")
    key_file().write_text(content)
    _refusal(store, OPENAI)
    with pytest.raises(UserError) as caught:
        consent.grant(store, replace(OPENAI, name="other"), mode="balanced")
    assert caught.value.code == "no-seal-key"
    assert [row.provider for row in consent.consents(store)] == ["openai"]


def test_key_that_cannot_be_kept_is_said(store: Store) -> None:
    """Where the settings folder cannot be made the consent is an error, and nothing is written."""
    key_file().parent.parent.mkdir(parents=True, exist_ok=True)
    key_file().parent.write_text("a file")
    with pytest.raises(UserError) as caught:
        consent.grant(store, OPENAI, mode="balanced")
    assert caught.value.code == "no-seal-key"
    assert consent.consents(store) == []
    assert audit.entries(store) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://api.example.com/v1", "HTTPS://API.example.com:443/v1/"),
        ("http://h:80", "http://h/"),
        ("http://[2001:DB8::1]:8080/v1", "http://[2001:db8::1]:8080/v1"),
    ],
)
def test_two_ways_to_write_a_place_are_one(one: str, other: str) -> None:
    """Case of the host, a default port and a slash at the end make no other address."""
    assert address_of(one) == address_of(other)


def test_a_clone_with_the_name_of_a_consented_provider_gets_nothing(store: Store) -> None:
    """A project's file that gives a consented name another address and a key of the user's is refused."""
    from aqe.engine.providers.configured import recipient_of

    consent.grant(store, OPENAI, mode="balanced")
    (store.path.parent / "pyproject.toml").write_text(
        '[tool.aqe.providers.openai]\nkind = "openai-compatible"\nbase_url = "https://collect.example.net/v1"\n'
        'models = ["gpt"]\napi_key_env = "GITHUB_TOKEN"\n'
    )
    table = load_settings(store.path.parent, environ={}).providers["openai"]
    message = _refusal(store, recipient_of("openai", table)).message
    assert "https://collect.example.net/v1" in message
    assert "GITHUB_TOKEN" in message
