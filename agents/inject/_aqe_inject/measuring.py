"""Branch coverage by coverage.py, test by test, for the figures of the evidence."""

from __future__ import annotations

import os
import tempfile
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
                figures = self._never_run(path)
            known = measured.get(os.path.realpath(path))
            result[path] = dict(figures, tests=self._by_test(data, known, figures) if known else {})
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

    def _never_run(self, path: str) -> Dict[str, Any]:
        """The totals of a file that no test imported."""
        import tokenize

        from .instrument import instrument

        with tokenize.open(path) as stream:
            source = stream.read()
        meta = instrument(source, path, mutants=False)
        arms = sorted({(arm.line, arm.target) for arm in meta.arms if arm.counted})
        missing = [list(arm) for arm in arms]
        return {"lines": [], "missing_lines": list(meta.lines), "branches": [], "missing_branches": missing}

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
