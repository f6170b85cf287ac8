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
FUZZ_CPU_SECONDS ?= 3600
OLDEST_PYTHON ?= python3.10
# What an old library says of new ones beside it is no finding of ours. That one cannot be imported is: pytest
# would skip its tests with a warning.
OLD_WARNINGS := -W default::DeprecationWarning -W default::PendingDeprecationWarning -W default::FutureWarning \
	-W error::pytest.PytestDeprecationWarning
DEMO_POOL ?=
DEMO_OUT ?= tasksel-demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-integration test-oldest test-pythons wheels check chaos fuzz fuzz-short audit coverage mutants sanitize docs format bench bench-full build clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## build, then score and select on the embedded model and pool (DEMO_POOL=path for your own pool)
	$(BIN)/tasksel demo --out $(DEMO_OUT) $(if $(DEMO_POOL),--pool $(DEMO_POOL))

test: $(VENV)/.dev ## run all tests, Rust and Python (more states and kills of the same: make chaos)
	$(CARGO) test --workspace --locked --quiet
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

test-integration: $(VENV)/.dev ## tests with real servers, browsers and kills; Label Studio (1 GB) and Argilla's SDK are installed for them
	$(BIN)/python scripts/label_studio_environment.py $(VENV)-label-studio
	$(BIN)/python scripts/argilla_environment.py $(VENV)-argilla
	TASKSEL_LABEL_STUDIO_PYTHON=$(abspath $(VENV))-label-studio/bin/python \
		TASKSEL_ARGILLA_PYTHON=$(abspath $(VENV))-argilla/bin/python $(BIN)/python -m pytest -m integration

test-oldest: ## run all tests with the lowest versions that pyproject.toml allows (wants Python 3.10; 6 GB)
	$(MAKE) VENV=.venv-oldest PYTHON=$(OLDEST_PYTHON) .venv-oldest/.oldest
	.venv-oldest/bin/python -m pytest -n $(TEST_PROCESSES) --dist worksteal $(OLD_WARNINGS)

test-pythons: $(VENV)/.dev ## install one wheel on every Python from 3.10 to 3.13, and test the core there
	$(PIP_INSTALL) maturin
	$(BIN)/python scripts/python_versions.py --write

wheels: $(VENV)/.dev ## wheels for Linux on x86-64 and aarch64 and the sources, into dist/ (wants the target aarch64-unknown-linux-gnu)
	$(PIP_INSTALL) maturin ziglang
	$(BIN)/python scripts/wheels.py --write

check: $(VENV)/.dev ## formatters, linters, types, stubs, clippy
	cargo fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- --deny warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tasksel_core --ignore-missing-stub --mypy-config-file pyproject.toml

chaos: $(VENV)/.dev ## 200 kills over six verbs, with a table of them; all states of a loss of power; every verb on full disks
	$(BIN)/python scripts/chaos_page.py
	$(BIN)/python -m pytest -m thorough

coverage: $(VENV)/.dev ## which lines no test runs, Python and Rust, into docs/trust/untested_lines.md
	$(BIN)/python scripts/measure_coverage.py --processes $(TEST_PROCESSES)
	$(BIN)/python scripts/coverage_page.py

mutants: $(VENV)/.dev ## change the code that decides what is bought, bit by bit: a test must fail (wants cargo-mutants)
	$(BIN)/python scripts/mutate_rust.py --processes $(TEST_PROCESSES)
	$(BIN)/python scripts/mutate_python.py --processes $(TEST_PROCESSES)
	$(BIN)/python scripts/mutation_page.py

fuzz: $(VENV)/.fuzz ## fuzz kernels and readers, each for an hour of CPU time (FUZZ_CPU_SECONDS=3600); adds to docs/trust/fuzzing.json
	$(BIN)/python scripts/fuzz_kernels.py --cpu-seconds $(FUZZ_CPU_SECONDS)
	$(BIN)/python scripts/fuzz_python.py --cpu-seconds $(FUZZ_CPU_SECONDS)

fuzz-short: $(VENV)/.fuzz ## fuzz each kernel and reader for some seconds, from the committed seeds
	$(BIN)/python scripts/fuzz_kernels.py --short
	$(BIN)/python scripts/fuzz_python.py --short

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

# atheris has wheels for Linux on x86-64 and Python 3.11 on; elsewhere the tests replay its seeds, and no more.
$(VENV)/.fuzz: $(VENV)/.dev
	$(PIP_INSTALL) --only-binary :all: 'atheris>=3.0' 2>/dev/null || true
	@touch $@

$(VENV)/.oldest: $(VENV)/bin/python $(SOURCES) constraints-oldest.txt
	@echo "Building tasksel in $(VENV), with the oldest libraries; the first time takes some minutes." >&2
	PIP_CONSTRAINT=constraints-oldest.txt PIP_BUILD_CONSTRAINT=constraints.txt \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	PIP_CONSTRAINT=constraints-oldest.txt PIP_BUILD_CONSTRAINT=constraints.txt \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[hf,plots,ray,synth,tasks,test]'
	@touch $@

$(VENV)/.bench: $(VENV)/bin/python $(SOURCES)
	@echo "Building tasksel in $(VENV), with what it is compared with; the first time takes some minutes." >&2
	$(PIP_INSTALL) --editable '.[hf,dev,bench]'
	@touch $(VENV)/.built $(VENV)/.dev $@

clean: ## remove the virtual environment and everything built
	rm -rf $(VENV) $(VENV)-label-studio $(VENV)-argilla $(VENV)-oldest target fuzz/target dist site .mypy_cache .pytest_cache .ruff_cache
	find python -name '*.so' -delete
