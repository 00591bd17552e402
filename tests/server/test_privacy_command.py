"""`aqe privacy` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
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


def test_scan_as_json_has_offsets(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has the offsets of each finding in characters."""
    out, _ = _run(capsys, "scan", str(leaky / "deploy.py"), "--json", "--project", str(leaky))
    first = json.loads(out)["findings"][0]
    text = (leaky / "deploy.py").read_text()
    assert text[first["start"] : first["end"]] == AWS


def test_missing_path_is_a_mistake(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that does not exist is named, with exit 2."""
    _, err = _run(capsys, "scan", "gone.py", "--project", str(leaky), status=2)
    assert "[no-such-path]" in err


def test_lines_are_answered_in_order(project: Path) -> None:
    """Each line gets the spans of its text; a broken line and one without text are named, and the rest goes on."""
    lines: list[Any] = [
        {"id": "a", "text": f"é {AWS}", "extra": 1},
        {"id": 2, "text": "", "path": "x.py"},
        {"id": 3},
        {"id": 4, "text": "jane@acme-corp.io"},
    ]
    given = "\n".join([json.dumps(lines[0]), "{broken", *map(json.dumps, lines[1:])])
    done = subprocess.run(
        [sys.executable, "-m", "aqe.server.cli", "privacy", "scan", "--jsonl", "--project", str(project)],
        input=given.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert answers[0] == {"id": "a", "spans": [[2, 22, "aws-access-token"]]}
    assert (answers[1]["error"]["code"], answers[1]["line"]) == ("bad-line", 2)
    assert answers[2] == {"id": 2, "spans": []}
    assert answers[3]["error"]["code"] == "bad-text"
    assert answers[4] == {"id": 4, "spans": [[0, 17, "email"]]}
    assert done.returncode == 1


def test_consent_is_given_listed_and_taken_back(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A consent stands until it is revoked, and each change is in the audit log, which verifies."""
    where = ("--project", str(project))
    _run(capsys, "consent", "grant", "openai", "--purpose", "query", *where)
    out, _ = _run(capsys, "consent", "list", *where)
    assert out.startswith("openai  query  since ")
    _run(capsys, "consent", "revoke", "openai", *where)
    assert _run(capsys, "consent", "list", *where)[0] == ""
    out, _ = _run(capsys, "audit", *where)
    assert [line.split("  ")[2] for line in out.splitlines()] == ["consent-granted", "consent-revoked"]
    out, _ = _run(capsys, "verify", *where)
    assert out.startswith("intact: 2 entries, head 2:")


def test_broken_log_is_told_with_exit_1(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cut log exits 1 with the code; the head printed before finds a cut that mended the head."""
    where = ("--project", str(project))
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
