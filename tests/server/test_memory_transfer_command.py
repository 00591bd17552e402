"""`aqe memory export` and `import`, and `--as-of`, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in an empty project, in this process; gives exit status, stdout and stderr."""
    return in_process


@pytest.mark.parametrize("name", ["out.jsonl", "out.md", "out.aqe"])
def test_what_was_exported_is_imported_after_it_is_gone(aqe: Run, tmp_path: Path, name: str) -> None:
    """A memory that was erased comes back from each kind of file and is found by its words."""
    file = str(tmp_path / name)
    aqe("memory", "add", "prices round half up", "--id", "rule")
    status, out, _ = aqe("memory", "export", file)
    assert status == 0
    assert out.startswith(f"{file}: 1 ")
    aqe("memory", "delete", "rule", "--erase")
    assert aqe("memory", "import", file)[1].endswith(": 1 added\n")
    assert aqe("memory", "import", file)[1].endswith(": 1 there already\n")
    assert "prices round half up" in aqe("memory", "search", "rounding prices")[1]


@pytest.mark.parametrize("name", ["out.jsonl", "out.md", "out.aqe"])
def test_what_has_ended_is_found_by_meaning_as_of_then_after_a_round_trip(aqe: Run, tmp_path: Path, name: str) -> None:
    """A revised and a deleted memory that went through a file are found in the past by meaning alone, as before, and
    are written out again as they were; importing once more embeds nothing."""
    aqe("memory", "add", "the bell keeper hides the key of the tower", "--id", "bell")
    aqe("memory", "add", "tea is served at four in the afternoon", "--id", "tea")
    then = json.loads(aqe("memory", "get", "tea", "--json")[1])["valid_from"]
    aqe("memory", "update", "bell", "nobody is there any more")
    aqe("memory", "delete", "tea")

    def past() -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        for query in ("ringing guardian", "drink"):
            hits = json.loads(aqe("memory", "search", query, "--as-of", then, "--json")[1])["hits"]
            found += [(hit["text"], round(hit["vector_score"], 3)) for hit in hits]
        return found

    def lines() -> list[str]:
        written = aqe("memory", "export", "-", "--history")[1].splitlines()[1:]
        return sorted(written)

    before, exported, file = past(), lines(), str(tmp_path / name)
    assert {text for text, _ in before} >= {"the bell keeper hides the key of the tower"}
    aqe("memory", "export", file, *(() if name == "out.aqe" else ("--history",)))
    for id in ("bell", "tea"):
        aqe("memory", "delete", id, "--erase")
    assert past() == []
    aqe("memory", "import", file)
    assert (past(), lines()) == (before, exported)
    assert json.loads(aqe("memory", "import", file, "--json")[1])["embedded"] == 0
    assert aqe("memory", "verify")[0] == 0


def test_export_to_stdout_is_json_lines(aqe: Run) -> None:
    """`-` writes one JSON object a line, so that it goes through a pipe."""
    aqe("memory", "add", "one")
    lines = [json.loads(line) for line in aqe("memory", "export", "-")[1].splitlines()]
    assert [line.get("text") for line in lines] == [None, "one"]


def test_the_json_reports_of_both(aqe: Run, tmp_path: Path) -> None:
    """--json tells what was written and what was taken in, with a vector for each memory."""
    file, vectors = str(tmp_path / "a.jsonl"), str(tmp_path / "a.safetensors")
    aqe("memory", "add", "one", "--id", "1")
    out = json.loads(aqe("memory", "export", file, "--vectors", vectors, "--json")[1])
    assert (out["schema"], out["memories"], out["vectors"]) == ("aqe.memory-export/1", 1, 1)
    aqe("memory", "delete", "1", "--erase")
    told = json.loads(aqe("memory", "import", file, "--vectors", vectors, "--json", "--dry-run")[1])
    assert (told["added"], told["dry_run"], told["embedded"]) == (1, True, 0)
    told = json.loads(aqe("memory", "import", file, "--json")[1])
    assert (told["schema"], told["added"], told["embedded"]) == ("aqe.memory-import/1", 1, 1)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("export", "out.csv"), "unknown-format"),
        (("export", "out.jsonl", "--format", "xml"), "unknown-format"),
        (("export", "out.aqe", "--since", "1d"), "bad-argument"),
        (("export", "out.md", "--vectors", "v.safetensors"), "bad-argument"),
        (("export", "no/such/folder/out.jsonl"), "bad-output"),
        (("export", "-", "--json"), "bad-argument"),
        (("export", "out.jsonl", "--as-of", "soon"), "bad-moment"),
        (("import", "nope.jsonl"), "no-such-path"),
        (("import", "pyproject.toml", "--format", "csv"), "unknown-format"),
        (("import", "nope", "--conflict", "merge"), "bad-argument"),
        (("import", "nope", "--format", "state", "-n", "x"), "bad-argument"),
        (("get", "x", "--as-of", "1d", "--history"), "bad-argument"),
        (("search", "x", "--as-of", "1d", "--jsonl"), "bad-argument"),
    ],
)
def test_bad_arguments(aqe: Run, words: tuple[str, ...], code: str) -> None:
    """Each is refused with its code and exit status 2."""
    status, _, err = aqe("memory", *words)
    assert (status, f"[{code}]" in err) == (2, True), err


def test_import_of_standard_input_says_that_it_reads_files(aqe: Run) -> None:
    """What export writes to stdout is not read from stdin, and the answer says what to do."""
    status, _, err = aqe("memory", "import", "-")
    assert (status, err) == (
        2,
        "An import reads a file, and not standard input. Write it to a file first. [bad-argument]\n",
    )


def test_as_of_shows_the_memory_of_that_moment(aqe: Run) -> None:
    """get, list and search answer for a moment before the memory was changed."""
    aqe("memory", "add", "prices round half up", "--id", "rule")
    before = json.loads(aqe("memory", "get", "rule", "--json")[1])["valid_from"]
    aqe("memory", "update", "rule", "prices round half even")
    for words in (("get", "rule"), ("list",), ("search", "prices")):
        assert "half even" in aqe("memory", *words)[1]
        assert "half up" in aqe("memory", *words, "--as-of", before)[1]
    assert aqe("memory", "get", "rule", "--as-of", "2020-01-01")[0] == 2
    assert aqe("memory", "list", "--as-of", "2020-01-01")[1] == ""


def test_a_file_that_is_there_is_written_over_only_by_force(aqe: Run, tmp_path: Path) -> None:
    """Nobody's file goes by accident; through a link the file that it means is written."""
    file, link = tmp_path / "notes.md", tmp_path / "link.md"
    file.write_text("mine")
    link.symlink_to(file)
    aqe("memory", "add", "one")
    for target in (file, link):
        status, _, err = aqe("memory", "export", str(target))
        assert (status, "[bad-output]" in err, file.read_text()) == (2, True, "mine")
    assert aqe("memory", "export", str(link), "--force")[0] == 0
    assert link.is_symlink()
    assert "one" in file.read_text()


def test_an_edge_whose_memory_is_not_here_is_told(aqe: Run, tmp_path: Path) -> None:
    """It is neither added nor called there."""
    file = str(tmp_path / "all.aqe")
    for id in ("a", "b"):
        aqe("memory", "add", id, "--id", id)
    aqe("memory", "link", "a", "b", "--kind", "similar")
    aqe("memory", "export", file)
    aqe("memory", "delete", "b")
    status, out, err = aqe("memory", "import", file)
    assert status == 0
    assert "edges" not in out
    assert "left out: 1 edge: a memory that they join is not here" in err


def test_what_was_deleted_here_is_told_and_comes_back_by_the_command_that_is_named(aqe: Run, tmp_path: Path) -> None:
    """An import leaves a deleted memory deleted, says so with the command that brings it back, and that one does."""
    file = str(tmp_path / "mem.jsonl")
    aqe("memory", "add", "prices round half up", "--id", "rule", "-n", "shop")
    aqe("memory", "add", "dates are UTC", "--id", "dates")
    aqe("memory", "export", file)
    aqe("memory", "delete", "rule", "-n", "shop")
    for words in ((), ("--conflict", "take"), ("--dry-run",)):
        first, second = aqe("memory", "import", file, *words)[1].splitlines()
        assert first == "2 memories of jsonl: 2 there already"
        assert second.startswith("1 of them has ended here (deleted, ")
        assert second.endswith("; `aqe memory merge --undo rule -n shop` brings it back")
        assert "rule" not in aqe("memory", "list")[1]
    told = json.loads(aqe("memory", "import", file, "--json")[1])
    assert (told["same"], told["ended"], told["ended_named"]) == (2, 1, ["shop: rule"])
    assert aqe("memory", "merge", "--undo", "rule", "-n", "shop")[0] == 0
    assert "prices round half up" in aqe("memory", "list")[1]
    assert aqe("memory", "import", file)[1] == "2 memories of jsonl: 2 there already\n"


def test_each_of_several_that_were_deleted_is_named(aqe: Run, tmp_path: Path) -> None:
    """One that differs in the file is among them, also in a whole state; what had ended when it was written is not."""
    texts = {"a": "prices round half up", "b": "dates are UTC", "c": "carts are kept for a day"}
    for id, text in texts.items():
        aqe("memory", "add", text, "--id", id)
    aqe("memory", "delete", "c")
    for name in ("all.aqe", "some.jsonl"):
        aqe("memory", "export", str(tmp_path / name), *(("--history",) if name.endswith("l") else ()))
    aqe("memory", "update", "a", "prices round half even")
    for id in ("a", "b"):
        aqe("memory", "delete", id)
    for name in ("all.aqe", "some.jsonl"):
        out = aqe("memory", "import", str(tmp_path / name))[1]
        assert "\n2 of them have ended here" in out
        assert "ended here: default: a\nended here: default: b\n" in out
        assert "default: c" not in out
