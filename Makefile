# Two commands matter: `make up` and `make test`. Everything else is for those who work on Atlasco.
.DEFAULT_GOAL := help
.PHONY: help up test lint bench honesty clean
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_DIR := $(or $(ATLASCO_RUN_DIR),.run)

help: ## Show this
	@echo "make up      run the whole stack on this machine; ARGS=\"--port 9000 --no-demo\" are handed on"
	@echo "make test    check style, types and layers, then run every test on real servers; ARGS are handed to pytest"
	@echo "make lint    the checks of \`make test\` without the tests"
	@echo "make bench   print the benchmarks' figures, of all at a modest size; NAME=search, say, runs one of them"
	@echo "make honesty break a throw-away stack in every way and count answers that claim more than is true; takes a while"
	@echo "make clean   remove the virtual environment, caches, and the data of \`make up\`"

up: $(VENV)/.installed
	@exec $(BIN)/python manage.py up $(ARGS)

test: lint
	@# It would like to compare with a database, too; there is none yet, and the tests do that.
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@# Two at a time, each with a stack of its own; ARGS="-n 0" for one after the other.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed
	@exec $(BIN)/python manage.py bench $(NAME) $(ARGS)

honesty: $(VENV)/.installed
	@exec $(BIN)/python manage.py honesty $(ARGS)

clean:
	@# Only what a stack made: with ATLASCO_RUN_DIR=$$HOME this would be everything you have.
	@if [ -e "$(RUN_DIR)" ] && ! { [ -f "$(RUN_DIR)/lock" ] && [ -f "$(RUN_DIR)/secrets.json" ]; }; then \
		echo "$(RUN_DIR) is not a run directory of a stack; nothing is removed." >&2; exit 1; fi
	@if $(PYTHON) -c 'import fcntl; fcntl.flock(open("$(RUN_DIR)/lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null \
		|| [ ! -e "$(RUN_DIR)/lock" ]; then :; else echo "A stack is running on $(RUN_DIR); stop it first." >&2; exit 1; fi
	@# As root the data may lie elsewhere, where the servers' user can reach it.
	@if [ -L "$(RUN_DIR)/data" ]; then rm -rf "$$(readlink -f "$(RUN_DIR)/data")"; fi
	rm -rf "$(RUN_DIR)" $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is newer than the lock as long as the lock has not changed.
$(VENV)/.installed: requirements.lock | $(VENV)/bin/pip
	@echo "Installing the locked packages (some 300 MB to fetch: a minute or more) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock | $(VENV)/bin/pip
	@echo "Installing the locked packages, those for tests included (some 400 MB to fetch: a minute or more) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes -r requirements-dev.lock
	@touch $@ $(VENV)/.installed

# pip is what `venv` makes last: an interrupted attempt is repeated.
$(VENV)/bin/pip:
	@command -v $(PYTHON) >/dev/null || { echo "Atlasco needs Python 3.11 or later; $(PYTHON) is not installed." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Atlasco needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) can't create virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
