# Two commands for a newcomer: `make demo` and `make test`. Python 3.11 or newer and a C library are all they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROGRAMS := chromium fonts-dejavu-core texlive-latex-base texlive-latex-recommended

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Rooms that never import torch: their tests take seconds.
QUICK := $(addprefix tests/,plugins campaign results gate output) tests/laws/test_floors.py tests/laws/test_documents.py

PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: demo quick room test test-all mutants card check lint programs dist clean

demo: $(VENV)/installed
	$(BIN)/faultbench run campaigns/quickstart.yaml
	$(BIN)/faultbench plot results/quickstart

quick: lint
	$(BIN)/python -m pytest -q -m "not slow and not crash" $(QUICK)

# The tests of one room: make room R=results
room: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q $(if $(R),tests/$(R),$(error name a room, such as R=results))

# All but the slow tests, in minutes. Two at a time halve the time on two cores. A skipped test says what it needs.
test: $(VENV)/installed-dev
	$(PYTEST) -m "not slow and not crash"

# Tests that kill processes and fill disks want the machine to themselves.
test-all: $(VENV)/installed-dev
	$(PYTEST) -m "not crash"
	$(BIN)/python -m pytest -m crash

# Whether tests notice wrong numbers: random changes of the modules that make them, one at a time. Takes hours.
mutants: $(VENV)/installed-dev
	$(BIN)/python benchmarks/mutants.py

card: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m gpu

check: lint
	$(MAKE) test-all

# What tests of LaTeX tables and HTML reports need and pip cannot bring; they skip without. For Debian and its kin.
programs:
	$(SUDO) apt-get update -qq
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(PROGRAMS) > /dev/null

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(VENV)/installed $@

dist: $(VENV)/installed-dev
	rm -rf dist
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) dist build
