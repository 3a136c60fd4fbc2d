# holonstream. `make help` lists the targets; README.md says more.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
DATA ?=
SEED ?=
SEEDS ?=
DURATION ?=
RATE ?=
VARIANT ?=
JSON ?=

.PHONY: help setup demo test lint fmt bench scaling chaos checkov up down clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/.ready: pyproject.toml constraints.txt
	@echo "setup: Python environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "holonstream needs Python 3.11 or later")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python venv is missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt --editable ".[all]" --group dev 2>/dev/null \
	  || { $(BIN)/pip install --disable-pip-version-check --quiet --upgrade "pip>=25.1" \
	  && $(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt --editable ".[all]" --group dev; }
	@touch $@

setup: $(BIN)/.ready ## Make the Python environment

demo: setup ## Start everything, run a history through it, ask questions, stop everything (DATA=folder of congress files)
	@$(BIN)/holonstream demo $(if $(DATA),--data $(DATA))

test: setup ## All tests, on real servers that it starts and stops
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/pytest

lint: setup ## Format, lint and type check
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

fmt: setup ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup ## Measure every path against its bare client, on servers of its own
	@$(BIN)/python -m benchmarks all

chaos: setup ## Run the pipeline under load and faults against an oracle: SEED=n DURATION=seconds, or an hour over six seeds
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(DURATION),--duration $(DURATION)) $(if $(RATE),--rate $(RATE)) $(if $(VARIANT),--variant $(VARIANT)) $(if $(JSON),--json)

scaling: setup ## Double the graph workers, then the cache workers, under load, and show that each group moves by itself
	@$(BIN)/python -m benchmarks scaling --strict

checkov: ## Look for mistakes in terraform/, with checkov in an environment of its own
	@test -x .checkov/bin/checkov || { $(PYTHON) -m venv .checkov && .checkov/bin/pip install --disable-pip-version-check --quiet checkov==3.3.30; }
	@.checkov/bin/checkov -d terraform --framework terraform --download-external-modules false --skip-download --compact --quiet

up: setup ## Start the local servers and leave them running
	@$(BIN)/holonstream local up

down: setup ## Stop the local servers, keep their data
	@$(BIN)/holonstream local down

clean: ## Delete the environment and the local servers' data
	@test ! -x $(BIN)/holonstream || $(BIN)/holonstream local down --wipe
	@rm -rf $(VENV) .checkov
