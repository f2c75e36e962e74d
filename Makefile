# Two commands for a newcomer: `make demo` and `make test`. Python 3.11 or newer and a C library are all they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROGRAMS := chromium fonts-dejavu-core texlive-latex-base texlive-latex-recommended

.PHONY: demo test card check lint programs clean

demo: $(VENV)/installed
	$(BIN)/faultbench run campaigns/quickstart.yaml
	$(BIN)/faultbench plot results/quickstart

# Two tests at a time halve the time on two cores; those that kill processes and fill disks want the machine to themselves.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not crash" -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m crash

card: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m gpu

check: lint
	$(MAKE) test

# What tests of LaTeX tables and HTML reports need and pip cannot bring; they skip without. For Debian and its kin.
programs:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(PROGRAMS) > /dev/null

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
