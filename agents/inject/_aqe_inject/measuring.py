"""Branch coverage by coverage.py, test by test, for the figures of the evidence; by a tracer where that is missing."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import tokenize
from typing import Any, Dict, List, Set, Tuple

Arc = Tuple[int, int]


class Measure:
    """One measured session; `switch` names the test that runs from now on."""

    def __init__(self, paths: List[str]) -> None:
        import coverage

        self.paths = paths
        self.coverage = coverage.Coverage(branch=True, data_file=None, config_file=False, include=paths, messages=False)

    def start(self) -> None:
        self.coverage.start()

    def switch(self, name: str) -> None:
        self.coverage.switch_context(name)

    def finish(self) -> Dict[str, Any]:
        """Stop, and give for each path its totals and what each test ran of it."""
        self.coverage.stop()
        report = self._report()
        data = self.coverage.get_data()
        measured = {os.path.realpath(path): path for path in data.measured_files()}
        result = {}
        for path in self.paths:
            figures = report.get(os.path.realpath(path))
            if figures is None:
                figures = never_run(path)
            known = measured.get(os.path.realpath(path))
            tests = self._by_test(data, known, figures) if known else {}
            result[path] = dict(figures, tests=tests, engine="coverage.py")
        return result

    def _report(self) -> Dict[str, Dict[str, Any]]:
        import json

        handle, name = tempfile.mkstemp(suffix=".json")
        os.close(handle)
        try:
            self.coverage.json_report(outfile=name)
            with open(name, encoding="utf-8") as stream:
                files = json.load(stream)["files"]
        except Exception as error:
            if type(error).__name__ not in ("NoDataError", "NoDataToReport"):
                raise
            files = {}
        finally:
            os.unlink(name)
        return {os.path.realpath(path): figures_of(entry) for path, entry in files.items()}

    def _by_test(self, data: Any, path: str, figures: Dict[str, Any]) -> Dict[str, Any]:
        translate_lines: Any
        translate_arcs: Any
        lines: Set[int] = set(figures["lines"])
        branches: Set[Arc] = {(arc[0], arc[1]) for arc in figures["branches"]}
        try:
            # coverage.py's own reporter maps the lines of a statement to its first
            reporter = self.coverage._get_file_reporter(path)
            translate_lines, translate_arcs = reporter.translate_lines, reporter.translate_arcs
        except (AttributeError, TypeError):
            translate_lines = translate_arcs = set
        tests = {}
        for name in sorted(data.measured_contexts()):
            data.set_query_contexts(None)
            data.set_query_context(name)
            arcs = data.arcs(path) or []
            ran = translate_lines({abs(line) for arc in arcs for line in arc if line > 0})
            taken = {tuple(arc) for arc in translate_arcs(arcs)}
            tests[name] = {"lines": sorted(lines & set(ran)), "branches": sorted(branches & taken)}
        data.set_query_contexts(None)
        return tests


def figures_of(entry: Dict[str, Any]) -> Dict[str, Any]:
    """Lines and branches of one file of coverage.py's JSON report."""
    return {
        "lines": entry["executed_lines"],
        "missing_lines": entry["missing_lines"],
        "branches": entry.get("executed_branches", []),
        "missing_branches": entry.get("missing_branches", []),
    }


def never_run(path: str) -> Dict[str, Any]:
    """The totals of a file that no test imported."""
    lines, arms, _ = _countable(path)
    return {"lines": [], "missing_lines": sorted(lines), "branches": [], "missing_branches": sorted(arms)}


def _countable(path: str) -> Tuple[Set[int], Set[Arc], Dict[int, int]]:
    """The lines and branches that coverage.py would count, and the first line of each statement on several lines."""
    from .exclusions import first_lines
    from .instrument import instrument

    with tokenize.open(path) as stream:
        source = stream.read()
    meta = instrument(source, path, mutants=False)
    return set(meta.lines), {(arm.line, arm.target) for arm in meta.arms if arm.counted}, first_lines(source)


class TraceMeasure:
    """What `Measure` gives, by `sys.settrace`, for a Python that has no coverage.py."""

    def __init__(self, paths: List[str]) -> None:
        self.paths = {os.path.realpath(path): path for path in paths}
        self.files: Dict[str, str] = {}
        self.context = ""
        self.arcs: Dict[str, Dict[str, Set[Arc]]] = {path: {} for path in paths}

    def start(self) -> None:
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def switch(self, name: str) -> None:
        self.context = name

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        """Follow a frame if its file is measured."""
        name = frame.f_code.co_filename
        known = self.files.get(name)
        if known is None:
            known = self.files[name] = self.paths.get(os.path.realpath(name), "")
        if not known:
            return None
        arcs = self.arcs[known]
        first = frame.f_code.co_firstlineno
        state = [-first, False]  # the line before, whether an exception is on its way

        def follow(frame: Any, event: str, argument: Any) -> Any:
            if event == "line":
                arcs.setdefault(self.context, set()).add((state[0], frame.f_lineno))
                state[:] = [frame.f_lineno, False]
            elif event == "exception":
                state[1] = True
            elif event == "return" and not state[1]:
                arcs.setdefault(self.context, set()).add((state[0], -first))
            return follow

        return follow

    def finish(self) -> Dict[str, Any]:
        """Stop, and give for each path its totals and what each test ran of it."""
        sys.settrace(None)
        stop: Any = None
        threading.settrace(stop)
        result = {}
        for path, contexts in self.arcs.items():
            lines, arms, starts = _countable(path)
            tests: Dict[str, Dict[str, List[Any]]] = {}
            for name, arcs in contexts.items():
                ran = {(_first(one, starts), _first(two, starts)) for one, two in arcs}
                tests[name] = {
                    "lines": sorted(lines & {line for arc in ran for line in arc}),
                    "branches": sorted(arms & ran),
                }
            covered = {line for one in tests.values() for line in one["lines"]}
            taken = {arc for one in tests.values() for arc in one["branches"]}
            result[path] = {
                "lines": sorted(covered),
                "missing_lines": sorted(lines - covered),
                "branches": sorted(taken),
                "missing_branches": sorted(arms - taken),
                "tests": tests,
                "engine": "tracer",
            }
        return result


def _first(line: int, starts: Dict[int, int]) -> int:
    """The first line of the statement that holds a line; negative lines are exits."""
    return -starts.get(-line, -line) if line < 0 else starts.get(line, line)


def measure_of(paths: List[str]) -> Any:
    """`Measure`, or `TraceMeasure` where coverage.py cannot be imported."""
    try:
        return Measure(paths)
    except ImportError:
        return TraceMeasure(paths)
