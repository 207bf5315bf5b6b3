# `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv/bin
OUTPUT ?= demo_output
JOBS ?= 2
# A worker that crashes ends the run, with the name of its test: with a new one in its place xdist waits for ever.
PYTEST := $(VENV)/python -m pytest --numprocesses $(JOBS) --dist loadfile --max-worker-restart 0
export PYTHON

.PHONY: help demo check test lint docs coverage bench soak fuzz faults mutation matrix gpu audit setup-demo setup-test clean distclean

help:
	@echo 'make demo               camera, node and recorder for a few seconds; images, cloud and mesh in $(OUTPUT)/'
	@echo 'make demo DATA=FOLDER   the same on the real frames of a TUM RGB-D folder'
	@echo 'make check              linters, types and the fast tests: run before each commit'
	@echo 'make test               linters, types, the documentation and all tests (ARGS="-k mesh" selects, JOBS=4 runs in parallel)'
	@echo 'make lint               linters and types only'
	@echo 'make docs               the documentation as a site in site/, warnings are errors'
	@echo 'make coverage           all tests with branch coverage, as a table and in htmlcov/'
	@echo 'make bench              the figures of docs/benchmarks.md, measured on this machine'
	@echo 'make soak               the long tests'
	@echo 'make fuzz               damaged files and messages of every kind, 500 tries each (ARGS="--only bag --tries 5000 --seed 3")'
	@echo 'make faults             writers killed at random moments or on a full disk: every file is whole (ARGS="--kills 100 --only map")'
	@echo 'make mutation           faults put into the code: how many a test notices (ARGS="--only camera --sample 0")'
	@echo 'make matrix             the tests with other versions of ROS 2, numpy and Python (ARGS=jazzy selects rows)'
	@echo 'make gpu                tests and benchmark on a GPU, with a Python that has torch with CUDA (PYTHON=python3 ARGS=unetpp_lite)'
	@echo 'make audit              known vulnerabilities of the installed packages (asks the advisory database of PyPI)'
	@echo 'make clean, distclean   remove what was built, and .venv with it'

setup-demo:
	@tools/setup_env.sh demo

setup-test:
	@tools/setup_env.sh test

demo: setup-demo
	$(VENV)/python -m mono_depth_recon.ros.tools.demo --output "$(OUTPUT)" $(if $(DATA),--data "$(DATA)")

lint: setup-test
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy
	$(VENV)/shellcheck tools/*.sh .ci/run
	$(VENV)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/proposal.yml

docs: setup-test
	NO_MKDOCS_2_WARNING=1 $(VENV)/python -m mkdocs build --strict

check: lint
	$(PYTEST) -m "not (ros or torch or browser or slow or soak)" --ignore test/ros --ignore test/training $(ARGS)

test: lint docs
	$(PYTEST) $(ARGS)

coverage: setup-test
	$(PYTEST) --cov --cov-report term --cov-report html $(ARGS)

soak: setup-test
	$(VENV)/python -m pytest -m soak --timeout 3600 $(ARGS)

fuzz: setup-test
	PYTHONPATH=.:test/support $(VENV)/python -m fuzzing $(ARGS)

faults: setup-test
	PYTHONPATH=.:test/support $(VENV)/python -m faults $(ARGS)

mutation: setup-test
	PYTHONPATH=.:test/support nice -n 5 $(VENV)/python -m mutation $(ARGS)

matrix:
	tools/matrix.sh $(ARGS)

# Without .venv, whose torch is for CPUs.
gpu:
	@PYTHON=$(PYTHON) tools/gpu.sh $(ARGS)

audit: setup-test
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/python -m pip install --quiet pip-audit; }
	.venv-audit/bin/pip-audit --path "$$($(VENV)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" $(ARGS)

bench: setup-test
	$(VENV)/python -m mono_depth_recon.cli benchmark
	$(VENV)/python -m mono_depth_recon.ros.tools.bench $(ARGS)

clean:
	rm -rf build install log demo_output bench_output results site htmlcov .coverage .coverage.* *.egg-info
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .venv-audit .matrix
