"""`aqe privacy` as a user meets it."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.memory.opening import open_store
from aqe.engine.privacy import audit
from aqe.server.cli import main

AWS = "AKIAQYLPMN5HNMZ2KJQP"


@pytest.fixture
def leaky(project: Path) -> Path:
    """A project with a secret and an address in one file, a binary file and an ignored folder of packages."""
    (project / "deploy.py").write_text(f'import os\n\nKEY = "{AWS}"  # of jane@acme-corp.io\n')
    (project / "logo.bin").write_bytes(b"\0\1" + AWS.encode())
    (project / "node_modules").mkdir()
    (project / "node_modules" / "x.js").write_text(f'k = "{AWS}"')
    return project


def _run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> tuple[str, str]:
    assert main(["privacy", *words]) == status
    out = capsys.readouterr()
    return out.out, out.err


def test_scan_tells_places_and_never_the_text(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding has file, line, column and class; the secret itself is not printed, and exit 1 comes with --gate."""
    out, err = _run(capsys, "scan", "--project", str(leaky))
    assert [line.rpartition("/")[2] for line in out.splitlines()] == [
        "deploy.py:3:8: aws-access-token",
        "deploy.py:3:36: email",
    ]
    assert "2 found" in err
    assert AWS not in out + err
    _run(capsys, "scan", "--project", str(leaky), "--gate", status=1)
    _run(capsys, "scan", str(leaky / "ages.py"), "--project", str(leaky), "--gate")


def test_binary_file_that_was_named_is_told(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A binary file that was named is said not to have been scanned; one that lies in a folder is passed by."""
    _, err = _run(capsys, "scan", str(leaky / "logo.bin"), "--project", str(leaky))
    assert "logo.bin: not scanned, it is binary" in err
    assert "logo.bin" not in _run(capsys, "scan", str(leaky), "--project", str(leaky))[1]


def test_gate_does_not_pass_what_was_not_looked_at(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named file that cannot be read or is too large fails the gate; a binary or large one in a folder does not."""
    where = ("--project", str(leaky))
    (leaky / "gone.env").symlink_to(leaky / "nowhere")
    big = leaky / "sub" / "big.txt"
    big.parent.mkdir()
    big.write_bytes(b"word " * 1_000_001)
    for path in (leaky / "gone.env", big):
        _, err = _run(capsys, "scan", str(path), "--gate", *where, status=1)
        assert f"{path.name}: not scanned" in err
        assert "The gate does not pass 1 file that was not looked at." in err
        assert "The gate" not in _run(capsys, "scan", str(path), *where)[1]
        out, _ = _run(capsys, "scan", str(path), "--gate", "--json", *where, status=1)
        assert len(json.loads(out)["unread"]) == 1
    _run(capsys, "scan", str(leaky / "logo.bin"), "--gate", *where)
    assert "big.txt: not scanned" in _run(capsys, "scan", str(big.parent), "--gate", *where)[1]


def test_scan_as_json_has_offsets(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has the offsets of each finding in characters."""
    out, _ = _run(capsys, "scan", str(leaky / "deploy.py"), "--json", "--project", str(leaky))
    first = json.loads(out)["findings"][0]
    text = (leaky / "deploy.py").read_text()
    assert text[first["start"] : first["end"]] == AWS


def test_virtual_environment_is_passed_by(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What lies in a virtual environment is not the project's, also where git does not ignore it."""
    before, _ = _run(capsys, "scan", "--project", str(leaky))
    assert "deploy.py" in before
    subprocess.run(["git", "init", "-q"], cwd=leaky, check=True)
    (leaky / "own" / "lib").mkdir(parents=True)
    (leaky / "own" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (leaky / "own" / "lib" / "deploy.py").write_bytes((leaky / "deploy.py").read_bytes())
    after, _ = _run(capsys, "scan", str(leaky / "deploy.py"), str(leaky / "own"), "--project", str(leaky))
    assert len(after.splitlines()) == 2 * len(before.splitlines())  # named by the user, it is looked at
    assert _run(capsys, "scan", "--project", str(leaky))[0] == before


def test_named_folder_is_scanned_where_git_ignores_it(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What git ignores is looked at when its folder, or one around it, is named, and only then."""
    subprocess.run(["git", "init", "-q"], cwd=leaky, check=True)
    (leaky / ".gitignore").write_text("dump/\n")
    (leaky / "dump").mkdir()
    (leaky / "dump" / "old.py").write_text(f'KEY = "{AWS}"\n')
    out, _ = _run(capsys, "scan", str(leaky / "dump"), "--gate", "--project", str(leaky), status=1)
    assert [line.rpartition("/")[2] for line in out.splitlines()] == ["old.py:1:8: aws-access-token"]
    assert "old.py" in _run(capsys, "scan", str(leaky), "--project", str(leaky))[0]
    assert "old.py" not in _run(capsys, "scan", "--project", str(leaky))[0]


def test_gate_looks_into_a_nested_repository(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret in a repository within the project fails the gate, and so does one of which git can list nothing."""
    where = ("--project", str(project))
    nested = project / "nested"
    nested.mkdir()
    for folder in (project, nested):
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (nested / "s.txt").write_text("nothing\n")
    _run(capsys, "scan", "--gate", *where)
    (nested / "s.txt").write_text(f'KEY = "{AWS}"\n')
    out, _ = _run(capsys, "scan", "--gate", *where, status=1)
    assert out.endswith("nested/s.txt:1:8: aws-access-token\n")
    (nested / ".git" / "config").write_text("[core\n")
    out, err = _run(capsys, "scan", "--gate", *where, status=1)
    assert "nested: not scanned" in err
    assert "The gate does not pass 1 file that was not looked at." in err


def test_missing_path_is_a_mistake(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that does not exist is named, with exit 2."""
    _, err = _run(capsys, "scan", "gone.py", "--project", str(leaky), status=2)
    assert "[no-such-path]" in err


def test_lines_are_answered_in_order(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line gets the spans of its text; a broken line and one without text are named, and the rest goes on."""
    lines: list[Any] = [
        {"id": "a", "text": f"é {AWS}", "extra": 1},
        {"id": 2, "text": "", "path": "x.py"},
        {"id": 3},
        {"id": 4, "text": "jane@acme-corp.io"},
    ]
    given = "\n".join([json.dumps(lines[0]), "{broken", *map(json.dumps, lines[1:])])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode()), encoding="utf-8"))
    out, _ = _run(capsys, "scan", "--jsonl", "--project", str(project), status=1)
    answers = [json.loads(line) for line in out.splitlines()]
    assert answers[0] == {"id": "a", "spans": [[2, 22, "aws-access-token"]]}
    assert (answers[1]["error"]["code"], answers[1]["line"]) == ("bad-line", 2)
    assert answers[2] == {"id": 2, "spans": []}
    assert answers[3]["error"]["code"] == "bad-text"
    assert answers[4] == {"id": 4, "spans": [[0, 17, "email"]]}


@pytest.mark.parametrize(("text", "status"), [(AWS, 1), ("nothing", 0)])
def test_lines_pass_the_gate_only_when_they_hold_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, status: int
) -> None:
    """--gate counts with --jsonl too; a path beside --jsonl, which nothing would read, is refused."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps({"text": text}).encode())))
    _run(capsys, "scan", "--jsonl", "--gate", "--project", str(project), status=status)
    _, err = _run(capsys, "scan", "word", "--jsonl", "--project", str(project), status=2)
    assert "PATHS does not go with --jsonl" in err


def _providers(monkeypatch: pytest.MonkeyPatch, **addresses: str) -> None:
    """Providers of these addresses, each with the key variable of its name."""
    tables = {
        name: {"kind": "openai-compatible", "base_url": url, "models": ["m"], "api_key_env": f"{name.upper()}_KEY"}
        for name, url in addresses.items()
    }
    monkeypatch.setenv("AQE_PROVIDERS", json.dumps(tables))


@pytest.fixture(autouse=True)
def _settings_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user's settings folder, where the key of consents is made, is the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))


def test_consent_is_given_listed_and_taken_back(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consent is shown with address and key variable and stands until revoked; the audit log has each change."""
    where = ("--project", str(project))
    _providers(monkeypatch, openai="https://api.openai.com/v1")
    out, _ = _run(capsys, "consent", "grant", "openai", "--purpose", "query", *where)
    assert out == "openai (https://api.openai.com/v1, key of OPENAI_KEY) may be sent text of this project for query\n"
    out, _ = _run(capsys, "consent", "list", *where)
    assert out.startswith("openai  query  https://api.openai.com/v1  key of OPENAI_KEY  since ")
    assert len(out.splitlines()) == 1
    _run(capsys, "consent", "revoke", "openai", *where)
    assert _run(capsys, "consent", "list", *where)[0] == ""
    out, _ = _run(capsys, "audit", *where)
    assert [line.split("  ")[2] for line in out.splitlines()] == ["consent-granted", "consent-revoked"]
    out, _ = _run(capsys, "verify", *where)
    assert out.startswith("intact: 2 entries, head 2:")


def test_list_tells_which_consents_do_not_count(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A consent for another address, and one of somebody else, are listed with the reason why they do not count."""
    where = ("--project", str(project))
    _providers(monkeypatch, openai="https://api.openai.com/v1")
    _run(capsys, "consent", "grant", "openai", *where)
    _providers(monkeypatch, openai="https://collect.example.net/v1")
    out, _ = _run(capsys, "consent", "list", *where)
    assert "does not count: openai is not what you consented to: its address is now https://collect.example.net" in out
    _providers(monkeypatch, openai="https://api.openai.com/v1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody-else"))
    out, _ = _run(capsys, "consent", "list", "--json", *where)
    (row,) = json.loads(out)["consents"]
    assert (row["address"], row["key_env"], row["counts"]) == ("https://api.openai.com/v1", "OPENAI_KEY", False)
    assert "not given by you" in row["why"]


def test_a_consent_of_no_date_is_listed(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of a store that somebody brought has any number for its time; the list shows it as one that counts not."""
    _providers(monkeypatch, openai="https://api.openai.com/v1")
    _run(capsys, "consent", "grant", "openai", "--project", str(project))
    with open_store(project) as store, store.writing() as connection:
        connection.execute("UPDATE consents SET granted_at = 9223372036854775807")
    out, _ = _run(capsys, "consent", "list", "--project", str(project))
    assert "since 9999-12-31" in out
    assert "does not count" in out


@pytest.mark.parametrize(
    ("name", "code", "part"),
    [("opnai", "no-such-provider", "Did you mean 'openai'?"), ("house", "bad-argument", "on this machine")],
)
def test_consent_is_for_a_provider_elsewhere(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, code: str, part: str
) -> None:
    """A name that the settings do not know is a mistake, and so is a provider on this machine, which needs none."""
    _providers(monkeypatch, openai="https://api.openai.com/v1", house="http://127.0.0.1:11434/v1")
    _, err = _run(capsys, "consent", "grant", name, "--project", str(project), status=2)
    assert f"[{code}]" in err
    assert part in err


def test_broken_log_is_told_with_exit_1(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut log exits 1 with the code; the head printed before finds a cut that mended the head."""
    where = ("--project", str(project))
    _providers(monkeypatch, **dict.fromkeys(("one", "two", "three"), "https://api.example.com/v1"))
    for name in ("one", "two", "three"):
        _run(capsys, "consent", "grant", name, *where)
    head = _run(capsys, "verify", *where)[0].split("head ")[1].strip()
    assert _run(capsys, "verify", "--head", head, *where)[0].startswith("intact")
    with open_store(project) as store, store.writing() as connection:
        connection.execute("DELETE FROM audit WHERE number = 3")
    _, err = _run(capsys, "verify", *where, status=1)
    assert "1 entries at the end are missing" in err
    assert "[audit-broken]" in err
    out, _ = _run(capsys, "verify", "--json", *where, status=1)
    assert json.loads(out)["intact"] is False
    with open_store(project) as store:
        second = audit.entries(store)[1].hash
        with store.writing() as connection:
            connection.execute("UPDATE audit_head SET number = 2, hash = ?", (second,))
            connection.execute("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'")
    _run(capsys, "verify", *where)
    _, err = _run(capsys, "verify", "--head", head, *where, status=1)
    assert "entry 3" in err


def test_looking_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """scan, audit, verify and consent list leave no file in a project where nothing is kept."""
    for words in (["scan"], ["audit"], ["verify"], ["consent", "list"]):
        _run(capsys, *words, "--project", str(project))
    assert not (project / ".aqe").exists()


def test_report_shows_what_was_executed(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each control has its state and the checks that ran; the log's figures and its head stand there."""
    with open_store(leaky) as store:
        for number in (1, 2):
            audit.append(
                store,
                "sent",
                recipient="cloud",
                purpose="query",
                mode="balanced",
                payload="x" * number,
                spans={"email": 1},
            )
    out, _ = _run(capsys, "report", "--project", str(leaky), "--json", "--gate")
    report = json.loads(out)
    controls = {control["name"]: control for control in report["controls"]}
    assert controls["privacy mode"]["state"].startswith("balanced")
    redaction = controls["redaction"]["checks"]
    assert len(redaction) == 5
    assert all(check["held"] for check in redaction)
    assert controls["audit log"]["checks"][0]["result"] == "intact"
    (left,) = report["left"]
    assert (left["times"], left["bytes"], left["taken_out"]) == (2, 3, {"email": 2})
    assert report["head"].startswith("2:")
    assert "compliant" not in out


def test_report_tries_the_network_in_strict_mode(
    leaky: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In strict mode a look-up and a datagram are tried and refused, and a file that never leaves is judged."""
    monkeypatch.setenv("AQE_PRIVACY_MODE", "strict")
    monkeypatch.setenv("AQE_PRIVACY_NEVER_SEND", "ages.py")
    out, _ = _run(capsys, "report", "--project", str(leaky), "--gate")
    assert out.count("refused: ") == 2
    assert "held: a request that quotes ages.py was judged: refused" in out


@pytest.mark.parametrize(
    "tampered", ["DROP TABLE audit", "DROP TABLE audit_head", "ALTER TABLE audit DROP COLUMN mode"]
)
def test_log_whose_tables_are_gone_is_broken_and_no_fault_of_the_database(
    leaky: Path, capsys: pytest.CaptureFixture[str], tampered: str
) -> None:
    """Who takes the log away is found as who changes it: exit 1 with the code, and the report tells it too."""
    with open_store(leaky) as store:
        audit.append(store, "sent", recipient="cloud", purpose="query", mode="balanced", payload="x")
        with store.writing() as connection:
            connection.execute(tampered)
    for command in ("verify", "audit"):
        _, err = _run(capsys, command, "--project", str(leaky), status=1)
        assert "is missing" in err
        assert "[audit-broken]" in err
    assert json.loads(_run(capsys, "verify", "--json", "--project", str(leaky), status=1)[0])["intact"] is False
    assert "DID NOT HOLD" in _run(capsys, "report", "--project", str(leaky))[0]


def test_report_of_a_broken_log_fails_the_gate(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed entry is told as what did not hold, with exit 1 under --gate and 0 without."""
    with open_store(leaky) as store:
        audit.append(store, "sent", recipient="cloud", purpose="query", mode="balanced", payload="x")
        with store.writing() as connection:
            connection.execute("UPDATE audit SET bytes = 99")
    out, err = _run(capsys, "report", "--project", str(leaky), "--gate", status=1)
    assert "DID NOT HOLD" in out
    assert "[privacy-check-failed]" in err
    _run(capsys, "report", "--project", str(leaky))


def test_report_of_a_fresh_project_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Looking makes no folder."""
    out, _ = _run(capsys, "report", "--project", str(project))
    assert "what left so far: nothing" in out
    assert not (project / ".aqe").exists()
