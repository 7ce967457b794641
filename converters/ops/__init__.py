# SPDX-License-Identifier: Apache-2.0
"""One file for each ONNX operator or tight family: how it is lowered, and its NumPy reference."""
