"""What pyproject.toml cannot compute: the package list and the C extension."""
import os
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

FLOORS = ("server", "agents", "engine", "simd")
native = os.environ.get("AQE_NATIVE", "auto")  # auto | require | skip
flags = [] if sys.platform == "win32" else ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra"]
if native == "require":
    flags.append("-Werror")

packages = [name for floor in FLOORS for name in (floor, *(f"{floor}.{sub}" for sub in find_packages(floor)))]

setup(
    packages=[f"aqe.{name}" for name in packages],
    ext_modules=[]
    if native == "skip"
    else [
        Extension(
            "aqe.simd._native",
            sources=sorted(path.as_posix() for path in Path("simd").glob("*.c")),
            depends=sorted(path.as_posix() for path in Path("simd").glob("*.h")),
            extra_compile_args=flags,
            libraries=[] if sys.platform == "win32" else ["m"],
            py_limited_api=True,
            optional=native != "require",
        )
    ],
)
