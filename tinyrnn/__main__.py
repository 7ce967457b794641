# SPDX-License-Identifier: Apache-2.0
"""``python -m tinyrnn``: the command line."""

from tinyrnn.cli import main

raise SystemExit(main())
