# tasksel: `make demo` and `make test` set up everything that they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := $(shell find rust -name '*.rs' -o -name 'Cargo.toml') Cargo.toml Cargo.lock pyproject.toml constraints.txt
# In the environment, not as an option, so that maturin, which pip installs apart for the build, is pinned
# too; pip reads the second name since 25.3 and the first before.
PIP_INSTALL := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check
# The bindings are checked for the Python they are built for; another one on the PATH may be too old.
CARGO = PYO3_PYTHON="$$($(BIN)/python -c 'import sys; print(sys.executable)')" cargo
# Where rustup puts cargo; a shell that was open before the installation does not know it.
export PATH := $(PATH):$(HOME)/.cargo/bin
# Processes that share the tests out among themselves; 0 runs them in one.
TEST_PROCESSES ?= 2
DEMO_POOL ?=
DEMO_OUT ?= tasksel-demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-integration check chaos docs format bench bench-full build clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## build, then score and select on the embedded model and pool (DEMO_POOL=path for your own pool)
	$(BIN)/tasksel demo --out $(DEMO_OUT) $(if $(DEMO_POOL),--pool $(DEMO_POOL))

test: $(VENV)/.dev ## run all tests, Rust and Python
	$(CARGO) test --workspace --locked --quiet
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

test-integration: $(VENV)/.dev ## tests with real servers, browsers and kills; Label Studio (1 GB) and Argilla's SDK are installed for them
	$(BIN)/python scripts/label_studio_environment.py $(VENV)-label-studio
	$(BIN)/python scripts/argilla_environment.py $(VENV)-argilla
	TASKSEL_LABEL_STUDIO_PYTHON=$(abspath $(VENV))-label-studio/bin/python \
		TASKSEL_ARGILLA_PYTHON=$(abspath $(VENV))-argilla/bin/python $(BIN)/python -m pytest -m integration

check: $(VENV)/.dev ## formatters, linters, types, stubs, clippy
	cargo fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- --deny warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tasksel_core --ignore-missing-stub --mypy-config-file pyproject.toml

chaos: $(VENV)/.dev ## 200 kills at random moments over score and embed; the final files are equal
	TASKSEL_KILLS=200 $(BIN)/python -m pytest -s tests/integration/test_kill_and_resume.py

docs: $(VENV)/.dev ## build the docs site into site/, strictly and without a request to any host
	$(BIN)/python scripts/cli_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict # --quiet would hide the warnings that strictness counts
	@echo "Open site/index.html. Its search wants a server: $(BIN)/python -m http.server --directory site"

format: $(VENV)/.dev ## format Rust and Python in place
	cargo fmt --all
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/.bench ## small benchmarks against every alternative, in CPU time on one thread
	$(BIN)/python -m pytest benches --benchmark-enable --benchmark-only -p no:cacheprovider
	$(BIN)/python benches/suite.py --quick --out .benchmarks/benchmarks.md
	@echo "The page is .benchmarks/benchmarks.md."

bench-full: $(VENV)/.bench ## all benchmarks, into docs/benchmarks.md; what is measured already is kept
	$(BIN)/python benches/suite.py

build: $(VENV)/.built ## create the virtual environment and build the extension

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo "tasksel needs Python 3.10 or newer; '$(PYTHON)' says: $$($(PYTHON) --version 2>&1)." \
			"Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@command -v cargo >/dev/null || { \
		echo "tasksel needs Rust 1.89 or newer, and there is no cargo on the PATH: https://rustup.rs" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; install its venv package." >&2; exit 1; }

# One stamp an installed set, so that a second call starts at once and a changed kernel is rebuilt.
$(VENV)/.built: $(VENV)/bin/python $(SOURCES)
	@echo "Building tasksel in $(VENV); the first time takes some minutes." >&2
	$(PIP_INSTALL) --editable '.[hf]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python $(SOURCES)
	@echo "Building tasksel in $(VENV); the first time takes some minutes." >&2
	$(PIP_INSTALL) --editable '.[hf,dev]'
	@touch $(VENV)/.built $@

$(VENV)/.bench: $(VENV)/bin/python $(SOURCES)
	@echo "Building tasksel in $(VENV), with what it is compared with; the first time takes some minutes." >&2
	$(PIP_INSTALL) --editable '.[hf,dev,bench]'
	@touch $(VENV)/.built $(VENV)/.dev $@

clean: ## remove the virtual environment and everything built
	rm -rf $(VENV) $(VENV)-label-studio $(VENV)-argilla target dist site .mypy_cache .pytest_cache .ruff_cache
	find python -name '*.so' -delete
