# Everything happens in .venv, which is made on first use and again whenever the requirements change.
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	$$python -c '$(RECENT)' 2>/dev/null && echo $$python && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
# Tests run in so many processes, each of which computes in one thread.
WORKERS ?= auto

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help install train test test-slow stress fuzz mutants lint types format index docs wheel clean

help:  ## what there is
	@echo "make TARGET [PYTHON=/path/to/python3.11] [ARGS=\"...\"]"
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## make .venv with the package and what its tests need, in the versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c '$(RECENT)' 2>/dev/null || { \
	echo "error: found no Python 3.11 or newer$(if $(PYTHON), in PYTHON=$(PYTHON),); give make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,export,rapidocr,pdf]"
	@touch $@

train: install  ## python -m dld_spotter.train $(ARGS)
	$(BIN)/python -m dld_spotter.train $(ARGS)

test: install lint  ## lint and all tests but the slow ones; ARGS go to pytest
	WANDB_MODE=offline OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

test-slow: install  ## whole runs, minutes each
	WANDB_MODE=offline $(BIN)/python -m pytest -q -m slow $(ARGS)

stress: install  ## end every command at random moments and start it again, train in two processes, watch memory; ARGS such as --kills=3
	WANDB_MODE=offline OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress $(ARGS)

fuzz: install  ## 100,000 damaged files and command lines; ARGS="--inputs N --seed S --only TARGET ..."
	WANDB_MODE=offline OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(ARGS)

mutants: install  ## break one line at a time and see that a fast test fails
	$(BIN)/python -m tests.mutants $(ARGS)

lint: install  ## ruff, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## mypy, strict where pyproject.toml says so; minutes the first time, seconds afterwards
	$(BIN)/mypy

format: install  ## ruff, mending what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

index: install  ## the table of studies in experiments/README.md, from their READMEs
	$(BIN)/python experiments/index.py

docs: install  ## the site, in site/, with the API from docstrings; fails on a broken link
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel: install  ## dist/*.whl, with conf/ and the bundled weights inside; studies stay in the repository
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## remove what was built, and .venv; outputs/ stays
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
