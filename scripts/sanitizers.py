"""Tools that watch a program's memory and threads while the tests of the Rust core run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PATHS", "ROOT", "SANITIZERS", "Run", "Sanitizer", "emulated_paths", "machine_paths", "sanitize"]

ROOT: Final = Path(__file__).parents[1]
PATHS: Final = ("portable", "avx2", "avx512", "amx")
"""The values of ``TASKSEL_MAX_ISA``, the lowest first."""
_FLAGS: Final = {"avx2": "avx2", "avx512": "avx512f", "amx": "amx_int8"}
_BUILD: Final = (
    "--locked",
    # On a processor with AMX this changes nothing, and below the level `amx` neither.
    "--features=tasksel-core/emulated-amx",
    "--config=profile.test.package.tasksel-core.debug='line-tables-only'",
)
_SUMMARY: Final = re.compile(
    r"^test result: .* (\d+) passed; (\d+) failed;|^(\d+) passed\b.* in ", re.MULTILINE
)
_LARGE_TESTS: Final = (
    "many_rows",
    "the_largest_sums_of_codes",
    "the_longest_rows_do_not_overflow",
    "every_path_picks_what_the_definition_picks",
    "the_exponential_is_within_two_units",
    "bounded_draws_are_uniform",
    "every_number_of_threads_picks_the_same",
)
"""Left out where every instruction is interpreted."""
_BORDER_TESTS: Final = (
    "test_allocation",
    "test_confidence",
    "test_covering_radii",
    "test_facility_location",
    "test_graph_cut",
    "test_half_precision",
    "test_k_center",
    "test_k_means",
    "test_kernel_overflow",
    "test_neighbours",
    "test_round_robin",
)


@dataclass(frozen=True)
class Sanitizer:
    """One tool: how tests are built for it, and how they are run under it.

    Attributes
    ----------
    title : str
        With what it finds.
    paths : tuple of str
        Those of `PATHS` whose instructions the tool knows.
    cases : int
        Inputs of each property, of 256 otherwise.
    toolchain, rustflags, cargo : str and tuple of str
        For the build; `cargo` is its command.
    runner : tuple of str
        Comes before the test program.
    environment : mapping of str to str
        Of the test programs.
    arguments : tuple of str
        Of the test programs.
    left_out : str
        What is not run, as the page says it.
    border_tests : tuple of str
        Modules of Python's tests, which call the extension, in place of those of the core.
    """

    title: str
    paths: tuple[str, ...]
    cases: int
    toolchain: str = "nightly"
    rustflags: str = ""
    cargo: tuple[str, ...] = ("test",)
    runner: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    left_out: str = ""
    border_tests: tuple[str, ...] = ()


_SKIPS: Final = tuple(part for name in _LARGE_TESTS for part in ("--skip", name))
_TARGET: Final = "x86_64-unknown-linux-gnu"

SANITIZERS: Final[Mapping[str, Sanitizer]] = {
    "plain": Sanitizer(
        "no tool, but the checks of a debug build: overflow, bounds, alignment", PATHS, 256, "stable"
    ),
    "address": Sanitizer(
        "AddressSanitizer: reads and writes outside of what was allocated, use after free, leaks",
        PATHS,
        64,
        rustflags="-Zsanitizer=address",
        cargo=("test", "--target", _TARGET),
        environment={"ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_init_order=1"},
    ),
    "border": Sanitizer(
        "AddressSanitizer through Python: the same in the extension, and in the arrays that it is given",
        PATHS,
        0,
        rustflags="-Zsanitizer=address",
        cargo=("build", "--profile=test", "--target", _TARGET),
        environment={"ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1", "PYTHONMALLOC": "malloc"},
        border_tests=_BORDER_TESTS,
    ),
    "thread": Sanitizer(
        "ThreadSanitizer: unordered reads and writes of several threads",
        PATHS,
        16,
        rustflags="-Zsanitizer=thread",
        cargo=("test", "-Zbuild-std", "--target", _TARGET),
        environment={"TSAN_OPTIONS": "halt_on_error=1"},
    ),
    "memcheck": Sanitizer(
        "Valgrind memcheck: the same on the machine code, and values that were never written",
        ("portable", "avx2"),
        4,
        "stable",
        runner=(
            "valgrind",
            "--error-exitcode=99",
            "--quiet",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
        ),
        arguments=_SKIPS,
        left_out="tests of large arrays; it knows no AVX-512",
    ),
    "miri": Sanitizer(
        "Miri: undefined behaviour of any kind, by interpreting the program",
        ("portable",),
        2,
        rustflags="",
        cargo=("miri", "test"),
        environment={"MIRIFLAGS": "-Zmiri-disable-isolation"},
        arguments=(
            *_SKIPS,
            "simd::",
            "limits::",
            "instruction_sets::",
            "random::",
            "quantization::",
            "neighbours::",
        ),
        left_out="all but the tests of registers, codes and neighbours; it interprets no AVX",
    ),
}


@dataclass(frozen=True)
class Run:
    """What one tool found on one path.

    Attributes
    ----------
    outcome : str
        ``"passed"``, ``"failed"`` or ``"not run"``.
    why : str
        Why it did not run, or the end of what failed.
    is_emulated : bool
        Whether software stood in for instructions that the machine lacks.
    seconds : float
        Of CPU time, for the tests without their build (Miri's is counted).
    """

    sanitizer: str
    path: str
    outcome: str
    why: str = ""
    tests: int = 0
    cases: int = 0
    seconds: float = 0.0
    is_emulated: bool = False


def machine_paths() -> list[str]:
    """Return those of `PATHS` that this machine has, by what Linux says of its processor."""
    flags = set(re.findall(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[0].split())
    return [path for path in PATHS if path == "portable" or _FLAGS[path] in flags]


def emulated_paths() -> list[str]:
    """Return the path that software can make of the highest one of this machine: `emulated_tiles.rs`."""
    return ["amx"] if machine_paths()[-1] == "avx512" else []


def sanitize(name: str, path: str, target: Path, *, cases: int | None = None) -> Run:
    """Build the tests for a tool and run them all on one path.

    Parameters
    ----------
    name : str
        One of `SANITIZERS`.
    path : str
        One of `PATHS`.
    target : Path
        Folder for builds and logs.
    cases : int, optional
        In place of the tool's own number.
    """
    tool = SANITIZERS[name]
    refusal = _refusal(tool, path)
    if refusal is not None:
        return Run(name, path, "not run", refusal)
    cases = cases or tool.cases
    folder = target / (name if tool.rustflags else tool.toolchain)
    seconds = 0.0
    try:
        build = _build_border if tool.border_tests else _build_all
        commands = build(tool, folder)
        before = _seconds_of_children()
        n_tests = sum(_count(_call(command, _environment(tool, folder, path, cases))) for command in commands)
        seconds = round(_seconds_of_children() - before, 1)
    except subprocess.CalledProcessError as error:
        log = target / f"{name}-{path}.log"
        log.write_text(f"{error.stdout}\n{error.stderr}", encoding="utf-8")
        return Run(name, path, "failed", f"{log.name} of the run has it", cases=cases)
    is_emulated = path in emulated_paths()
    return Run(name, path, "passed", tool.left_out, n_tests, cases, seconds, is_emulated)


def _seconds_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _refusal(tool: Sanitizer, path: str) -> str | None:
    if path not in machine_paths() + emulated_paths():
        return "this machine has no such instructions"
    if path not in tool.paths:
        return "the tool does not know these instructions"
    if tool.runner and shutil.which(tool.runner[0]) is None:
        return f"{tool.runner[0]} is not installed"
    return None


def _environment(tool: Sanitizer, folder: Path, path: str, cases: int) -> dict[str, str]:
    return {
        **_build_environment(tool, folder),
        **tool.environment,
        "PROPTEST_CASES": str(cases),
        "TASKSEL_MAX_ISA": path,
    }


def _build_environment(tool: Sanitizer, folder: Path) -> dict[str, str]:
    return {**os.environ, "CARGO_TARGET_DIR": str(folder), "RUSTFLAGS": tool.rustflags}


def _build_all(tool: Sanitizer, folder: Path) -> list[list[str]]:
    """Build the tests of the core; give the commands that run them."""
    cargo = ["cargo", f"+{tool.toolchain}", *tool.cargo, "--package=tasksel-core", "--lib", *_BUILD]
    arguments = ["--include-ignored", *tool.arguments]
    if "miri" in tool.cargo:
        return [[*cargo, "--", *arguments]]
    built = _call([*cargo, "--tests", "--no-run", "--message-format=json"], _build_environment(tool, folder))
    return [[*tool.runner, program, *arguments] for program in _programs(built)]


def _build_border(tool: Sanitizer, folder: Path) -> list[list[str]]:
    """Build the extension into a package of its own; give the command of the tests that call it."""
    cargo = ["cargo", f"+{tool.toolchain}", *tool.cargo, "--package=tasksel-python", *_BUILD]
    environment = {**_build_environment(tool, folder), "PYO3_PYTHON": sys.executable}
    _call([*cargo, "--features=pyo3/abi3-py310"], environment)
    package = folder / "package" / "tasksel_core"
    shutil.copytree(ROOT / "python" / "tasksel_core", package, dirs_exist_ok=True)
    shutil.copy2(folder / _TARGET / "debug" / "lib_core.so", package / "_core.abi3.so")
    # Python itself knows no sanitizer, whose library has to be there before all others.
    library = _call(["cc", "-print-file-name=libasan.so"], os.environ).strip()
    settings = [f"LD_PRELOAD={library}", f"PYTHONPATH={package.parent}:{ROOT / 'python'}"]
    tests = [str(ROOT / "tests" / f"{name}.py") for name in tool.border_tests]
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",  # what a sanitizer says before it ends the process
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        *tool.arguments,
    ]
    return [["env", *settings, *pytest, *tests]]


def _call(command: Sequence[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def _programs(messages: str) -> list[str]:
    built = [json.loads(line) for line in messages.splitlines() if line.startswith("{")]
    return [each["executable"] for each in built if each.get("executable")]


def _count(output: str) -> int:
    found = _SUMMARY.findall(output)
    if not found or any(int(failed or 0) for _, failed, _ in found):
        raise AssertionError(f"the tests gave no result: {output[-500:]}")
    return sum(int(passed or of_pytest) for passed, _, of_pytest in found)
