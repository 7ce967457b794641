# SPDX-License-Identifier: Apache-2.0
# make demo, make test: each does all of its own set-up from nothing in .venv, and is quick when repeated.

PYTHON ?= python3
CC ?= cc
VENV := .venv
BIN := $(VENV)/bin
BUILD := build

KERNELS := $(shell find kernels -name '*.c' -o -name '*.h' -o -name '*.def')
EXTENSION := $(KERNELS) $(wildcard tinyrnn/*.pyx tinyrnn/*.pxi tinyrnn/*.c tinyrnn/*.h) setup.py pyproject.toml
EXTENSION := $(filter-out tinyrnn/_core.c,$(EXTENSION))
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: demo test test-python test-c wheel lint docs clean

demo: $(VENV)/.demo
	$(BIN)/python examples/forecast/demo.py --out demo-output

test: test-c test-python

test-python: $(VENV)/.dev
	$(BIN)/python -m pytest tests

# With CMake where there is one; a compiler alone is enough.
test-c:
	@tools/check_tools.sh "$(PYTHON)" "$(CC)"
	CC="$(CC)" tools/test_kernels.sh $(BUILD)/kernels

wheel: $(VENV)/.dev
	@mkdir -p $(BUILD)
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist . >$(BUILD)/wheel.log 2>&1 || { cat $(BUILD)/wheel.log; exit 1; }

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy -p tinyrnn

docs: $(VENV)/.dev
	$(BIN)/python tools/gen_docs.py

$(VENV)/.made:
	@tools/check_tools.sh "$(PYTHON)" "$(CC)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip "setuptools>=77" "cython>=3.0.10"
	@touch $@

# Built without isolation, so that a repeated build downloads nothing.
$(VENV)/.demo: $(VENV)/.made $(EXTENSION)
	CC="$(CC)" $(PIP) install --no-build-isolation -e ".[demo]"
	@touch $@

$(VENV)/.dev: $(VENV)/.made $(EXTENSION)
	CC="$(CC)" $(PIP) install --no-build-isolation -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) $(BUILD) dist demo-output *.egg-info tinyrnn/_core.c tinyrnn/_core.*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
