# SPDX-License-Identifier: Apache-2.0
"""Builds for the processors of Raspberry Pis and tests what was built by emulation: `make test-arm`, `make wheels`."""
