"""The injected package under the name by which projects see it; Python 3.9 syntax, as in all of this folder."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

if find_spec("_aqe_inject") is None:
    sys.path.insert(0, next(iter(import_module("aqe.agents.inject").__path__)))
