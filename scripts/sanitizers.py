"""Tools that watch a program's memory and threads while the tests of the Rust core run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PATHS", "ROOT", "SANITIZERS", "Run", "Sanitizer", "machine_paths", "sanitize"]

ROOT: Final = Path(__file__).parents[1]
PATHS: Final = ("portable", "avx2", "avx512", "amx")
"""The values of ``TASKSEL_MAX_ISA``, the lowest first."""
_FLAGS: Final = {"avx2": "avx2", "avx512": "avx512f", "amx": "amx_int8"}
_SUMMARY: Final = re.compile(r"^test result: .* (\d+) passed; (\d+) failed;", re.MULTILINE)
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
    """

    sanitizer: str
    path: str
    outcome: str
    why: str = ""
    tests: int = 0
    cases: int = 0
    seconds: float = 0.0


def machine_paths() -> list[str]:
    """Return those of `PATHS` that this machine has, by what Linux says of its processor."""
    flags = set(re.findall(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[0].split())
    return [path for path in PATHS if path == "portable" or _FLAGS[path] in flags]


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
    started = time.monotonic()
    try:
        n_tests = _run_all(tool, path, target / (name if tool.rustflags else tool.toolchain), cases)
    except subprocess.CalledProcessError as error:
        log = target / f"{name}-{path}.log"
        log.write_text(f"{error.stdout}\n{error.stderr}", encoding="utf-8")
        return Run(name, path, "failed", f"{log.name} of the run has it", cases=cases)
    return Run(name, path, "passed", tool.left_out, n_tests, cases, round(time.monotonic() - started, 1))


def _refusal(tool: Sanitizer, path: str) -> str | None:
    if path not in machine_paths():
        return "this machine has no such instructions"
    if path not in tool.paths:
        return "the tool does not know these instructions"
    if tool.runner and shutil.which(tool.runner[0]) is None:
        return f"{tool.runner[0]} is not installed"
    return None


def _run_all(tool: Sanitizer, path: str, target: Path, cases: int) -> int:
    environment = {
        **os.environ,
        **tool.environment,
        "CARGO_TARGET_DIR": str(target),
        "PROPTEST_CASES": str(cases),
        "RUSTFLAGS": tool.rustflags,
        "TASKSEL_MAX_ISA": path,
    }
    command = ["cargo", f"+{tool.toolchain}", *tool.cargo, "--locked", "--package", "tasksel-core", "--lib"]
    arguments = ["--include-ignored", *tool.arguments]
    if "miri" in tool.cargo:
        return _count(_call([*command, "--", *arguments], environment))
    programs = _programs(_call([*command, "--tests", "--no-run", "--message-format=json"], environment))
    return sum(_count(_call([*tool.runner, program, *arguments], environment)) for program in programs)


def _call(command: Sequence[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def _programs(messages: str) -> list[str]:
    built = [json.loads(line) for line in messages.splitlines() if line.startswith("{")]
    return [each["executable"] for each in built if each.get("executable")]


def _count(output: str) -> int:
    found = _SUMMARY.findall(output)
    if not found or any(int(failed) for _, failed in found):
        raise AssertionError(f"the tests gave no result: {output[-500:]}")
    return sum(int(passed) for passed, _ in found)
