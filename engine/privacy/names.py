"""What the name of a setting, key or variable says of its value: a password, a secret, a token, or nothing.

Names are read word by word (`dbPassword`, `DB_PASSWORD`, `db-password`, `spring.datasource.password`), and the last
word that is no qualifier decides: `password_prod` holds a password, `password_min_length` a number.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal

Kind = Literal["password", "secret", "token"]
"""`password`: any text may be one. `secret`: any but a plain word. `token`: only what looks random."""
_DATA = Path(__file__).with_name("data") / "words.toml"


@lru_cache(maxsize=1)
def _lists() -> dict[str, frozenset[str]]:
    read = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return {name: frozenset(words.split()) for name, words in read.items()}


def words(name: str) -> frozenset[str]:
    """One of the lists of words of data/words.toml."""
    return _lists()[name]


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_QUALIFIERS = words("qualifiers")
_PASSWORD = re.compile(
    r".*(?:passw(?:or[dt]|d|rd)|passphrase|passcode)|pwd|pswd?|pw|psk|masterauth"
    r"|(?:db|store|key|trust|require|smtp|ftp|mail|root|ssh|user|admin|my|mysql|pg|ldap|bind|become|login|redis|app)"
    r"(?:pass|pwd?|auth)"
)
_NO_PASS = words("no_pass")
_KEY_BEFORE = re.compile(
    r"(?:.*(?:api|access|secret|private|signing|encryption|encrypt|crypt|auth|account|master|shared|service|app|application"
    r"|license|session|cipher|fernet|hmac|jwt|aes|deploy|subscription|storage|webhook|integration|client|consumer|admin"
    r"|write|host|loggedin))|ssh"
)
_NO_VALUE = words("no_value")
_NO_SECRET = words("no_secret")


@lru_cache(maxsize=4096)
def kind_of_name(name: str) -> Kind | None:
    """What a value of that name is; None where the name says nothing.

    >>> kind_of_name("spring.datasource.password"), kind_of_name("PASSWORD_MIN_LENGTH"), kind_of_name("nextPageToken")
    ('password', None, None)
    """
    parts = [word.lower() for word in _WORDS.findall(name)]
    while len(parts) > 1 and (parts[-1] in _QUALIFIERS or parts[-1].isdigit()):
        parts.pop()
    if not parts:
        return None
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    before = "loggedin" if parts[-3:-1] == ["logged", "in"] else before
    last = last[:-1] if last in ("passwords", "passphrases", "secrets", "tokens", "keys") else last
    if before in _NO_VALUE or (parts[0] in _NO_VALUE and len(parts) < 4):
        return None
    if _PASSWORD.fullmatch(last) or _PASSWORD.fullmatch(before + last):
        return None if "public" in parts else "password"
    if last == "pass":
        return None if before in _NO_PASS else "password"
    if not _NO_SECRET.isdisjoint(parts):
        return None
    return _secret(last, before)


def is_public_name(name: str) -> bool:
    """Whether a word of the name tells that anybody may see its token or key (`Sec-WebSocket-Key`, `nextPageToken`)."""
    return not _NO_SECRET.isdisjoint(word.lower() for word in _WORDS.findall(name))


def _secret(last: str, before: str) -> Kind | None:
    joined = before + last
    if last == "base" and before == "key":
        return "secret"
    if last == "salt" and before in ("auth", "in", "key", "nonce", "secret", "session"):
        return "token"
    if joined in ("secretkey", "jwtkey", "sessionkey", "signingkey", "noncekey") or (
        last.endswith("secret") and joined != "secret"
    ):
        return "secret"
    if last.endswith(("token", "secret", "credentials", "credential", "creds")) or last in ("auth", "authorization"):
        return "token"
    if last.endswith("key") and _KEY_BEFORE.fullmatch(before if last == "key" else last.removesuffix("key")):
        return "token"
    return None
