"""Python imports this at its start: it begins the child's record, and then lets the user's own sitecustomize run."""

import importlib
import os
import sys


def _begin() -> None:
    inject = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(0, inject)
    try:
        importlib.import_module("_aqe_inject.children").begin()
    finally:
        sys.path.remove(inject)


def _pass_on() -> None:
    """Import the next sitecustomize on the path, as if this one were not there."""
    here = os.path.dirname(os.path.abspath(__file__))
    left = list(sys.path)
    sys.path[:] = [place for place in left if os.path.abspath(place or ".") != here]
    own = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        if own is not None:
            sys.modules["sitecustomize"] = own
    finally:
        sys.path[:] = left


if os.environ.get("_AQE_MAP_CHILD"):
    try:
        _begin()
    except Exception:  # the process must run as it would without us; it stays unseen, and that is noticed
        pass
_pass_on()
