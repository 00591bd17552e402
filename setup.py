"""What pyproject.toml cannot compute: the package list and the C extension."""

import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_py import build_py

FLOORS = ("server", "agents", "engine", "simd")
native = os.environ.get("AQE_NATIVE", "auto")  # auto | require | skip
flags = [] if sys.platform == "win32" else ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra"]
if native == "require":
    flags.append("-Werror")

KERNELS = {"_native": "simd", "_funnel": "simd/funnel", "_postings": "simd/postings"}  # extension -> its sources
DATA = ("data", "templates")  # folders of a package that hold data; named as packages, or setuptools warns of them
packages = [name for floor in FLOORS for name in (floor, *(f"{floor}.{sub}" for sub in find_packages(floor)))]
packages += [f"{name}.{folder}" for name in packages for folder in DATA if Path(*name.split("."), folder).is_dir()]


class BuildWithShop(build_py):
    """A wheel carries the demo's shop and its truth as data of `aqe.server`; an editable install reads fixtures/."""

    def run(self):
        super().run()
        if not self.editable_mode:
            data = Path(self.build_lib, "aqe", "server", "data")
            leave_out = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree("fixtures/shop", data / "shop", ignore=leave_out, dirs_exist_ok=True)
            for told in ("shop.truth.toml", "shop.story.toml"):
                shutil.copy(f"fixtures/{told}", data)


setup(
    options={"bdist_wheel": {"py_limited_api": "cp311"}, "build_ext": {"parallel": os.cpu_count() or 1}},
    cmdclass={"build_py": BuildWithShop},
    packages=[f"aqe.{name}" for name in packages],
    ext_modules=[]
    if native == "skip"
    else [
        *(
            Extension(
                f"aqe.simd.{name}",
                sources=sorted(path.as_posix() for path in Path(folder).glob("*.c")),
                depends=sorted(path.as_posix() for place in {"simd", folder} for path in Path(place).glob("*.h")),
                include_dirs=["simd"],
                extra_compile_args=flags,
                libraries=[] if sys.platform == "win32" else ["m"],
                py_limited_api=True,
                optional=native != "require",
            )
            for name, folder in KERNELS.items()
            if any(Path(folder).glob("*.c"))
        ),
        Extension(
            "aqe.agents.gate._clock",
            sources=["agents/gate/clock.c"],
            extra_compile_args=flags,
            py_limited_api=True,
            optional=native != "require",
        ),
    ],
)
