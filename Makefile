# `make repro`: set up and run the whole pipeline. `make test`: set up, lint, check types and test.
# `make docs`: the documentation as a site, site/index.html.
# `make upgrade`: new versions into constraints.txt, and what changed; ONLY=funasr: of that alone.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: repro test lint docs upgrade setup

repro: setup
	dvc repro

test: setup lint
	python -m pytest

lint: setup
	ruff check .
	ruff format --check .
	mypy

docs: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	mkdocs build --quiet --strict

upgrade: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[upkeep]'
	$(BIN)/python .ci/upgrade.py $(ONLY)

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
