# SPDX-License-Identifier: Apache-2.0
"""Tests on emulated Arm processors: `make test-arm` runs all of it, `make wheels` one part, .ci/run the quick form."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import kernels, packages, pythons, random_models, wheels
from .targets import PROCESSORS, QUICK, ROOT, missing

PARTS = ("kernels", "models", "wheels")
MODELS, QUICK_MODELS = 200, 20


def lacking(part: str) -> str:
    """Say what keeps a part from being run here; an empty text when nothing does."""
    return missing("mmdebstrap") or pythons.lacking() if part == "wheels" else missing()


def main() -> int:
    """Run the parts; 0 when all that was run passed, and nothing was skipped that is required."""
    parser = argparse.ArgumentParser(prog="python -m tools.arm", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all of them where none is named")
    parser.add_argument("--quick", action="store_true", help="less of each part")
    parser.add_argument("--require", action="store_true", help="missing tools are a failure, not a reason to skip")
    parser.add_argument("--seed", type=int, default=1, help="of the random models")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "arm", help="where to work")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where wheels go")
    options = parser.parse_args()
    folder, out, processors = options.folder.absolute(), options.out.absolute(), QUICK if options.quick else PROCESSORS
    run: dict[str, Callable[[], int]] = {
        "kernels": lambda: kernels.test(processors, folder / "kernels"),
        "models": lambda: random_models.test(
            processors, folder / "kernels", folder / "models", QUICK_MODELS if options.quick else MODELS, options.seed
        ),
        "wheels": lambda: packages.test(processors, folder, out, options.quick),
    }
    failures = 0
    for part in options.parts or PARTS:
        started, reason = time.monotonic(), lacking(part)
        print(f"---- {part}", flush=True)
        if reason:
            print(f"SKIPPED for Arm: {reason}")
            failures += options.require
            if part == "wheels":  # that of this machine needs nothing of it
                wheels.build([], folder, out)
        else:
            failures += run[part]()
        print(f"{part}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"FAILED: {failures}" if failures else "done, nothing failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
