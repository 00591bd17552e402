from collections.abc import Callable

from typing_extensions import Buffer

_Pair = Callable[[Buffer, Buffer], float]
_Scan = Callable[[Buffer, Buffer, int, int], tuple[list[int], list[float]]]

PATHS: dict[str, tuple[_Pair, _Pair, _Pair, _Scan]]
