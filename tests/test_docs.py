# SPDX-License-Identifier: Apache-2.0
"""The pages of the project are true: generated ones equal the tables, commands and files that README names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import onnx.defs
import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / "README.md").exists(), reason="the tests have been copied away from the repository"
)


def test_generated_pages_are_up_to_date():
    if onnx.defs.onnx_opset_version() < 28:
        pytest.skip("which operators have bodies is that of opset 28; install onnx 1.23 or newer")
    done = subprocess.run([sys.executable, ROOT / "tools" / "gen_docs.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_onnx_operator_stands_on_the_page_of_operators_once():
    """As a row, as one that its body replaces, or as one that is refused; of the newest opset, ONNX's own domain."""
    if onnx.defs.onnx_opset_version() < 28:
        pytest.skip("the page is that of opset 28; install onnx 1.23 or newer")
    text = (ROOT / "docs" / "ops.md").read_text(encoding="utf-8").split("# ONNX operators\n")[1]
    rows, refused = text.split("## ONNX operators that are refused\n")
    lowered = set(re.findall(r"^\| ai\.onnx \| (\w+) \|", rows, re.M))
    (bodies,) = re.findall(r"^Replaced by the body that ONNX gives them[^:]*: (.*)\.$", rows, re.M)
    reasons = re.findall(r"^\| ai\.onnx \| ([\w, ]+) \| (\S.*) \|$", refused, re.M)
    places = [*lowered, *bodies.split(", "), *(op for ops, _ in reasons for op in ops.split(", "))]
    known = {s.name for s in onnx.defs.get_all_schemas() if not s.domain}
    assert len(known) > 200
    assert known - set(places) == set()
    assert sorted(places) == sorted(set(places))


def test_commands_of_the_readme_exist():
    from tinyrnn.cli import parser

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert {"demo", "test"} <= targets
    for target in re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.M):
        assert target in targets, f"make {target}"
    for line in re.findall(r"^\s*(?:\$ )?tinyrnn ([a-z].*)$", text, re.M):
        arguments = line.split("#")[0].split()
        try:
            parser().parse_args(arguments)
        except SystemExit as error:
            raise AssertionError(f"README has: tinyrnn {line}") from error


def test_files_that_the_readme_links_to_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_files_that_the_page_on_adding_names_exist():
    text = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:converters|docs|kernels|tests|tools)/[^`<* ]*)", text)
    assert len(named) > 20
    for path in named:
        assert (ROOT / path).exists(), path


def test_versions_agree():
    import tinyrnn
    from tinyrnn import _core

    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{tinyrnn.__version__}"' in project
    assert tinyrnn.__version__ == _core.LIBRARY_VERSION
    assert f"## {tinyrnn.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_doctests():
    import doctest

    import tinyrnn.model

    results = doctest.testmod(tinyrnn.model, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert results.failed == 0
    assert results.attempted > 0
