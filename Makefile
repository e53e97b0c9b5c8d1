# Every target makes the environment it needs; a second call starts at once.
PYTHON ?= python3
PYTEST_ARGS ?=
# Processes that share the tests; each computes on one thread. Tests that start workers are
# a group, for the workers stay and serve the next one.
PYTEST_JOBS ?= 2
BENCH_ARGS ?=
MUTANTS ?=
COVERAGE_MIN ?= 95

VENV := .venv
OLDEST := .venv-oldest
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
TEST_ENV := OMP_NUM_THREADS=1 SCIPY_ARRAY_API=1

.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-oldest mutants lint doc bench bench-quality bench-tables \
	test-benchmarks clean

help:
	@echo "make demo         cluster the bundled digits, write demo.png"
	@echo "make test         default tests with branch coverage"
	@echo "make test-slow    the slow tests"
	@echo "make test-oldest  default tests with the oldest supported dependencies"
	@echo "make mutants      changes losses, graphs, stages and partitions, and lists what"
	@echo "                  no test notices"
	@echo "make lint         ruff, mypy, pyright, import-linter"
	@echo "make doc          the documentation, in doc/_build/html"
	@echo "make bench        the benchmarks of speed and of scaling"
	@echo "make bench-quality  the benchmark of quality, whatever is not yet recorded"
	@echo "make bench-tables the tables of all benchmarks, from their records"
	@echo "make test-benchmarks  the tests of the benchmarks"
	@echo "make clean        remove environments, caches and build products"

# ------------------------------------------------------------------ environments

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.dev-stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python $(PIP_INSTALL) -e '.[plot,progress,onnx,test,lint]' -c constraints.txt
	@touch $@

$(VENV)/.doc-stamp: $(VENV)/.dev-stamp
	$(VENV)/bin/python $(PIP_INSTALL) -e '.[doc]' -c constraints.txt
	@touch $@

$(VENV)/.bench-stamp: $(VENV)/.dev-stamp
	$(VENV)/bin/python $(PIP_INSTALL) -e '.[bench]' -c constraints.txt
	@# Without its dependencies: torchvision comes with another torch. It needs a compiler.
	$(VENV)/bin/python $(PIP_INSTALL) --no-deps clustpy==0.0.3 \
		|| echo "ClustPy cannot be built here: its rows stay empty."
	@touch $@

$(VENV)/.mutation-stamp: $(VENV)/.dev-stamp
	$(VENV)/bin/python $(PIP_INSTALL) -e '.[mutation]' -c constraints.txt
	@touch $@

$(OLDEST)/bin/python:
	$(PYTHON) -m venv $(OLDEST)

$(OLDEST)/.test-stamp: pyproject.toml constraints-oldest.txt | $(OLDEST)/bin/python
	$(OLDEST)/bin/python $(PIP_INSTALL) -e '.[plot,progress,test]' -c constraints-oldest.txt
	@touch $@

# ------------------------------------------------------------------------- tasks

# On one thread: where other work holds a core, two wait for each other most of the time.
demo: $(VENV)/.dev-stamp
	OMP_NUM_THREADS=1 $(VENV)/bin/python examples/demo.py

test: $(VENV)/.dev-stamp
	$(TEST_ENV) $(VENV)/bin/python -m pytest -n $(PYTEST_JOBS) --dist loadgroup --cov=skdeepclust --cov-branch \
		--cov-report=term-missing:skip-covered --cov-fail-under=$(COVERAGE_MIN) \
		--durations=10 $(PYTEST_ARGS)

test-slow: $(VENV)/.dev-stamp
	$(TEST_ENV) $(VENV)/bin/python -m pytest -m "slow and not gpu" --durations=10 $(PYTEST_ARGS)

# Without the doctests of the package: NumPy 1 prints scalars differently.
test-oldest: $(OLDEST)/.test-stamp
	$(TEST_ENV) $(OLDEST)/bin/python -m pytest -n $(PYTEST_JOBS) tests $(PYTEST_ARGS)

# About ten hours on one core; a second call goes on. MUTANTS='skdeepclust._head_stage*'
# takes a part of them. `mutmut show NAME` shows a change.
mutants: $(VENV)/.mutation-stamp
	$(TEST_ENV) $(VENV)/bin/mutmut run --max-children $(PYTEST_JOBS) $(MUTANTS)
	$(VENV)/bin/mutmut results

lint: $(VENV)/.dev-stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy skdeepclust tests/typing
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports --no-logo

doc: $(VENV)/.doc-stamp
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m sphinx -W --keep-going -b html doc doc/_build/html

bench: $(VENV)/.bench-stamp
	$(VENV)/bin/python -m benchmarks speed
	$(VENV)/bin/python -m benchmarks scaling

bench-quality: $(VENV)/.bench-stamp
	$(VENV)/bin/python -m benchmarks quality $(BENCH_ARGS)

# Every generated table, from the records that are there.
bench-tables: $(VENV)/.dev-stamp
	$(VENV)/bin/python -m benchmarks tables

test-benchmarks: $(VENV)/.dev-stamp
	$(TEST_ENV) $(VENV)/bin/python -m pytest benchmarks/tests $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) $(OLDEST) build dist doc/_build doc/generated doc/auto_examples
	rm -rf mutants .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find skdeepclust tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
