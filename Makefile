# tasksel: `make demo` and `make test` set up everything that they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name 'Cargo.toml') Cargo.toml Cargo.lock pyproject.toml
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEMO_POOL ?=
DEMO_OUT ?= tasksel-demo

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench build clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## build, then score and select on the embedded model and pool (DEMO_POOL=path for your own pool)
	$(BIN)/tasksel demo --out $(DEMO_OUT) $(if $(DEMO_POOL),--pool $(DEMO_POOL))

test: $(VENV)/.dev ## run all tests, Rust and Python
	cargo test --workspace --locked --quiet
	$(BIN)/python -m pytest

check: $(VENV)/.dev ## formatters, linters, types, stubs, clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- --deny warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tasksel_core --ignore-missing-stub --mypy-config-file pyproject.toml

format: $(VENV)/.dev ## format Rust and Python in place
	cargo fmt --all
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## benchmarks against the best alternative, in CPU time on one thread
	$(BIN)/python -m pytest benches --benchmark-enable --benchmark-only -p no:cacheprovider

build: $(VENV)/.built ## create the virtual environment and build the extension

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# One stamp an installed set, so that a second call starts at once and a changed kernel is rebuilt.
$(VENV)/.built: $(VENV)/bin/python constraints.txt $(RUST_SOURCES)
	$(PIP_INSTALL) --editable '.[hf]'
	@touch $@

$(VENV)/.dev: $(VENV)/.built
	$(PIP_INSTALL) --editable '.[hf,dev]'
	@touch $@

clean: ## remove the virtual environment and everything built
	rm -rf $(VENV) target dist .mypy_cache .pytest_cache .ruff_cache
	find python -name '*.so' -delete
