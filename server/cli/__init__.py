"""The `aqe` command: `main` runs it; the verbs are modules of this package, imported when used."""

from __future__ import annotations

from aqe.server.cli.app import main

__all__ = ["main"]
