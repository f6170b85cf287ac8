"""Run all tests, Rust and Python, and keep which lines they ran: target/coverage/python.json and rust.lcov.

    make coverage
    python scripts/measure_coverage.py [--processes 2] [--only rust|python] [PYTEST ARGUMENTS ...]

Lines of Rust are those that Rust's tests run and those that Python's tests run through the binding, which is
built once more for that, into target/coverage; that wants `rustup component add llvm-tools`. A test that
fails because it is watched, such as one that asserts what a process imports, does not end the measurement:
the tests that must pass are those of `make test`. What a killed process ran is not known of.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "target" / "coverage"
RUST = WORK / "rust"
PACKAGE = WORK / "package"
PROFILES = RUST / "profiles"


def main() -> None:
    """Measure, and say which test runs have failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", default="2")
    parser.add_argument("--only", choices=["rust", "python"], help="Rust's tests or Python's alone")
    arguments, pytest_arguments = parser.parse_known_args()
    shutil.rmtree(PROFILES, ignore_errors=True)
    objects = build_binding()
    if arguments.only != "python":
        objects += run_rust_tests()
    if arguments.only != "rust":
        run_python_tests(["-n", arguments.processes, "--dist", "worksteal", *pytest_arguments])
    export_rust_lines(objects)


def watched() -> dict[str, str]:
    """Give the environment in which Rust is compiled to count, and counts."""
    return os.environ | {
        "CARGO_TARGET_DIR": str(RUST),
        "RUSTFLAGS": "-C instrument-coverage",
        # Processes add to the same few files, each under a lock.
        "LLVM_PROFILE_FILE": str(PROFILES / "%4m.profraw"),
        "PYO3_PYTHON": sys.executable,
    }


def build_binding() -> list[Path]:
    """Build the binding as tests are built, and put it into a copy of its package; return its file."""
    build = ["cargo", "build", "--locked", "--quiet", "--profile", "test", "--package", "tasksel-python"]
    subprocess.run([*build, "--features", "pyo3/abi3-py310"], cwd=ROOT, env=watched(), check=True)
    shutil.rmtree(PACKAGE, ignore_errors=True)
    left_out = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    shutil.copytree(ROOT / "python" / "tasksel_core", PACKAGE / "tasksel_core", ignore=left_out)
    binding = PACKAGE / "tasksel_core" / "_core.abi3.so"
    shutil.copy2(RUST / "debug" / "lib_core.so", binding)
    return [binding]


def run_rust_tests() -> list[Path]:
    """Run Rust's tests; return the programs that they are compiled to."""
    test = ["cargo", "test", "--workspace", "--locked"]
    tell("Rust's tests", subprocess.run([*test, "--no-fail-fast"], cwd=ROOT, env=watched(), check=False))
    built = [*test, "--no-run", "--message-format", "json"]
    lines = subprocess.run(built, cwd=ROOT, env=watched(), check=True, capture_output=True, text=True).stdout
    messages = [json.loads(line) for line in lines.splitlines()]
    return [Path(message["executable"]) for message in messages if message.get("executable")]


def run_python_tests(pytest_arguments: list[str]) -> None:
    """Run Python's tests on the watched binding; leave their lines in python.json."""
    data = WORK / "python"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    paths = os.pathsep.join(filter(None, (str(PACKAGE), os.environ.get("PYTHONPATH"))))
    coverage = [sys.executable, "-m", "coverage"]
    command = [*coverage, "run", "-m", "pytest", *pytest_arguments]
    tell(
        "Python's tests",
        subprocess.run(command, cwd=ROOT, env=watched() | {"PYTHONPATH": paths}, check=False),
    )
    subprocess.run([*coverage, "combine", "--quiet"], cwd=ROOT, check=True)
    subprocess.run([*coverage, "json", "--quiet", "-o", str(WORK / "python.json")], cwd=ROOT, check=True)


def export_rust_lines(objects: list[Path]) -> None:
    """Write how often each line of Rust was run, as lcov does."""
    libraries = subprocess.run(
        ["rustc", "--print", "target-libdir"], capture_output=True, text=True, check=True
    )
    tools = Path(libraries.stdout.strip()).parent / "bin"
    if not (tools / "llvm-cov").is_file():
        raise SystemExit("There is no llvm-cov beside rustc; install it: rustup component add llvm-tools")
    merged = RUST / "merged.profdata"
    profiles = map(str, sorted(PROFILES.glob("*.profraw")))
    subprocess.run(
        [str(tools / "llvm-profdata"), "merge", "-sparse", "-o", str(merged), *profiles], check=True
    )
    first, *others = map(str, objects)
    export = [str(tools / "llvm-cov"), "export", "--format=lcov", f"--instr-profile={merged}", first]
    export += [f"--object={path}" for path in others]
    lines = subprocess.run(
        [*export, f"--sources={ROOT / 'rust'}"], capture_output=True, text=True, check=True
    )
    (WORK / "rust.lcov").write_text(lines.stdout, encoding="utf-8")


def tell(what: str, finished: subprocess.CompletedProcess[bytes]) -> None:
    """Say that a test run has failed; what it ran counts."""
    if finished.returncode:
        print(f"{what} ended with exit code {finished.returncode}; what they ran counts.", file=sys.stderr)


if __name__ == "__main__":
    main()
