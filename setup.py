# SPDX-License-Identifier: Apache-2.0
"""Builds the one extension module, tinyrnn._core, from the Cython boundary and the C engine."""

from __future__ import annotations

import glob
import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

# Contraction would let a compiler fuse what docs/arithmetic.md rounds separately; both settings are the same in CMake.
FLAGS = (
    ["/O2", "/std:c11"]
    if sys.platform == "win32"
    else ["-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden"]
)


def sources(*patterns: str) -> list[str]:
    """Expand patterns below this directory, in a fixed order, to the relative names that setuptools wants."""
    return sorted(path.replace(os.sep, "/") for pattern in patterns for path in glob.glob(pattern, recursive=True))


core = Extension(
    "tinyrnn._core",
    ["tinyrnn/_core.pyx", "tinyrnn/tables.c", *sources("kernels/src/**/*.c")],
    include_dirs=["tinyrnn", "kernels/include", "kernels/src"],
    depends=sources("tinyrnn/*.pxi", "tinyrnn/*.h", "kernels/**/*.h", "kernels/**/*.def"),
    extra_compile_args=FLAGS,
)

setup(
    # The converters stand at the root of the repository and are installed below the package.
    package_dir={"tinyrnn": "tinyrnn", "tinyrnn.converters": "converters"},
    packages=[
        *find_packages(include=["tinyrnn", "tinyrnn.*"]),
        "tinyrnn.converters",
        *(f"tinyrnn.converters.{name}" for name in find_packages("converters")),
    ],
    ext_modules=cythonize([core], compiler_directives={"language_level": "3"}),
)
