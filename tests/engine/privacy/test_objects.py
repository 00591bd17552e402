"""What is secret in an object is taken out of it as it is of the same words in a text."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aqe.engine.privacy.redactor import scan
from aqe.engine.privacy.structure import redacted

BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
BODY = ["MIIEowIBAAKCAQEA" + f"aB{n}dE5gH7jK9mN1pQ3rS5tU7vW9xY1zA3bC5dE7fG9hJ1kLM" for n in range(4)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phone", "030 90182045"),
        ("mobile_phone", "(030) 9018 2045"),
        ("ssn", "536-22-8726"),
        ("bsn", "111222333"),
        ("bsn", 111222333),
        ("dni", "12345678Z"),
        ("cpf", "52998224725"),
        ("cpf", 52998224725),
        ("aadhaar", 234123412346),
        ("contraseña", "Lago-Azul31"),
        ("Kennwort", "Zima-Les7"),
        ("senha", "Zima-Les7"),
        ("密码", "Zima-Les7"),
        ("recovery_code", "f3k9-2mzq-8xw1"),
        ("pin", 246813),
        ("card_pin", 2468),
        ("PIN", "2468"),
    ],
)
def test_a_value_is_told_by_the_name_beside_it(name: str, value: str | int) -> None:
    """What a rule knows beside its name in a text goes from an object that says the same, from no other name."""
    assert "[redacted:" in str(redacted({"user": [{name: value}]}))
    assert redacted({"title": value}) == {"title": value}


@pytest.mark.parametrize(
    "lines",
    [
        [f"> {line}" for line in (BEGIN, *BODY, END)],
        [f"{n} | {line}" for n, line in enumerate((BEGIN, *BODY, END), 12)],
        [{"n": n, "text": line} for n, line in enumerate((BEGIN, *BODY, END), 12)],
        [BEGIN, *BODY],
        [*BODY, END],
        ["before", *BODY, END, "behind"],
    ],
)
def test_the_lines_of_a_key_go_from_a_list(lines: list[Any]) -> None:
    """A key whose lines are quoted, numbered, or objects of a listing, or that lacks an end, leaves no line."""
    shown = str(redacted({"lines": lines, "title": "as it was"}))
    assert not any(line[:20] in shown for line in BODY)
    assert "as it was" in shown
    assert ("before" in shown) == ("before" in lines)


def test_texts_beside_a_whole_key_stay() -> None:
    """A text that holds a whole key loses that key alone, and the texts after it nothing."""
    whole = "see " + "\n".join((BEGIN, *BODY, END)) + " there"
    assert redacted([whole, "Totals are rounded."]) == ["see [redacted:private-key] there", "Totals are rounded."]


def test_a_number_is_taken_where_its_name_tells_it() -> None:
    """A number that is a password under one name stays a number under another; a sign before it changes nothing."""
    told = redacted({"db_password": 24681357, "rows": 24681357, "sub": {"DB_PASSWORD": -24681357, "left": -24681357}})
    assert (told["rows"], told["sub"]["left"]) == (24681357, -24681357)
    assert told["db_password"].startswith("[redacted:password-assignment")
    assert told["sub"]["DB_PASSWORD"].startswith("[redacted:password-assignment")
    assert redacted({"card": -4111111111111111}) == {"card": "[redacted:credit-card]"}


def test_an_object_is_redacted_once() -> None:
    """What came out is left as it is."""
    once = redacted({"phone": "030 90182045", "lines": [BEGIN, *BODY, END], "db_password": 24681357})
    assert redacted(once) == once


def test_names_repeated_without_end_take_no_longer_than_words() -> None:
    """A wall of names of passwords in another language is read in a few times the time of ordinary text."""

    def seconds(unit: str) -> float:
        text = (unit * 50_000)[:50_000]
        began = time.process_time()
        scan(text)
        return time.process_time() - began

    usual = min(seconds("The quick brown fox jumps over the lazy dog and x = foo(bar, 12)\n") for _ in range(3))
    assert min(seconds("\u5bc6\u7801:") for _ in range(3)) < 20 * usual
