# SPDX-License-Identifier: Apache-2.0
"""Whole-model latency beside other engines: `make bench`, or `python -m benchmarks` from the root of the repository."""
