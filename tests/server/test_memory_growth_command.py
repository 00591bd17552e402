"""`aqe memory add --ttl`, `pin`, `unpin`, `merge` and `prune` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aqe.server.cli import main

OLD = "Nightly exports of the order table are written to the archive bucket by the warehouse job"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that is a project."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    return tmp_path


def _aqe(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    assert main(["memory", *arguments, "--json", "--project", str(project)]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_merge_shows_then_does_and_takes_back(
    project: Path, capsys: pytest.CaptureFixture[str], repository: Path
) -> None:
    """A dry run names the pair and changes nothing; the merge leaves one, the log says so, --undo brings it back."""
    schema = json.loads((repository / "docs" / "schemas" / "memory-merge.json").read_text(encoding="utf-8"))
    old = _aqe(project, capsys, "add", OLD)["id"]
    new = _aqe(project, capsys, "add", f"Note: {OLD}.")["id"]
    plan = _aqe(project, capsys, "merge", "--dry-run")
    assert (plan["merged"], [(one["id"], one["into"]) for one in plan["found"]]) == (0, [(old, new)])
    done = _aqe(project, capsys, "merge")
    assert done["merged"] == 1
    assert [one["id"] for one in _aqe(project, capsys, "list")["memories"]] == [new]
    log = _aqe(project, capsys, "merge", "--log")
    assert [(one["what"], one["id"]) for one in log["entries"]] == [("merged", old)]
    assert _aqe(project, capsys, "merge", "--log", "-n", "default")["entries"] == log["entries"]
    assert _aqe(project, capsys, "merge", "--log", "-n", "other/")["entries"] == []
    assert main(["memory", "merge", "--log", "-n", "other/", "--project", str(project)]) == 0
    assert capsys.readouterr().err == "Nothing was merged, pruned or ended yet.\n"
    back = _aqe(project, capsys, "merge", "--undo", old)
    assert back["revision"] == 2
    assert len(_aqe(project, capsys, "list")["memories"]) == 2
    for answer in (plan, done, log, back):
        jsonschema.validate(answer, schema)


@pytest.mark.services
def test_prune_spares_what_is_pinned(project: Path, capsys: pytest.CaptureFixture[str], repository: Path) -> None:
    """With room for one the pinned memory stays; a dry run says what would go and why."""
    schema = json.loads((repository / "docs" / "schemas" / "memory-prune.json").read_text(encoding="utf-8"))
    first = _aqe(project, capsys, "add", "the first fact")["id"]
    second = _aqe(project, capsys, "add", "quite another matter")["id"]
    assert _aqe(project, capsys, "pin", first)["changed"]
    plan = _aqe(project, capsys, "prune", "--keep", "1", "--dry-run")
    assert ([one["id"] for one in plan["goes"]], plan["pruned"]) == ([second], 0)
    done = _aqe(project, capsys, "prune", "--keep", "1")
    assert done["pruned"] == 1
    assert [one["id"] for one in _aqe(project, capsys, "list")["memories"]] == [first]
    assert not _aqe(project, capsys, "unpin", first)["pinned"]
    for answer in (plan, done):
        jsonschema.validate(answer, schema)


def test_ttl_is_shown_and_refused_when_it_is_none(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A memory with a time to live shows its end; a time that is none is the user's mistake."""
    id = _aqe(project, capsys, "add", "the token of today", "--ttl", "12h")["id"]
    shown = _aqe(project, capsys, "get", id)
    assert shown["expires_at"] > shown["created_at"]
    assert _aqe(project, capsys, "add", "x", "--ttl", "soon", status=2)["error"]["code"] == "bad-ttl"


def test_a_copy_of_what_was_searched_before_is_not_stored(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From one command to the next: what a search showed and somebody adds again is answered with its id."""
    id = _aqe(project, capsys, "add", OLD)["id"]
    assert _aqe(project, capsys, "search", "nightly exports")["hits"][0]["id"] == id
    again = _aqe(project, capsys, "add", f"Remember: {OLD.lower()}")
    assert (again["id"], again["existed"], again["recalled"]) == (id, True, True)


def test_a_stale_memory_says_so_in_words(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """List and search mark a memory whose file changed since."""
    (project / "shop.py").write_text("RATE = 3\n")
    _aqe(project, capsys, "add", "the rate is three", "--file", "shop.py")
    (project / "shop.py").write_text("RATE = 4\n")
    for arguments in (["list"], ["search", "rate"]):
        assert main(["memory", *arguments, "--project", str(project)]) == 0
        assert "the rate is three (stale)" in capsys.readouterr().out


@pytest.mark.services
def test_unknown_ids_are_one_sentence(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pinning or bringing back what never was is the user's mistake."""
    _aqe(project, capsys, "add", "a fact")
    for arguments in (["pin", "nobody"], ["unpin", "nobody"], ["merge", "--undo", "nobody"]):
        assert _aqe(project, capsys, *arguments, status=2)["error"]["code"] == "unknown-id"


@pytest.mark.services
def test_tiers_are_shown_and_moved(project: Path, capsys: pytest.CaptureFixture[str], repository: Path) -> None:
    """The figures add up to what is remembered, before and after a move."""
    schema = json.loads((repository / "docs" / "schemas" / "memory-tiers.json").read_text(encoding="utf-8"))
    for number in range(4):
        _aqe(project, capsys, "add", f"fact {number} of four about thing{number}")
    before = _aqe(project, capsys, "tiers")
    assert [(one["name"], one["memories"]) for one in before["tiers"]] == [
        ("hot", 4),
        ("warm", 0),
        ("int8", 0),
        ("cold", 0),
    ]
    after = _aqe(project, capsys, "tiers", "--move", "--compact")
    assert [one["memories"] for one in after["tiers"]] == [1, 1, 2, 0]
    assert after["moved"] == {"hot": 0, "warm": 1, "int8": 2, "cold": 0}
    assert _aqe(project, capsys, "search", "thing0")["hits"][0]["text"].startswith("fact 0")
    for answer in (before, after):
        jsonschema.validate(answer, schema)


def test_a_text_that_is_there_says_what_it_took_over(
    project: Path, capsys: pytest.CaptureFixture[str], repository: Path
) -> None:
    """Adding a text again tells that it was there, what it took over and when it ends; update puts its end off or takes
    it away; with --jsonl the lines say the same."""
    add = json.loads((repository / "docs" / "schemas" / "memory-add.json").read_text(encoding="utf-8"))
    update = json.loads((repository / "docs" / "schemas" / "memory-update.json").read_text(encoding="utf-8"))
    (project / "a.py").write_text("pass\n")
    place = ("--project", str(project))
    first = _aqe(project, capsys, "add", "the token of today", "--ttl", "1h")
    again = _aqe(project, capsys, "add", "the token of today", "--file", "a.py", "--line", "1", "--ttl", "2h")
    assert (again["id"], again["existed"], again["namespace"]) == (first["id"], True, "default")
    assert again["joined"] == ["provenance", "expires_at"]
    assert main(["memory", "add", "the token of today", *place]) == 0
    told = capsys.readouterr().err
    assert told.startswith("It was kept already. It ends at 2")
    longer = _aqe(project, capsys, "update", first["id"], "--ttl", "30d")
    assert longer["expires_at"] > again["expires_at"]
    forever = _aqe(project, capsys, "update", first["id"], "--ttl", "never")
    assert (forever["revision"], forever["expires_at"]) == (2, None)
    kept = _aqe(project, capsys, "add", "the token of today", "--ttl", "1s")
    assert (kept["joined"], kept["kept_end"], "expires_at" in kept) == ([], True, False)
    assert _aqe(project, capsys, "add", "x", "--line", "1", status=2)["error"]["code"] == "bad-provenance"
    for answer, schema in ((first, add), (again, add), (kept, add), (longer, update)):
        jsonschema.validate(answer, schema)


def test_the_end_that_a_text_keeps_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Adding a text again says that its memory has no end and how to set one, that its own end is later, or that it was
    taken away; update says that there is none."""
    place = ("--project", str(project))

    def told(*words: str) -> str:
        assert main(["memory", *words, *place]) == 0
        return "".join(capsys.readouterr())

    id = told("add", "the token of today", "-n", "notes", "--ttl", "never").strip()
    again = told("add", "the token of today", "-n", "notes", "--ttl", "1s")
    sets = f"`aqe memory update {id} -n notes --ttl TIME` sets one."
    assert again == f"{id}\nIt was kept already. It has no end and keeps none; {sets}\n"
    assert " and ends at 2" in told("update", id, "-n", "notes", "--ttl", "30d")
    assert "Its own end is later and stays: 2" in told("add", "the token of today", "-n", "notes", "--ttl", "5d")
    assert told("add", "the token of today", "-n", "notes", "--ttl", "Never").endswith("Its end was taken away.\n")
    assert told("update", id, "-n", "notes", "--ttl", "never") == f"{id} is at revision 1 and has no end\n"
    assert " is at revision 2 and ends at 2" in told("update", id, "a newer token", "-n", "notes", "--ttl", "1d")
    assert (
        told("update", id, "the newest", "-n", "notes", "--ttl", "never") == f"{id} is at revision 3 and has no end\n"
    )
    nonsense = _aqe(project, capsys, "add", "x", "--ttl", "soon", status=2)["error"]
    assert "or never." in nonsense["fix"]
