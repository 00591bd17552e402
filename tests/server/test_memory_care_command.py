"""`aqe memory backup`, `verify`, `restore`, `snapshot`, `rollback` and `diff` as a user types them."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import keyring
import keyring.backend
import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Finding
from aqe.server.cli.care_text import finding_lines

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in a project that remembers one note; gives exit status, stdout and stderr."""
    assert in_process("memory", "add", "the first note", "--id", "first")[0] == 0
    return in_process


def test_snapshot_diff_and_rollback_go_together(aqe: Run) -> None:
    """A snapshot is compared with now and gone back to; the way to take that back is said."""
    assert aqe("memory", "snapshot", "good")[1].startswith("good holds 1 memory of ")
    aqe("memory", "update", "first", "the changed note")
    aqe("memory", "add", "a second note", "--id", "second")
    status, out, err = aqe("memory", "diff", "good")
    assert (status, err) == (0, "1 added, 1 changed, 0 removed, 0 the same\n")
    assert out.splitlines() == [
        "~ default  first",
        "    - the first note",
        "    + the changed note",
        "+ default  second",
        "    + a second note",
    ]
    assert aqe("memory", "rollback", "good", "--dry-run")[1] == (
        "1 would be ended, 0 would be brought back, 1 would be reset\n"
    )
    status, out, err = aqe("memory", "rollback", "good")
    assert (status, out) == (0, "1 ended, 0 brought back, 1 reset\n")
    undo = err.split("`")[1].split()[1:]
    assert aqe("memory", "list")[1] == "first  default  the first note\n"
    assert aqe(*undo)[0] == 0
    assert aqe("memory", "list")[1].splitlines() == [
        "second  default  a second note",
        "first  default  the changed note",
    ]
    names = [line.split()[-1] for line in aqe("memory", "snapshots")[1].splitlines()]
    assert (names[-1], len(names)) == ("good", 3)
    assert aqe("memory", "snapshots", "--remove", "good")[1].count("\n") == 2


def test_ids_of_others_are_shown_and_not_obeyed(aqe: Run, tmp_path: Path) -> None:
    """An id that a terminal would obey is shown as escapes where something is wrong with its memory, and among
    neighbours; what differs from a file with a name that is no UTF-8 is asked in vain."""
    aqe("memory", "add", "a second note", "--id", "a\x1b[2J")
    aqe("memory", "link", "first", "a\x1b[2J", "--kind", "similar")
    told = [aqe("memory", "neighbours", "first")[1]]
    with Store.open(next(tmp_path.rglob("aqe.db"))) as store, store.writing() as connection:
        connection.execute("UPDATE memories SET text = 'changed' WHERE id != 'first'")
    told += [aqe("memory", *words)[1] for words in (["verify"], ["repair", "--dry-run"])]
    for out in told:
        assert "a\\x1b[2J" in out
        assert "\x1b" not in out
    status, _, err = aqe("memory", "diff", "half\udcff.db")
    assert (status, err.split()[-1]) == (2, "[unknown-snapshot]")


def test_backup_is_restored_and_what_it_replaced_is_kept(aqe: Run) -> None:
    """A backup comes back over later changes; the file with those is named."""
    assert aqe("memory", "backup", "b.db")[1].startswith("b.db holds 1 memory in ")
    aqe("memory", "add", "a second note")
    status, out, err = aqe("memory", "restore", "b.db")
    assert (status, out) == (0, "b.db is restored: 1 memory in place of 2\n")
    kept = err.split()[-1]
    assert aqe("memory", "list")[1] == "first  default  the first note\n"
    aqe("memory", "restore", kept)
    assert len(aqe("memory", "list")[1].splitlines()) == 2


def test_backup_of_damaged_texts_says_so_and_replaces_no_other(aqe: Run) -> None:
    """A backup of a store with a damaged text is kept and exits with 1; one that was there before stays as it was."""
    aqe("memory", "backup", "good.db")
    good, file = Path("good.db").read_bytes(), Path(".aqe/aqe.db")
    data = file.read_bytes()
    assert b"the first note" in data
    file.write_bytes(data.replace(b"the first note", b"the f\x9brst note"))
    status, out, err = aqe("memory", "backup", "bad.db")
    assert (status, out.startswith("bad.db holds 1 memory in ")) == (1, True)
    assert "It holds damage, as the store does: " in err
    assert "`aqe memory repair`" in err
    assert json.loads(aqe("memory", "backup", "--json", "other.db")[1])["damage"]
    status, _, err = aqe("memory", "backup", "good.db", "--force")
    assert (status, err.endswith("[database-broken]\n"), Path("good.db").read_bytes() == good) == (2, True, True)
    assert aqe("memory", "repair")[0] == 0
    assert aqe("memory", "backup", "good.db", "--force")[0] == 0


def test_verify_says_what_is_wrong_and_exits_1(aqe: Run) -> None:
    """A sound store exits 0; a damaged backup exits 1 with what it means, as text and as JSON."""
    status, out, _ = aqe("memory", "verify")
    assert (status, out.splitlines()[-1].endswith("sound, 1 memory")) == (0, True)
    Path("bad.db").write_bytes(b"SQLite format 3\0" + b"\xa5" * 9000)
    status, out, _ = aqe("memory", "verify", "bad.db")
    assert (status, "nothing in it can be read" in out) == (1, True)
    status, out, _ = aqe("memory", "verify", "bad.db", "--json")
    assert (status, json.loads(out)["sound"], len(json.loads(out)["findings"])) == (1, False, 1)


MISTAKES = [
    (["backup", "pyproject.toml"], "bad-output"),
    (["backup", "none/b.db"], "bad-output"),
    (["restore", "none.db"], "no-such-path"),
    (["restore", "pyproject.toml", "--key-env", "NOT_SET"], "database-key"),
    (["verify", "none.db"], "no-such-path"),
    (["snapshot", "a b"], "bad-id"),
    (["rollback", "none"], "unknown-snapshot"),
    (["diff", "none"], "unknown-snapshot"),
    (["snapshots", "--remove", "none"], "unknown-snapshot"),
    (["migrate", "--rollback"], "no-such-path"),
    (["key", "rekey"], "database-key"),
    (["key", "remove"], "database-key"),
]


def test_mistake_is_one_sentence_with_its_code(aqe: Run) -> None:
    """A mistake prints nothing on stdout and one line on stderr, exits with 2, and what is kept stays."""
    for words, code in MISTAKES:
        status, out, err = aqe("memory", *words)
        assert (status, out) == (2, ""), words
        assert err.endswith(f"[{code}]\n"), words
        assert err.count("\n") == 1, words
    assert aqe("memory", "list")[1] == "first  default  the first note\n"


@pytest.mark.services
def test_repair_says_what_was_lost_and_what_is_kept(aqe: Run) -> None:
    """A sound store needs nothing; a damaged one is salvaged, and the file as it was is named."""
    assert aqe("memory", "repair") == (0, "Nothing is wrong; nothing was changed.\n", "")
    data = Path(".aqe/aqe.db").read_bytes()
    Path(".aqe/aqe.db").write_bytes(b"\0" * 4096 + data[4096:])
    assert aqe("memory", "list")[2].endswith("[database-broken]\n")
    assert "would be salvaged: 1 memory" in aqe("memory", "repair", "--dry-run")[1]
    status, out, _ = aqe("memory", "repair")
    assert (status, "salvaged: 1 memory, sound" in out) == (0, True)
    kept = out.split()[-1]
    assert Path(kept).read_bytes()[4096:] == data[4096:]
    assert aqe("memory", "search", "first note")[1].count("first") == 2


def test_failed_restore_leaves_no_folder_behind(in_process: Run) -> None:
    """In a project that remembers nothing a restore of what is no backup makes nothing."""
    Path("junk.db").write_bytes(b"no database" * 100)
    assert in_process("memory", "restore", "junk.db")[0] == 2
    assert in_process("memory", "restore", "none.db")[0] == 2
    assert not Path(".aqe").exists()


def test_repair_says_that_more_is_lost_than_it_can_name(aqe: Run) -> None:
    """A repair of a file that is cut off says that it does not know all that is lost, and how many rows there were."""
    with Store.open(Path(".aqe/aqe.db")) as store:
        store.add_many(NewMemory(f"note {number} of many words to fill a page " * 9) for number in range(400))
    data = Path(".aqe/aqe.db").read_bytes()
    Path(".aqe/aqe.db").write_bytes(data[: len(data) * 7 // 10])
    out = aqe("memory", "repair")[1]
    assert re.search(r"An unknown number more is lost: .* numbered up to \d+ at least; \d+ of them are saved\n", out)


def test_repair_of_a_file_without_a_row_names_the_earlier_ones(aqe: Run) -> None:
    """Where nothing is left to save that is said, with the files that may have it, and the exit status is 1."""
    aqe("memory", "backup", "b.db")
    kept = aqe("memory", "restore", "b.db")[2].split()[-1]
    data = Path(".aqe/aqe.db").read_bytes()
    Path(".aqe/aqe.db").write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    status, out, _ = aqe("memory", "repair", "--dry-run")
    assert (status, "Everything would be lost" in out) == (1, True)
    status, out, _ = aqe("memory", "repair")
    lines = out.splitlines()
    assert (status, lines[1], lines[3]) == (
        1,
        "Everything is lost: no memory in the file can be saved.",
        f"  {Path(kept).resolve()}",
    )
    assert aqe("memory", "restore", kept)[1].endswith("restored: 1 memory in place of 0\n")


def test_repair_of_a_file_without_a_row_names_the_damaged_ones_before(aqe: Run) -> None:
    """Where nothing is left to save, the damaged files that earlier repairs kept are named, in a dry run too; put in
    the place of the last one, such a file gives a repair what it holds."""
    data = bytearray(Path(".aqe/aqe.db").read_bytes())
    data[-4096:] = b"\xff" * 4096
    data[18:20] = b"\x09\x09"  # no version of the file format that SQLite reads
    Path(".aqe/aqe.db").write_bytes(data)
    first = json.loads(aqe("memory", "repair", "--json")[1])
    assert (first["how"], first["everything_lost"], first["damaged_before"]) == ("salvaged", False, [])
    Path(".aqe/aqe.db").write_bytes(random.Random(1).randbytes(200_000))
    assert aqe("memory", "repair", "--dry-run")[1].splitlines()[-1] == f"  {first['kept']}"
    status, out, _ = aqe("memory", "repair")
    assert (status, f"  {first['kept']}" in out.splitlines(), out.count("damaged-")) == (1, True, 2)
    Path(".aqe/aqe.db").write_bytes(Path(first["kept"]).read_bytes())
    assert json.loads(aqe("memory", "repair", "--json")[1])["memories"] == first["memories"] == 1


def test_same_finding_of_several_checks_is_one_line() -> None:
    """What several checks say of a file is told once, with the names of all."""
    bad = "it cannot be read through: database disk image is malformed"
    found = [Finding(name, bad, "a part of the file is damaged", "Mend it.") for name in ("texts", "vectors")]
    assert list(finding_lines([Finding("pages", "page 3 is bad", "damage", "Mend it."), *found])) == [
        "pages: page 3 is bad: damage. Mend it.",
        f"texts, vectors: {bad}: a part of the file is damaged. Mend it.",
    ]


@pytest.mark.services
def test_encrypted_backup_that_comes_into_the_clear_is_said(in_process: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup of an encrypted store, restored where no key is set, lies in clear, and what to do is said."""
    monkeypatch.setenv("AQE_DB_KEY", "a key")
    in_process("memory", "add", "a secret")
    in_process("memory", "backup", "../b.db")
    monkeypatch.delenv("AQE_DB_KEY")
    monkeypatch.setenv("OTHER", "a key")
    shutil.rmtree(".aqe")
    status, _, err = in_process("memory", "restore", "../b.db", "--key-env", "OTHER")
    assert (status, err) == (0, "What was encrypted in it lies in clear here: `aqe memory key set` encrypts it.\n")
    assert in_process("memory", "list")[1].endswith("a secret\n")


class HeldKeyring(keyring.backend.KeyringBackend):
    """A keyring of this process."""

    priority = 1

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.held[service, username]


@pytest.mark.services
def test_key_in_the_keyring_is_set_changed_and_taken_away(aqe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`memory key` encrypts, changes and removes without a word of the key; every other command goes on working."""
    held = HeldKeyring()
    monkeypatch.setattr(keyring, "get_password", held.get_password)
    monkeypatch.setattr(keyring, "set_password", held.set_password)
    monkeypatch.setattr(keyring, "delete_password", held.delete_password)
    printed = [aqe("memory", "key", "set")]
    (first,) = held.held.values()
    assert Path(".aqe/aqe.db").read_bytes()[:15] != b"SQLite format 3"
    assert aqe("memory", "list")[1] == "first  default  the first note\n"
    assert aqe("memory", "key", "set")[2].endswith("[database-key]\n")
    printed.append(aqe("memory", "key", "rekey"))
    second, earlier = held.held.values()
    assert (second != first, earlier) == (True, first)
    assert aqe("memory", "add", "a second note")[0] == 0
    assert not Path(".aqe/results").exists() or not list(Path(".aqe/results").iterdir())
    status, out, _ = aqe("doctor")
    assert (status, "database     healthy" in out, "in clear" in out) == (0, True, False)
    assert aqe("memory", "key", "remove")[2].endswith("[usage]\n")
    printed.append(aqe("memory", "key", "remove", "--yes"))
    assert held.held == {}
    assert len(aqe("memory", "list")[1].splitlines()) == 2
    assert [status for status, _, _ in printed] == [0, 0, 0]
    assert not any(key in out + err for key in (first, second) for _, out, err in printed)


@pytest.mark.services
def test_key_of_the_environment_is_set_and_changed(aqe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AQE_DB_KEY set the store is encrypted with it; another one is named by its variable."""
    monkeypatch.setenv("AQE_DB_KEY", "one")
    assert aqe("memory", "list")[2].endswith("[database-key]\n")
    assert aqe("memory", "key", "set")[1].endswith("aqe.db is encrypted\n")
    assert aqe("memory", "key", "rekey")[2].endswith("[database-key]\n")
    monkeypatch.setenv("NEXT_KEY", "two")
    assert aqe("memory", "key", "rekey", "--key-env", "NEXT_KEY")[2] == (
        "Set AQE_DB_KEY to the key in NEXT_KEY from now on.\n"
    )
    assert aqe("memory", "list")[2].endswith("[database-key]\n")
    monkeypatch.setenv("AQE_DB_KEY", "two")
    assert aqe("memory", "list")[1] == "first  default  the first note\n"


@pytest.mark.services
def test_migrate_says_what_is_pending_applies_it_and_goes_back(aqe: Run, repository: Path) -> None:
    """An old store's steps are named by a dry run and applied after a copy; --rollback puts that copy back."""
    Path(".aqe/aqe.db").write_bytes((repository / "tests/engine/stored/v3.db").read_bytes())
    status, out, _ = aqe("memory", "migrate", "--dry-run")
    assert (status, "version 3, the newest is " in out, "  change log: would be applied" in out) == (0, True, True)
    status, out, _ = aqe("memory", "migrate", "--batch", "2")
    assert (status, "  change log: was applied" in out, "aqe.db.v3.bak" in out) == (0, True, True)
    assert aqe("memory", "migrate")[1].count("\n") == 1
    assert "  change log: would be taken back" in aqe("memory", "migrate", "--rollback", "--dry-run")[1]
    status, out, _ = aqe("memory", "migrate", "--rollback", "--json")
    assert (status, json.loads(out)["version"]) == (0, 3)


@pytest.mark.services
def test_migrate_embeds_what_another_embedder_made(aqe: Run) -> None:
    """Memories whose vectors another embedder of aqe's own made are embedded anew, and counted."""
    with Store.open(Path(".aqe/aqe.db")) as store:
        store.add("made by an earlier table", vector=[1.0, 2.0], embedder_id="aqe-static-0:old")
    assert "1 memory to be embedded anew by " in aqe("memory", "migrate", "--dry-run")[1]
    assert "1 memory embedded anew by " in aqe("memory", "migrate")[1]
    assert "embedded" not in aqe("memory", "migrate")[1]


@pytest.mark.services
def test_change_of_key_that_was_cut_off_can_be_done_again(aqe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the only key lies under the name of the next one, a further change keeps it until the new one holds."""
    held = HeldKeyring()
    monkeypatch.setattr(keyring, "get_password", held.get_password)
    monkeypatch.setattr(keyring, "set_password", held.set_password)
    monkeypatch.setattr(keyring, "delete_password", held.delete_password)
    aqe("memory", "key", "set")
    ((service, name),) = held.held
    held.held[service, f"{name}.next"] = held.held.pop((service, name))
    with Store.open(Path(".aqe/aqe.db"), key=held.held[service, f"{name}.next"]):
        status, _, err = aqe("memory", "key", "rekey")
    assert (status, "[database-locked]" in err) == (2, True)
    assert aqe("memory", "list")[0] == 0
    assert aqe("memory", "key", "rekey")[0] == 0
    assert list(held.held) == [(service, name), (service, f"{name}.old.1")]
    assert aqe("memory", "list")[1] == "first  default  the first note\n"


def test_looking_makes_nothing_where_nothing_is_kept(in_process: Run) -> None:
    """Listing, comparing, verifying, trying and going back make no folder in a project that keeps nothing."""
    Path("other").mkdir()
    with Store.open(Path("other/b.db")) as store:
        store.add("from elsewhere")
    looks = ["snapshots"], ["restore", "other/b.db", "--dry-run"]
    refused = (
        ["verify"],
        ["diff", "a"],
        ["rollback", "a"],
        ["backup", "b.db"],
        ["migrate"],
        ["repair"],
        ["key", "rekey"],
    )
    assert [in_process("memory", *words)[0] for words in looks] == [0, 0]
    assert {in_process("memory", *words)[0] for words in refused} == {2}
    assert sorted(path.name for path in Path().iterdir()) == ["other", "pyproject.toml"]


def test_counts_say_what_they_count(aqe: Run) -> None:
    """Where a store holds passages of the project's files too, a backup, a check and a restore say how many of their
    memories were remembered, which is what list shows and a snapshot holds; each check names what it looked at."""
    Path("rules.md").write_text("# Rules\n\nRefunds are rounded half up.\n")
    aqe("index")
    aqe("memory", "add", "a second note", "--id", "second", "--ttl", "1h")
    held = "(2 remembered, the others of the project index and aqe's knowledge)"
    assert len(aqe("memory", "list")[1].splitlines()) == 2
    assert aqe("memory", "snapshot", "now-ish")[1].startswith("now-ish holds 2 memories of ")
    assert held in aqe("memory", "backup", "b.db")[1]
    out = aqe("memory", "verify")[1].splitlines()
    assert held in out[-1]
    assert [line.split(maxsplit=1)[0] for line in out[:-1]] == ["sound"] * 12
    assert next(line for line in out if " texts " in line).endswith("revisions, ended ones too")
    told = json.loads(aqe("memory", "verify", "b.db", "--json")[1])
    assert (told["remembered"], told["memories"] > 2) == (2, True)
    assert held in aqe("memory", "restore", "b.db", "--dry-run")[1]


def test_a_repair_that_lost_vectors_says_what_makes_them_anew(aqe: Run, tmp_path: Path) -> None:
    """A vector whose numbers are damaged is dropped, and the command that embeds the text anew is named and does it."""
    with Store.open(next(tmp_path.rglob("aqe.db"))) as store, store.writing() as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'vectors_*_chunks00'").fetchone()
        connection.execute(f"UPDATE {table} SET vectors = ?", (b"\xff" * 4 * 384 * 64,))
    status, out, _ = aqe("memory", "repair")
    assert status == 0
    assert "1 memory without a vector\n" in out
    assert "`aqe memory migrate`" in out
    assert "1 memory embedded anew" in aqe("memory", "migrate")[1]
    assert json.loads(aqe("memory", "get", "first", "--json")[1])["dimension"] == 384


def test_a_search_without_its_vectors_says_so(aqe: Run, tmp_path: Path) -> None:
    """Where the vectors cannot be read the words are searched, and the command says so with what mends them."""
    with Store.open(next(tmp_path.rglob("aqe.db"))) as store, store.writing() as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'vectors_*_chunks00'").fetchone()
        connection.execute(f"UPDATE {table} SET vectors = x'00'")
    status, out, err = aqe("memory", "search", "note")
    assert (status, "first" in out, err.splitlines()[0]) == (0, True, "1 found by text")
    assert "`aqe memory repair`" in err
    found = json.loads(aqe("memory", "search", "note", "--json")[1])
    assert (found["mode"], "`aqe memory repair`" in found["note"]) == ("text", True)
    assert aqe("memory", "repair")[0] == 0
    found = json.loads(aqe("memory", "search", "note", "--json")[1])
    assert (found["mode"], found["note"]) == ("hybrid", "")
