"""The name that a piece of code defines: what a vector of code weighs apart from the rest of the text."""

from __future__ import annotations

import re

_LABEL = r"(?:[^\n:]*:[ \t]?[\w.]*[ \t]*\r?\n)??"  # a line before the code that says where it is from
_ABOVE = r"(?:[ \t]*(?:[#@][^\n]*)?\r?\n)*"  # empty lines, comments, decorators
_DEFINITION = r"[ \t]*(?:async[ \t]+def|def|class)[ \t]+([^\W\d]\w*)[ \t]*[(:\[]"
_START = re.compile(_LABEL + _ABOVE + _DEFINITION)
_LINE = re.compile("^" + _DEFINITION, re.MULTILINE)
_DECORATED = re.compile(_LABEL + r"\s*@")


def defined_name(text: str) -> str | None:
    """The name of the function or class that `text` is the code of, None where it is something else.

    The definition comes first, but for a line that says where it is from, comments and decorators: prose that quotes
    code, and a file with many definitions, are not the code of one of them.

    >>> defined_name("shop/cart.py: total\\n@cached\\nasync def total_price(items):\\n    return sum(items)")
    'total_price'
    >>> defined_name("class Cart(Base):")
    'Cart'
    >>> defined_name("The class Cart: what it holds.") is None
    True
    """
    if "def" not in text and "class" not in text:
        return None
    found = _START.match(text)
    if found is None and _DECORATED.match(text):  # a decorator that goes over several lines
        found = _LINE.search(text)
    return None if found is None else found[1]
