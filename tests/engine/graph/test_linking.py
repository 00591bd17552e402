"""Edges that files tell: what tests and code mention, joined with the passages of the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.engine.index import index_project
from aqe.engine.memory import Store
from aqe.engine.memory.graph import neighbours, read_figures
from aqe.engine.memory.graph.linking import link_index
from aqe.engine.memory.graph.mentions import read_mentions, unpacked

PRICING = """
def net(cents):
    return cents


def gross(cents):
    return net(cents) * 6 // 5


class Price:
    def __init__(self, cents):
        self.cents = cents

    def shown(self):
        return str(gross(self.cents))
"""
TESTS = """
import pytest
from shop import gross
from shop.pricing import Price
import shop.pricing as pricing


@pytest.fixture
def mug():
    return Price(1250)


def test_gross():
    assert gross(100) == 120


def test_net():
    assert pricing.net(1) == 1


def test_shown(mug):
    assert mug.shown() == "1500"


def test_of_nothing():
    assert 1 + 1 == 2
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in {
        "src/shop/__init__.py": "from .pricing import *\nfrom shop.pricing import gross\n",
        "src/shop/pricing.py": PRICING,
        "tests/test_pricing.py": TESTS,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def linked(store: Store, root: Path) -> tuple[int, int]:
    index_project(store, None, root)
    return link_index(store, "index", root)


def told(store: Store, name: str) -> set[tuple[str, str, float]]:
    """What a passage leads to: kind, name under which the other stands, weight."""
    names = {}
    for namespace in ("index/code", "index/tests"):
        for memory in store.list(namespace=namespace):
            names[namespace, memory.id] = memory.metadata["name"] or memory.provenance.file
    start = next(key for key, found in names.items() if found == name)
    around = neighbours(store, start[1], namespace=start[0])
    return {(one.kind, names[one.namespace, one.id], one.weight) for one in around if one.outward}


def test_test_covers_what_it_names(store: Store, shop: Path) -> None:
    """A test covers the function it calls: by a re-exported name, through a module, and by a fixture's method."""
    linked(store, shop)
    assert told(store, "test_gross") == {("covers", "gross", 1.0)}
    assert told(store, "test_net") == {("covers", "net", 1.0)}
    assert told(store, "test_shown") == {("calls", "mug", 1.0), ("covers", "Price.shown", 1.0)}
    assert told(store, "test_of_nothing") == set()


def test_class_is_joined_with_its_constructor(store: Store, shop: Path) -> None:
    """Who names a class uses its head and its constructor."""
    linked(store, shop)
    assert {name for _, name, _ in told(store, "mug")} >= {"Price.__init__"}


def test_code_calls_code(store: Store, shop: Path) -> None:
    """A function calls another of its file."""
    linked(store, shop)
    assert told(store, "gross") == {("calls", "net", 1.0)}
    assert told(store, "Price.shown") == {("calls", "gross", 1.0)}


def test_unchanged_files_change_no_edge(store: Store, shop: Path) -> None:
    """A second look brings and drops nothing."""
    came, went = linked(store, shop)
    assert (came > 5, went) == (True, 0)
    assert linked(store, shop) == (0, 0)


def test_edges_follow_a_function_that_was_changed(store: Store, shop: Path) -> None:
    """A changed function is another passage; the test that names it covers the new one without being read again."""
    linked(store, shop)
    pricing = shop / "src/shop/pricing.py"
    pricing.write_text(PRICING.replace("* 6 // 5", "* 12 // 10"))
    linked(store, shop)
    assert told(store, "test_gross") == {("covers", "gross", 1.0)}
    pricing.unlink()
    linked(store, shop)
    assert told(store, "test_gross") == set()


def test_attribute_that_many_have_says_nothing(store: Store, shop: Path) -> None:
    """A method's name that five classes have links to none of them; one that two have is shared."""
    classes = "".join(f"class C{n}:\n    def common(self):\n        return {n}\n\n\n" for n in range(5))
    pair = "".join(f"class D{n}:\n    def rare(self):\n        return {n}\n\n\n" for n in range(2))
    (shop / "src/shop/many.py").write_text(classes + pair)
    (shop / "tests/test_many.py").write_text("def test_it(x):\n    assert x.common() + x.rare()\n")
    linked(store, shop)
    assert told(store, "test_it") == {("covers", "D0.rare", 0.5), ("covers", "D1.rare", 0.5)}


def test_broken_file_has_no_edges_and_stops_nothing(store: Store, shop: Path) -> None:
    """A file that is no Python tells nothing; the others do."""
    (shop / "tests/test_broken.py").write_text("from shop import gross\n\ndef test_(:\n")
    linked(store, shop)
    assert told(store, "test_gross") == {("covers", "gross", 1.0)}


def test_memory_that_somebody_put_into_the_index_stops_nothing(store: Store, shop: Path) -> None:
    """A memory of one's own in a namespace of the index, with any metadata, changes no edge and breaks no linking."""
    linked(store, shop)
    before = read_figures(store)
    store.add("a note of mine", namespace="index/code")
    store.add("another", namespace="index/tests", metadata={"kind": 3, "name": None})
    assert linked(store, shop) == (0, 0)
    assert read_figures(store) == before


def test_worktree_of_another_index_is_left_alone(store: Store, shop: Path) -> None:
    """Linking one index drops no edge of another."""
    linked(store, shop)
    before = read_figures(store).edges
    assert link_index(store, "index.abcd1234", shop) == (0, 0)
    assert read_figures(store).edges == before


def test_mentions_survive_being_kept() -> None:
    """What a file mentions is the same after it was written and read."""
    found = read_mentions("tests/test_pricing.py", TESTS)
    assert unpacked(found.packed()) == found
    assert (13, "shop.gross") in found.mentions


def test_variable_that_holds_an_instance_is_followed() -> None:
    """A method called on what a constructor gave is that class's, until the name holds something else."""
    text = "from shop import Cart\ndef f():\n    c = Cart()\n    c.add()\n    c = other()\n    c.remove()\n"
    targets = {target for _, target in read_mentions("a.py", text).mentions}
    assert {"shop.Cart", "shop.Cart.add", ".remove"} <= targets
    assert "shop.Cart.remove" not in targets


def test_names_that_were_taken_whole_are_resolved(store: Store, shop: Path) -> None:
    """After `from shop.pricing import *` a test covers what it calls of it, and nothing by a name of its own."""
    text = "from shop.pricing import *\n\n\ndef test_all():\n    here = net(1)\n    assert here == len([1])\n"
    (shop / "tests/test_star.py").write_text(text)
    linked(store, shop)
    assert told(store, "test_all") == {("covers", "net", 1.0)}


def test_relative_imports_are_resolved() -> None:
    """Dots lead up from the module's package; a package's own file is in the package."""
    below = read_mentions("shop/web/views.py", "from ..cart import Cart\nfrom . import forms\n")
    assert below.imports == {"Cart": "shop.cart.Cart", "forms": "shop.web.forms"}
    assert read_mentions("shop/__init__.py", "from .cart import Cart\n").imports == {"Cart": "shop.cart.Cart"}
