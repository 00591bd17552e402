"""Folders above the tests, which a box need not let anybody list: pytest passes through them to what it was asked for.

From pytest 8 on every folder on the way to a test is collected as a node, and the usual node reads the whole folder.
"""

from __future__ import annotations

import os
from typing import Any, List, Optional


class Passages:
    """A pytest plugin: a folder above one of `roots`, and in none of them, has only the way down to them in it."""

    def __init__(self, roots: List[str]) -> None:
        self.roots = [os.path.realpath(root).rstrip(os.sep) for root in roots]

    def pytest_collect_directory(self, path: Any, parent: Any) -> Optional[Any]:
        """A node without a listing; None, which leaves it to pytest, for every other one."""
        whole = os.path.realpath(str(path)).rstrip(os.sep) + os.sep
        is_above = any(root.startswith(whole) for root in self.roots)
        if not is_above or any(whole.startswith(root + os.sep) for root in self.roots):
            return None
        names = sorted({root[len(whole) :].split(os.sep)[0] for root in self.roots if root.startswith(whole)})
        return _node_type().from_parent(parent, path=path, names=names)


def passages(roots: List[str]) -> List[Any]:
    """The plugin in a list; none for a pytest that has no such nodes."""
    import pytest

    return [Passages(roots)] if hasattr(pytest, "Directory") else []


def _node_type() -> Any:
    import pytest

    class Passage(pytest.Directory):
        """A folder that is only passed through."""

        def __init__(self, names: List[str], **rest: Any) -> None:
            super().__init__(**rest)
            self.names = names

        def collect(self) -> Any:
            for name in self.names:
                path = self.path / name
                if path.is_dir():
                    yield self.ihook.pytest_collect_directory(path=path, parent=self)

    return Passage
