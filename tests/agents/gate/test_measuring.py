"""Lines and branches without coverage.py are those that coverage.py gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import aqe.agents

INJECT = Path(aqe.agents.__file__).parent / "inject"

SUBJECT = '''
"""Docstring."""


class Shape:
    """A shape."""

    def __init__(self, sides,
                 size=1):
        if sides < 3:
            raise ValueError(
                "too few")
        self.sides = sides
        self.size = size


def kind(shape):
    for name, sides in [("triangle", 3),
                        ("square", 4)]:
        if shape.sides == sides:
            return name
    else:
        pass
    while shape.size > 1:
        shape.size -= 1
    try:
        return 10 // shape.size
    except ZeroDivisionError:
        return None


def never():  # pragma: no cover
    if 1 < 2:
        return 3
'''

SCRIPT = """
import json, sys
sys.path[:0] = [{inject!r}, {folder!r}]
from _aqe_inject.measuring import Measure, TraceMeasure

def run(measure):
    sys.modules.pop("shapes", None)
    measure.start()
    import shapes
    measure.switch("one")
    shapes.kind(shapes.Shape(4))
    measure.switch("two")
    shapes.kind(shapes.Shape(7, 0))
    try:
        shapes.Shape(1)
    except ValueError:
        pass
    measure.switch("")
    (answer,) = measure.finish().values()
    return {{key: value for key, value in answer.items() if key != "engine"}}

paths = [{path!r}]
print(json.dumps([run(Measure(paths)), run(TraceMeasure(paths))]))
"""


def test_tracer_agrees_with_coverage(tmp_path: Path) -> None:
    """Totals, and each test's lines and branches, are the same by the tracer as by coverage.py."""
    path = tmp_path / "shapes.py"
    path.write_text(SUBJECT)
    script = SCRIPT.format(inject=str(INJECT), folder=str(tmp_path), path=str(path))
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    by_coverage, by_tracer = json.loads(done.stdout)
    for answer in (by_coverage, by_tracer):
        for key in ("lines", "missing_lines", "branches", "missing_branches"):
            answer[key] = sorted(answer[key])
    assert by_tracer == by_coverage
    assert by_coverage["missing_branches"]
