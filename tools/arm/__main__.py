# SPDX-License-Identifier: Apache-2.0
"""Tests on emulated Arm processors: `make test-arm` runs all of it, .ci/run the quick form."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from . import kernels
from .targets import PROCESSORS, QUICK, ROOT, missing


def main() -> int:
    """Run the parts; 0 when all that was run passed, or when nothing could be and that is no failure."""
    parser = argparse.ArgumentParser(prog="python -m tools.arm", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of each part")
    parser.add_argument("--require", action="store_true", help="missing tools are a failure, not a reason to skip")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "arm", help="where to build")
    options = parser.parse_args()
    lacking = missing()
    if lacking:
        print(f"SKIPPED: tests on emulated Arm processors: {lacking}")
        return int(options.require)
    processors = QUICK if options.quick else PROCESSORS
    failures = 0
    for name, part in [("C tests", kernels.test)]:
        started = time.monotonic()
        print(f"---- {name}", flush=True)
        failures += part(processors, options.folder)
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"FAILED: {failures}" if failures else "passed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
