# `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv/bin
OUTPUT ?= demo_output
JOBS ?= 2
export PYTHON

.PHONY: help demo test lint bench soak setup-demo setup-test clean distclean

help:
	@echo 'make demo               camera, node and recorder for some seconds; pictures, cloud and mesh in $(OUTPUT)/'
	@echo 'make demo DATA=FOLDER   the same on the real frames of a TUM RGB-D folder'
	@echo 'make test               linters, types and all tests (ARGS="-k mesh" picks some, JOBS=4 side by side)'
	@echo 'make lint               linters and types only'
	@echo 'make bench              the numbers of the README, measured on this machine'
	@echo 'make soak               the long runs'
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

test: lint
	$(VENV)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

soak: setup-test
	$(VENV)/python -m pytest -m soak --timeout 3600 $(ARGS)

bench: setup-test
	$(VENV)/python -m mono_depth_recon.cli benchmark
	$(VENV)/python -m mono_depth_recon.ros.tools.bench $(ARGS)

clean:
	rm -rf build install log demo_output bench_output results *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv
