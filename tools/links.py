"""Make .links/aqe/<floor> so that type checkers and editors find aqe.* from source."""

import os
from pathlib import Path

here = Path(__file__).resolve().parent.parent
(farm := here / ".links" / "aqe").mkdir(parents=True, exist_ok=True)
for floor in ("server", "agents", "engine", "simd"):
    link = farm / floor
    if link.exists():
        continue
    if os.name == "nt":
        import _winapi

        _winapi.CreateJunction(str(here / floor), str(link))
    else:
        link.symlink_to(os.path.join("..", "..", floor), target_is_directory=True)
