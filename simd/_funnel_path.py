"""Which funnel runs here: that of the path in use, or its twin in NumPy."""

from __future__ import annotations

from typing import Any

from aqe import simd


def chosen() -> Any:
    """The kernels of the path that `aqe.simd.active()` names."""
    return of(simd.active())


def of(path: str) -> Any:
    """The kernels of a path that can run here; of the twin where the extension was not built."""
    if path != "numpy":
        try:
            from aqe.simd._funnel import PATHS as built
        except ImportError:
            built = {}
        if path in built:
            return built[path]
    from aqe.simd._funnel_twin import PATHS as twin

    return twin["numpy"]
