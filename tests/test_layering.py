# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/design.md about who may include or import whom, and that nothing named in a table is missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tinyrnn.promise import WITH_PRODUCTS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "kernels" / "src"
pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason="the tests have been copied away from the repository")

INTRINSICS = re.compile(
    r"#\s*include\s*[<\"](?:\w*mmintrin|immintrin|x86intrin|arm_neon|arm_sve|arm_mve|wasm_simd128)\.h|\b_mm\d*_\w+\("
)
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def c_files(*patterns):
    return [path for pattern in patterns for path in sorted((ROOT / "kernels").glob(pattern))]


def includes(path):
    return {Path(name).name for name in INCLUDE.findall(path.read_text(encoding="utf-8"))}


def python_files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path, inside_functions=True):
    """Return the modules that a file imports, with those of `from . import x` spelled out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if inside_functions else unconditional(tree.body)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def unconditional(body):
    """Return the statements that importing a module runs: not those of functions or of `if TYPE_CHECKING`."""
    found = []
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.append(node)
            for part in ("body", "orelse", "finalbody", "handlers"):
                found += unconditional(getattr(node, part, []))
    return found


def test_intrinsics_stay_in_arch():
    for path in c_files("src/**/*.[ch]", "include/**/*"):
        if path.is_file() and path.parent.name != "arch":
            assert not INTRINSICS.search(path.read_text(encoding="utf-8")), path


def test_c_layers():
    upper = {"model.h", "stream.h"}
    for path in c_files("src/ops/*"):
        assert not includes(path) & (upper | {"dispatch.h", "cpu.h", "file_map.h"}), (
            f"{path.name}: operators know neither models nor streams"
        )
        assert not {name for name in includes(path) if name.startswith("vec_")}, (
            f"{path.name}: operators see only the kernel table"
        )
    for path in c_files("src/arch/*"):
        allowed = {"ukernels.h", "ukernels.def", "ops.def", "format.def", "format.h", "tinyrnn.h"} | {
            p.name for p in c_files("src/arch/*")
        }
        assert includes(path) <= allowed, f"{path.name}: kernels see only their own table"
    for path in c_files("src/reader.*", "src/tables.c", "src/error.*"):
        assert not includes(path) & (upper | {"ops.h", "planner.h", "ukernels.h"}), (
            f"{path.name}: the reader is below everything"
        )
    for path in c_files("src/planner.*"):
        assert not includes(path) & upper, f"{path.name}: the planner is below streams"


def test_the_public_header_stands_alone():
    assert includes(ROOT / "kernels" / "include" / "tinyrnn.h") == {"status.def"}


def test_the_library_never_prints_or_aborts():
    for path in c_files("src/**/*.[ch]"):
        found = re.findall(r"\b(?:printf|fprintf|puts|abort|exit|perror)\s*\(", path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found}"


def test_onnx_is_imported_in_one_place():
    for path in python_files("tinyrnn", "converters"):
        onnx = {name for name in imports(path) if name == "onnx" or name.startswith("onnx.")}
        assert not onnx or path.name == "onnx_frontend.py", f"{path}: {onnx}"


def test_the_package_imports_no_converter():
    for path in python_files("tinyrnn"):
        found = {
            name for name in imports(path, inside_functions=False) if "converters" in name or name.startswith("onnx")
        }
        assert not found, f"{path}: {found}"


def test_only_core_reaches_c():
    for path in python_files("tinyrnn", "converters"):
        assert not imports(path) & {"ctypes", "cffi", "_ctypes"}, path
    users = {
        path.relative_to(ROOT).as_posix()
        for path in python_files("tinyrnn", "converters")
        if any("_core" in name for name in imports(path))
    }
    assert users <= {"tinyrnn/model.py", "tinyrnn/format.py"}


def test_converter_layers():
    for path in python_files("converters/ops"):
        assert not {name for name in imports(path) if re.search(r"onnx_frontend|writer|passes|measure", name)}, path
    for path in python_files("converters/passes"):
        assert not {name for name in imports(path) if re.search(r"onnx_frontend|writer|measure", name)}, path
    # One file runs models: what it measures, others ask it for.
    runs = {path.name for path in python_files("converters") if imports(path) & {"tinyrnn.load", "tinyrnn.model"}}
    assert runs == {"measure.py"}
    assert not {
        name
        for name in imports(ROOT / "converters" / "ir.py")
        if re.search(r"frontend|writer|passes|\.ops|lowering", name)
    }


def test_every_engine_operator_is_complete():
    from tinyrnn import format as fmt

    text = "".join(path.read_text(encoding="utf-8") for path in python_files("converters"))
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    for name in fmt.OPERATORS:
        assert (SOURCES / "ops" / f"{name}.c").is_file(), f"{name}: kernels/src/ops/{name}.c is missing"
        assert f'"{name}"' in text, f"{name}: no lowering makes it"
        assert f"### {name} (" in page, f"{name}: not in docs/format.md; name it in tools/format_page.md"


def test_files_stay_readable():
    names = (".py", ".pyx", ".pxi", ".c", ".h")
    files = [
        path
        for folder in ("tinyrnn", "converters", "kernels", "tests", "tools", "examples", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in names and path.name != "_core.c"
    ]
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 600, f"{path}: {len(lines)} lines"
        if lines:
            assert "SPDX-License-Identifier: Apache-2.0" in "".join(lines[:2]), f"{path}: no SPDX line"


def test_the_root_converters_are_not_importable_twice():
    import importlib
    import sys

    sys.path.insert(0, str(ROOT))
    try:
        with pytest.raises(ImportError, match="tinyrnn.converters"):
            importlib.import_module("converters")
    finally:
        sys.path.remove(str(ROOT))
        sys.modules.pop("converters", None)


def test_the_operators_with_products_are_those_that_inspect_names():
    """Their bytes depend on the class of rounding; all others promise the same bytes everywhere."""
    slots = re.compile(r"->(?:f32|precision##)_(?:gemm|dwconv|\w+_cell|\w+_steps|gru_reset|gru_update)\b")
    files = c_files("src/ops/*.c")
    users = {path.stem for path in files if slots.search(path.read_text(encoding="utf-8"))}
    users |= {path.stem for path in files if "product.h" in includes(path)}
    assert users == {*WITH_PRODUCTS, "product"}
    # And nothing but those slots has the one word of the vocabulary whose rounding differs.
    word = re.compile(r"\b(?:vf_fma\(|f32_fused_)")
    bodies = {path.name for path in c_files("src/arch/*_tmpl.h") if word.search(path.read_text(encoding="utf-8"))}
    assert bodies == {"gemm_tmpl.h", "dwconv_tmpl.h", "squash_tmpl.h", "cells_tmpl.h"}
