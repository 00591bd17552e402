"""What a unit of a passage is about by its form: the function of a signature, the key of a setting, a row's first cell.

Most questions about a thing use a word of its name, however far the rest of their words is from the text.
"""

from __future__ import annotations

import re

from aqe.engine.providers.quotable import Unit

_DEFINED = re.compile(r"\s*(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)")
_KEY = re.compile(r"\s*[\"']?([\w.\- ]+?)[\"']?\s*[=:]")
_ASSIGNED = re.compile(r"\s*([A-Z_][A-Z_0-9]+|[\w.]+)\s*(?::\s*[\w\[\], |]+)?=\s")
_MARKED = re.compile(r"\s*[-*]\s+[`*]+([^`*]+)[`*]+")


def name_of(unit: Unit) -> str:
    """The name that the unit explains or defines; nothing where its form tells of none.

    >>> name_of(Unit(0, 0, "def keep(x):", "signature")), name_of(Unit(0, 0, "| port | 8080 |", "row"))
    ('keep', ' port ')
    """
    text = unit.text
    if unit.kind == "signature":
        found = _DEFINED.match(text)
    elif unit.kind == "row" and text.lstrip().startswith("|"):
        return text.strip().strip("|").split("|")[0]
    elif unit.kind == "row":
        found = _KEY.match(text)
        if found is None:
            return text.split("  ")[0]
    else:
        found = _MARKED.match(text) or (_ASSIGNED.match(text) if unit.kind == "code" else None)
    return found.group(1) if found else ""
