"""What `aqe memory` takes from its options where lines come on stdin, and what it says of odd ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in an empty project, in this process; gives exit status, stdout and stderr."""
    return in_process


def _objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_options_are_for_the_lines_that_leave_them_out(aqe: Run) -> None:
    """With --jsonl namespace, metadata, file, line, run and ttl of the options are every line's, unless it has its own;
    a search's namespace and metadata are too."""
    Path("a.py").write_text("pass\n")
    options = ("-n", "notes", "-m", "by=me", "-m", "n=1", "--file", "a.py", "--line", "3", "--run", "r1", "--ttl", "2h")
    lines = '{"text": "carts expire"}\n{"text": "tax is 19 %", "namespace": "own", "metadata": {"n": 2}, "run": "r2"}\n'
    status, _, _ = aqe("memory", "add", "--jsonl", *options, stdin=lines)
    assert status == 0
    kept = {one["namespace"]: one for one in json.loads(aqe("memory", "list", "--json")[1])["memories"]}
    assert kept["notes"]["metadata"] == {"by": "me", "n": 1}
    assert kept["own"]["metadata"] == {"by": "me", "n": 2}
    where = [(one["provenance"]["file"], one["provenance"]["line"]) for one in kept.values()]
    assert where == [("a.py", 3), ("a.py", 3)]
    assert (kept["notes"]["provenance"]["run"], kept["own"]["provenance"]["run"]) == ("r1", "r2")
    assert all(one["expires_at"] for one in kept.values())
    asked = '{"query": "carts tax"}\n{"query": "carts tax", "namespace": "notes"}\n'
    _, out, _ = aqe("memory", "search", "--jsonl", "-n", "own", stdin=asked)
    assert [[hit["namespace"] for hit in one["hits"]] for one in _objects(out)] == [["own"], ["notes"]]
    _, out, _ = aqe("memory", "search", "--jsonl", "-m", "n=2", stdin='{"query": "carts tax"}')
    assert [hit["text"] for hit in _objects(out)[0]["hits"]] == ["tax is 19 %"]


def test_a_mark_at_the_start_is_no_part_of_a_line(aqe: Run) -> None:
    """A file that an editor began with a byte order mark is read as it was meant."""
    status, _, _ = aqe("memory", "add", "--jsonl", stdin='\ufeff{"text": "carts expire"}\n')
    assert status == 0


def test_lines_that_arrive_together_are_kept_and_refused_one_by_one(aqe: Run) -> None:
    """Of many lines at once each has its answer in its place: a wrong or a blank one its error with its
    number, as an editor counts, an equal text the id that it has, and all others are kept."""
    texts = [f"the cart {at} expires" for at in range(150)]
    lines = [json.dumps({"text": text}) for text in (*texts, texts[3])]
    lines[70:70] = ["", '{"text": ""}']
    status, out, _ = aqe("memory", "add", "--jsonl", stdin="\n".join(lines))
    told = _objects(out)
    refused = [told.pop(70), told.pop(70)]
    assert status == 1
    assert [(one["line"], one["error"]["code"]) for one in refused] == [(71, "bad-line"), (72, "bad-text")]
    assert told[-1] == {"id": told[3]["id"], "namespace": "default", "existed": True, "joined": []}
    kept = json.loads(aqe("memory", "list", "--json", "--limit", "999")[1])["memories"]
    assert {one["id"]: one["text"] for one in kept} == {
        one["id"]: text for one, text in zip(told[:-1], texts, strict=True)
    }


def test_blank_lines_at_the_end_are_none(aqe: Run) -> None:
    """Line ends after the last line ask for nothing, and fail nothing."""
    status, out, _ = aqe("memory", "add", "--jsonl", stdin='{"text": "carts expire"}\n\n \n\n')
    assert (status, len(_objects(out))) == (0, 1)


def test_a_refused_line_keeps_its_id(aqe: Run) -> None:
    """An error has the id of its line, whatever that is, where the line can be read; a number that is none is told."""
    lines = ['{"id": "a", "query": ""}', '{"id": 7, "query": 5}', '{"query": ""}', '{"id": 1e999, "query": "x"}', "{"]
    told = _objects(aqe("memory", "search", "--jsonl", stdin="\n".join(lines))[1])
    assert [(one.get("id"), one["error"]["code"]) for one in told] == [
        ("a", "bad-query"),
        (7, "bad-query"),
        (None, "bad-query"),
        (None, "bad-id"),
        (None, "bad-line"),
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["add", "a text", "--jsonl"], "bad-argument", "A TEXT does not go with --jsonl."),
        (["add", "--jsonl", "--id", "mine"], "bad-argument", "--id does not go with --jsonl."),
        (["add", "--jsonl", "--ttl", "30"], "bad-ttl", "'30' is no time to keep a memory for."),
        (["add", "x", "--ttl", "30"], "bad-ttl", "with its unit"),
        (["search", "words", "--jsonl"], "bad-argument", "A QUERY does not go with --jsonl."),
        (["search", ""], "bad-query", "There is nothing to look for."),
        (["search", " "], "bad-query", "There is nothing to look for."),
        (["prune", "-n", "notes", "--keep", "1"], "bad-argument", "--namespace goes with --undo and --log alone"),
        (["prune", "--max-mb", "inf", "--dry-run"], "bad-limit", "inf is no size"),
        (["prune", "-n", "notes", "--dry-run"], "bad-argument", "--namespace goes with --undo and --log alone"),
    ],
)
def test_what_would_be_left_unheard_is_refused(aqe: Run, words: list[str], code: str, said: str) -> None:
    """An option or a text that a command would not follow is one sentence, and nothing is kept or ended."""
    status, out, err = aqe("memory", *words, stdin='{"text": "a line", "query": "a line"}')
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert err.endswith(f"[{code}]\n")
    assert not Path(".aqe/aqe.db").exists()


@pytest.mark.parametrize(
    ("verb", "key", "code"), [("add", "'text'", "bad-text"), ("search", "'query' nor 'vector'", "bad-query")]
)
def test_a_line_without_its_key_is_told_which(aqe: Run, verb: str, key: str, code: str) -> None:
    """The answer to a line that lacks what the command needs names the key."""
    status, out, _ = aqe("memory", verb, "--jsonl", stdin='{"nope": 1}')
    error = _objects(out)[0]["error"]
    assert (status, error["code"], key in error["message"]) == (1, code, True)


def test_a_line_that_cannot_be_read_is_told_why(aqe: Run) -> None:
    """A line that is no UTF-8 is told with its byte, one without end in its brackets with its depth, and one without
    a text for a vector with its key; the lines after them are answered."""
    lines = b'{"text": "caf\xe9"}\n' + b"[" * 100_000 + b'\n{"id": 1}\n{"text": "fine"}\n'
    status, out, _ = aqe("embed", "--jsonl", stdin=lines)
    first, second, third, fine = map(json.loads, out.splitlines())
    assert first["error"]["message"] == "The line is not UTF-8: byte 0xe9 at offset 13."
    assert second["error"]["message"] == "The line is not JSON: it is nested too deeply."
    assert third["error"]["message"] == "The line has no key 'text'."
    assert (status, len(fine["vector"])) == (1, 384)


def test_a_file_that_is_not_there_is_warned_of(aqe: Run) -> None:
    """A memory about a file that the project does not have is kept with a warning, in every form; others have none."""
    Path("there.py").write_text("pass\n")
    status, _, err = aqe("memory", "add", "one", "--file", "nofile.py")
    assert (status, "no file 'nofile.py'" in err, err.count("\n")) == (0, True, 1)
    shown = json.loads(aqe("memory", "add", "two", "--file", "nofile.py", "--json")[1])
    assert "nofile.py" in shown["warning"]
    (line,) = _objects(aqe("memory", "add", "--jsonl", stdin='{"text": "three", "file": "nofile.py"}')[1])
    assert "nofile.py" in line["warning"]
    assert aqe("memory", "add", "four", "--file", "there.py")[2] == ""


def test_a_file_is_named_as_seen_from_the_folder_one_is_in(aqe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of the project its own file is meant, and another of the project where it has none of that name."""
    root = Path.cwd()
    (root / "sub").mkdir()
    for name in ("b.txt", "sub/b.txt", "only.txt"):
        (root / name).write_text(name)
    monkeypatch.chdir(root / "sub")
    told = {name: aqe("memory", "add", name, "--file", name, "--json") for name in ("b.txt", "../b.txt", "only.txt")}
    ids = {name: json.loads(out)["id"] for name, (_, out, _) in told.items()}
    kept = {name: json.loads(aqe("memory", "get", id, "--json")[1]) for name, id in ids.items()}
    files = {name: one["provenance"]["file"] for name, one in kept.items()}
    assert files == {"b.txt": "sub/b.txt", "../b.txt": "b.txt", "only.txt": "only.txt"}


def test_a_memory_of_later_did_not_exist_then(aqe: Run) -> None:
    """`get --as-of` before a memory was kept says so, and since when it is there."""
    aqe("memory", "add", "Dates are UTC", "--id", "dates")
    status, _, err = aqe("memory", "get", "dates", "--as-of", "2020-01-01")
    assert (status, err.endswith("[unknown-id]\n")) == (2, True)
    assert "There was no memory 'dates' in namespace 'default' then. It was first kept at 20" in err
    assert "There is no memory 'none'" in aqe("memory", "get", "none", "--as-of", "2020-01-01")[2]


def test_explanation_adds_up(aqe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What --explain prints is a sum that adds up and the place that the score is, and the part of memory.rank; an
    order that is infinite is refused."""
    for text in ("cart cart voucher", "the cart of a customer with many words around it", "a voucher for nobody"):
        aqe("memory", "add", text)
    first, told = aqe("memory", "search", "cart voucher", "--explain")[1].splitlines()[:2]
    whole, parts = told.split("=", 1)[0], told.split("=", 1)[1].partition(", which")[0]
    factors = [part.split("(")[0].split(" x ") for part in parts.split(" + ")]
    assert float(whole) == pytest.approx(sum(float(a) * float(b) for a, b in factors), abs=0.02)
    assert first.startswith("1.00 ")
    assert "which is 1.00 of the way from the worst to the best of 3" in told
    monkeypatch.setenv("AQE_MEMORY_RANK", "similarity * 0.5")
    ranked = aqe("memory", "search", "cart voucher", "--explain")[1].splitlines()
    assert ranked[0].startswith("0.50 ")
    assert "which is 1.00 of the way" in ranked[1]
    assert "and 0.5 by memory.rank (similarity * 0.5)" in ranked[1]
    monkeypatch.setenv("AQE_MEMORY_RANK", "1 / 0 * similarity")
    status, out, said = aqe("memory", "search", "cart voucher")
    assert (status, out, "1 / 0 * similarity" in said) == (2, "", True)


_ALL_KEYS = {
    "memory add": {"text": "t", "namespace": "n", "id": "i", "metadata": {}, "vector": [1.0], "embedder_id": "e"}
    | {"file": "a.py", "line": 1, "commit": "c", "run": "r", "ttl": "1d"},
    "memory search": {"query": "q", "vector": [1.0], "id": "i", "k": 1, "namespace": "n", "filter": {}}
    | {"embedder_id": "e"},
    "embed": {"text": "t", "id": "i"},
    "route": {"prompt": "p", "id": "i"},
    "privacy scan": {"text": "t", "id": "i", "path": "a.py"},
}


@pytest.mark.parametrize("command", _ALL_KEYS)
def test_a_key_that_nothing_reads_is_told_of_once(aqe: Run, command: str) -> None:
    """A line with a key that its command does not read is answered as without it; the first line with it is named on
    stderr, with the key that may be meant, and the summary counts all. No key that is read is told of."""
    aqe("memory", "add", "--jsonl", stdin='{"text": "a memory", "vector": [1.0], "embedder_id": "e"}')
    first = _ALL_KEYS[command]
    own = {name: value for name, value in first.items() if name in ("text", "query", "prompt")}
    meant = max(first)
    more = {**own, "label": 1, f"{meant}s": 2}
    status, out, err = aqe(*command.split(), "--jsonl", stdin="\n".join(map(json.dumps, (first, more, more))))
    told = json.loads(Path(f".aqe/results/{command.replace(' ', '-')}.json").read_text(encoding="utf-8"))
    _, plain, quiet = aqe(*command.split(), "--jsonl", stdin=json.dumps(own))
    assert status == 0
    assert _objects(out)[-1].keys() == _objects(plain)[0].keys()
    said = [line for line in err.splitlines() if "ignored" in line]
    named = f"line 2: the key '{meant}s' is ignored; {meant!r} is read"
    assert said == ["line 2: the key 'label' is ignored", named]
    assert "ignored" not in quiet
    assert [tuple(one.values()) for one in told["ignored_keys"]] == [("label", 2, 2, ""), (f"{meant}s", 2, 2, meant)]


def test_keys_without_end_are_told_of_up_to_twenty(aqe: Run) -> None:
    """Lines whose keys are data end in one warning more than twenty, and a key of any signs harms nothing."""
    lines = "\n".join(json.dumps({"text": f"cart {at}", f"\ud800\n{at}": 1}) for at in range(50))
    status, out, err = aqe("memory", "add", "--jsonl", stdin=lines)
    assert (status, len(_objects(out))) == (0, 50)
    said = [line for line in err.splitlines() if "ignored" in line]
    assert len(said) == 21
    assert said[0] == r"line 1: the key '\ud800\n0' is ignored"
    assert said[20] == r"line 21: further keys are ignored, the first is '\ud800\n20'"
    assert len(json.loads(Path(".aqe/results/memory-add.json").read_text(encoding="utf-8"))["ignored_keys"]) == 20


@pytest.mark.parametrize("form", ["jsonl", "md"])
def test_an_import_names_mistyped_keys_of_what_aqe_wrote(aqe: Run, form: str) -> None:
    """An edited file of aqe's own form is taken in without the keys that are none of it, and each of them is named."""
    aqe("memory", "add", "cart", "--id", "x", "-m", "a=1")
    aqe("memory", "export", f"out.{form}")
    file = Path(f"out.{form}")
    text = file.read_text(encoding="utf-8")
    number = 1 + text[: text.index('"metadata"')].count("\n")
    file.write_text(text.replace('"metadata"', '"metadta"'), encoding="utf-8")
    aqe("memory", "delete", "x", "--erase")
    status, _, err = aqe("memory", "import", f"out.{form}")
    assert status == 0
    assert err.splitlines() == [f"line {number}: the key 'metadta' is ignored; 'metadata' is read (in 1 line)"]


def test_an_import_names_the_keys_of_plain_lines_that_it_ignores(aqe: Run) -> None:
    """An import of plain lines takes their memories in and names each key that is none of a memory, with its first line
    and how many have it; --json has them too."""
    lines = [{"text": "one"}, {"text": "two", "metdata": {"a": 1}, "pinned": True}, {"text": "three", "metdata": {}}]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    status, _, err = aqe("memory", "import", "in.jsonl")
    assert status == 0
    assert err.splitlines() == ["line 2: the key 'metdata' is ignored; 'metadata' is read (in 2 lines)"]
    told = json.loads(aqe("memory", "import", "in.jsonl", "--json")[1])
    assert told["same"] == 3
    assert told["ignored_keys"] == [{"key": "metdata", "line": 2, "lines": 2, "near": "metadata"}]


@pytest.mark.parametrize(
    ("line", "options", "code"),
    [
        ({"id": "a", "text": "x"}, ("-n", "index/docs"), "bad-namespace"),
        ({"id": "a", "text": "x"}, ("-n", "knowledge/patterns"), "bad-namespace"),
        ({"id": "a", "text": "x", "namespace": "index/docs"}, (), "bad-namespace"),
        ({"id": "a", "text": "x", "vector": [1, 2], "embedder_id": "mine"}, (), "bad-vector"),
    ],
)
def test_an_import_refuses_what_adding_refuses(
    aqe: Run, line: dict[str, Any], options: tuple[str, ...], code: str
) -> None:
    """Lines for a namespace that is no memory's, or with a vector of another length than its embedder's others, are
    taken in no more than added."""
    first = {"id": "b", "text": "y", "vector": [1, 2, 3], "embedder_id": "mine"}
    Path("in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (first, line)), "utf-8")
    status, _, err = aqe("memory", "import", "in.jsonl", *options)
    assert (status, code in err) == (2, True), err
    assert aqe("memory", "list")[1] == ""
