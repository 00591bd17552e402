"""`aqe memory`, `aqe stats` and `aqe config` as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in an empty project, in this process; gives exit status, stdout and stderr."""
    return in_process


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_added_memory_is_found_by_its_words(aqe: Run) -> None:
    """`memory add` prints the id under which `memory search` finds it."""
    status, id, _ = aqe("memory", "add", "parse_header keeps case", "--file", "a.py", "--line", "3", "-m", "n=1")
    assert status == 0
    _, out, err = aqe("memory", "search", "parsing headers")
    assert id.strip() in out
    assert err == "1 found by hybrid\n"


@pytest.mark.parametrize("marker", ["pyproject.toml", None])
def test_looking_writes_nothing(aqe: Run, tmp_path: Path, marker: str | None) -> None:
    """Commands that only look find nothing, and make nothing, where nothing was kept yet, in a project or outside."""
    project = tmp_path / "project"
    if marker is None:
        (project / "pyproject.toml").unlink()
    before = sorted(tmp_path.rglob("*"))
    status, out, _ = aqe("stats", "--json")
    assert (status, json.loads(out)["memories"], json.loads(out)["bytes"]) == (0, 0, {})
    assert "none yet" in aqe("stats")[1]
    assert json.loads(aqe("memory", "search", "cart", "--json")[1])["hits"] == []
    assert aqe("memory", "search", "--jsonl", stdin='{"query": "cart"}')[0] == 0
    assert json.loads(aqe("memory", "list", "--json")[1])["memories"] == []
    assert "[unknown-id]" in aqe("memory", "get", "nothing")[2]
    assert aqe("config", "--json")[0] == 0
    assert aqe("doctor", "--json")[0] == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_namespace_without_a_memory_is_told(aqe: Run, tmp_path: Path) -> None:
    """Search, list and export say on stderr and in JSON that nothing is in it, and which there are nearest by name; the
    status stays. A memory that is looked for there is refused with the same words."""
    aqe("memory", "add", "carts expire", "--id", "a")
    aqe("memory", "add", "refunds round", "-n", "team/notes")
    told = "No memory is in the namespace 'deflt'; there are memories in default, and in 1 other.\n"
    assert aqe("memory", "list", "-n", "deflt") == (0, "", told)
    status, out, err = aqe("memory", "search", "carts", "-n", "deflt")
    assert (status, out, err) == (0, "", told + "0 found by hybrid\n")
    assert aqe("memory", "export", "none.jsonl", "-n", "deflt")[2] == told
    below = json.loads(aqe("memory", "list", "-n", "team", "--json")[1])["absent"]
    assert (below["namespace"], below["nearest"][0]) == ("team", "team/")
    assert "absent" not in json.loads(aqe("memory", "list", "-n", "team/", "--json")[1])
    assert "absent" not in json.loads(aqe("memory", "search", "zzz", "-n", "default", "-m", "a=1", "--json")[1])
    (line,) = objects(aqe("memory", "search", "--jsonl", "-n", "deflt", stdin='{"query": "carts"}')[1])
    assert line["absent"]["nearest"] == ["default"]
    for verb in ("delete", "get", "pin"):
        status, _, err = aqe("memory", verb, "b", "-n", "deflt")
        assert (status, told.strip() in err) == (2, True)


def test_a_list_that_is_cut_says_so(aqe: Run) -> None:
    """Where the limit leaves memories out it is said, and where nothing is remembered too."""
    assert aqe("memory", "list") == (0, "", "Nothing is remembered yet.\n")
    for at in range(3):
        aqe("memory", "add", f"cart {at} expires")
    assert aqe("memory", "list", "--limit", "3")[2] == ""
    status, out, err = aqe("memory", "list", "--limit", "2")
    assert (status, len(out.splitlines()), err) == (0, 2, "The newest 2; --limit N shows more.\n")
    assert json.loads(aqe("memory", "list", "--limit", "2", "--json")[1])["more"]
    assert aqe("memory", "list", "--limit", "0")[0] == 2


def test_adding_what_exists_says_so(aqe: Run) -> None:
    """The same text again gives the same id and says that it was kept already."""
    _, first, err = aqe("memory", "add", "prices round half up")
    assert err == ""
    assert aqe("memory", "add", "prices round half up") == (0, first, "It was kept already.\n")
    again = json.loads(aqe("memory", "add", "prices round half up", "--json")[1])
    assert (again["id"], again["existed"]) == (first.strip(), True)
    line = objects(aqe("memory", "add", "--jsonl", stdin='{"text": "dates are UTC"}')[1])[0]
    assert line["existed"] is False


def test_scores_are_shares_of_the_best(aqe: Run) -> None:
    """The best hit scores 1 and the others less, each with its parts; the text form shows them too."""
    for text in ("cart cart voucher", "the cart of a customer with many words around it", "a voucher for nobody"):
        aqe("memory", "add", text)
    hits = json.loads(aqe("memory", "search", "cart voucher", "--json")[1])["hits"]
    scores = [hit["score"] for hit in hits]
    assert scores[0] == 1
    assert all(0 <= score < 1 for score in scores[1:])
    assert scores == sorted(scores, reverse=True)
    assert all(hit["text_score"] > 0 and 0 < hit["vector_score"] <= 1 for hit in hits)
    assert aqe("memory", "search", "cart voucher")[1].startswith("1.00 (2 of 2 words, meaning  0.")


def test_search_finds_by_meaning(aqe: Run) -> None:
    """A memory without one word of the query is found before unrelated ones."""
    for text in ("remove a file from the disk", "vouchers expire after a year", "prices are rounded half up"):
        aqe("memory", "add", text)
    found = json.loads(aqe("memory", "search", "deleting documents", "--json")[1])
    best = found["hits"][0]
    assert (found["mode"], best["text"], best["text_score"]) == ("hybrid", "remove a file from the disk", None)


def test_search_says_how_near_its_hits_are(aqe: Run) -> None:
    """Beside the score, which is 1 for the best hit whatever it says, stands how many words of the query a hit holds;
    where none holds any the answer says so."""
    for text in ("Totals are rounded half up", "Shipping is free from 50 euros"):
        aqe("memory", "add", text)
    _, out, err = aqe("memory", "search", "the zebra of a quantum banana")
    assert [line[:19] for line in out.splitlines()] == ["1.00 (0 of 3 words,", "0.00 (0 of 3 words,"]
    assert "none holds a word of the query" in err
    _, out, err = aqe("memory", "search", "How was the total rounded?")
    assert out.startswith("1.00 (2 of 2 words,")
    assert err == "2 found by hybrid; scores compare the hits of this answer alone\n"
    hits = json.loads(aqe("memory", "search", "free totals", "--json")[1])["hits"]
    assert [(hit["words_held"], hit["words_asked"]) for hit in hits] == [(1, 2), (1, 2)]
    (line,) = objects(aqe("memory", "search", "--jsonl", stdin='{"query": "free totals"}')[1])
    assert line["hits"] == hits
    _, out, err = aqe("memory", "search", "\U0001f389")
    assert "words" not in out
    assert "holds a word" not in err


def test_search_explains_its_scores(aqe: Run) -> None:
    """With --explain each hit shows both scores, their standard scores, the share and its places, also as JSON."""
    for text in ("vouchers expire after a year", "prices are rounded half up"):
        aqe("memory", "add", text)
    shown = aqe("memory", "search", "when do vouchers expire", "--explain")[1].splitlines()
    assert len(shown) == 4
    places = "place 1 by words, 1 by meaning, 1 by reciprocal ranks"
    for part in (" x +1.00 (cosine ", " x +1.00 (BM25 ", "from the worst to the best of 2; ", places):
        assert part in shown[1]
    best, other = json.loads(aqe("memory", "search", "when do vouchers expire", "--explain", "--json")[1])["hits"]
    assert (best["explained"]["text_rank"], other["explained"]["text_rank"]) == (1, None)
    assert 0 < best["explained"]["vector_share"] < 1
    assert json.loads(aqe("memory", "search", "vouchers", "--json")[1])["hits"][0]["explained"] is None


def test_explaining_the_past_is_refused(aqe: Run) -> None:
    """--explain with --as-of is one sentence, not an answer without explanations."""
    status, _, err = aqe("memory", "search", "vouchers", "--explain", "--as-of", "1h ago")
    assert (status, "[bad-argument]" in err) == (2, True)


def test_new_text_of_a_memory_has_a_new_vector(aqe: Run) -> None:
    """After `memory update` the memory is found by the meaning of its new text."""
    aqe("memory", "add", "vouchers expire after a year", "--id", "v")
    aqe("memory", "add", "prices are rounded half up", "--id", "p")
    aqe("memory", "update", "v", "remove a file from the disk")
    assert json.loads(aqe("memory", "search", "deleting documents", "--json")[1])["hits"][0]["id"] == "v"
    assert "384 numbers by aqe-static-1:" in aqe("memory", "get", "v")[1]


def test_vectors_of_a_caller_stay_apart(aqe: Run) -> None:
    """Memories with a caller's vector are found by their words, and the search says whose vectors it cannot use."""
    aqe("memory", "add", "--jsonl", stdin='{"text": "red fox", "id": "f", "vector": [1, 0], "embedder_id": "mine"}\n')
    status, out, err = aqe("memory", "search", "fox")
    assert (status, "meaning     -" in out) == (0, True)
    assert "Memories with a vector of 'mine' are found by their words alone." in err
    assert json.loads(aqe("memory", "search", "fox", "--json")[1])["other_spaces"] == ["mine"]
    line = '{"id": 7, "vector": [1, 0, 0], "embedder_id": "mine"}\n'
    status, out, _ = aqe("memory", "search", "--jsonl", stdin=line)
    assert (status, objects(out)[0]["error"]["code"]) == (1, "bad-vector")


def test_search_without_words_is_refused(aqe: Run) -> None:
    """Without a query there is one sentence that asks for words."""
    status, _, err = aqe("memory", "search")
    assert (status, "[bad-query]" in err) == (2, True)


def test_batch_search_answers_each_query_with_its_id(aqe: Run) -> None:
    """-k holds for each line that has no k of its own; an answer carries the id of its query."""
    for text in ("remove a file", "rename a file", "copy a file"):
        aqe("memory", "add", text)
    lines = '{"id": "one", "query": "file"}\nbroken\n{"id": 2, "query": "file", "k": 1}\n'
    status, out, _ = aqe("memory", "search", "-k", "2", "--jsonl", stdin=lines)
    first, broken, second = objects(out)
    assert status == 1
    assert (first["id"], len(first["hits"]), second["id"], len(second["hits"])) == ("one", 2, 2, 1)
    assert {"id", "score"} <= set(first["hits"][0])
    assert (broken["line"], broken["error"]["code"]) == (2, "bad-line")


def test_json_is_one_object_that_is_kept(aqe: Run) -> None:
    """--json prints one object with its schema's name and keeps it in .aqe/results."""
    aqe("memory", "add", "parse_header keeps case", "--id", "h", "-m", "n=1", "-m", "kind=rule")
    _, out, err = aqe("memory", "search", "header", "--json", "-m", 'n={"ge": 1}')
    found = json.loads(out)
    assert err == ""
    assert (found["schema"], found["mode"], found["hits"][0]["id"]) == ("aqe.memory-search/1", "hybrid", "h")
    assert found["hits"][0]["metadata"] == {"n": 1, "kind": "rule"}
    assert found["hits"][0]["created_at"].endswith("Z")
    assert json.loads(Path(".aqe/results/memory-search.json").read_text()) == found


def test_text_comes_from_stdin(aqe: Run) -> None:
    """`-` reads the text from stdin."""
    aqe("memory", "add", "-", "--id", "long", stdin="first line\nsecond line\n")
    _, out, _ = aqe("memory", "get", "long", "--json")
    assert json.loads(out)["text"] == "first line\nsecond line\n"


def test_update_delete_and_history(aqe: Run) -> None:
    """A memory can be changed, shown with all revisions, deleted and erased."""
    aqe("memory", "add", "old", "--id", "a")
    assert aqe("memory", "update", "a", "new", "-m", "x=1")[1] == "a is at revision 2\n"
    _, out, _ = aqe("memory", "get", "a", "--history", "--json")
    assert [one["text"] for one in json.loads(out)["revisions"]] == ["old", "new"]
    assert aqe("memory", "delete", "a")[1] == "a is deleted\n"
    assert aqe("memory", "list")[1] == ""
    assert "old" in aqe("memory", "get", "a", "--history")[1]
    assert aqe("memory", "delete", "a", "--erase")[1] == "a is erased\n"
    assert aqe("memory", "get", "a", "--history")[0] == 2


def test_list_shows_newest_first_by_namespace(aqe: Run) -> None:
    """`memory list` shows a line for each memory of a namespace or of all; as `get`, nothing that a terminal obeys."""
    for name, namespace in (("one", "default"), ("two", "agents/flaky"), ("three", "default")):
        aqe("memory", "add", name, "--id", name, "-n", namespace)
    assert [line.split()[0] for line in aqe("memory", "list")[1].splitlines()] == ["three", "two", "one"]
    assert aqe("memory", "list", "-n", "agents/flaky")[1] == "two  agents/flaky  two\n"
    aqe("memory", "add", "red \x1b[31m alert\x07", "--id", "a\x1b[2J", "-n", "odd")
    assert aqe("memory", "list", "-n", "odd")[1] == "a\\x1b[2J  odd  red \\x1b[31m alert\\x07\n"
    shown = aqe("memory", "get", "a\x1b[2J", "-n", "odd")[1]
    assert shown.startswith("id          a\\x1b[2J\n")
    assert shown.endswith("\nred \\x1b[31m alert\\x07\n")


def test_jsonl_answers_each_line_and_goes_on_after_a_broken_one(aqe: Run) -> None:
    """Each input line has its output line in order; broken ones say why, and the exit status is 1."""
    lines = '{"text": "one", "id": "1", "vector": [1, 0], "unknown": 5}\nnope\n[]\n{"text": ""}\n{"text": "two"}\n'
    status, out, err = aqe("memory", "add", "--jsonl", stdin=lines)
    answers = objects(out)
    assert status == 1
    assert answers[0] == {"id": "1", "namespace": "default", "existed": False}
    assert [one.get("error", {}).get("code") for one in answers] == [None, "bad-line", "bad-line", "bad-text", None]
    assert [one.get("line") for one in answers] == [None, 2, 3, 4, None]
    assert "3 of 5 input lines failed" in err
    assert json.loads(Path(".aqe/results/memory-add.json").read_text())["failed"] == 3


def test_jsonl_refuses_a_line_whose_vector_has_another_dimension(aqe: Run) -> None:
    """A vector of another length than the earlier ones of its embedder is refused with its line, whether these came in
    the same batch or before; the other lines are kept."""
    lines = [{"id": n, "text": n, "vector": [1, 2, 3][: int(n)], "embedder_id": "me"} for n in ("3", "2", "03", "1")]
    status, out, _ = aqe("memory", "add", "--jsonl", stdin="".join(json.dumps(line) + "\n" for line in lines))
    assert [one.get("error", {}).get("code") for one in objects(out)] == [None, "bad-vector", None, "bad-vector"]
    assert (status, objects(out)[1]["line"]) == (1, 2)
    _, out, _ = aqe("memory", "add", "--jsonl", stdin='{"text": "more", "vector": [1, 0], "embedder_id": "me"}\n')
    assert objects(out)[0]["error"]["message"] == "The vector has 2 numbers; those of 'me' have 3."


def test_jsonl_search_takes_words_and_vectors(aqe: Run) -> None:
    """A line of a batch search may hold a query, a vector or both, with its own k and filter."""
    aqe("memory", "add", "--jsonl", stdin='{"text": "red fox", "id": "f", "vector": [1, 0], "metadata": {"n": 1}}\n')
    both = {"query": "fox", "vector": [1, 0]}
    asked = [{"query": "fox"}, {"vector": [1, 0.1], "k": 1}, both, {"query": "fox", "filter": {"n": 2}}]
    lines = "".join(json.dumps(one) + "\n" for one in asked)
    status, out, _ = aqe("memory", "search", "--jsonl", stdin=lines)
    answers = objects(out)
    assert status == 0
    assert [one["mode"] for one in answers] == ["hybrid", "vector", "hybrid", "hybrid"]
    assert [len(one["hits"]) for one in answers] == [1, 1, 1, 0]
    assert answers[1]["hits"][0]["vector_score"] == 0.99504


def test_jsonl_takes_blank_lines_without_end(aqe: Run) -> None:
    """Any number of blank lines in front is told line by line once something follows, and takes no room until then;
    the lines around one are still kept together."""
    lines = "\n" * 3 + '{"text": "one"}\n\n{"text": "two"}\n' + "\n" * 5
    status, out, err = aqe("memory", "add", "--jsonl", stdin=lines)
    told = objects(out)
    assert [line.get("line", "kept") for line in told] == [1, 2, 3, "kept", 5, "kept"]
    assert (status, "4 of 6 input lines failed" in err) == (1, True)


def test_jsonl_answers_come_as_they_are_made(tmp_path: Path) -> None:
    """The answer to a line is flushed before the next line is read."""
    command = [sys.executable, "-m", "aqe.server.cli", "memory", "add", "--jsonl", "--project", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        for id in ("a", "b"):
            run.stdin.write(json.dumps({"text": f"note {id}", "id": id}) + "\n")
            run.stdin.flush()
            assert json.loads(run.stdout.readline()) == {"id": id, "namespace": "default", "existed": False}
        run.stdin.close()
        assert run.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["memory", "add"], "bad-text"),
        (["memory", "add", ""], "bad-text"),
        (["memory", "add", "x", "-m", "novalue"], "bad-metadata"),
        (["memory", "add", "x", "-n", "a b"], "bad-namespace"),
        (["memory", "add", "x", "-n", "index/code"], "bad-namespace"),
        (["memory", "add", "x", "-n", "knowledge/quality"], "bad-namespace"),
        (["memory", "get", "nobody"], "unknown-id"),
        (["memory", "update", "nobody", "x"], "unknown-id"),
        (["memory", "update", "nobody"], "usage"),
        (["memory", "delete", "nobody"], "unknown-id"),
        (["memory", "search"], "bad-query"),
        (["memory", "search", "x", "-k", "0"], "bad-limit"),
        (["memory", "search", "x", "-m", 'n={"like": 1}'], "bad-filter"),
        (["memory", "list", "--limit", "0"], "bad-limit"),
        (["memory", "list", "--project", "/nowhere/at/all"], "no-such-project"),
        (["config", "stor"], "unknown-setting"),
    ],
)
def test_mistake_is_one_sentence_with_its_code(aqe: Run, words: list[str], code: str) -> None:
    """A mistake prints nothing on stdout, one line on stderr, and exits with 2."""
    status, out, err = aqe(*words)
    assert (status, out) == (2, "")
    assert err.endswith(f"[{code}]\n")
    assert err.count("\n") == 1


def test_broken_database_is_one_sentence_and_stays(aqe: Run) -> None:
    """A broken database file is named by every command and left as it is."""
    Path(".aqe").mkdir()
    Path(".aqe/aqe.db").write_bytes(b"not a database" * 999)
    for words in (["memory", "list"], ["stats"], ["memory", "add", "x"]):
        status, out, err = aqe(*words)
        assert (status, out) == (2, "")
        assert err.endswith("[database-broken]\n")
    assert Path(".aqe/aqe.db").read_bytes() == b"not a database" * 999


def test_stats_show_what_is_there(aqe: Run) -> None:
    """`stats` counts memories and shows bytes by component, the same figures in both forms."""
    aqe("memory", "add", "one")
    aqe("memory", "add", "two", "-n", "other")
    _, out, _ = aqe("stats", "--json")
    figures = json.loads(out)
    assert (figures["schema"], figures["memories"]) == ("aqe.stats/1", 2)
    assert figures["namespaces"] == {"default": 1, "other": 1}
    assert figures["bytes"]["memories"] > 0
    assert "memories    2" in aqe("stats")[1]


def test_config_shows_value_and_origin(aqe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`config` shows each setting with where it comes from; `config KEY` shows one."""
    Path("pyproject.toml").write_text('[tool.aqe]\nbudget = "1m"\n')
    monkeypatch.setenv("AQE_SANDBOX_MEMORY_MB", "2048")
    lines = {line.split()[0]: line.split()[1:] for line in aqe("config")[1].splitlines()}
    assert lines["budget"] == ["60", str(Path("pyproject.toml").resolve())]
    assert lines["sandbox.memory_mb"] == ["2048", "AQE_SANDBOX_MEMORY_MB"]
    assert lines["store"] == ["shared", "default"]
    one = json.loads(aqe("config", "budget", "--json")[1])["settings"]
    assert [(setting["key"], setting["value"]) for setting in one] == [("budget", 60.0)]


def test_wrong_setting_stops_a_command(aqe: Run) -> None:
    """A wrong value in pyproject.toml is said by every command that reads settings."""
    Path("pyproject.toml").write_text('[tool.aqe]\ndurability = "none"\n')
    for words in (["config"], ["stats"], ["memory", "list"]):
        status, _, err = aqe(*words)
        assert status == 2
        assert "'none'" in err
        assert err.endswith("[bad-setting]\n")


def test_memory_of_another_namespace_is_pointed_to(aqe: Run) -> None:
    """An id that lies in another namespace is told with the option that reaches it."""
    aqe("memory", "add", "Dates are UTC", "--id", "dates", "-n", "notes")
    for verb in ("get", "delete"):
        status, _, err = aqe("memory", verb, "dates")
        assert (status, "It is there with `-n notes`." in err) == (2, True)
