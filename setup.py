# SPDX-License-Identifier: Apache-2.0
"""Builds the one extension module, tinyrnn._core, from the Cython boundary and the C engine.

A checkout makes the C of the boundary with Cython; an sdist has it, and a C compiler is enough.
"""

from __future__ import annotations

import glob
import os
import sys

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


def extension(boundary: str) -> Extension:
    """Return the module as built from its boundary, in Cython or in C, and the engine."""
    return Extension(
        "tinyrnn._core",
        [boundary, "tinyrnn/tables.c", *sources("kernels/src/**/*.c")],
        include_dirs=["tinyrnn", "kernels/include", "kernels/src"],
        depends=sources("tinyrnn/*.pxi", "tinyrnn/*.h", "kernels/**/*.h", "kernels/**/*.def"),
        extra_compile_args=FLAGS,
    )


def modules() -> list[Extension]:
    """Return the one module; the boundary goes through Cython where this is no sdist, which PKG-INFO tells."""
    if os.path.exists("PKG-INFO"):
        return [extension("tinyrnn/_core.c")]
    from Cython.Build import cythonize

    return cythonize([extension("tinyrnn/_core.pyx")], compiler_directives={"language_level": "3"})

setup(
    # The converters stand at the root of the repository and are installed below the package.
    package_dir={"tinyrnn": "tinyrnn", "tinyrnn.converters": "converters"},
    packages=[
        *find_packages(include=["tinyrnn", "tinyrnn.*"]),
        "tinyrnn.converters",
        *(f"tinyrnn.converters.{name}" for name in find_packages("converters")),
    ],
    ext_modules=modules(),
)
