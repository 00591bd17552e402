"""Precision and recall of the redactor: `python benchmarks/redaction.py [--json] [--half tune|report]`.

A labelled set is made by script from seed and installed files: planted secrets of every rule and personal data of every
class in real source, docs and configuration (and log lines written here), decoys that look like them, and the same
files clean. Files are split by the hash of their name into a half to tune on and a half to report. Values of a
secret's class follow the format that its rule knows, so recall says what contexts, entropy and allowlists cost, not
how many formats exist that no rule knows. No value is or was in use anywhere. All figures also go to `--json`.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import json
import random
import re
import string
import sys
import sysconfig
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as op
from re import _parser as parser
from typing import Any

from odd_texts import slowest_texts

from aqe.engine.privacy.redactor import PERSONAL, scan
from aqe.engine.privacy.rules import GENERIC, load_rules

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
ALNUM = string.ascii_letters + string.digits
PLAIN = (
    'TOKEN = "{v}"',
    "value: {v}",
    "INFO uploading with {v} to the mirror",
    '{{"auth": "{v}", "retries": 3}}',
    "export UPLOAD={v}",
    "see `{v}` in the console, then go on.",
    "https://api.acme.io/v1/things?t={v}&page=2",
    'client = connect(host, "{v}")',
    "<credential>{v}</credential>",
    'body = "{{\\"auth\\": \\"{v}\\"}}"',
    "    - {v}",
    "# old one ({v}), revoked",
    "environ['X'] = '{v}'",
)
ASSIGNED = (
    '{k}_token = "{v}"',
    '{k}_api_key: str = "{v}"',
    "{K}_SECRET={v}",
    'config["{k}_key"] = "{v}"',
    '{{"{k}_token": "{v}"}}',
    "{k}-key: {v}",
    "client = Client({k}_token='{v}')",
    'body = "{{\\"{k}_key\\": \\"{v}\\"}}"',
    "export {K}_TOKEN={v}",
    "os.environ.setdefault('{K}_KEY', '{v}')",
    '{k}_key = b"{v}"',
)
NAMES = ("maria.lopez", "t.nguyen", "anna-karin", "jsmith42", "o_brien", "wei.zhang", "fatima", "piotr.nowak+news")
DOMAINS = ("acme-corp.io", "northwind.co.uk", "kontoso.de", "mail.globex.com", "stadt-neustadt.de", "initech.org")
IBANS = {"DE": "0" * 18, "GB": "A" * 4 + "0" * 14, "FR": "0" * 10 + "B" * 11 + "00", "NL": "A" * 4 + "0" * 10}
IBANS |= {"ES": "0" * 20, "CH": "0" * 5 + "B" * 12, "NO": "0" * 11}
PHONES = ("+{a} {b} {c}", "+{a}-{b}-{c}", "+{a} ({b}) {c}", "+{a}{b}{c}", "00{a} {b} {c}", "+{a}.{b}.{c}")
WORDS = ("acid", "bench", "cloud", "dove", "elbow", "frost", "grape", "honey", "iron", "jelly", "knife", "lemon")


@dataclass(frozen=True)
class Planted:
    """A text with one value in it, its place and its class; a decoy has the class "" and must be left alone."""

    text: str
    start: int
    end: int
    kind: str
    what: str


def main() -> int:
    """Print the table of one half; exit 1 when it falls below the bar of docs/privacy.md."""
    options = _arguments()
    started = time.perf_counter()
    bases = [base for base in _bases(options.files) if _half(base[0]) == options.half]
    rng = random.Random(options.seed)
    planted = list(_planted(bases, rng, options.each))
    report = _measure(planted) | _clean(bases) | {"half": options.half, "seed": options.seed, "files": len(bases)}
    report["odd_texts"] = slowest_texts(bases, rng)
    report["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(report) if options.json else _table(report))
    return 0 if report["recall"] >= 0.9 and report["precision"] >= 0.95 else 1


def _measure(planted: list[Planted]) -> dict[str, Any]:
    """Recall counts a value as found only if all of it is covered; precision counts what was found beside values."""
    found, total, false, true = Counter[str](), Counter[str](), Counter[str](), 0
    named, missed = Counter[str](), defaultdict[str, list[str]](list)
    for one in planted:
        hit = False
        for span in scan(one.text):
            if span.end <= one.start or span.start >= one.end:
                false["beside"] += 1
            elif not one.kind:
                false[one.what] += 1
            else:
                hit = hit or (span.start <= one.start and span.end >= one.end)
                true += 1
                named[one.kind] += span.kind == one.kind
        if one.kind:
            total[one.kind] += 1
            found[one.kind] += hit
            if not hit:
                missed[one.kind].append(one.text[max(0, one.start - 40) : one.end + 5])
    groups = {"secrets": [k for k in total if k not in PERSONAL], "personal": [k for k in total if k in PERSONAL]}
    return {
        "planted": sum(total.values()),
        "decoys": sum(not one.kind for one in planted),
        "recall": round(sum(found.values()) / sum(total.values()), 4),
        "precision": round(true / (true + sum(false.values())), 4),
        "class_named_right": round(sum(named.values()) / max(1, sum(found.values())), 4),
        "recall_of": {
            name: round(sum(found[k] for k in ks) / sum(total[k] for k in ks), 4) for name, ks in groups.items()
        },
        "classes": len(total),
        "weak_classes": {k: f"{found[k]}/{total[k]}" for k in sorted(total) if found[k] < 0.9 * total[k]},
        "personal_classes": {k: f"{found[k]}/{total[k]}" for k in sorted(groups["personal"])},
        "false": dict(false),
        "missed": {kind: texts[:3] for kind, texts in sorted(missed.items())},
    }


def _clean(bases: list[tuple[str, str]]) -> dict[str, Any]:
    """False alarms in files as they are, but for mail addresses, which are real there."""
    kinds, size, seconds, hit = Counter[str](), 0, 0.0, 0
    where = []
    for name, text in bases:
        started = time.thread_time()
        spans = scan(text, name)
        seconds += time.thread_time() - started
        size += len(text)
        hit += bool(spans)
        kinds.update(span.kind for span in spans)
        where += [f"{name}: {span.kind} {text[max(0, span.start - 30) : span.end][:90]!r}" for span in spans]
    return {
        "clean_characters": size,
        "clean_alarms": dict(kinds),
        "clean_alarms_per_million": round(sum(kinds.values()) / size * 1e6, 2),
        "clean_files_hit": hit,
        "ms_per_100_kB": round(seconds / size * 1e8, 1),
        "where": where[:40],
    }


def _bases(most: int) -> list[tuple[str, str]]:
    """Source, docs and configuration of this repository's fixtures, the standard library and installed packages; real
    mail, which the standard library's tests have, is left out."""
    kinds = ("*.py", "*.md", "*.rst", "*.toml", "*.json", "*.cfg", "*.txt", "*.yaml")
    roots = [
        ROOT / "fixtures",
        ROOT / "docs",
        *map(Path, {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}),
    ]
    files = sorted({path for root in roots for kind in kinds for path in root.rglob(kind)})
    random.Random(7).shuffle(files)
    found = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if 200 < len(text) <= 200_000 and "\nReceived: " not in text:
            found.append((path.name, ADDRESS.sub("user@example.com", text)))
        if len(found) >= most:
            break
    found += [(f"log{number}.log", _log(random.Random(number))) for number in range(most // 20)]
    return found


def _half(name: str) -> str:
    return "tune" if hashlib.sha256(name.encode()).digest()[0] % 2 else "report"


def _log(rng: random.Random) -> str:
    words = ("request", "done", "retry", "cache miss", "worker", "took", "rows", "flushed", "timeout", "connected")
    return "\n".join(
        f"2026-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T0{rng.randint(0, 9)}:{rng.randint(10, 59)}:00Z"
        f" {rng.choice(('INFO', 'DEBUG', 'WARN'))} [{rng.randbytes(4).hex()}] {rng.choice(words)}"
        f" id={rng.randrange(10**6)} 10.{rng.randint(0, 9)}.0.{rng.randint(1, 254)} {rng.random() * 99:.2f} ms"
        for _ in range(60)
    )


def _planted(bases: list[tuple[str, str]], rng: random.Random, each: int) -> Iterator[Planted]:
    for kind, line in _lines(rng, each):
        yield _plant(rng.choice(bases)[1], line, kind, kind, rng)
    for what, make in DECOYS.items():
        for _ in range(each * 4):
            value = make(rng)
            template = rng.choice([one for one in PLAIN if not re.search("credential|auth|TOKEN", one)])
            yield _plant(rng.choice(bases)[1], (template.format(v=value), value), "", what, rng)


def _plant(base: str, line: tuple[str, str], kind: str, what: str, rng: random.Random) -> Planted:
    """One line put between two lines of at most 4,000 characters of a file."""
    written, value = line
    lines = base[:4000].split("\n")[:-1] or [""]
    at = rng.randrange(len(lines) + 1)
    before = "".join(f"{one}\n" for one in lines[:at])
    start = len(before) + written.index(value)
    return Planted(f"{before}{written}\n" + "\n".join(lines[at:]), start, start + len(value), kind, what)


def _lines(rng: random.Random, each: int) -> Iterator[tuple[str, tuple[str, str]]]:
    for rule in load_rules().rules:
        if not rule.pattern or rule.id in OWN_LINES or rule.path:
            continue
        for _ in range(each):
            whole, value, key = _value_of(rule, rng)
            if key:
                line = rng.choice(ASSIGNED).format(k=key.lower(), K=key.upper(), v=value)
            elif whole != value:
                line = whole
            else:
                line = rng.choice(PLAIN).format(v=value)
            yield rule.id, (line, value)
    for kind, make in (OWN_LINES | PERSONAL_LINES).items():
        for _ in range(each * 4):
            yield kind, make(rng)


def _value_of(rule: Any, rng: random.Random) -> tuple[str, str, str]:
    """What the pattern matches, the value in it, and for a value known by its name the name, else ""."""
    key, assigned, tail = rule.pattern.partition("<assigned>")
    tree = parser.parse((tail if assigned else key).replace("<closed>", "").replace("<assigned>", ""))
    while True:
        whole, groups = _sample(list(tree), rng)
        number = next((n for n in sorted(groups) if groups[n]), None)
        value = groups[number] if number is not None else whole
        if rule.id == GENERIC and not re.fullmatch(r"[\w.=/+-]{20,60}", value):
            continue
        if value[0] not in "=.-" and value[-1] not in ".-":
            return whole, value.strip('"'), _sample(list(parser.parse(key)), rng)[0] if assigned else ""


def _sample(nodes: list[Any], rng: random.Random) -> tuple[str, dict[int, str]]:
    """A random text that the parsed pattern matches, and what its groups hold."""
    text, groups = "", dict[int, str]()
    for kind, value in nodes:
        part, inner = "", dict[int, str]()
        if kind is op.LITERAL:
            part = chr(value)
        elif kind is op.ANY:
            part = rng.choice(ALNUM)
        elif kind is op.IN:
            part = rng.choice(_members(value))
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            low, high, below = value
            for _ in range(rng.randint(low, min(int(high), low + 24))):
                more, inside = _sample(list(below), rng)
                part, inner = part + more, inner | inside
        elif kind is op.SUBPATTERN:
            part, inner = _sample(list(value[3]), rng)
            if value[0]:
                inner |= {value[0]: part}
        elif kind is op.BRANCH:
            part, inner = _sample(list(rng.choice(value[1])), rng)
        text, groups = text + part, groups | inner
    return text, groups


def _members(items: list[Any]) -> str:
    if items[0][0] is op.NEGATE:
        return ALNUM
    found = ""
    for kind, value in items:
        if kind is op.LITERAL:
            found += chr(value)
        elif kind is op.RANGE:
            found += "".join(map(chr, range(value[0], value[1] + 1)))
        elif kind is op.CATEGORY:
            found += {op.CATEGORY_DIGIT: string.digits, op.CATEGORY_SPACE: " "}.get(value, ALNUM + "_")
    return found


def _random(rng: random.Random, length: int, alphabet: str = ALNUM) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def _password(rng: random.Random) -> str:
    word = rng.choice(("Winter", "blauer", "Copper", "kestrel", "Monday")) + _random(rng, 3, string.digits)
    return word + rng.choice("!#%&*") + _random(rng, rng.randint(2, 6))


def _in(templates: tuple[str, ...], make: Callable[[random.Random], str]) -> Callable[[random.Random], tuple[str, str]]:
    def line(rng: random.Random) -> tuple[str, str]:
        value = make(rng)
        return rng.choice(templates).format(v=value), value

    return line


def _key(rng: random.Random) -> tuple[str, str]:
    kind = rng.choice(("RSA ", "EC ", "OPENSSH ", ""))
    body = "\n".join(_random(rng, 64, ALNUM + "+/") for _ in range(rng.randint(3, 20)))
    value = f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"
    return value, value


def _kubernetes(rng: random.Random) -> tuple[str, str]:
    value = _random(rng, 24, ALNUM) + "=="
    return f"---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: {value}\n---", value


def _email(rng: random.Random) -> str:
    return f"{rng.choice(NAMES)}@{rng.choice(DOMAINS)}"


def _phone(rng: random.Random) -> str:
    code = rng.choice(("1", "44", "49", "33", "420", "86", "353", "55"))
    parts = {"a": code, "b": str(rng.randint(20, 999)), "c": str(rng.randint(100000, 9999999))}
    return rng.choice(PHONES).format(**parts)


def _card(rng: random.Random) -> str:
    start, length = rng.choice((("4", 16), ("53", 16), ("37", 15), ("6011", 16), ("2333", 16)))
    body = start + _random(rng, length - len(start) - 1, string.digits)
    total = sum(int(c) if n % 2 else sum(divmod(int(c) * 2, 10)) for n, c in enumerate(reversed(body)))
    digits = body + str(-total % 10)
    if length == 16 and rng.random() < 0.6:
        return rng.choice(" -").join(digits[n : n + 4] for n in range(0, 16, 4))
    return digits


def _iban(rng: random.Random) -> str:
    country, shape = rng.choice(sorted(IBANS.items()))
    alphabets = {"0": string.digits, "A": string.ascii_uppercase, "B": string.ascii_uppercase + string.digits}
    body = "".join(rng.choice(alphabets[char]) for char in shape)
    rest = 98 - int("".join(str(int(char, 36)) for char in f"{body}{country}00")) % 97
    account = f"{country}{rest:02d}{body}"
    return " ".join(account[n : n + 4] for n in range(0, len(account), 4)) if rng.random() < 0.5 else account


def _ip(rng: random.Random) -> str:
    while True:
        if rng.random() < 0.25:
            address = ipaddress.ip_address(((0x2A00 << 112) | (rng.randrange(2**28) << 84)) + rng.randrange(2**64))
        else:
            address = ipaddress.ip_address(rng.randrange(2**32))
        if address.is_global and not address.is_multicast and not address.is_reserved:
            return str(address)


OWN_LINES: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "password-assignment": _in(
        ('password = "{v}"', "DB_PASSWORD={v}", "connect(user, passwd='{v}')", '{{"password": "{v}"}}'), _password
    ),
    "url-credentials": _in(
        (
            "postgresql://app:{v}@db.acme.io:5432/shop",
            'URL = "amqp://svc:{v}@mq.internal/"',
            "redis://:{v}@cache:6379/0",
        ),
        lambda rng: _random(rng, rng.randint(8, 24)),
    ),
    "authorization-header": _in(
        ("Authorization: Bearer {v}", 'headers = {{"Authorization": "token {v}"}}', "> authorization: Basic {v}"),
        lambda rng: _random(rng, rng.randint(20, 48)),
    ),
    "bearer-token": _in(("sent with Bearer {v}", 'auth = f"Bearer {v}"'), lambda rng: _random(rng, 32)),
    "curl-auth-user": _in(
        ("curl -u {v} https://api.acme.io", 'curl -s \\\n  --user "{v}" https://api.acme.io/x'),
        lambda rng: f"svc{rng.randint(1, 99)}:{_random(rng, 12)}",
    ),
    "curl-auth-header": _in(
        ('curl -H "Authorization: Bearer {v}" https://x.acme.io', "curl https://x.acme.io --header 'X-Api-Key: {v}'"),
        lambda rng: _random(rng, 32),
    ),
    "seed-phrase": _in(('mnemonic="{v}"', "seed phrase: {v}"), lambda rng: " ".join(rng.choices(WORDS, k=12))),
    "private-key": _key,
    "kubernetes-secret-yaml": _kubernetes,
}
PERSONAL_LINES: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    kind: _in((*PLAIN, "contact {v} about it", "from {v}: hello", "'{v}',"), make)
    for kind, make in {"email": _email, "credit-card": _card, "iban": _iban, "ip-address": _ip}.items()
} | {"phone": _in(('phone = "{v}"', "call {v}.", "Tel: {v}", '{{"mobile": "{v}"}}', "- {v}"), _phone)}
DECOYS: dict[str, Callable[[random.Random], str]] = {
    "uuid": lambda rng: "-".join(rng.randbytes(n).hex() for n in (4, 2, 2, 2, 6)),
    "commit": lambda rng: rng.randbytes(20).hex(),
    "checksum": lambda rng: f"sha256:{rng.randbytes(32).hex()}",
    "version": lambda rng: ".".join(str(rng.randint(0, 30)) for _ in range(rng.randint(3, 4))),
    "placeholder mail": lambda rng: (
        f"{rng.choice(('user', 'jane', 'a.b'))}@{rng.choice(('example.com', 'test.example'))}"
    ),
    "private address": lambda rng: f"{rng.choice(('10.1', '192.168', '172.20', '127.0'))}.{rng.randint(0, 255)}.9",
    "timestamp": lambda rng: str(rng.randrange(1_600_000_000_000, 1_900_000_000_000)),
    "sixteen digits": lambda rng: "1" + _random(rng, 15, string.digits),
    "identifier": lambda rng: "_".join(rng.choice(("read", "cart", "total", "parse", "row")) for _ in range(4)),
    "variable": lambda rng: rng.choice(
        ("${API_TOKEN}", "$SECRET_KEY", "{{ vault.key }}", "<your-token>", "xxxxxxxxxxxx")
    ),
}


def _table(report: dict[str, Any]) -> str:
    odd = report["odd_texts"]
    lines = [
        f"half           {report['half']} ({report['files']} files, seed {report['seed']}, {report['seconds']} s)",
        f"planted        {report['planted']} values of {report['classes']} classes, {report['decoys']} decoys",
        f"recall         {report['recall']:.4f} (a value counts when all of it is covered) {report['recall_of']}",
        f"precision      {report['precision']:.4f}; false: {report['false']}",
        f"class right    {report['class_named_right']:.4f} of those found",
        f"personal       {report['personal_classes']}",
        f"weak classes   {report['weak_classes']}",
        f"clean files    {report['clean_alarms_per_million']} alarms in a million characters of"
        f" {report['clean_characters']:,} ({report['clean_alarms']} in {report['clean_files_hit']} files)",
        f"speed          {report['ms_per_100_kB']} ms of processor time for 100 kB",
        f"odd texts      {odd['texts']} made to be slow: at most {odd['times_slower_nothing_found']} times the time of"
        f" ordinary text where nothing is found ({odd['slowest_nothing_found']!r}),",
        f"               {odd['times_slower_secrets_only']} times where there are only secrets"
        f" ({odd['slowest_secrets_only']}); ten times the text takes {odd['time_of_ten_times_the_text']} times as long",
    ]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parsed = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parsed.add_argument("--half", choices=("tune", "report"), default="report")
    parsed.add_argument("--files", type=int, default=2000, help="files to take in both halves together")
    parsed.add_argument("--each", type=int, default=5, help="planted values of each rule")
    parsed.add_argument("--seed", type=int, default=1)
    parsed.add_argument("--json", action="store_true")
    return parsed.parse_args()


if __name__ == "__main__":
    sys.exit(main())
