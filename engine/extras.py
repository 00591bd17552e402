"""What is installed only on request: one error for whatever is missing, with the line that installs it."""

from __future__ import annotations

from aqe.engine.errors import UserError


def missing_extra(what: str, *, extra: str) -> UserError:
    """The error for a library of an extra that is not installed; `what` needs it.

    >>> print(missing_extra("The provider 'house'", extra="openai"))
    The provider 'house' needs the extra 'openai'. Install it: pip install 'aqe[openai]' [missing-extra]
    """
    return UserError(
        f"{what} needs the extra {extra!r}.", code="missing-extra", fix=f"Install it: pip install 'aqe[{extra}]'"
    )
