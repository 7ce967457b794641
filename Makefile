# SPDX-License-Identifier: Apache-2.0
# make demo, test, bench, wheels: each does all of its own set-up from nothing in .venv, and is quick when repeated.

PYTHON ?= python3
CC ?= cc
VENV := .venv
BIN := $(VENV)/bin
BUILD := build

KERNELS := $(shell find kernels -name '*.c' -o -name '*.h' -o -name '*.def')
EXTENSION := $(KERNELS) $(wildcard tinyrnn/*.pyx tinyrnn/*.pxi tinyrnn/*.c tinyrnn/*.h) setup.py pyproject.toml
EXTENSION := $(filter-out tinyrnn/_core.c,$(EXTENSION))
PROGRAMS := $(BUILD)/bench
STEP := $(PROGRAMS)/step
STEP_SOURCES := $(wildcard kernels/src/*.c kernels/src/ops/*.c kernels/src/arch/*.c) benchmarks/step.c benchmarks/ceiling.c
STEP_OBJECTS := $(STEP_SOURCES:%.c=$(PROGRAMS)/%.o)
COUNTER := $(BUILD)/bench/count_plugin.so
JOBS = $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: demo test test-python test-c test-arm bench instructions wheels lint docs clean

demo: $(VENV)/.demo
	$(BIN)/python examples/forecast/demo.py --out demo-output

test: test-c test-python

test-python: $(VENV)/.dev
	$(BIN)/python -m pytest tests

# With CMake where there is one; a compiler alone is enough.
test-c:
	@tools/check_tools.sh "$(PYTHON)" "$(CC)"
	CC="$(CC)" tools/test_kernels.sh $(BUILD)/kernels

# Everything that is tested on emulated Arm processors; without the tools for that it says which and does nothing.
test-arm: $(VENV)/.dev
	$(BIN)/python -m tools.arm --out $(BUILD)/arm/dist

# Beside the other engines that are installed: make bench BENCH="--set all --match 'lstm*'"; docs/performance.md.
bench: $(VENV)/.bench
	@$(MAKE) --no-print-directory -s -j $(JOBS) $(STEP)
	$(BIN)/python -m benchmarks $(BENCH)

# Fails when a step takes over 2 % more instructions than recorded; UPDATE=1 records. Arm's are counted by emulation.
instructions: $(VENV)/.dev
	@$(MAKE) --no-print-directory -s -j $(JOBS) $(STEP) $(if $(shell command -v qemu-aarch64),$(COUNTER))
	@for triplet in aarch64-linux-gnu arm-linux-gnueabihf; do \
		! command -v $$triplet-gcc >/dev/null || $(MAKE) --no-print-directory -s -j $(JOBS) CC=$$triplet-gcc \
			PROGRAMS=$(BUILD)/bench/$$triplet $(BUILD)/bench/$$triplet/step || exit 1; \
	done
	$(BIN)/python -m benchmarks.instructions $(if $(UPDATE),--update)

# The sdist, and wheels for this machine, aarch64 and armv7l in dist/; the last two tested by emulation.
wheels: $(VENV)/.dev
	$(BIN)/python -m tools.arm wheels

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

$(VENV)/.bench: $(VENV)/.made $(EXTENSION)
	CC="$(CC)" $(PIP) install --no-build-isolation -e ".[bench]"
	@touch $@

# The flags are those of kernels/CMakeLists.txt; warnings are for the tests.
$(PROGRAMS)/%.o: %.c $(filter-out %.c,$(KERNELS)) benchmarks/ceiling.h
	@mkdir -p $(@D)
	$(CC) -std=c11 -O3 -ffp-contract=off -Ikernels/include -Ikernels/src -c $< -o $@

$(STEP): $(STEP_OBJECTS)
	$(CC) $^ -lm -o $@

$(COUNTER): benchmarks/count_plugin.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -shared -fPIC $< -o $@

clean:
	rm -rf $(VENV) $(BUILD) dist demo-output benchmark-output *.egg-info tinyrnn/_core.c tinyrnn/_core.*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
