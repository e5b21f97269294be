# Every target sets up .venv by itself from python3 and pip alone.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export JAX_PLATFORMS ?= cpu

.PHONY: help setup demo test smoke search check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("lnet needs Python 3.11 or later, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

setup: $(READY) ## set up .venv

demo: $(READY) ## train on photographs for about two minutes and write a report with pictures
	$(BIN)/python examples/photographs/demo.py

test: $(READY) ## run every test, the slow ones too
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

smoke: $(READY) ## run the tests that take seconds
	$(BIN)/python -m pytest -m 'not slow'

search: $(READY) ## run the tests on examples drawn anew, until one fails
	while HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -m 'not slow' -x -q; do :; done

check: $(READY) ## lint, format check, strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## format the code
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

clean: ## remove .venv and what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis runs
