"""One version of the project in a box of its own: imports the changed modules once and runs calls in forks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from aqe.agents.gate.box import Box, BoxSpec, CaseResult, Layers, Limits
from aqe.agents.gate.interpreter import Interpreter
from aqe.agents.gate.stability import clock
from aqe.agents.generate.target import search_path
from aqe.engine.errors import OutOfTime
from aqe.engine.progress import CancelToken

IMPORT_WALL_S = 15.0
LEAST_S = 0.25
MOST_DEATHS = 6
SHIFT_S = 3600 * 31
RAISES, ENDS = "its import raises ", "its import ends the process"
Case = Mapping[str, Any]
Sighting = Mapping[str, Any]


@dataclass(frozen=True)
class Where:
    """A version's tree, the folders on its path, and the modules that are looked at."""

    folder: Path
    path: tuple[str, ...]


@dataclass
class Side:
    """A box over one tree. With `elsewhere` it has another hash seed, other random numbers and another clock, so that
    what depends on these shows. Answers are data; what could not be had is empty. Raises OutOfTime past `deadline`."""

    where: Where
    interpreter: Interpreter
    deadline: float
    cancel: CancelToken
    seed: int
    limits: Limits
    elsewhere: bool = False
    modules: tuple[str, ...] = ()
    targets: dict[str, frozenset[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    executions: int = 0
    layers: Layers | None = None
    _box: Box | None = None

    @property
    def hash_seed(self) -> int:
        """What PYTHONHASHSEED is here."""
        return 1 + self.seed % 4_000_000_000 if self.elsewhere else 0

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the box."""
        if self._box is not None:
            self._box.close()
            self._box = None

    def left_s(self) -> float:
        """Seconds to the deadline. Raises OutOfTime where too little is left for a call, Cancelled."""
        self.cancel.check()
        left = self.deadline - time.monotonic()
        if left < LEAST_S:
            raise OutOfTime("The time for executed review is over.", code="out-of-time", fix="Give a larger --budget.")
        return left

    # -- life -----------------------------------------------------------------------------------------------------

    def load(self, modules: Sequence[str]) -> None:
        """Import the modules; `targets` and `failed` say how it went. An import that ends or hangs the warm process is
        looked for in forks, and left out when the others are imported again."""
        self.failed = {}
        self.modules = tuple(modules)
        if not self._warm():
            self.modules = self._importable(modules)
            self._warm()

    def _importable(self, modules: Sequence[str]) -> tuple[str, ...]:
        """Those whose import comes back, whatever it says."""
        heard: set[str] = set()

        def listen(message: Any) -> None:
            if isinstance(message, Mapping) and message.get("module") in modules:
                heard.add(str(message["module"]))

        waiting = list(modules)
        while waiting:
            result = self._run("imports", {"modules": waiting}, min(IMPORT_WALL_S, self.left_s() / 2), listen)
            waiting = [name for name in waiting if name not in heard]
            if waiting and result.state != "ok":
                hangs = result.state == "timeout"
                self.failed[waiting.pop(0)] = "its import does not end" if hangs else ENDS
            elif waiting:
                break
        return tuple(name for name in modules if name in heard)

    def _is_ours(self, file: str) -> bool:
        return bool(file) and Path(file).is_relative_to(self.where.folder.resolve())

    def _warm(self) -> bool:
        """Import the modules in the warm process; False where that did not come back."""
        if not self.modules:
            return True
        box = self._opened()
        result = box.preload(
            "_aqe_inject.versions:preload",
            {"modules": list(self.modules)},
            wall_s=min(IMPORT_WALL_S, self.left_s() / 2),
        )
        value = result.value
        if result.state != "ok" or not isinstance(value, Mapping):
            return False
        self.targets = {}
        for name in self.modules:
            file, said = str(value["files"].get(name, "")), value["failed"].get(name)
            if name in value["targets"] and self._is_ours(file):
                self.targets[name] = frozenset(map(str, value["targets"][name]))
            else:
                self.failed[name] = _import_words(said, file)
        self.modules = tuple(self.targets)
        return True

    def _opened(self) -> Box:
        if self._box is None or not self._box.alive:
            fresh = self._box is None
            self.close()
            self.left_s()
            shifting = clock() if self.elsewhere else None
            env = {"LD_PRELOAD": shifting, "CLOCK_SHIFT_S": str(SHIFT_S)} if shifting else {}
            spec = BoxSpec(
                python=self.interpreter.executable,
                project=str(self.where.folder),
                path=self.where.path,
                readable=(shifting,) if shifting else (),
                hash_seed=self.hash_seed,
                env=env,
                limits=self.limits,
            )
            self._box = Box.open(spec, cancel=self.cancel)
            self.layers = self._box.layers
            if not fresh and self.targets:
                self._warm()
        return self._box

    def _run(self, entry: str, args: Mapping[str, Any], wall_s: float, heard: Any = None) -> CaseResult:
        box = self._opened()
        return box.run(f"_aqe_inject.versions:{entry}", args, wall_s=min(wall_s, self.left_s()), on_progress=heard)

    def _places(self) -> list[str]:
        box = self._opened()
        return sorted({str(self.where.folder), str(self.where.folder.resolve()), *self.where.path, box.scratch} - {""})

    # -- calls ----------------------------------------------------------------------------------------------------

    def explore(
        self,
        module: str,
        names: Sequence[str],
        *,
        evaluations: int,
        seconds: float,
        seed: int,
        sources: Sequence[tuple[str, str]],
    ) -> list[Case]:
        """Calls of the named functions that this version's text and branches lead to."""
        found: list[Case] = []

        def heard(message: Any) -> None:
            if isinstance(message, Mapping) and isinstance(message.get("case"), Mapping):
                found.append(message["case"])
            elif isinstance(message, Mapping) and message.get("drop") and found:
                found.pop()

        seconds = min(seconds, self.left_s())
        args = {"module": module, "names": list(names), "evaluations": evaluations, "seconds": seconds, "seed": seed,
                "sources": [list(one) for one in sources]}  # fmt: skip
        self._run("explore", args, 1.3 * seconds + 1.0, heard)
        self.executions += len(found)
        return found

    def replay(self, module: str, cases: Sequence[Case], *, seconds: float, salt: int = 0) -> list[Sighting]:
        """What each case shows here, in order; `salt` is for the random numbers.

        A case that ends the process is "died", one that hangs "hangs"; those for which the time did not reach are
        missing at the end.
        """
        seen: list[Sighting] = []
        end = time.monotonic() + seconds
        for death in range(MOST_DEATHS + 1):
            left = end - time.monotonic()
            if len(seen) >= len(cases) or left < LEAST_S:
                break
            before = len(seen)
            result = self._replayed(module, cases[before:], seen, left if death == 0 else min(left, 4.0), death, salt)
            if result.state == "ok":
                break
            if result.state == "timeout" and time.monotonic() >= end:
                break
            if death % 2 and len(seen) < len(cases):
                seen.append({"kind": "hangs" if result.state == "timeout" else "died", "steps": 0})
        self.executions += len(seen)
        return seen

    def _replayed(
        self, module: str, cases: Sequence[Case], seen: list[Sighting], wall_s: float, death: int, salt: int
    ) -> CaseResult:
        def heard(message: Any) -> None:
            if isinstance(message, Mapping) and isinstance(message.get("sightings"), list):
                seen.extend(message["sightings"])

        args = {"module": module, "cases": list(cases), "salt": self.seed + salt, "places": self._places(),
                "chunk": 1 if death % 2 else None}  # fmt: skip
        return self._run("replay", args, wall_s, heard)

    def smaller(self, case: Case) -> list[Case]:
        """Shorter forms of a case."""
        result = self._run("smaller", {"case": case}, 5.0)
        return list(result.value["cases"]) if result.state == "ok" else []

    def readings(self, cases: Sequence[Case]) -> list[tuple[int, str]]:
        """For each case what there is to read in it (in characters) and the call as a reader would type it."""
        result = self._run("costs", {"cases": list(cases)}, 5.0)
        if result.state != "ok":
            return []
        return list(zip(map(int, result.value["costs"]), map(str, result.value["calls"]), strict=True))

    def words(self, module: str, case: Case) -> Mapping[str, Any]:
        """What a case shows here, in words; empty where it does not come back."""
        args = {"module": module, "case": case, "salt": self.seed, "places": self._places()}
        result = self._run("words", args, 4.0)
        return result.value if result.state == "ok" and isinstance(result.value, Mapping) else {}


def side_by_side(first: Any, second: Any) -> tuple[Any, Any]:
    """Two calls without arguments at the same time."""
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.submit(first), pool.submit(second)
        return one.result(), two.result()


def place(folder: Path, roots: Sequence[Path], interpreter: Interpreter) -> Where:
    """The folders of a tree that go on the path, which the interpreter does not have anyway."""
    known = {str(Path(entry).resolve()) for entry in interpreter.sys_path if entry}
    wanted = [*roots, *search_path(folder)]
    return Where(folder, tuple(dict.fromkeys(str(one) for one in wanted if str(one) not in known)))


def _import_words(said: Any, file: str) -> str:
    if isinstance(said, Mapping) and said.get("error"):
        message = " ".join(str(said.get("message") or "").split())[:120]
        return f"{RAISES}{said['error']}{': ' + message if message else ''}"
    return f"its import gives {file}" if file else "its import gives no file"
