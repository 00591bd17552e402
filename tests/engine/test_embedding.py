"""The built-in embedding: its file, its vectors, the name part of code, and what is said when something is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.engine import UserError, load_settings
from aqe.engine.embedding import StaticEmbedder, Table, open_embedder, read_table, similarity, write_table
from aqe.engine.embedding.names import defined_name
from aqe.engine.embedding.static import built_in_path, open_static

WORDS = ["pars", "header", "http", "total", "round", "cart", "price", "sum"]


def written(path: Path, **changed: Any) -> str:
    """Write a table of eight words and sixteen buckets; returns its checksum."""
    random = np.random.default_rng(5)
    given: dict[str, Any] = {
        "words": WORDS,
        "rows": random.integers(-127, 128, (24, 32)).astype(np.int8),
        "scales": np.full(24, 0.01),
        "buckets": 16,
        "name_weight": 0.5,
        "tf_k": 1.2,
        **changed,
    }
    return write_table(path, **given)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A small table as it comes back from its file."""
    path = tmp_path_factory.mktemp("table") / "small.aqet"
    written(path, trained={"seed": 5})
    return read_table(path)


@pytest.fixture(scope="module")
def embedder(table: Table) -> StaticEmbedder:
    """The embedder over that table."""
    return StaticEmbedder(table)


def test_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Rows, words, weights and provenance of a table survive its file, whose checksum stands beside it."""
    rows = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
    digest = written(
        tmp_path / "t.aqet", words=["a", "é"], rows=rows, scales=np.linspace(0, 1, 6), buckets=4, trained={"x": [1]}
    )
    found = read_table(tmp_path / "t.aqet")
    assert (found.rows == rows).all()
    assert found.scales == pytest.approx(np.linspace(0, 1, 6), abs=1e-3)
    assert (found.words, found.buckets, found.dimension) == ((b"a", "é".encode()), 4, 4)
    assert (found.name_weight, found.tf_k, found.trained, found.sha256) == (0.5, 1.2, {"x": [1]}, digest)
    note = json.loads((tmp_path / "t.json").read_text())
    assert (note["sha256"], note["bytes"]) == (digest, (tmp_path / "t.aqet").stat().st_size)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("kind", {"rows": np.zeros((24, 4))}, "rows must be int8"),
    ("count", {"rows": np.zeros((23, 4), np.int8)}, r"rows must be int8 \(8 \+ 16"),
    ("scales", {"scales": np.full(24, 1e9)}, "scales must be 24 numbers"),
    ("few scales", {"scales": np.ones(3)}, "scales must be 24 numbers"),
    ("twice", {"words": ["a"] * 8}, "words must be distinct"),
    ("line end", {"words": [*WORDS[:7], "a\nb"]}, "no line end"),
    ("long", {"words": [*WORDS[:7], "é" * 40]}, "at most 64 bytes"),
    ("empty", {"words": [*WORDS[:7], ""]}, "not empty"),
]


@pytest.mark.parametrize(("changed", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_table_that_does_not_fit_is_not_written(tmp_path: Path, changed: dict[str, Any], sentence: str) -> None:
    """A table whose parts contradict each other is refused, and no file is left."""
    with pytest.raises(ValueError, match=sentence):
        written(tmp_path / "t.aqet", **changed)
    assert list(tmp_path.iterdir()) == []


def broken(path: Path) -> str:
    """The message of the error that reading gives, which has the code embedding-broken."""
    with pytest.raises(UserError) as caught:
        read_table(path)
    assert caught.value.code == "embedding-broken"
    return caught.value.message


def test_damaged_table_is_refused(tmp_path: Path) -> None:
    """One changed byte, a missing table and a missing note are each one sentence that names the file."""
    path = tmp_path / "t.aqet"
    written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    assert "'t.aqet' cannot be used: its SHA-256 begins with" in broken(path)
    path.unlink()
    assert "'t.aqet'" in broken(path)
    path.write_bytes(whole)
    (tmp_path / "t.json").unlink()
    assert "'t.aqet'" in broken(path)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_table_of_any_bytes_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A file whose checksum fits but whose inside is cut or overwritten is refused, or is a whole table."""
    import hashlib

    path = tmp_path_factory.mktemp("fuzzed") / "t.aqet"
    written(path)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, 200))
    junk = whole[:at] + data.draw(st.binary(max_size=12)) + whole[at + data.draw(st.integers(0, 12)) :]
    junk = junk[: data.draw(st.integers(1, len(junk)))]
    path.write_bytes(junk)
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(junk).hexdigest()}))
    try:
        found = read_table(path)
    except UserError as error:
        seen = error.code
    else:
        seen = "read"
        StaticEmbedder(found).embed(["parse the zebra"])
    assert seen in ("embedding-broken", "read")


def test_vectors_are_units_or_nothing(embedder: StaticEmbedder) -> None:
    """Each text has a unit vector of the embedder's dimension; one without a letter or digit has zeros."""
    rows = embedder.embed(["parse the header", "zebra", "", "?! \n", "7"])
    assert (rows.shape, rows.dtype) == ((5, 32), np.float32)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 0, 0, 1], abs=1e-6)
    assert embedder.embed([]).shape == (0, 32)


def test_identity_follows_the_table(tmp_path: Path) -> None:
    """The id names the table by its checksum: another table is another space."""
    first, second = (written(tmp_path / f"{seed}.aqet", tf_k=seed) for seed in (1.0, 2.0))
    ids = [StaticEmbedder(read_table(tmp_path / f"{seed}.aqet")).id for seed in (1.0, 2.0)]
    assert ids == [f"aqe-static-1:{first[:8]}", f"aqe-static-1:{second[:8]}"]
    assert ids[0] != ids[1]


def test_a_batch_gives_what_single_texts_give(embedder: StaticEmbedder) -> None:
    """The vector of a text does not depend on its neighbours."""
    texts = ["parse http", "def total(cart): return sum(cart)", "", "rounded prices"]
    assert (embedder.embed(texts) == np.vstack([embedder.embed([text]) for text in texts])).all()


def test_half_a_character_is_embedded(embedder: StaticEmbedder) -> None:
    """A text with a lone surrogate, which no file can hold, still has a vector."""
    assert np.linalg.norm(embedder.embed(["total \ud800 price"])) == pytest.approx(1, abs=1e-6)


NAMES: list[tuple[str, str | None]] = [
    ("def total(cart):\n    pass", "total"),
    ("    async def fetch_all(self) -> None: ...", "fetch_all"),
    ("class Cart:\n    def add(self): ...", "Cart"),
    ("class Cart(Base, metaclass=M): ...", "Cart"),
    ("def first[T](items: list[T]) -> T: ...", "first"),
    ("# a comment\n\n@cached\ndef total(): ...", "total"),
    ("@route(\n    '/x',\n)\ndef total(): ...", "total"),
    ("shop/cart.py: Cart.total\ndef total(self): ...", "total"),
    ("def größe(x): ...", "größe"),
    ("define total(cart)", None),
    ("The class Cart: what it holds", None),
    ("Use it so:\n\n    x = 1\n\ndef total(): ...", None),
    ("import os\n\ndef total(): ...", None),
    ("default (x)", None),
    ("class", None),
    ("", None),
    ("def " * 10_000, None),
    ("\n" * 50_000 + "def total(): ...", "total"),
]


@pytest.mark.parametrize(("text", "name"), NAMES, ids=[repr(text[:24]) for text, _ in NAMES])
def test_name_is_found_in_the_text(text: str, name: str | None) -> None:
    """Code is recognised by the definition that it begins with; prose about code has no name."""
    assert defined_name(text) == name


def test_code_has_a_part_for_its_name(table: Table, embedder: StaticEmbedder) -> None:
    """The vector of code is unit(text + name_weight * name), so it lies nearer to its name than the text alone."""
    code = "def round_price(cart):\n    return http(header, total, sum)"
    body = embedder.embed([code.replace("def ", "define ")])[0]  # the same stems but for one, and no definition
    name = embedder.embed(["round_price"])[0]
    plain = StaticEmbedder(Table(**{**vars(table), "name_weight": 0.0})).embed([code])[0]
    mixed = plain + 0.5 * name
    assert embedder.embed([code])[0] == pytest.approx(mixed / np.linalg.norm(mixed), abs=1e-5)
    assert embedder.embed([code])[0] @ name > max(plain @ name, body @ name)


def test_similarity_is_between_nothing_and_the_same(embedder: StaticEmbedder) -> None:
    """The same stems are 1, opposite directions and empty texts 0, all else between."""
    assert similarity(embedder, "parse headers", "Parsed the_header".replace("the_", "")) == pytest.approx(1)
    assert similarity(embedder, "", "total") == 0.0
    assert all(0 <= similarity(embedder, a, b) <= 1 for a in WORDS for b in WORDS)


def test_threads_share_an_embedder(embedder: StaticEmbedder) -> None:
    """Threads that embed at once get what one thread gets."""
    texts = [f"def price_{number}(cart): total" for number in range(200)]
    expected, found = embedder.embed(texts), dict[int, Any]()
    threads = [threading.Thread(target=lambda at=at: found.update({at: embedder.embed(texts)})) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((found[at] == expected).all() for at in range(4))


def test_missing_library_is_one_line_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a model of sentence-transformers set and the library missing, the error has the exact pip line."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    settings = load_settings(tmp_path, {"embedder": f"sentence-transformers:{tmp_path}"})
    with pytest.raises(UserError) as caught:
        open_embedder(settings)
    assert caught.value.code == "missing-extra"
    assert "pip install 'aqe[sentence-transformers]'" in caught.value.fix


def test_unknown_embedder_is_refused(tmp_path: Path) -> None:
    """An embedder that does not exist is refused with the setting's name and value."""
    with pytest.raises(UserError, match=r"embedder.*word2vec") as caught:
        load_settings(tmp_path, {"embedder": "word2vec"})
    assert caught.value.code == "bad-setting"


def test_help_loads_no_numpy() -> None:
    """`aqe --help` imports neither NumPy nor the embedding."""
    code = (
        "import sys; from aqe.server.cli.app import main; main(['--help']);"
        "print(sorted(m for m in sys.modules if m == 'numpy' or m.startswith('aqe.engine.embedding')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


@pytest.fixture(scope="module")
def built_in() -> StaticEmbedder:
    """The embedder over the table that comes with aqe."""
    return open_static()


TRIPLES = [
    ("delete a file", "remove a document from disk", "round prices half up"),
    ("retry the request after a timeout", "try again when the server does not answer", "sort a list of names"),
    ("parse the command line arguments", "read options given by the user on the shell", "compute a matrix inverse"),
    ("the password is stored as a hash", "keep a digest of the secret", "draw a line chart"),
    ("check whether two dates overlap", "test if time intervals intersect", "compress a folder into an archive"),
    ("send an email to the customer", "mail a message to a client", "count the words of a text"),
    ("open a database connection", "connect to the sql server", "convert celsius to fahrenheit"),
    ("convert a string to an integer", "parse a number from text", "close the window of the application"),
    ("the average of a list of numbers", "compute the mean of the values", "log in with a token"),
    ("write the results to a csv file", "export rows as comma separated values", "encrypt a message with a key"),
    ("download a page over http", "fetch a url from the web", "merge two sorted lists"),
    ("return the largest item", "def maximum(values):\n    return max(values)", "rename a git branch"),
    ("cache the result of a function", "memoize what was computed before", "validate an email address"),
]


@pytest.mark.parametrize(("text", "paraphrase", "unrelated"), TRIPLES, ids=[text for text, _, _ in TRIPLES])
def test_paraphrase_is_nearer_than_an_unrelated_text(
    built_in: StaticEmbedder, text: str, paraphrase: str, unrelated: str
) -> None:
    """What says the same in other words is more similar than what says something else."""
    assert similarity(built_in, text, paraphrase) > similarity(built_in, text, unrelated) + 0.05


def test_built_in_table_is_what_was_promised(tmp_path: Path) -> None:
    """By default the built-in table embeds: 384 numbers, at most 8 MB, opened once a process."""
    embedder = open_embedder(load_settings(tmp_path))
    assert (embedder.id[:13], embedder.dimension) == ("aqe-static-1:", 384)
    assert built_in_path().stat().st_size <= 8_000_000
    assert open_embedder(load_settings(tmp_path)) is embedder
