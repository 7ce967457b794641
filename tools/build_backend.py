# SPDX-License-Identifier: Apache-2.0
"""setuptools' build backend, but that Cython is asked for only where its C has to be made: not in an sdist."""

from __future__ import annotations

import os
from typing import Any

from setuptools.build_meta import (  # noqa: F401 - what a backend offers
    build_editable,
    build_sdist,
    build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

CYTHON = ["cython>=3.0.10"]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what setup.py needs beside setuptools; PKG-INFO tells an sdist from a checkout, as it does there."""
    return [] if os.path.exists("PKG-INFO") else CYTHON


get_requires_for_build_editable = get_requires_for_build_sdist = get_requires_for_build_wheel
