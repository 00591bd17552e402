"""`aqe knowledge`, `aqe feedback` and `aqe info` as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

Run = Callable[..., tuple[int, str, str]]
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in an empty project, in this process; gives exit status, stdout and stderr."""
    return in_process


def test_list_shows_what_is_shipped_and_writes_nothing(aqe: Run) -> None:
    """In a fresh project the shipped entries are listed by namespace, and no `.aqe` appears."""
    status, out, err = aqe("knowledge", "list", "-n", "smells")
    assert status == 0
    assert out.startswith("knowledge/smells\n")
    assert "sleepy-test" in out
    assert int(err.split()[0]) >= 20
    assert not Path(".aqe").exists()


def test_entry_is_shown_with_its_source(aqe: Run) -> None:
    """One entry is shown whole, with where to read on."""
    status, out, _ = aqe("knowledge", "show", "hash-seed")
    assert status == 0
    assert "PYTHONHASHSEED" in out
    assert "Source: Python documentation" in out
    assert aqe("knowledge", "show", "no-such")[0] == 2
    shown = json.loads(aqe("knowledge", "show", "hash-seed", "--json")[1])
    jsonschema.validate(shown, json.loads((SCHEMAS / "knowledge-show.json").read_text(encoding="utf-8")))
    assert [entry["id"] for entry in shown["entries"]] == ["hash-seed"]
    assert "PYTHONHASHSEED" in shown["entries"][0]["text"]


def test_entries_are_added_removed_and_put_back(aqe: Run) -> None:
    """An own entry is listed as such; a removed one is gone until it is put back."""
    status, out, _ = aqe("knowledge", "add", "Use the fake clock.", "--title", "Our clock", "-n", "quality", "--json")
    assert (status, len(json.loads(out)["added"])) == (0, 1)
    assert "(your own)" in aqe("knowledge", "list", "-n", "quality")[1]
    assert aqe("knowledge", "remove", "sleepy-test")[1] == "sleepy-test\n"
    assert "sleepy-test" not in aqe("knowledge", "list")[1]
    assert aqe("knowledge", "add", "--starter", "sleepy-test")[1] == "sleepy-test\n"
    assert "sleepy-test" in aqe("knowledge", "list")[1]


def test_removing_says_what_it_needs(aqe: Run) -> None:
    """Without ids and without --all nothing is removed."""
    status, _, err = aqe("knowledge", "remove")
    assert (status, "Give ids, or --all." in err) == (2, True)
    assert len(json.loads(aqe("knowledge", "remove", "--all", "-n", "flaky", "--json")[1])["removed"]) >= 20


def test_feedback_on_an_answer_is_kept(aqe: Run) -> None:
    """An answer's request id takes a rating; an unknown id and an empty feedback are refused by their codes."""
    Path("README.md").write_text("# Parcels\n\nA parcel of 400 grams costs 390 cents.\n")
    answer = json.loads(aqe("query", "What does a parcel of 400 grams cost?", "--json")[1])
    status, out, _ = aqe("feedback", answer["request_id"], "--rating", "5", "--json")
    assert (status, json.loads(out)["success"]) == (0, 1.0)
    assert "[unknown-request]" in aqe("feedback", "nil", "--rating", "5")[2]
    assert "[bad-feedback]" in aqe("feedback", answer["request_id"])[2]
    status, out, _ = aqe("feedback", answer["request_id"], "--correction", "It costs 395 cents since May.")
    assert (status, "is remembered as" in out) == (0, True)


def test_feedback_moves_the_search(aqe: Run) -> None:
    """A memory under an answer that went badly scores lower in `aqe memory search`, until learning is switched off."""
    settings = Path("pyproject.toml")
    settings.write_text("[tool.aqe.learning]\nmin_marks = 1\n")
    for name in ("north", "south"):
        aqe("memory", "add", f"The {name} warehouse packs parcels at night.", "--id", name)
    answer = json.loads(aqe("query", "Which warehouse packs parcels at night?", "--json")[1])
    used = [id for _, id in answer["context"]]
    assert {"north", "south"} <= set(used)
    assert aqe("feedback", answer["request_id"], "--rating", "1")[0] == 0
    found = json.loads(aqe("memory", "search", "parcels at night", "--json")[1])["hits"]
    assert {hit["id"]: hit["prior"] < 0 for hit in found} == {"north": True, "south": True}
    assert "feedback -0." in aqe("memory", "search", "parcels at night")[1]
    settings.write_text("[tool.aqe.learning]\nmin_marks = 1\nenabled = false\n")
    found = json.loads(aqe("memory", "search", "parcels at night", "--json")[1])["hits"]
    assert {hit["prior"] for hit in found} == {0.0}


def test_info_tells_what_is_installed_and_where(aqe: Run) -> None:
    """Versions, paths, kernels and the embedder are told; nothing is written."""
    shown = json.loads(aqe("info", "--json")[1])
    assert shown["embedder"]["dimension"] == 384
    assert shown["embedder"]["error"] == ""
    assert shown["project"].endswith("project")
    assert not shown["store_exists"]
    assert "kernels" in aqe("info")[1]
    assert not Path(".aqe").exists()
