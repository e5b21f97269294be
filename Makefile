# Every target sets up .venv by itself from python3 and pip alone.
.DEFAULT_GOAL := help
PYTHON ?= python3
SECONDS ?= 600
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export JAX_PLATFORMS ?= cpu
# What depends on the versions of other packages: kernels, training, files, the command line.
NUMBERS := $(addprefix tests/runtime/test_, kernels.py network.py train.py checkpoint.py export.py data.py) tests/lnet/test_cli.py
# Coverage is measured on these: since Python 3.12 it costs nothing, before that a fifth of the time.
MEASURED := $(NUMBERS) tests/dsl tests/compiler tests/diagnostics \
    $(addprefix tests/runtime/cluster/test_, outbox.py roles.py room.py view.py wire.py)
COVERAGE := $(CURDIR)/.venv-newest/coverage

.PHONY: help setup demo docs site test oldest oldest-packages newest newest-packages frameworks gpu trackers smoke long search mutants examples check format clean

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

docs: $(READY) ## write the tables of docs/language.md, the names of docs/api.md and the editors' grammar anew
	$(BIN)/python -m docs.tables
	$(BIN)/python -m docs.api
	$(BIN)/python -m docs.grammar

site: $(READY) ## build the documents and the playground as a site in the folder site; needs npm
	$(BIN)/python -m docs.site

test: $(READY) ## run every test, the slow ones too, but those of make long
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not long'

long: $(READY) ## run the tests that take minutes: 64 workers, what is slow or stops for long, more ways to cut links
	$(BIN)/python -m pytest -m long

oldest: oldest-packages ## run the tests of numbers with the oldest packages that pyproject.toml admits
	XLA_FLAGS= .venv-oldest/bin/python -m pytest -n 2 --dist loadfile -m 'not slow' $(NUMBERS)

oldest-packages:
	$(PYTHON) -m venv --clear .venv-oldest
	$(PYTHON) .ci/oldest.py > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --constraint .venv-oldest/constraints.txt --editable '.[dev]'

newest: newest-packages ## run them with the newest packages there are, for PYTHON=..., and others; print their coverage
	COVERAGE_FILE=$(COVERAGE) COVERAGE_CORE=sysmon XLA_FLAGS= .venv-newest/bin/python -m coverage run -m pytest -n 2 --dist loadfile -m 'not slow' $(MEASURED)
	COVERAGE_FILE=$(COVERAGE) .venv-newest/bin/python -m coverage combine --quiet
	@for folder in dsl compiler runtime lnet; do \
	    total=$$(COVERAGE_FILE=$(COVERAGE) .venv-newest/bin/python -m coverage report --include "$$folder/*" --format total) || exit 1; \
	    echo "coverage of $$folder: $$total %"; \
	done

newest-packages:
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager --editable '.[dev]'

frameworks: ## run the tests of the layer and of exports in other frameworks, whose packages take gigabytes
	test -x .venv-frameworks/bin/python || $(PYTHON) -m venv .venv-frameworks
	.venv-frameworks/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,torch,keras,tensorflow]' tf-keras
	test -x .venv-brains/bin/python || { $(PYTHON) -m venv .venv-brains && .venv-brains/bin/python -m pip install --quiet --disable-pip-version-check brainscore-vision safetensors; }
	.venv-frameworks/bin/python -m pytest tests/lnet/test_torch.py $(addprefix tests/runtime/test_export_, torch.py brains.py)
	.venv-frameworks/bin/python -m pytest tests/lnet/test_tensorflow.py
	for backend in jax torch tensorflow; do \
	    KERAS_BACKEND=$$backend .venv-frameworks/bin/python -m pytest tests/lnet/test_keras.py || exit 1; \
	done

gpu: ## where PYTHON has JAX for a GPU, pytest and hypothesis: test the kernels on it, and measure them into docs/measured
	JAX_PLATFORMS=cuda $(PYTHON) -m pytest -p no:cacheprovider tests/runtime/test_kernels.py -k 'gathered or rounds_operands'
	JAX_PLATFORMS=cuda $(PYTHON) benchmarks/gpu.py -o docs/measured

trackers: ## run the tests of the services that runs are sent to, with all of their packages
	test -x .venv-trackers/bin/python || $(PYTHON) -m venv .venv-trackers
	.venv-trackers/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,wandb,mlflow,trackio]'
	.venv-trackers/bin/python -m pytest tests/runtime/test_track.py

smoke: $(READY) ## run the tests that take seconds
	$(BIN)/python -m pytest -m 'not slow'

search: $(READY) ## look for seeds of the simulator that violate the protocol, for SECONDS=600; count what was tried
	$(BIN)/python tests/runtime/cluster/search.py --seconds $(SECONDS)

mutants: $(READY) ## change the protocol's code in 100 places, one at a time, and count the changes that its quick tests find
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	$(BIN)/python tests/runtime/cluster/mutants.py

examples: $(READY) ## run the tests on examples drawn anew, until one fails
	while HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -m 'not slow' -x -q; do :; done

check: $(READY) ## lint, format check, strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## format the code
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

clean: ## remove .venv and what was built
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis runs
