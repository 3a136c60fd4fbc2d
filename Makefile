# holonstream. `make help` lists the targets; README.md and CONTRIBUTING.md say more.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PYTEST := $(BIN)/pytest --durations 15
DATA ?=
SEED ?=
SEEDS ?=
DURATION ?=
RATE ?=
VARIANT ?=
BROKERS ?=
LOSS ?=
EVENTS ?=
JSON ?=
JOBS ?= 2
SCREENSHOTS ?=

.PHONY: help setup demo check test test-faults test-vanished test-unplugged test-real test-upgrade test-languages test-console docs test-docs compose-test test-msk drill chaos-ci lint fmt bench scaling chaos checkov terraform-schema up down clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s", $$1; at = 23; \
	  n = split($$2, word, " "); for (i = 1; i <= n; i++) { \
	    if (at + length(word[i]) > 79) { printf "\n%23s", ""; at = 23 } \
	    printf " %s", word[i]; at += length(word[i]) + 1 } print "" }'

# What the demo and the stack need is a third of what developers need.
$(BIN)/.ready: EXTRAS := .[all,docs]
$(BIN)/.ready: GROUPS := --group dev
$(BIN)/.runs: EXTRAS := .[all]
$(BIN)/.ready $(BIN)/.runs: pyproject.toml constraints.txt
	@echo "setup: Python environment in $(VENV), once; a minute or two"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "holonstream needs Python 3.11 or later")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python venv is missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt --editable "$(EXTRAS)" $(GROUPS) 2>/dev/null \
	  || { $(BIN)/pip install --disable-pip-version-check --quiet --upgrade "pip>=25.1" \
	  && $(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt --editable "$(EXTRAS)" $(GROUPS); }
	@touch $(BIN)/.runs $@

setup: $(BIN)/.ready ## Make the Python environment

demo: $(BIN)/.runs ## Start everything, run a history through it, ask questions, stop everything (DATA=folder of congress files)
	@$(BIN)/holonstream demo $(if $(DATA),--data $(DATA))

check: lint ## Format, lint, types and unit tests; no servers, under a minute
	@$(BIN)/pytest -q --numprocesses $(JOBS) tests/unit

test: lint ## All that and the tests on real servers, which it starts and stops: JOBS=2 at once, each with servers of its own
	@$(PYTEST) -m "not faults" --numprocesses $(JOBS) --dist loadfile

test-faults: setup ## Tests in which brokers, stores and workers stop, freeze or change: a minute each
	@$(PYTEST) -m faults --numprocesses $(JOBS) --dist loadfile --ignore tests/acceptance/test_vanished.py

test-vanished: setup ## Brokers and stores that vanish without closing a connection, one after the other: five minutes
	@$(PYTEST) -s tests/acceptance/test_vanished.py

test-unplugged: setup ## The same with hosts that lose their network, as root, in a network of its own
	@unshare --net sh -c 'ip link set lo up && exec $(PYTEST) -s tests/network'

test-real: setup ## Acceptance tests on the congress files: DATA=folder
	@test -n "$(DATA)" || { echo "type: make test-real DATA=folder of the congress files"; exit 1; }
	@$(PYTEST) tests/real --congress $(DATA)

test-upgrade: setup ## An upgrade from the release before, built from the history, under load
	@$(PYTEST) tests/upgrade

test-languages: setup ## Tests with programs in Node, Go and Java, which it installs where they are missing
	@$(PYTEST) tests/languages

docs: setup ## Build the documentation as a site in site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict && echo "site/index.html"

test-docs: setup ## Tests of that site: links, search, no other hosts, the same on a forge; half a minute
	@$(PYTEST) tests/site

compose-test: setup ## Tests of docs/compose.md with containers; needs a Docker engine, and the ports of docker-compose.yml
	@$(PYTEST) -s tests/compose

test-console: setup ## Tests of the console in a headless Chromium, and of its API; SCREENSHOTS=folder keeps pictures
	@$(if $(SCREENSHOTS),HOLONSTREAM_TEST_SCREENSHOTS=$(SCREENSHOTS)) $(PYTEST) tests/console

test-msk: setup ## The login of an AWS role, against an imitation of MSK
	@test -d .aws || $(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt --target .aws aws-msk-iam-sasl-signer-python
	@PYTHONPATH=.aws $(PYTEST) tests/msk

drill: setup ## Lose the log in six ways and recover it, timed: EVENTS=100000
	@$(BIN)/python -m tests.drill $(if $(EVENTS),--events $(EVENTS)) $(if $(JSON),--json)

chaos-ci: setup ## Three minutes of load and faults, and two relays that are wrong on purpose and must be found out
	@$(PYTEST) tests/chaos/test_chaos.py

chaos: setup ## Load and faults for longer, against an oracle: SEED=n DURATION=seconds BROKERS=3, or an hour over six seeds
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(DURATION),--duration $(DURATION)) $(if $(RATE),--rate $(RATE)) $(if $(VARIANT),--variant $(VARIANT)) $(if $(BROKERS),--brokers $(BROKERS)) $(if $(LOSS),--loss $(LOSS)) $(if $(JSON),--json)

lint: setup ## Format, lint and type check
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

fmt: setup ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup ## Measure every path against its bare client, on servers of its own
	@$(BIN)/python -m benchmarks all

scaling: setup ## Double the graph workers, then the cache workers, under load, and show that each group scales by itself
	@$(BIN)/python -m benchmarks scaling --strict

checkov: ## Search terraform/ for mistakes, with checkov in an environment of its own
	@test -x .checkov/bin/checkov || { $(PYTHON) -m venv .checkov && .checkov/bin/pip install --disable-pip-version-check --quiet checkov==3.3.30; }
	@.checkov/bin/checkov -d terraform --framework terraform --download-external-modules false --skip-download --compact --quiet

terraform-schema: setup ## Compare terraform/ with the schema of the AWS provider, which it reads from a package of bindings
	@test -d .terraform-schema || $(BIN)/pip download --disable-pip-version-check --quiet --no-deps -d .terraform-schema cdktf-cdktf-provider-aws==21.22.1
	@TERRAFORM_SCHEMA=.terraform-schema $(PYTEST) tests/terraform

up: $(BIN)/.runs ## Start the local servers and leave them running
	@$(BIN)/holonstream local up

down: $(BIN)/.runs ## Stop the local servers, keep their data
	@$(BIN)/holonstream local down

clean: ## Delete the environment and the local servers' data
	@test ! -x $(BIN)/holonstream || $(BIN)/holonstream local down --wipe
	@rm -rf $(VENV) site .checkov .terraform-schema .aws
