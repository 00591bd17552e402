"""Values that a call or an expression gives for a name: `setenv("X_PASSWORD", "value")`, defaults, fallbacks, wrappers.

`assignments` finds the name; here is looked at what stands behind it.
"""

from __future__ import annotations

import re
from itertools import pairwise

from aqe.engine.privacy.extents import quoted_value
from aqe.engine.privacy.names import Kind
from aqe.engine.privacy.values import is_no_value, is_secret, looks_mixed, looks_random

REACH = 300
"""How far behind an option's name its default may stand, in characters."""
_REST_OF_CALL = re.compile(r"(?:[^()\"']{1,300}+|\([^()]{0,100}+\)|\"[^\"\n]{0,200}+\"|'[^'\n]{0,200}+'|[\"']){0,40}+")
_DEFAULT = re.compile(r"\b(?:default|fallback|defaultvalue|envvar_default)[ ]?[=:][ ]?(?=[rbu]?[\"'])", re.IGNORECASE)
_SETS = re.compile(
    r"(?i)(?:setdefault|setenv|putenv|getenv|environ\.get|env\.fetch|\benv|define(?:_string)?|flags?\.\w{0,20}string\w{0,20}|getordefault|getorelse|setattr|setproperty"
    r"|getproperty|set_env|config:set)[ ]?\([ ]?(?:[\w.]{1,40},[ ]?)?[\"']\Z"
)
_WRAPPED = re.compile(
    r"(?:[\w.]{0,40}?(?:[Ff]ield|Option|Argument|Secret(?:Str|Bytes|String)?|StringVar|String|Setting|lazy|attr\.ib)"
    r"\((?:(?:default|value)[ ]?=[ ]?)?){1,2}(?=[rbu]?[\"'])"
)
_FROM_ENVIRONMENT = re.compile(
    r"(?:[\w.]{0,30}(?:getenv|environ\.get|ENV\.fetch)|env)\([\"'][\w.]{1,60}[\"'],[ ]?(?:default=)?(?=[rbu]?[\"'])"
)
_HOST_AND_PORT = re.compile(r"[A-Za-z][\w.-]{0,80}:\d{2,5}")
_SETTER = re.compile(r"(?i)[.$]?(?:set|with|use|add)")


def default_behind(text: str, after: int) -> tuple[int, int] | None:
    """The text that the same call names as `default` or `fallback`, as in `add_argument("--password", default="x")`."""
    limit = min(len(text), after + REACH)
    if text.find("efault", after, limit) < 0 and text.find("allback", after, limit) < 0:
        return None
    rest = _REST_OF_CALL.match(text, after, limit)
    found = _DEFAULT.search(text, after, after if rest is None else rest.end())
    return None if found is None else quoted_value(text, found.end())


def wrapped_value(text: str, place: int) -> tuple[int, int] | None:
    """The text that `typer.Option("x")`, `Field(default=SecretStr("x"))` or `os.getenv("NAME", "x")` give."""
    found = _WRAPPED.match(text, place) or _FROM_ENVIRONMENT.match(text, place)
    return None if found is None else quoted_value(text, found.end())


def sets_a_name(text: str, begin: int) -> bool:
    """Whether the call whose argument begins at `begin` gives a value to a name, as `os.environ.setdefault(` does."""
    return _SETS.search(text, max(0, begin - 70), begin) is not None


def is_setter(name: str) -> bool:
    """Whether a function of that name is given a value: `setToken`, `withApiKey`."""
    return _SETTER.match(name) is not None


def is_argument(value: str, kind: Kind) -> bool:
    """Whether a text behind a name in a list of arguments is its value, not the next name."""
    if " " in value or value.startswith("-") or _HOST_AND_PORT.fullmatch(value):
        return False
    if kind == "token":
        return any(map(str.isdigit, value)) and looks_random(value) and not is_no_value(value)
    turns = sum(one.isdigit() != other.isdigit() for one, other in pairwise(value))
    signs = not value.isalnum() and any(map(str.isdigit, value))
    return (turns >= 2 or signs) and is_secret(value, kind, quoted=True) and looks_mixed(value)
