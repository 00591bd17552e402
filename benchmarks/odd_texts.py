"""Texts that are made to hold the redactor up: walls of one thing, and of what its rules begin at."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable
from typing import Any

from aqe.engine.privacy.redactor import scan

ALNUM = string.ascii_letters + string.digits
ODD_SIZE = 100_000
ODD_TEXTS = (
    "key|token|auth|key |key_|key or |api_key=|key='(|auth=('|auth(|psk|ey|sk-|glpat-|password: &a |password: !a "
    '|password:\n  a\n|password: >\n  a\n|["--password", | -pX|mysql -pX |a:5432:b:c:|cookie: a=b;|<password>|://a:b'
    "|a@b.|1.2.3.4|1:|::|+1 2|AA11|echo a|getconnection(|kind: secret\ndata:\n|-----begin private key-----|[-|- --a\n"
    '|\\n|\\"|\\u0041|\\|"|\'|(|=|:| |\n|\t|a|\u4e2d|\U0001f511|password: x\n|x=$2b$12$|\u5bc6\u7801:'
)
"""What is repeated to make a text, between bars."""


def _random(rng: random.Random, length: int, alphabet: str = ALNUM) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def _repeated(make: Callable[[random.Random], str]) -> Callable[[random.Random], str]:
    def text(rng: random.Random) -> str:
        return "".join(make(rng) for _ in range(ODD_SIZE // 40))[:ODD_SIZE]

    return text


WALLS: dict[str, Callable[[random.Random], str]] = {
    "base64": lambda rng: _random(rng, ODD_SIZE, ALNUM + "+/"),
    "hexadecimal": lambda rng: _random(rng, ODD_SIZE, string.hexdigits[:16]),
    "digits": lambda rng: _random(rng, ODD_SIZE, string.digits),
    "signs": lambda rng: _random(rng, ODD_SIZE, string.punctuation),
    "minified": _repeated(lambda rng: f"function {_random(rng, 2)}(a){{return a[{_random(rng, 1)}]||{{key:b}}}}"),
    "lock file": _repeated(lambda rng: f'    "integrity": "sha512-{_random(rng, 86)}==",\n'),
    "CSV": _repeated(lambda rng: f"{rng.randrange(10**6)},{_random(rng, 8)},{rng.random()},{_random(rng, 5)}\n"),
    "settings of passwords": _repeated(lambda rng: f"{_random(rng, 4).upper()}_PASSWORD={_random(rng, 12)}\n"),
    "passwords in JSON": _repeated(lambda rng: f'{{"password": "{_random(rng, 12)}"}},'),
    "arguments": _repeated(lambda rng: f'"--token", "{_random(rng, 16)}", '),
    "addresses": _repeated(lambda rng: f"{_random(rng, 8)}@{_random(rng, 6)}.com "),
}


def slowest_texts(bases: list[tuple[str, str]], rng: random.Random) -> dict[str, Any]:
    """How much slower texts are that are made to hold the redactor up, by processor time for a character beside files
    as they are: those in which it finds nothing, and those of nothing but secrets; each is `ODD_SIZE` characters."""
    usual = _seconds("".join(text for _, text in bases)[: 5 * ODD_SIZE])[0] / (5 * ODD_SIZE)
    texts = {unit: unit * (ODD_SIZE // len(unit)) for unit in ODD_TEXTS.split("|")}
    texts |= {name: make(rng) for name, make in WALLS.items()}
    slowest = {True: (0.0, "", 0), False: (0.0, "", 0)}
    for name, text in texts.items():
        seconds, found = _seconds(text)
        is_dense = found * 100 > len(text)
        if not found or is_dense:
            slowest[is_dense] = max(slowest[is_dense], (seconds / len(text) / usual, name, found))
    grown = _seconds("key='(" * (ODD_SIZE // 2))[0] / _seconds("key='(" * (ODD_SIZE // 20))[0]
    return {
        "texts": len(texts),
        "times_slower_nothing_found": round(slowest[False][0], 1),
        "slowest_nothing_found": slowest[False][1],
        "times_slower_secrets_only": round(slowest[True][0], 1),
        "slowest_secrets_only": slowest[True][1],
        "time_of_ten_times_the_text": round(grown, 1),
    }


def _seconds(text: str) -> tuple[float, int]:
    """Processor time of the quicker of two scans, and how much was found."""
    taken, found = [], 0
    for _ in range(2):
        started = time.thread_time()
        found = len(scan(text))
        taken.append(time.thread_time() - started)
    return min(taken), found
