"""Fuzz the Python readers with atheris, and add what was done to the ledger of docs/trust/fuzzing.md.

``python scripts/fuzz_python.py --cpu-seconds 600`` gives every target ten minutes of CPU time, in turns. The
corpus grows in ``fuzz/python/corpus/TARGET``, which git ignores; an input that breaks a promise goes to
``fuzz/python/found/TARGET`` with what was raised beside it, and the exit code is 1. ``--seeds`` reduces the
corpus to the committed seeds, which the tests replay without atheris.

atheris is the extra ``fuzz``; it has wheels for Linux alone. SIGTERM and Ctrl-C end the processes at once;
the ledger then has what they did until then.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fuzz_ledger import Record, add

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

FUZZ: Final = Path(__file__).parents[1] / "fuzz" / "python"
SEEDS, CORPUS, FOUND = FUZZ / "seeds", FUZZ / "corpus", FUZZ / "found"
TARGETS: Final = tuple(sorted(each.name for each in SEEDS.iterdir() if each.is_dir()))
MOST_BYTES: Final = 4096
"""Of an input."""
MOST_SEED_FILES: Final = 150
MOST_SEED_BYTES: Final = 150_000
"""Of a target's seeds: the tests replay them all."""
_MOST_PROCESSES: Final = 10
"""Of one turn: a finding ends a process."""
_SHORTEST_TURN_S: Final = 10.0
_SHORT_RUNS: Final = 1_500
"""Of a short run: by the clock it would go further on a faster machine, and be another run."""
_LOG_CHARS: Final = 6_000
_NO_ATHERIS: Final = (
    "There is no atheris for this Python and platform, so that no reader is fuzzed; the tests replay the "
    "seeds all the same."
)
_LIMITS: Final = ("-timeout=120", "-rss_limit_mb=2048", "-report_slow_units=120", f"-max_len={MOST_BYTES}")
_PROGRESS: Final = re.compile(rb"^#(\d+)\t.*?cov: (\d+) ft: (\d+)", re.MULTILINE)
_EXECUTED: Final = re.compile(rb"stat::number_of_executed_units: (\d+)")


@dataclass(frozen=True)
class Run:
    """What one process of the fuzzer came to; `artifacts` are inputs that broke a promise."""

    stretch: Record
    log: bytes
    artifacts: Sequence[Path]


@dataclass
class Processes:
    """Processes of the fuzzer that are running, so that they can be stopped."""

    is_stopped: threading.Event = field(default_factory=threading.Event)
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def run(self, target: str, options: Sequence[str]) -> Run:
        """Run one process and measure the CPU time that it really used."""
        command = [sys.executable, str(FUZZ / "run_target.py"), target, *_LIMITS, "-print_final_stats=1"]
        with tempfile.TemporaryFile() as log:
            child = subprocess.Popen(
                [*command, *options], stdout=log, stderr=subprocess.STDOUT, env=_environment(), cwd=FUZZ
            )
            self._running.add(child)
            _, status, usage = os.wait4(child.pid, 0)
            self._running.discard(child)
            child.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            text = log.read()
        # By the folder: who dies in the middle of a reader that is kept quiet may not say so in the log.
        artifacts = [each for each in (FOUND / target).glob("*-*") if _is_hash(each.name.partition("-")[2])]
        progress, executed = _PROGRESS.findall(text), _EXECUTED.findall(text)
        if child.returncode and not artifacts and not self.is_stopped.is_set():
            said = text[-_LOG_CHARS:].decode(errors="replace")
            raise RuntimeError(f"The fuzzer ended with {child.returncode}: {said}")
        stretch = Record(
            "python",
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            executions=int(executed[-1] if executed else progress[-1][0] if progress else 0),
            edges=int(progress[-1][1]) if progress else 0,
            crashes=len(artifacts),
        )
        return Run(stretch, text[-_LOG_CHARS:], artifacts)

    def stop(self) -> None:
        """Stop all processes, and start none any more."""
        self.is_stopped.set()
        for child in tuple(self._running):
            child.kill()


def _environment() -> dict[str, str]:
    paths = (str(FUZZ.parents[1] / "python"), os.environ.get("PYTHONPATH", ""))
    quiet = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
    quiet |= {"PYTHONHASHSEED": "0"}  # sets in one order, and so the same branches in each run
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def fuzz_turn(
    processes: Processes, target: str, seconds: float, *, into: Path, record: bool, is_short: bool = False
) -> Record:
    """Fuzz a target for so many seconds of the clock, and go on after each finding.

    A short turn tries so many inputs at most, by one seed: what fails then is the change that it is run for.
    """
    corpus, found, seeds = into / target, FOUND / target, SEEDS / target
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    total = Record("python")
    for _ in range(_MOST_PROCESSES):
        if time.monotonic() >= end or processes.is_stopped.is_set():
            break
        left = max(1, round(end - time.monotonic()))
        limits = [f"-max_total_time={left}", f"-artifact_prefix={found}/"]
        limits += ["-seed=1", f"-runs={_SHORT_RUNS}"] if is_short else []
        run = processes.run(target, [*limits, str(corpus), str(seeds)])
        n_new = sum(_keep(each, run.log) for each in run.artifacts)
        n_inputs = sum(1 for folder in (corpus, seeds) for _ in folder.iterdir())
        stretch = replace(run.stretch, corpus_files=n_inputs, crashes=n_new)
        total = total.and_then(stretch)
        if record:
            add(target, stretch)
        if is_short and not run.artifacts:
            break
    return total


def _keep(artifact: Path, log: bytes) -> int:
    """Keep an input and what it raised, named by where that was; return 0 for one that is known."""
    frames = re.findall(rb'File ".*?([^/"]+)", line \d+, in (\S+)', log)
    raised = re.findall(rb"^([\w.]+(?:Error|Exception))\b", log, re.MULTILINE)
    where = b" ".join(b":".join(frame) for frame in frames) + b" ".join(raised) or artifact.name.encode()
    kept = artifact.with_name(f"{artifact.name.partition('-')[0]}-{hashlib.sha256(where).hexdigest()[:12]}")
    if kept.exists():
        artifact.unlink()
        return 0
    artifact.rename(kept)
    kept.with_suffix(".log").write_bytes(log)
    print(f"found {kept}", flush=True)
    return 1


def fuzz_in_turns(
    processes: Processes, targets: Sequence[str], options: argparse.Namespace, *, corpus: Path = CORPUS
) -> int:
    """Give every target its CPU time, turn by turn; return how many findings there were."""
    waiting = deque((target, 0.0) for target in targets)
    end = None if options.until is None else _next_time(options.until)

    def work() -> int:
        found = 0
        while waiting and not processes.is_stopped.is_set():
            target, used = waiting.popleft()
            left = options.cpu_seconds - used
            until_end = left if end is None else (end - datetime.now(timezone.utc)).total_seconds()
            if left <= 0 or until_end < 1:
                continue
            # Of a busy machine a process gets a part, and the shortest turn is worth its start.
            seconds = min(options.turn_seconds, max(left, _SHORTEST_TURN_S), until_end)
            how = {"into": corpus, "record": not options.no_ledger, "is_short": options.short}
            total = fuzz_turn(processes, target, seconds, **how)
            found += total.crashes
            print(
                f"{target}: {total.executions:,} inputs in {total.cpu_seconds:.0f} s of CPU time, "
                f"{total.edges:,} edges, {total.corpus_files:,} in the corpus, {total.crashes} found",
                flush=True,
            )
            if not options.short:
                waiting.append((target, used + total.cpu_seconds))
        return found

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        workers = [pool.submit(work) for _ in range(options.jobs)]
        return sum(each.result() for each in workers)


def _next_time(clock: str) -> datetime:
    now = datetime.now(timezone.utc)
    hour, minute = map(int, clock.split(":"))
    at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)


def reduce_to_seeds(processes: Processes, target: str) -> None:
    """Reduce corpus and seeds to few small inputs that reach as much; those with a name of words stay.

    What the fuzzer made is named by its hash, and only such seeds are replaced.
    """
    seeds, corpus = SEEDS / target, CORPUS / target
    named = [each for each in sorted(seeds.iterdir()) if not _is_hash(each.name)]
    with tempfile.TemporaryDirectory() as folder:
        reached = Path(folder, "reached")
        reached.mkdir()
        for each in named:
            shutil.copy(each, reached)
        processes.run(target, ["-set_cover_merge=1", str(reached), str(seeds), str(corpus)])
        made = sorted((each for each in reached.iterdir() if _is_hash(each.name)), key=_size)
        for each in seeds.iterdir():
            if _is_hash(each.name):
                each.unlink()
        _copy_some(made, seeds)
    files = list(seeds.iterdir())
    print(f"{target}: {len(files)} seeds, {sum(map(_size, files)):,} bytes")


def _copy_some(made: Sequence[Path], seeds: Path) -> None:
    """Copy inputs, the smallest first, as long as there is room."""
    there = [_size(each) for each in seeds.iterdir()]
    n_files, n_bytes = len(there), sum(there)
    for each in made:
        n_files, n_bytes = n_files + 1, n_bytes + _size(each)
        if n_files > MOST_SEED_FILES or n_bytes > MOST_SEED_BYTES:
            return
        shutil.copy(each, seeds)


def _size(path: Path) -> int:
    return path.stat().st_size


def _is_hash(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", name) is not None


def main() -> None:
    """Fuzz, or reduce the corpus to the seeds."""
    parser = argparse.ArgumentParser(description="Fuzz the Python readers with atheris.")
    parser.add_argument("--target", choices=TARGETS, action="append", help="again for several; default: all")
    parser.add_argument("--cpu-seconds", type=float, default=60.0, help="CPU time for each target")
    parser.add_argument("--turn-seconds", type=float, default=420.0, help="longest turn, by the clock")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--until", metavar="HH:MM", help="stop at this time, UTC")
    parser.add_argument("--no-ledger", action="store_true", help="leave the ledger as it is")
    parser.add_argument("--short", action="store_true", help="ten seconds each, counted nowhere")
    parser.add_argument("--seeds", action="store_true", help="only reduce the corpus to the committed seeds")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print(_NO_ATHERIS)
        sys.exit(0 if options.short else 1)
    if options.short:
        options.turn_seconds = options.cpu_seconds = _SHORTEST_TURN_S
        options.jobs, options.no_ledger = 2, True
    processes = Processes()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        processes.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    targets = options.target or TARGETS
    if options.seeds:
        for target in targets:
            reduce_to_seeds(processes, target)
    elif options.short:
        with tempfile.TemporaryDirectory() as corpus:
            sys.exit(1 if fuzz_in_turns(processes, targets, options, corpus=Path(corpus)) else 0)
    else:
        sys.exit(1 if fuzz_in_turns(processes, targets, options) else 0)


if __name__ == "__main__":
    main()
