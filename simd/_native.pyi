from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

_Pair = Callable[[Buffer, Buffer], float]
_Scan = Callable[[Buffer, Buffer, int, int], tuple[list[int], list[float]]]
_Tokens = Callable[[bytes], list[bytes]]
_Make = Callable[[tuple[bytes, ...], int, int], Any]
_Bag = Callable[[Any, bytes, float], tuple[list[int], list[float]]]
_Embed = Callable[[Any, tuple[bytes, ...], Buffer, Buffer, float, Buffer], None]

PATHS: dict[str, tuple[_Pair, _Pair, _Pair, _Scan, _Tokens, _Make, _Bag, _Embed]]
