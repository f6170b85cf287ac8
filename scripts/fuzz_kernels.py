"""Fuzz the Rust kernels under libFuzzer, with what `docs/trust/fuzzing.md` says.

    python scripts/fuzz_kernels.py                            # an hour of CPU time for each target
    python scripts/fuzz_kernels.py --target k_center --cpu-seconds 600
    python scripts/fuzz_kernels.py --short                    # some seconds each, from the seeds
    python scripts/fuzz_kernels.py --merge                    # the corpus, minimised, into fuzz/seeds

The targets take turns of `--slice-seconds`, and after each turn the ledger is brought up to date. Interrupt
it once, by Ctrl-C or SIGTERM: the turn under way ends and is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import fuzz_ledger
from fuzz_ledger import GOAL_CPU_SECONDS, LEDGER, ROOT, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FUZZ: Final = ROOT / "fuzz"
SEEDS: Final = FUZZ / "seeds"
TARGETS: Final = tuple(sorted(path.stem for path in (FUZZ / "targets").glob("*.rs")))
MAX_SEEDS: Final = 200
MAX_SEED_BYTES: Final = 200_000
MAX_INPUT_BYTES: Final = 1024
INPUT_TIMEOUT_S: Final = 60
"""An input that takes longer by the clock is a hang; the slowest take tenths of a second of a free core."""
MEMORY_MB: Final = 2048
COVERAGE_FLAGS: Final = (
    "--cfg=fuzzing",
    "-Ccodegen-units=1",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
)
"""What `cargo fuzz build --sanitizer none` sets; all of it is stable."""
FOUND: Final = ("crash-", "oom-", "timeout-", "leak-")
"""Beginnings of the names that libFuzzer gives to inputs that failed."""


@dataclass(frozen=True)
class Run:
    """Where a run keeps its things, and how long it lasts.

    Parameters
    ----------
    binaries
        Folder of the built targets.
    corpus, artifacts
        Folders with one of each target inside: inputs worth keeping, and inputs that failed.
    ledger
        What is added to; nothing if it is none.
    cpu_seconds, wall_seconds
        Of each target; it ends with whichever is used up first.
    slice_seconds
        Of a turn, by the clock.
    seed
        Of the changes that are tried; 0 for another one each time.
    """

    binaries: Path
    corpus: Path
    artifacts: Path
    ledger: Path | None
    cpu_seconds: float
    wall_seconds: float
    slice_seconds: int
    seed: int = 0


def build(folder: Path, *, address_sanitizer: bool) -> Path:
    """Build all targets, and give the folder they are in.

    Plain cargo and the flags of cargo-fuzz, so that nothing has to be installed. AddressSanitizer wants a
    nightly compiler.
    """
    host = re.search(r"^host: (\S+)", _output(["rustc", "-vV"]), flags=re.MULTILINE)
    if not host:
        raise SystemExit("rustc does not say what machine it is on.")
    flags = [*COVERAGE_FLAGS, *(["-Zsanitizer=address"] if address_sanitizer else [])]
    # With a target named, the flags are not those of build scripts and macros, which run on their own.
    target = ["--target", host[1], "--target-dir", str(folder)]
    cargo = [
        "cargo",
        *(["+nightly"] if address_sanitizer else []),
        "build",
        "--release",
        "--locked",
        "--quiet",
    ]
    environment = {**os.environ, "RUSTFLAGS": " ".join(flags)}
    subprocess.run([*cargo, *target, "--bins"], cwd=FUZZ, env=environment, check=True)
    return folder / host[1] / "release"


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Fuzzers:
    """The fuzzers of a run, of which some are running; they end with the turn that is interrupted."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.is_interrupted = False
        self._running: set[int] = set()
        self._lock = threading.Lock()

    def interrupt(self, *_: object) -> None:
        """Let every fuzzer print its figures and end."""
        self.is_interrupted = True
        with self._lock:
            for process in self._running:
                os.kill(process, signal.SIGINT)

    def fuzz(self, target: str, seconds: int) -> Record:
        """Fuzz one target for so long by the clock, and count the CPU time that it really had."""
        corpus, artifacts = self.run.corpus / target, self.run.artifacts / target
        seeds = SEEDS / target
        for folder in (corpus, artifacts, seeds):
            folder.mkdir(parents=True, exist_ok=True)
        before = _failures(artifacts)
        command = [
            self.run.binaries / target,
            f"-max_total_time={seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            # Lengths are not held back at first: few bytes are few tasks.
            "-len_control=0",
            f"-timeout={INPUT_TIMEOUT_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-seed={self.run.seed}",
            f"-artifact_prefix={artifacts}{os.sep}",
            "-print_final_stats=1",
            corpus,
            seeds,
        ]
        log = artifacts / "log.txt"
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches this process alone, which then interrupts its fuzzers.
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
            with self._lock:
                self._running.add(process.pid)
            if self.is_interrupted:
                process.send_signal(signal.SIGINT)
            _, status, used = os.wait4(process.pid, 0)
            with self._lock:
                self._running.remove(process.pid)
            process.returncode = os.waitstatus_to_exitcode(status)
        failures = sorted(_failures(artifacts) - before)
        text = log.read_text("utf-8", errors="replace")
        if failures:
            _say(f"{target}: a failure, kept as {', '.join(failures)} in {artifacts}\n{text[-4000:]}")
        elif process.returncode and not self.is_interrupted:
            raise SystemExit(f"{target} ended with {process.returncode}:\n{text[-4000:]}")
        return read_log(text, used.ru_utime + used.ru_stime, len(failures))


def _failures(artifacts: Path) -> set[str]:
    return {path.name for path in artifacts.iterdir() if path.name.startswith(FOUND)}


def read_log(text: str, cpu_seconds: float, n_failures: int) -> Record:
    """Read what libFuzzer has printed as a stretch of fuzzing."""
    executed = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text) or re.findall(
        r"^#(\d+)", text, re.M
    )
    reached = re.findall(r"\bcov: (\d+).*?\bcorp: (\d+)", text)
    edges, corpus_files = reached[-1] if reached else (0, 0)
    return Record(
        "kernel",
        cpu_seconds=round(cpu_seconds, 2),
        executions=int(executed[-1]) if executed else 0,
        edges=int(edges),
        corpus_files=int(corpus_files),
        crashes=n_failures,
    )


def fuzz_in_turns(targets: Sequence[str], run: Run, jobs: int) -> int:
    """Let targets take turns until each has had its time; the number of inputs that failed.

    A target at which an input failed gets no more turns: it would only find the same again.
    """
    fuzzers = Fuzzers(run)
    waiting: queue.SimpleQueue[tuple[str, float, float]] = queue.SimpleQueue()
    for target in targets:
        waiting.put((target, 0.0, 0.0))
    n_failures = 0
    broken: list[BaseException] = []

    def work() -> None:
        nonlocal n_failures
        with contextlib.suppress(queue.Empty):
            while not fuzzers.is_interrupted:
                target, cpu_seconds, wall_seconds = waiting.get_nowait()
                left = min(run.cpu_seconds - cpu_seconds, run.wall_seconds - wall_seconds)
                seconds = max(1, min(run.slice_seconds, round(left)))
                began = time.monotonic()
                stretch = fuzzers.fuzz(target, seconds)
                cpu_seconds += stretch.cpu_seconds
                wall_seconds += time.monotonic() - began
                n_failures += stretch.crashes
                total = fuzz_ledger.add(target, stretch, run.ledger) if run.ledger else stretch
                _say(
                    f"{target}: {stretch.executions:,} inputs in {stretch.cpu_seconds:.0f} s of CPU time, "
                    f"{stretch.edges} edges; {total.cpu_seconds / 3600:.2f} CPU hours in all"
                )
                is_over = cpu_seconds >= run.cpu_seconds or wall_seconds >= run.wall_seconds
                if not (is_over or stretch.crashes):
                    waiting.put((target, cpu_seconds, wall_seconds))

    def work_or_break() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            broken.append(error)
            fuzzers.interrupt()

    with _interruptible(fuzzers):
        threads = [threading.Thread(target=work_or_break) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if broken:
        raise broken[0]
    return n_failures


@contextlib.contextmanager
def _interruptible(fuzzers: Fuzzers) -> Iterator[None]:
    before = {number: signal.signal(number, fuzzers.interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def merge(target: str, run: Run) -> None:
    """Replace a target's seeds by the smallest inputs of seeds and corpus that reach the same edges.

    Cases that were found and mended, ``found-*``, stay.
    """
    seeds, corpus = SEEDS / target, run.corpus / target
    for folder in (seeds, corpus):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as merged:
        # Counters of how often an edge is taken would keep ten times as many.
        command = [run.binaries / target, "-set_cover_merge=1", "-use_counters=0", merged, corpus, seeds]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        inputs = sorted((path.read_bytes(), path.name) for path in Path(merged).iterdir())
    found = {path.read_bytes() for path in seeds.glob("found-*")}
    kept = smallest([(content, name) for content, name in inputs if content not in found], found)
    for path in seeds.iterdir():
        if not path.name.startswith("found-"):
            path.unlink()
    for content, name in kept:
        (seeds / name).write_bytes(content)
    _say(f"{target}: {len(kept)} seeds of {len(inputs)} and {len(found)} found cases")


def smallest(inputs: list[tuple[bytes, str]], found: set[bytes]) -> list[tuple[bytes, str]]:
    """Keep so many of the smallest inputs as there is room for beside the found ones."""
    kept = []
    room = MAX_SEED_BYTES - sum(map(len, found))
    for content, name in sorted(inputs, key=lambda item: (len(item[0]), item[0])):
        room -= len(content)
        if room < 0 or len(kept) + len(found) >= MAX_SEEDS:
            break
        kept.append((content, name))
    return kept


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("--target", action="append", choices=TARGETS, help="one, or several; all by default")
    add("--cpu-seconds", type=float, default=GOAL_CPU_SECONDS, help="of each target")
    add("--wall-seconds", type=float, default=float("inf"), help="of each target, by the clock")
    add("--slice-seconds", type=int, default=300, help="of a turn, by the clock")
    add("--jobs", type=int, default=1, help="fuzzers that run at a time")
    add("--corpus", type=Path, default=FUZZ / "corpus")
    add("--artifacts", type=Path, default=FUZZ / "artifacts", help="inputs that failed")
    add("--ledger", type=Path, default=LEDGER)
    add("--no-ledger", dest="ledger", action="store_const", const=None)
    add("--address-sanitizer", action="store_true", help="wants a nightly compiler")
    add("--target-dir", type=Path, default=FUZZ / "target", help="what cargo builds into")
    add("--binaries", type=Path, help="a folder of targets that are built already")
    add(
        "--short", action="store_true", help="some seconds each, counted nowhere; only failed inputs are kept"
    )
    add("--merge", action="store_true", help="minimise the corpus into fuzz/seeds; do not fuzz")
    return parser.parse_args(arguments)


def main() -> int:
    """Build, then fuzz or merge."""
    options = parse_options()
    compiler = os.environ.get("CXX", "c++")
    if not options.binaries and not shutil.which(compiler):
        _say(f"Not fuzzed: libFuzzer wants a C++ compiler, and there is no '{compiler}' on the PATH.")
        return 0
    folder = options.target_dir.resolve() / ("address" if options.address_sanitizer else "plain")
    run = Run(
        binaries=options.binaries or build(folder, address_sanitizer=options.address_sanitizer),
        corpus=options.corpus,
        artifacts=options.artifacts,
        ledger=options.ledger,
        cpu_seconds=options.cpu_seconds,
        wall_seconds=options.wall_seconds,
        slice_seconds=options.slice_seconds,
    )
    targets = options.target or TARGETS
    if options.merge:
        for target in targets:
            merge(target, run)
        return 0
    if options.short:
        return fuzz_shortly(targets, run)
    return 1 if fuzz_in_turns(targets, run, options.jobs) else 0


def fuzz_shortly(targets: Sequence[str], run: Run) -> int:
    """Fuzz from the seeds for as long as a change may wait, and in the same way each time.

    What fails then is the change; luck is for the long runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        limits = {"cpu_seconds": 4, "wall_seconds": 6, "slice_seconds": 4}
        short = replace(run, corpus=Path(folder), ledger=None, seed=1, **limits)
        return 1 if fuzz_in_turns(targets, short, jobs=2) else 0


if __name__ == "__main__":
    sys.exit(main())
