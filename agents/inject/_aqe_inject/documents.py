"""Short texts in the formats that programs read: what a parser needs to get past its first line."""

from __future__ import annotations

import random
import re

DOCUMENTS = (
    "[section]\nkey = value\n\n[other]\nnumber = 1\n",
    "key: value\nother: 2\n",
    'a = 1\nb = "x"\n\n[table]\nc = [1, 2.5, true]\nd = 2024-02-29\n',
    '{"a": 1, "b": [true, null, "x"]}',
    "name,age\nAnn,42\nBob,7\n",
    '<a href="x">text</a>\n<br/>',
    "# Title\n\nSome *text*.\n\n- one\n- two\n",
    "First line.\n\nSecond paragraph\nwith two lines.\n",
    "    indented\n      more\n    back\n",
    "Summary.\n\nLonger text.\n\nArgs:\n    name (str, optional): the name. Defaults to x.\n    count: how many\n"
    "        times.\n\nReturns:\n    int: the result.\n\nRaises:\n    ValueError: if wrong.\n",
    "Summary.\n\nParameters\n----------\nx : int, optional\n    A number.\n\nReturns\n-------\nstr\n    Text.\n",
    "Summary.\n\n:param str name: the name\n:returns: text\n:raises ValueError: if wrong\n",
    "def f(x):\n    return x + 1\n",
    "From: ann@example.com\nSubject: hello\n\nbody\n",
)
"""Texts of several lines."""

TERMS = (
    "https://user:pw@example.com:8080/a/b?x=1&y=2#top", "ann@example.com", "192.168.0.1", "10.0.0.0/8", "2001:db8::1",
    "example.com", "1.2.3", "1.0rc1", "1!2.0.post3.dev4+local.5", ">=1.0,<2.0", "==1.*", "2024-02-29T12:30:45.678Z",
    "20240229T123045+0100", "2024-W09-4", "Mon, 01 Jan 2024 00:00:00 +0000", "P1Y2M3DT4H5M6S", "1h30m", "10%",
    "1,234.56", "0x1F", "1e-5", "1/3", "#ff8800", "en_US.UTF-8", "text/html; charset=utf-8", "%(name)s %d",
    "{name} {0:>5}", "-x --flag=1 'two words' \"three\"", "a & b | c", "(1 + 2) * 3", "a.b[0].c", "/a/b/../c.txt",
    "C:\\dir\\file.txt", "x=1;y=2", "a -> b", "\"quoted\"", "it's", "# comment", "true", "yes", "null", "inf", "١٢",
    "xn--bcher-kva", "bücher", "e\u0301", "中文字", "👍", "a\u200bb",
)  # fmt: skip
"""Texts of one line."""

_LONG = re.compile(
    r"(text|data|source|content|doc|docstring|document|body|string|input|stream|lines?|markup|code|payload|raw|s|src"
    r"|paragraph|message|html|xml|json|csv|ini|toml|yaml|config)$"
)


def document(name: str, rng: random.Random) -> str:
    """A text for a parameter of this name."""
    if _LONG.search(name.lower()) and rng.random() < 0.6:
        return rng.choice(DOCUMENTS)
    return rng.choice(TERMS)


def edit_lines(text: str, rng: random.Random) -> str:
    """A text of several lines with one line gone, doubled, moved, indented or joined to the next."""
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    choice = rng.randrange(7)
    if choice == 0:
        del lines[place]
    elif choice == 1:
        lines.insert(place, lines[rng.randrange(len(lines))])
    elif choice == 2:
        other = rng.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    elif choice == 3:
        lines[place] = "    " + lines[place]
    elif choice == 4:
        lines[place] = lines[place].strip()
    elif choice == 5:
        lines.insert(place, "")
    else:
        lines = lines[:place] + rng.choice(DOCUMENTS).split("\n") if rng.random() < 0.3 else lines[: place + 1]
    return "\n".join(lines)
