"""Suspected bugs: planted ones are found, and honest code is left in peace."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("search_driver", Path(__file__).with_name("test_search.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
driver = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(driver)

BUGGY = '''
class Basket:
    def __init__(self) -> None:
        self.prices: list[int] = []

    def put(self, price: int) -> None:
        self.prices.append(price)

    def average(self) -> float:
        """The average price; 0.0 for an empty basket."""
        return sum(self.prices) / len(self.prices)

def tier(points: int) -> str:
    """The name of the tier."""
    if points < 10:
        return "low"
    if points > 10:
        return "high"

def discount(price: int, percent: int) -> int:
    """Lower a price.

    Raises:
        ValueError: if `percent` is negative.
    """
    return price - price * percent // 100

def parse_pair(text: str) -> tuple[str, str]:
    """Read `a=b`."""
    parts = text.split("=")
    return parts[0], parts[1]

def parse_flag(text: str) -> bool:
    """Read what format_flag wrote."""
    return text == "yes"

def format_flag(flag: bool) -> str:
    """Write a flag."""
    return "Yes" if flag else "no"
'''

HONEST = '''
from typing import Optional

def ratio(part: float, whole: float) -> float:
    return part / whole

def pick(table: dict[str, int], key: str) -> int:
    """The number of a key."""
    return table[key]

def at(items: list[int], place: int) -> int:
    return items[place]

def first(items: list[int]) -> int:
    """The first of a non-empty list."""
    return items[0]

def find(items: list[str], word: str) -> Optional[int]:
    """Where a word stands, or None."""
    return items.index(word) if word in items else None

def root(x: float) -> float:
    """The square root.

    Raises:
        ValueError: if `x` is negative.
    """
    if x < 0:
        raise ValueError("negative")
    return x ** 0.5

def shout(text):
    return text.upper() + "!"

class Registry:
    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self.known[name]

    def __lt__(self, other: object) -> bool:
        return NotImplemented
'''


@pytest.mark.parametrize(
    ("target", "kind", "line"),
    [
        ("Basket.average", "undocumented-exception", "basket.average()"),
        ("tier", "hint-broken", "tier(10)"),
        ("discount", "docstring-broken", "discount("),
        ("parse_pair", "undocumented-exception", 'parse_pair("")'),
        ("parse_flag", "docstring-broken", 'parse_flag("yes")'),
    ],
)
def test_planted_bugs_are_suspected_with_a_short_reproduction(buggy: dict, target: str, kind: str, line: str) -> None:
    """Each planted bug is suspected once, by its own kind, with a call that a reader can paste."""
    found = [bug for bug in buggy["suspects"] if bug["target"] == target]
    assert [bug["kind"] for bug in found] == [kind]
    assert line in found[0]["steps"][-1]["expr"]


def test_what_is_suspected_is_not_asserted_as_right(buggy: dict) -> None:
    """No case expects a suspected value: no None of tier, no discount by a negative percentage."""
    assert {"tier", "discount"} <= {case["target"] for case in buggy["cases"]}
    for case in buggy["cases"]:
        assert not (case["target"] == "tier" and case["outcome"]["src"] == "None")
        assert not (
            case["target"] == "discount"
            and case["outcome"]["kind"] == "returns"
            and "-" in case["steps"][-1]["args"][-1]
        )


def test_honest_code_is_not_suspected(tmp_path: Path) -> None:
    """Lookups by the given key, a divisor that the caller chose, stated conditions and untyped guesses are no bugs."""
    assert driver.search(tmp_path, HONEST, evaluations=3000)["suspects"] == []


@pytest.fixture(scope="module")
def buggy(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return driver.search(tmp_path_factory.mktemp("buggy"), BUGGY, evaluations=4000)


STRICT = '''
def biggest(amounts: list[int]) -> int:
    """The biggest amount; 0 for an empty list."""
    best = amounts[0]
    for one in amounts:
        if one > best:
            best = one
    return best

def scaled(number: int, unit: str = "seconds") -> int:
    """The number in seconds; `unit` is one of seconds, minutes."""
    return number * {"seconds": 1, "minutes": 60}[unit]

def level(name: str = "low") -> int:
    """The number of a level, default low."""
    return {"LOW": 1, "HIGH": 2}[name.upper()]
'''


@pytest.mark.services
def test_a_reproduction_keeps_to_the_hint_and_an_unknown_option_is_no_bug(tmp_path: Path) -> None:
    """A list is shown as a list, with what the docstring says of an empty one; options nobody mentions are refused."""
    found = driver.search(tmp_path, STRICT, evaluations=3000)["suspects"]
    assert [(bug["target"], bug["steps"][-1]["expr"]) for bug in found] == [("biggest", "biggest([])")]
    assert "the docstring promises 0 for an empty list" in found[0]["why"]


def test_an_argument_that_stays_as_it_was_is_not_checked(tmp_path: Path) -> None:
    """A doctest that names its argument first asserts what comes back, not that the argument is unchanged."""
    source = '''
    def total(table: dict[str, int]) -> int:
        """The sum.

        >>> table = {"a": 1, "b": 2}
        >>> total(table)
        3
        """
        return sum(table.values())
    '''
    cases = driver.search(tmp_path, source, evaluations=500)["cases"]
    assert [case["outcome"]["src"] for case in cases if case["origin"] == "doctest"] == ["3"]
    assert all(not case["checks"] for case in cases)


SHARES = '''
from decimal import Decimal

def shares(total_cents: int, people: int) -> list[int]:
    """Split a bill so that the shares add up to the total.

    Raises:
        ValueError: if there is nobody.
    """
    if people < 1:
        raise ValueError("nobody")
    return [total_cents // people] * people

def weights(parts: list[int]) -> list[float]:
    """Relative weights that sum to 1, one for each part."""
    whole = sum(abs(part) for part in parts) + 1
    return [abs(part) / whole for part in parts]

def allocate(amount: int, ratios: tuple[int, int]) -> tuple[int, int]:
    """Two portions whose sum is `amount`."""
    first = amount * abs(ratios[0]) // (abs(ratios[0]) + abs(ratios[1]) + 1)
    return (first, amount - first - (1 if ratios[0] > 50 else 0))
'''

FAIR = '''
def shares(total_cents: int, people: int) -> list[int]:
    """Split a bill so that the shares differ by at most one cent and add up to the total.

    Raises:
        ValueError: if there is nobody.
    """
    if not 1 <= people <= 1000:
        raise ValueError("nobody")
    share, rest = divmod(total_cents, people)
    return [share + 1 if place < rest else share for place in range(people)]

def rounded(total: int, people: int) -> list[int]:
    """Rounded shares, which need not add up to the total."""
    return [round(total / 3)] * 3

def mix(weights: list[float], total: int) -> list[float]:
    """The weights, which must sum to 1, times ten. Where weights add up to total, nothing changes."""
    return [weight * 10 for weight in weights]

def pieces(length: int) -> list[int]:
    """Pieces that add up to at most the length."""
    return [length // 3, length // 3]

def thirds(total: float) -> list[float]:
    """Three parts that sum to the total."""
    return [total / 3, total / 3, total - 2 * (total / 3)]
'''


def test_parts_that_do_not_add_up_as_promised_are_suspected(tmp_path: Path) -> None:
    """A docstring that says what the returned numbers add up to is held to it, once for each function."""
    found = driver.search(tmp_path, SHARES, evaluations=4000)["suspects"]
    assert [bug["target"] for bug in found] == ["shares", "weights", "allocate"]
    assert [bug["kind"] for bug in found] == ["docstring-broken"] * 3
    assert found[0]["why"] == "the docstring promises that the parts add up to total"
    assert found[1]["expected"] == "parts that add up to 1"


@pytest.mark.services
def test_parts_that_add_up_and_sums_that_nobody_promises_are_left_alone(tmp_path: Path) -> None:
    """Right splits, promises about arguments, bounds and sums that are said not to hold are no bugs."""
    assert driver.search(tmp_path, FAIR, evaluations=4000)["suspects"] == []


ODD_NUMBERS = '''
from decimal import Decimal

def giants(place: int) -> list[int]:
    """Numbers that no float holds."""
    return [10 ** 400 + place]

def odd_parts(place: int) -> list[object]:
    """Parts that add up to 1."""
    return [[Decimal("sNaN")], [Decimal(1), 0.5], [10 ** 308] * 9][place % 3]
'''


def test_numbers_that_cannot_be_added_up_do_not_break_the_search(tmp_path: Path) -> None:
    """Numbers beyond a float, signalling NaNs and kinds that do not mix are cases like others, and no bugs."""
    found = driver.search(tmp_path, ODD_NUMBERS, evaluations=500)
    assert found["suspects"] == []
    assert {case["target"] for case in found["cases"]} == {"giants", "odd_parts"}


UNSHOWN = '''
class Sulky:
    """An object that neither compares nor shows itself."""

    def __lt__(self, other: object) -> bool:
        raise ValueError("no")

    def __repr__(self) -> str:
        raise ValueError("no")

def endless_digits(place: int) -> str:
    """A text."""
    return 10 ** (5000 + place % 3)

def sulkies(count: int) -> list[Sulky]:
    """The sorted objects, without duplicates."""
    return [Sulky(), Sulky()]

def powers(count: int) -> list[int]:
    return [10 ** 5000, count]

def sulky_set(count: int) -> set[object]:
    return {Sulky(), count}
'''


def test_values_that_cannot_be_shown_or_compared_do_not_break_the_search(tmp_path: Path) -> None:
    """An int with thousands of digits still breaks its hint; objects that refuse to be compared prove nothing."""
    found = driver.search(tmp_path, UNSHOWN, evaluations=500)["suspects"]
    assert [(bug["target"], bug["actual"]) for bug in found if bug["kind"] != "undocumented-exception"] == [
        ("endless_digits", "a value that cannot be shown (int)")
    ]


CONDITIONS = '''
def share(total: float, people: int) -> float:
    """Each one's share; people must be at least 1."""
    return total / people

def fib(n: int) -> int:
    """The n-th Fibonacci number; n is at least 0."""
    return n if n < 2 else fib(n - 1) + fib(n - 2) if n < 12 else 144

def roots(numbers: list[int], n: int) -> int:
    """A number of the list, where n is at most 2."""
    return (numbers + [1, 2, 3])[n if n > 0 else 0] if n <= 2 else {}[n]
'''


def test_a_condition_on_a_parameter_is_no_promise_about_the_result(tmp_path: Path) -> None:
    """What a docstring asks of an argument is not held against the result, and a call that breaks it shows no bug."""
    assert driver.search(tmp_path, CONDITIONS, evaluations=3000)["suspects"] == []


RAISING = '''
def pairs(text: str) -> dict[str, str]:
    """Read `a=b,c=d`."""
    return dict([part.split("=") for part in text.split(",")])

def halves(text: str) -> str:
    """Two parts of a text.

    Raises:
        ValueError: always, for now.
    """
    left, right = [text] * 3
    return left + right

def first_of(text: str) -> str:
    left, right = text.split(":")
    if not left:
        raise ValueError("nothing on the left")
    return left

def number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"bad: {error}") from None
'''


def test_only_what_the_subject_raises_itself_is_documented_and_matched(tmp_path: Path) -> None:
    """An exception of the interpreter is characterisation without a message; the subject's own keeps its text."""
    cases = driver.search(tmp_path, RAISING, evaluations=3000)["cases"]
    raised = {
        (case["target"], case["documented"], case["outcome"]["message"])
        for case in cases
        if case["outcome"]["kind"] == "raises"
    }
    assert ("first_of", True, "nothing on the left") in raised
    assert {one[1:] for one in raised if one[0] == "pairs"} <= {(False, "")}
    assert {one[1:] for one in raised if one[0] == "first_of"} <= {(False, ""), (True, "nothing on the left")}
    assert {one[1:] for one in raised if one[0] == "halves"} == {(True, "")}
    assert {one[1:] for one in raised if one[0] == "number"} == {(True, "")}
