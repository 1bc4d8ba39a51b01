# Everything one does with this repository. Environments are made on first use; a stamp in each says
# that its packages are installed, so a second run goes straight to work.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check unit parity format golden resources clean

PYTHON ?= $(shell for p in python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PARITY := .venv-parity/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# One thread a process: the tests are the parallel part.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: .venv/.installed  ## train a small language model on text, with a compiled mixer
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python examples/train_text.py

test: check unit parity  ## everything that must hold: lint, types, imports, tests, parity

check: .venv/.installed  ## lint, formatting, types, import direction, sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/sizes.py mixerc

unit: .venv/.installed  ## the tests that need no other implementation
	$(PYTEST) -n 2

parity: .venv-parity/.installed  ## compare with implementations that others wrote
	$(PARITY)/python -m pytest tests/parity

format: .venv/.installed  ## format the code, and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

golden: .venv/.installed  ## rewrite tests/golden from what the compiler does now; read the diff
	$(PYTEST) -n 2 -m golden --update-golden
	git status --short tests/golden

resources: .venv/.installed  ## compile every kernel for all hardware, and compare what is reported
	$(PYTEST) -n 2 tests/triton -m thorough

clean:  ## remove the environments and the caches
	rm -rf .venv .venv-parity .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(PIP_INSTALL) --editable '.[dev]'
	touch $@

# An environment apart: transformers binds the kernels of the other packages where it can import them.
# The oracles come without their dependencies, some of which want a GPU or another torch.
.venv-parity/.installed: pyproject.toml constraints.txt tests/parity/requirements.txt
	test -x $(PARITY)/python || $(PYTHON) -m venv .venv-parity
	$(PARITY)/python $(PIP_INSTALL) torch --editable . pytest hypothesis einops transformers
	$(PARITY)/python $(PIP_INSTALL) --no-deps --requirement tests/parity/requirements.txt
	touch $@
