"""Which funnel runs here: that of the path in use, or its twin in NumPy."""

from __future__ import annotations

from typing import Any

from aqe import simd


def chosen() -> Any:
    """The kernels of the path that `aqe.simd.active()` names; of the twin where the extension was not built."""
    path = simd.active()
    if path != "numpy":
        try:
            from aqe.simd._funnel import PATHS as built
        except ImportError:
            built = {}
        if path in built:
            return built[path]
    from aqe.simd._funnel_twin import PATHS as twin

    return twin["numpy"]
