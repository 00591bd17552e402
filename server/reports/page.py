"""Renders a template to one self-contained HTML page: styles inline, no script, no request to anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(template: str, /, *, redacts: bool = False, **data: Any) -> str:
    """The page that `template` (a file of `templates/`) makes of `data`; every value is escaped.

    A name that the template uses and `data` lacks is an error, so that no page shows a hole. `redacts` takes secrets
    and personal data out of every value: a page is made to be passed on.
    """
    return _environment(redacts).get_template(template).render(**data)


def _redacted(value: Any) -> Any:
    from aqe.engine.privacy.redactor import redact

    return redact(value).text if type(value) is str else value


@cache
def _environment(redacts: bool = False) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("aqe.server.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_redacted if redacts else None,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["seconds"] = seconds
    environment.filters["number"] = number
    environment.filters["sentence"] = sentence
    environment.filters["arguments"] = arguments
    environment.filters["command"] = command
    return environment


def percent(value: float) -> str:
    """A percentage without needless decimals.

    >>> percent(96.04), percent(100.0), percent(99.96)
    ('96 %', '100 %', '99.9 %')
    """
    if 99.9 < value < 100:
        value = 99.9
    text = f"{value:.1f}".removesuffix(".0")
    return f"{text} %"


def seconds(value: float) -> str:
    """A duration in seconds, finer where it is short.

    >>> seconds(0.042), seconds(3.21), seconds(84.2)
    ('0.04 s', '3.2 s', '84 s')
    """
    digits = 2 if value < 1 else 1 if value < 10 else 0
    return f"{value:.{digits}f} s"


def number(value: int) -> str:
    """A whole number with thousands apart.

    >>> number(1234567)
    '1,234,567'
    """
    return f"{value:,}"


def sentence(text: str) -> str:
    """Words as a sentence: a capital first, a full stop last.

    >>> sentence("the hint promises str"), sentence("parse(x) gives 1!")
    ('The hint promises str.', 'parse(x) gives 1!')
    """
    word = text.split(" ", 1)[0]
    start = text[:1].upper() + text[1:] if word.isalpha() else text
    return start if start.endswith((".", "!", "?")) else f"{start}."


def arguments(values: Mapping[str, Any]) -> str:
    """The arguments of a call as Python would have them, long texts and lists cut.

    >>> arguments({"runs": 12, "paths": ["a.py", "b.py", "c.py"], "prompt": "Why?"})
    "runs=12, paths=['a.py', and 2 more], prompt='Why?'"
    """
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items())


def command(text: str) -> str:
    """A command line with the bare name of the interpreter, wherever it lies.

    >>> command("TZ=JST-9 /home/ada/.venv/bin/python3.12 -m pytest tests/test_dates.py")
    'TZ=JST-9 python -m pytest tests/test_dates.py'
    """
    return re.sub(r"(?<!\S)\S*/python[\d.]*(?= )", "python", text)


def _shown(value: Any, room: int = 90) -> str:
    if isinstance(value, list | tuple) and len(value) > 1:
        return f"[{_shown(value[0])}, and {len(value) - 1} more]"
    text = repr(value)
    return text if len(text) <= room else f"{text[: room - 2]}…{text[-1]}"
