# make demo   installs, runs a small EcoNAS search, and writes demo/report/; run it again to go on where it was left
# make test   everything that CI checks, without system packages; `make test-system` needs strace, tmux, a browser, ...
# make test-faults   long series of failures on purpose: half an hour on two cores
# make soak   half an hour of random failures on several searches at once; MINUTES=5 for less, SEED=2 for others

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-system test-faults soak lint bench clean

# The first of these that is there and is 3.11 or 3.12; another one: make demo PYTHON=/usr/bin/python3.12
CANDIDATES := python3.12 python3.11 python3
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(SUPPORTED)' 2>/dev/null && { command -v $$p; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install -qq --constraint constraints.txt
PACKAGES := orchestrator strategies store trainers
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.installed-test
# Tests run in so many processes; each has ports, folders and names of its own.
JOBS ?= 2
PYTEST := $(BIN)/pytest --numprocesses $(JOBS) --dist worksteal
MINUTES ?= 30
SEED ?= 1
OPTUNA := bench-out/optuna
FAISS := bench-out/faiss

help:
	@sed -n 's/^# \{0,1\}//p; /^$$/q' Makefile

# Without build isolation, so that the build uses the pinned hatchling and fetches nothing else.
$(INSTALLED): pyproject.toml constraints.txt
	@[[ -n "$(PYTHON)" ]] || { echo "coldframe needs Python 3.11 or 3.12: none of $(CANDIDATES) is; see PYTHON= in the Makefile"; exit 2; }
	@[[ -x $(BIN)/python ]] || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing coldframe and what it needs into $(VENV) (PyTorch is large: a minute or more the first time)"
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(TESTABLE): $(INSTALLED)
	@echo "installing what the checks need"
	@$(PIP) --no-build-isolation --editable '.[test]'
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/coldframe run examples/econas-digits.toml --store demo/store --report demo/report

lint: $(TESTABLE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(PYTEST) -m "not system and not faults"

test-system: $(TESTABLE)
	$(PYTEST) -m "system and not faults"

test-faults: $(TESTABLE)
	$(PYTEST) -m faults

soak: $(TESTABLE)
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES) --seed $(SEED)

bench: $(TESTABLE)
	@[[ -x $(OPTUNA)/bin/python ]] || $(BIN)/python -m venv $(OPTUNA)
	@$(OPTUNA)/bin/pip --disable-pip-version-check install -qq --constraint constraints.txt optuna
	@[[ -x $(FAISS)/bin/python ]] || $(BIN)/python -m venv $(FAISS)
	@$(FAISS)/bin/pip --disable-pip-version-check install -qq --constraint constraints.txt faiss-cpu
	$(BIN)/python benchmarks/orchestration.py --optuna $(OPTUNA)/bin/python
	$(BIN)/python benchmarks/checkpoints.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/data.py --quick
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/recovery.py
	$(BIN)/python benchmarks/simulated.py
	$(BIN)/python benchmarks/idle.py
	$(BIN)/python benchmarks/pool.py --faiss $(FAISS)/bin/python

clean:
	rm -rf demo bench-out dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
