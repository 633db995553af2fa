# What is done here, in a virtual environment of its own (.venv), made on first use.
# Everything it installs comes from the package index that pip is set up for, in the versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: help demo test lint proof bench clean

help:
	@echo 'make demo    records a run of the example agent and opens it in the explorer'
	@echo 'make test    lint, types and tests: what has to pass'
	@echo 'make lint    ruff, mypy and import-linter alone'
	@echo 'make proof   the slow tests; adds a dated table to docs/proofs/'
	@echo 'make bench   the benchmarks'
	@echo 'make clean   removes .venv, caches and built files; recorded traces stay'
	@echo 'ARGS="..." goes to pytest (test, proof) and to the benchmarks (bench).'

# Installed again when the stamp is older than what says what to install. pip before 25.1 knows no
# dependency groups, and the one that comes with Python 3.11 is older. `-qq` leaves out warnings about the
# set-up of the machine's pip, and shows errors.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	@echo 'installing into $(VENV)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq 'pip>=25.1'
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[all]' --group dev
	@touch $@

demo: $(STAMP)
	@$(BIN)/python -m examples.support_agent
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/python -m agentops_tui latest; \
	else $(BIN)/agentops show latest && $(BIN)/agentops why latest; fi
	@echo 'next: . $(BIN)/activate; agentops; agentops why; agentops show --content; agentops search refund'

# Tests run even if lint fails: one run then tells everything. Most of their time they wait for processes of theirs:
# two workers take half of it, each file in one of them.
test: $(STAMP)
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS) || status=1; \
	exit $$status

lint: $(STAMP)
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/mypy || status=1; \
	$(BIN)/lint-imports --no-logo || status=1; \
	exit $$status

# 5 is pytest's word for "no test is marked so". Proofs may be silent for long: no time limit for one test.
proof: $(STAMP)
	@AGENTOPS_PROOF=1 PYTHONPATH=tests/house $(BIN)/python -m pytest -p proof_table -m proof \
		-o faulthandler_timeout=0 $(ARGS) || test $$? -eq 5

bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
