"""What redacting does to a text: what could be parsed still can, twice is once, and no text forges a placeholder."""

from __future__ import annotations

import ast
import json
import random
import runpy
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.engine.privacy import Placeholders, redact, scan
from aqe.engine.privacy.redactor import redact_all
from aqe.engine.privacy.structure import redacted

HALF = runpy.run_path(str(Path(__file__).resolve().parents[3] / "benchmarks" / "privacy.py"))
CASES = HALF["read_cases"](HALF["DATA"] / "secrets_1.txt")
LINES = [(case.text, case.text[slice(*case.values[0])]) for case in CASES if case.values]
HARMLESS = [case.text for case in CASES if not case.values]
CARD, MAIL, AWS = 4111111111111111, "jane.roe@acme-corp.io", "AKIAQYLPMN5HNMZ2KJQP"
ALPHABET = string.ascii_letters + string.digits + "+/"
GLUE = ("", "\n", "\t", "\n  ", "x\n", "ä", '"', "\\", "\\n", "\u2028", "\x01", "\U0001f511", "'", "# ", ", ")
TEXTS = st.lists(
    st.one_of(st.sampled_from([line for line, _ in LINES]), st.sampled_from(HARMLESS), st.sampled_from(GLUE)),
    min_size=1,
    max_size=6,
).map("".join)
OTHER_TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)


def _key(lines: int = 6) -> list[str]:
    rng = random.Random(lines)
    body = ["".join(rng.choices(ALPHABET, k=64)) for _ in range(lines - 1)] + ["".join(rng.choices(ALPHABET, k=22))]
    return ["-----BEGIN RSA PRIVATE KEY-----", *body, "-----END RSA PRIVATE KEY-----"]


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sampled_from([None, ".env", "app.py", "config.yaml"]))
def test_redacting_twice_is_redacting_once(text: str, path: str | None) -> None:
    """What was redacted is left as it is by a second pass, whatever the file's name."""
    once = redact(text, path).text
    assert redact(once, path).text == once


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(TEXTS, OTHER_TEXTS), min_size=1, max_size=4), st.booleans(), st.sampled_from([None, 2]))
def test_json_stays_json(texts: list[str], is_ascii: bool, indent: int | None) -> None:
    """A text that is JSON can be read after it was redacted, and what was no text or number in it is the same."""
    value = {
        "texts": texts,
        "card": CARD,
        "of": [CARD, 1.5, None, True],
        "deep": json.dumps(texts),
        "password": 24681357,
    }
    written = redact(json.dumps(value, ensure_ascii=is_ascii, indent=indent)).text
    read = json.loads(written)
    assert str(CARD) not in written
    assert read["of"][1:] == [1.5, None, True]
    assert len(read["texts"]) == len(texts)


def test_a_quoted_value_ends_with_the_text_around_it() -> None:
    """What looks like the next quotation mark of a value in a field of JSON is one of another field."""
    written = json.dumps(['getpass("Password: ")', "0A", '"x"', 'db_password = "j0tter-Pad"'])
    assert json.loads(redact(written).text) == json.loads(
        written.replace("j0tter-Pad", "[redacted:password-assignment]")
    )


@pytest.mark.parametrize("before", ["\n", "x\n"])
def test_secrets_within_escaped_text_are_found(before: str) -> None:
    """Of the values that are found in a line, 19 of 20 are found where the line is a field of JSON, behind escapes."""
    known = [(line, value) for line, value in LINES if value in [line[one.start : one.end] for one in scan(line)]]
    missed = []
    for line, value in known:
        text = json.dumps({"cell": f"{before}{line}\n", "n": 1}, ensure_ascii=False)
        if json.dumps(value, ensure_ascii=False)[1:-1] in redact(text).text:
            missed.append(line)
    assert len(missed) <= 0.05 * len(known), missed


@pytest.mark.parametrize("value", [AWS, MAIL, "+49 30 901820-12", "GB82 WEST 1234 5698 7654 32", "4111 1111 1111 1111"])
@pytest.mark.parametrize("depth", [1, 2])
def test_value_beside_an_escape_is_found_alone(value: str, depth: int) -> None:
    """A value right behind an escaped line break is taken out, and the break stays."""
    text: Any = f"one\n{value}\ntwo"
    for _ in range(depth):
        text = json.dumps({"a": text})
    done = redact(text).text
    assert value not in done
    for _ in range(depth):
        done = json.loads(done)["a"]
    assert done.splitlines()[0::2] == ["one", "two"]


def test_program_keeps_its_syntax() -> None:
    """Values of a program stand in quotation marks after they were redacted, numbers too."""
    source = f'CARD = {CARD}\nCARDS = [{CARD}, {CARD}]\nowner = "{MAIL}"\nkeys = {{"aws": "{AWS}", "n": 3}}\n'
    done = redact(source, "app.py").text
    tree = ast.parse(done)
    assert len(tree.body) == 4
    assert not any(value in done for value in (str(CARD), MAIL, AWS))


def test_placeholder_of_the_text_is_nobody_elses() -> None:
    """A text that brings a placeholder of its own shares it with no value of the request, in whatever text that is."""
    done = redact_all(["see [redacted:email] and [redacted:email-2]", f"write to {MAIL}", f"{MAIL} or al@posteo.net"])
    assert [one.text for one in done] == [
        "see [redacted:email] and [redacted:email-2]",
        "write to [redacted:email-3]",
        "[redacted:email-3] or [redacted:email-4]",
    ]


def test_own_placeholders_are_used_again() -> None:
    """What one request has redacted already keeps its placeholders in a later part of it."""
    names = Placeholders()
    first = redact(f"by {MAIL}", placeholders=names).text
    assert redact(f"{first}, {MAIL}", placeholders=names).text == "by [redacted:email], [redacted:email]"


@pytest.mark.parametrize("kind", ["email", "nothing", "email-2", "private-key"])
def test_brackets_of_a_placeholder_hide_nothing(kind: str) -> None:
    """A secret in something like a placeholder is found."""
    for text in (f"[redacted:{AWS}]", f"[redacted:{kind}-{AWS}]", f"[redacted:{kind}]{AWS}"):
        assert AWS not in redact(text).text


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.sampled_from(["", "    ", "> "]))
def test_half_of_a_key_is_redacted(cut: int, lead: str) -> None:
    """A private key that is cut between two texts leaves no line of its own in either."""
    lines = [lead + line for line in _key(10)]
    for part in ("\n".join(["before it", *lines[:cut]]), "\n".join([*lines[cut:], "behind it"])):
        done = redact(part).text
        assert not any(line.strip("> ") in done for line in _key(10)[1:-1] if len(line) > 40), done


def test_lines_around_half_a_key_stay() -> None:
    """What stands before the rest of a key and is none of it is left."""
    text = "\n".join(["text", "hello", *_key()[3:], "behind"])
    assert redact(text).text == "text\nhello\n[redacted:private-key]\nbehind"
    assert redact("words\n-----END RSA PRIVATE KEY-----\n").spans == ()


def test_key_as_a_list_of_lines_is_redacted() -> None:
    """The lines of a key that an answer holds as texts of a list are taken out, and what follows is not."""
    lines = redacted({"lines": ["a = 1", *_key(), "b = 2"]})["lines"]
    assert lines[0] == "a = 1"
    assert lines[-1] == "b = 2"
    assert not set(_key()[1:-1]) & set(lines)


def test_number_under_the_name_of_a_password_is_redacted() -> None:
    """A password that an object holds as a number is taken out; counts, times and limits are not."""
    value = {"password": 24681357, "pass": 123456, "took": 98765432, "max_tokens": 4096000, "rows": [123456]}
    assert redacted(value) == value | {"password": "[redacted:password-assignment]"}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("names", [("d", "p", "q", "dp", "dq", "qi"), ("d",), ("k",)])
def test_key_as_json_loses_all_that_is_its_owners(names: tuple[str, ...], indent: int | None) -> None:
    """Of a key as JSON every part that gives it away goes, in a text and in an object; what is public stays."""
    rng = random.Random(5)
    alphabet = string.ascii_letters + string.digits + "-_"
    size = {"p": 171, "q": 171, "dp": 171, "dq": 171, "qi": 171, "d": 342 if len(names) > 1 else 43, "k": 43}
    secret = {name: "".join(rng.choices(alphabet, k=size[name])) for name in names}
    key = {"kty": "oct" if names == ("k",) else "RSA", "kid": "shop-2026", **secret, "alg": "any"}
    for done in (json.loads(redact(json.dumps(key, indent=indent)).text), redacted(key)):
        assert {name for name in key if done[name] != key[name]} == set(names)


@pytest.mark.parametrize("end", ["", " ", " # dev wallet", ". Keep it.", "\nnext: x", '" # dev'])
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_phrase_of_a_wallet_is_redacted(end: str, change: Any) -> None:
    """The words of a wallet go, whatever stands behind them, and from an object by their name."""
    words = change("abandon ability able about above absent absorb abstract absurd abuse access accident")
    quote = '"' if end.startswith('"') else ""
    assert redact(f"MNEMONIC={quote}{words}{end}").text == f"MNEMONIC={quote}[redacted:seed-phrase]{end}"
    assert redacted({"seed_phrase": words, "note": words}) == dict.fromkeys(
        ("seed_phrase", "note"), "[redacted:seed-phrase]"
    )
