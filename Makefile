# Two commands for a newcomer: `make demo` and `make test`. Python 3.11 or newer and a C library are all they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check lint clean

demo: $(VENV)/installed
	$(BIN)/faultbench run campaigns/quickstart.yaml
	$(BIN)/faultbench plot results/quickstart

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

check: lint
	$(MAKE) test

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) dist build
