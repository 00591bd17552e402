"""In which order a hunt runs the tests, and which of the project's options it takes back.

An order is {"kind": ..., "seed": n, "ids": [...]}: "as it stands"; "reversed"; "tests" (all shuffled), "classes"
(modules shuffled, the classes and functions of each shuffled, the tests of a class together) and "modules" (modules
shuffled, each as it stands); "given" runs `ids` alone, in their order.
"""

import random
from typing import Any, Dict, List, Tuple


def arrange(items: List[Any], order: Dict[str, Any]) -> Tuple[List[Any], List[Any]]:
    """The items in the order asked for, and those that it leaves out."""
    kind = order.get("kind", "as it stands")
    chance = random.Random(order.get("seed", 0))
    if kind == "given":
        wanted = order["ids"]
        by_id = {item.nodeid: item for item in items}
        chosen = [by_id[name] for name in wanted if name in by_id]
        names = set(wanted)
        return chosen, [item for item in items if item.nodeid not in names]
    if kind == "reversed":
        return items[::-1], []
    if kind == "tests":
        return chance.sample(items, len(items)), []
    if kind in ("modules", "classes"):
        modules = _groups(items, 1)
        chance.shuffle(modules)
        if kind == "classes":
            modules = [_shuffled_inside(module, chance) for module in modules]
        return [item for module in modules for item in module], []
    return list(items), []


def _shuffled_inside(module: List[Any], chance: random.Random) -> List[Any]:
    """The classes and functions of one module shuffled, and the tests of each class."""
    groups = _groups(module, 2)
    chance.shuffle(groups)
    return [item for group in groups for item in chance.sample(group, len(group))]


def _groups(items: List[Any], parts: int) -> List[List[Any]]:
    """The items by the first `parts` parts of their id, in the order in which each group first stands."""
    found: Dict[Tuple[str, ...], List[Any]] = {}
    for item in items:
        found.setdefault(tuple(item.nodeid.split("::")[:parts]), []).append(item)
    return list(found.values())


def settled_arguments(config: Any) -> List[str]:
    """Options that, put last, undo what stops a run early, spreads it over processes or runs a failed test again."""
    manager = config.pluginmanager
    settled = ["--maxfail=0"]
    if manager.has_plugin("xdist"):
        settled += ["-n0", "--dist=no"]
    if manager.has_plugin("rerunfailures"):
        settled.append("--reruns=0")
    if manager.has_plugin("pytest_cov") or manager.has_plugin("_cov"):
        settled.append("--no-cov")
    return settled
