"""What the redactor takes out, what it leaves, and that no text can hold it up."""

from __future__ import annotations

import random
import re
import runpy
import string
from pathlib import Path
from re import _constants as op
from re import _parser as parser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.engine.privacy import Placeholders, redact, rules, scan
from aqe.engine.privacy.rules import PARTS, load_rules

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(rules.__file__).with_name("data")
RULES = {rule.id: rule for rule in load_rules().rules}
AWS = "AKIAQYLPMN5HNMZ2KJQP"
SECRETS = {
    f'key = "{AWS}"': (AWS, "aws-access-token"),
    'os.environ["API_KEY"] = "k3Jf92kXq7LmPz81Yt"': ("k3Jf92kXq7LmPz81Yt", "generic-api-key"),
    'client_secret: str = "8dyfuiRyq4vVc3RRr_edRk"': ("8dyfuiRyq4vVc3RRr_edRk", "generic-api-key"),
    '{\\"api_key\\": \\"9sK2jfLq08xZpWm3\\"}': ("9sK2jfLq08xZpWm3", "generic-api-key"),
    "DB_PASSWORD=Winter94!xk": ("Winter94!xk", "password-assignment"),
    "postgres://app:Zx81kkq21@db.acme.io/x": ("Zx81kkq21", "url-credentials"),
    "Authorization: Bearer 9fjJd92kdkSKDkd82k": ("9fjJd92kdkSKDkd82k", "authorization-header"),
    "curl \\\n  -u admin:Xk39dkfwq https://x": ("admin:Xk39dkfwq", "curl-auth-user"),
    "token ghp_a8sd7fA8sd7f6a8sd7f6A8sd7f6a8sd7f61x.": ("ghp_a8sd7fA8sd7f6a8sd7f6A8sd7f6a8sd7f61x", "github-pat"),
}
PERSONAL = {
    "write to jane.roe+work@acme-corp.io.": ("jane.roe+work@acme-corp.io", "email"),
    "call +49 30 901820-12, please": ("+49 30 901820-12", "phone"),
    "card 4111 1111 1111 1111": ("4111 1111 1111 1111", "credit-card"),
    "paid = -4111111111111111": ("-4111111111111111", "credit-card"),
    "IBAN: GB82 WEST 1234 5698 7654 32.": ("GB82 WEST 1234 5698 7654 32", "iban"),
    "from 54.123.190.7: 403": ("54.123.190.7", "ip-address"),
    "from 2001:4860:4801:10::5: 403": ("2001:4860:4801:10::5", "ip-address"),
    "SSN 536-22-8726": ("536-22-8726", "us-ssn"),
    "Telefon: 030 90182045": ("030 90182045", "phone"),
    "Tel: (415) 867-5309": ("(415) 867-5309", "phone"),
    "DNI: 12345678Z": ("12345678Z", "national-id"),
    "NIE X1234567L": ("X1234567L", "national-id"),
    "CF RSSMRA85T10A562S": ("RSSMRA85T10A562S", "national-id"),
    "CPF 529.982.247-25": ("529.982.247-25", "national-id"),
    "PESEL: 44051401359": ("44051401359", "national-id"),
    "BSN 111222333": ("111222333", "national-id"),
    "1 84 12 76 451 089 46": ("1 84 12 76 451 089 46", "national-id"),
    "hetu: 131052-308T": ("131052-308T", "national-id"),
    "personnummer 811228-9874": ("811228-9874", "national-id"),
    "Steuer-ID 86095742719": ("86095742719", "national-id"),
    "Aadhaar 2341 2341 2346": ("2341 2341 2346", "national-id"),
    "11010519491231002X": ("11010519491231002X", "national-id"),
    "National Insurance: QQ123456C or AB 12 34 56 C": ("AB 12 34 56 C", "national-id"),
}
HARMLESS = (
    "user@example.com and root@localhost and a@b.test",
    "git@github.com:acme/shop.git and 12345+jane@users.noreply.github.com",
    "10.0.0.1, 127.0.0.1, 192.168.3.4, 169.254.1.1, 203.0.113.9, 198.51.100.4, ::1, fe80::1, 2001:db8::7",
    "version = '1.24.3.17'; requests==2.31.0.200; Chrome/120.0.6099.110; oid 1.3.6.1.4.1",
    "123e4567-e89b-12d3-a456-426614174000",
    "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "DNI: 12345678A, NIE X1234567A, CF RSSMRA85T10A562T, CPF 529.982.247-26, PESEL: 44051401358, BSN 111222334",
    "1 84 12 76 451 089 47, hetu: 131052-308U, personnummer 811228-9875, Steuer-ID 86095742718, 110105194912310021",
    "12345678Z and 44051401359 and 811228-9874 and phone: 555-0142 and tel: (415) 555-0132 and order 030 90182045",
    "4111 1111 1111 1112 and 1700000000000000 and 0.4111111111111111 and id-4111111111111111",
    "GB82 WEST 1234 5698 7654 33",
    "offset +1980-02-29 01:00 and x = a +12345",
    "password = get_password()\nPASSWORD = 'changeme'\napi_key = os.environ['API_KEY']",
    "postgres://user:password@localhost/x and amqp://guest:guest@mq",
    "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
    "def token(self) -> str:\n    return self.access_token_provider.current",
    "a[::2], b[1::3], 12:34:56",
    "2600:1f13:cfe:3650::/64 and +1 555 555 0100 and SSN 078-05-1120",
    '"ARN": "arn:aws:secretsmanager:us-west-2:123456789012:secret:MyTestSecret-a1b2c3"',
    '"AWS::Connect::SecurityKey": "e9f93d5d01b7cd8a"',
    '"PurchaseToken": "eyJ2IjoiMSIsInMiOjEsImMiOi..."',
)


@pytest.mark.parametrize("text", [*SECRETS, *PERSONAL])
def test_span_covers_the_value_and_nothing_else(text: str) -> None:
    """The offsets of a span are exactly those of the secret or datum, whatever stands around it."""
    value, kind = (SECRETS | PERSONAL)[text]
    around = f"žluťoučký İ kůň\n{text}\nend"
    assert [(around[span.start : span.end], span.kind) for span in scan(around)] == [(value, kind)]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    """Placeholders, reserved names and networks, versions, hashes and code without values have no span."""
    assert [(text[span.start : span.end], span.kind) for span in scan(text)] == []


def test_one_secret_has_one_placeholder_in_a_request() -> None:
    """The same value gets the same placeholder in each text of a request, another value the next number."""
    names = Placeholders()
    first = redact(f"a={AWS} b=jane@acme.io", placeholders=names)
    second = redact(f"bob@acme.io, jane@acme.io, {AWS}", placeholders=names)
    assert first.text == "a=[redacted:aws-access-token] b=[redacted:email]"
    assert second.text == "[redacted:email-2], [redacted:email], [redacted:aws-access-token]"
    assert second.counts == {"aws-access-token": 1, "email": 2}


def test_private_key_goes_whole_even_when_cut_off() -> None:
    """A private key has one span from its first to its last line; a cut one ends with its last line of key text."""
    body = "\n".join("MIIEpAIBAAKCAQEA" + "x7Kq" * 12 for _ in range(5))
    whole = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    assert redact(f"before\n{whole}\nafter").text == "before\n[redacted:private-key]\nafter"
    cut = f"before\n-----BEGIN RSA PRIVATE KEY-----\n{body}"
    assert redact(f"{cut}\n").text == "before\n[redacted:private-key]\n"


def test_kubernetes_secret_loses_every_value() -> None:
    """Each value below data and stringData of a Secret goes, those of other kinds stay."""
    secret = (
        "kind: Secret\nmetadata:\n  name: shop\ndata:\n  user: c2hvcA==\n  pem: |\n    TGluZTE=\n"
        "stringData:\n  x: plain1"
    )
    done = redact(f"kind: ConfigMap\ndata:\n  colour: Ymx1ZQ==\n---\n{secret}\n").text
    assert "colour: Ymx1ZQ==" in done
    assert "name: shop" in done
    for value in ("user: c2hvcA==", "TGluZTE=", "plain1"):
        assert value not in done


def test_overlapping_finds_become_one_span() -> None:
    """Where two rules see the same text, one span covers all of it under the surer rule's name."""
    text = f'aws_secret_token = "{AWS}"'
    assert [(span.kind, text[span.start : span.end]) for span in scan(text)] == [("aws-access-token", AWS)]


def test_key_store_is_secret_as_a_whole() -> None:
    """A PKCS #12 file is one span, whatever its text."""
    assert [span.kind for span in scan("anything", "certs/shop.p12")] == ["pkcs12-file"]


def test_every_rule_of_the_source_is_there() -> None:
    """All 222 rules have a counterpart: 218 as data, four that span lines as code."""
    derived = [rule for rule in load_rules().rules if rule.id not in _own_ids()]
    assert len(derived) == 218
    blocks = DATA.with_name("blocks.py").read_text()
    for name in ("curl-auth-header", "curl-auth-user", "kubernetes-secret-yaml", "private-key"):
        assert f'"{name}"' in blocks


def test_notice_of_the_rules_is_kept() -> None:
    """The licence of the rules' source stands in LICENSES and is named at the head of the data."""
    notice = (ROOT / "LICENSES" / "gitleaks.txt").read_text()
    assert "Copyright (c) 2019 Zachary Rice" in notice
    assert "The above copyright notice and this permission notice shall be included" in notice
    head = (DATA / "redaction_rules.toml").read_text().splitlines()[:3]
    assert any("LICENSES/gitleaks.txt" in line for line in head)
    assert any("b58d3f102cf3" in line for line in head)


def test_values_of_every_rule_are_found_in_common_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of values made in each rule's format, planted in assignments, JSON, logs and docs, at least 97 % are found."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    lines = list(runpy.run_path(str(ROOT / "benchmarks" / "redaction.py"))["_lines"](random.Random(11), 2))
    assert {kind for kind, _ in lines} >= {name for name, rule in RULES.items() if rule.pattern and not rule.path}
    missed = []
    for kind, (line, value) in lines:
        start = line.index(value)
        if not any(span.start <= start and span.end >= start + len(value) for span in scan(line)):
            missed.append((kind, line))
    assert len(missed) <= 0.03 * len(lines), missed


def test_value_with_a_look_of_its_own_needs_no_name() -> None:
    """Where a rule knows its values by a name or by their look, one that stands alone in a text is found too."""
    token = "ATATT3" + "".join(random.Random(7).choices(string.ascii_letters + string.digits + "-_", k=186))
    assert redact(f"it was {token}\nand").text == "it was [redacted:atlassian-api-token]\nand"


@pytest.mark.parametrize("rule", [rule for rule in load_rules().rules if rule.pattern], ids=lambda rule: rule.id)
def test_pattern_is_bounded(rule: rules.Rule) -> None:
    """Each repetition has an upper bound and none that can give back holds another that can, so time is bounded."""
    pattern = rule.pattern
    for short, part in PARTS.items():
        pattern = pattern.replace(short, part)
    _check_bounded(list(parser.parse(pattern)), inside=False)


HOSTILE = ["key", "key=", "sk-", "s.", "secret_key = 'secret_key", "ey.ey", "a@a.a@", "AA11", "+1 1", "::", "1 "]
HOSTILE += ["curl -H ", "-----BEGIN PRIVATE KEY-----", "kind: secret\ndata:\n", "://a:", "password='aA1", "İ@", "\n"]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_is_scanned(unit: str) -> None:
    """A text of one unit repeated many times, made to send a pattern astray, is scanned to its end."""
    text = unit * (20_000 // len(unit)) + f' "{AWS}" '
    place = text.rindex(AWS)
    assert any(span.start <= place and span.end >= place + len(AWS) for span in scan(text))


FRAGMENTS = st.sampled_from(
    [*SECRETS, *PERSONAL, *HARMLESS, "\n", " ", "é", "İ", "'", '"', "=", "def f(x):", "\\", "-"]
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(FRAGMENTS, st.text(max_size=20)), max_size=12).map("".join))
def test_spans_are_in_order_and_apart(text: str) -> None:
    """Spans lie inside the text, follow each other without touching twice, and the rest of the text stays as it is."""
    done = redact(text)
    place, kept = 0, []
    for span in done.spans:
        assert place <= span.start < span.end <= len(text)
        kept.append(text[place : span.start])
        place = span.end
    kept.append(text[place:])
    for part in kept:
        assert part in done.text


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(SECRETS | PERSONAL)), st.text(max_size=40), st.text(max_size=40))
def test_planted_value_never_survives_between_lines(planted: str, before: str, after: str) -> None:
    """Whatever lines stand before and after, the value of a planted line is not in the redacted text."""
    value = (SECRETS | PERSONAL)[planted][0]
    assert value not in redact(f"{before}\n{planted}\n{after}").text or value in before + after


def _own_ids() -> set[str]:
    text = (DATA / "own_rules.toml").read_text()
    return set(re.findall(r'^id = "(.+)"', text, re.MULTILINE))


def _check_bounded(nodes: list[Any], *, inside: bool) -> None:
    for kind, value in nodes:
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            low, high, below = value
            assert int(high) <= 2000
            gives_back = kind is not op.POSSESSIVE_REPEAT and high > low and high > 1
            assert not (gives_back and inside)
            _check_bounded(list(below), inside=inside or gives_back)
        elif kind in (op.SUBPATTERN, op.ASSERT, op.ASSERT_NOT):
            _check_bounded(list(value[-1]), inside=inside)
        elif kind is op.BRANCH:
            for branch in value[1]:
                _check_bounded(list(branch), inside=inside)
        elif kind is op.ATOMIC_GROUP:
            _check_bounded(list(value), inside=inside)
