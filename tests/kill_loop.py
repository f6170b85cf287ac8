"""One loop of kills for all verbs: start, kill at a random moment, look, start again, and compare in the
end.

By turns a kill comes after a random number of changes in the folder of the run, and after a random time:
the first lands in the middle of the work whatever the speed of the machine, the second also within the
start. Nothing is asserted about a time.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ForkServer", "KillReport", "KilledVerb", "kill_again_and_again"]

SERVER = Path(__file__).parent / "integration" / "stage_fork_server.py"
STOPPED = 130
PAUSE_S = 0.0005
LOOKS_BETWEEN_POLLS = 20
TRIES_FOR_A_KILL = 40
"""A kill that comes after the end of the run is none, as happens on a busy machine; so many are a mistake."""
STILL = (".lock", ".progress.json", ".progress.json.tmp")
"""Files whose change tells nothing of the work."""


class ForkServer:
    """The client of ``stage_fork_server.py``; a context manager."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def __enter__(self) -> ForkServer:
        assert self._read() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def start(self, arguments: Sequence[object]) -> int:
        return self._order(start=[str(each) for each in arguments], log=str(self.log))

    def poll(self, process_id: int) -> int | None:
        return self._order(poll=process_id)

    def wait(self, process_id: int) -> int:
        return self._order(wait=process_id)

    def _order(self, **order: object) -> int | None:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> object:
        line = self.process.stdout.readline()
        assert line, "the server of children has ended"
        return json.loads(line)


class KilledVerb(Protocol):
    """A verb that is killed.

    Attributes
    ----------
    name : str
        Of the verb.
    most_steps : int
        Changes of the folder after which it is killed at the latest.
    stops : bool
        Whether SIGTERM ends it cleanly, so that a quarter of the kills are such.
    """

    name: str
    most_steps: int
    stops: bool

    def prepare(self, run: Path) -> None:
        """Make a new folder ready for a run."""

    def arguments(self, run: Path) -> list[object]:
        """Return the command, the same in every session of a folder."""

    def is_done(self, run: Path) -> bool:
        """Whether there is nothing left to kill."""

    def is_half_made(self, run: Path) -> bool:
        """Whether something is made, and not all."""

    def finished(self, run: Path) -> dict[str, object]:
        """Return what is finished and must stay as it is, by name."""

    def before(self, run: Path) -> Callable[[], None]:
        """Look at a folder before a session; the function that is returned checks what the kill has left."""

    def outputs(self, run: Path) -> dict[str, bytes]:
        """Return the files that must be those of an uninterrupted run."""


@dataclass
class KillReport:
    """What came of the kills of one verb."""

    verb: str
    seed: int
    kills: int = 0
    half_made: int = 0
    within_write: int = 0
    by_signal: dict[str, int] = field(default_factory=lambda: {"SIGKILL": 0, "SIGTERM": 0})
    folders: int = 0
    files_compared: int = 0
    differing: list[str] = field(default_factory=list)

    @property
    def all_equal(self) -> bool:
        return not self.differing

    def to_dict(self) -> dict[str, object]:
        return {**vars(self), "all_equal": self.all_equal}


@dataclass(frozen=True)
class Pace:
    """How long the start of a run takes, and a change of its folder."""

    start_s: float
    step_s: float


class FolderWatch:
    """Counts how often a folder is found changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_changes = 0
        self._last = self._look()

    def look(self) -> int:
        now = self._look()
        self.n_changes += now != self._last
        self._last = now
        return self.n_changes

    def _look(self) -> set[tuple[str, int, int]]:
        return set(_entries(str(self.folder)))


def _entries(folder: str) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in STILL:
                    continue
                status = entry.stat(follow_symlinks=False)
                found.append((entry.path, entry.inode(), status.st_size))
                if entry.is_dir(follow_symlinks=False):
                    found += _entries(entry.path)
    except OSError:  # it went while we looked
        pass
    return found


def kill_again_and_again(
    server: ForkServer, verb: KilledVerb, place: Path, *, n_kills: int, seed: int
) -> KillReport:
    """Fill one folder uninterrupted and others with kills, and compare all of them.

    Parameters
    ----------
    server : ForkServer
        Starts the verb.
    verb : KilledVerb
        What is killed.
    place : Path
        Where the folders go: ``whole``, ``killed-1`` and so on, as many as the kills take.
    n_kills, seed : int
        How many kills, and which.
    """
    dice, report = random.Random(seed), KillReport(verb.name, seed)
    whole = place / "whole"
    pace = _fill(server, verb, whole)
    folders = [_next_folder(verb, place, 1)]
    n_missed = 0
    while report.kills < n_kills:
        if _kill(server, verb, folders[-1], dice, pace, report, n_missed):
            n_missed = 0
        else:
            n_missed += 1
            assert n_missed < TRIES_FOR_A_KILL, f"{verb.name} ended {n_missed} times before it was killed"
        if verb.is_done(folders[-1]):
            folders.append(_next_folder(verb, place, len(folders) + 1))
    report.folders = len(folders)
    expected = verb.outputs(whole)
    for folder in folders:
        _finish(server, verb, folder)
        made = verb.outputs(folder)
        names = sorted(expected.keys() | made.keys())
        report.files_compared += len(names)
        report.differing += [
            f"{folder.name}/{name}" for name in names if expected.get(name) != made.get(name)
        ]
    return report


def _next_folder(verb: KilledVerb, place: Path, number: int) -> Path:
    folder = place / f"killed-{number}"
    verb.prepare(folder)
    return folder


def _fill(server: ForkServer, verb: KilledVerb, run: Path) -> Pace:
    """Run once uninterrupted, and measure."""
    verb.prepare(run)
    watch, started_s, begun_s = FolderWatch(run), time.monotonic(), None
    process_id = server.start(verb.arguments(run))
    while server.poll(process_id) is None:
        if watch.look() and begun_s is None:
            begun_s = time.monotonic()
        time.sleep(0.005)
    ended_s = time.monotonic()
    assert verb.is_done(run), server.log.read_text()[-3000:]
    begun_s = ended_s if begun_s is None else begun_s
    return Pace(begun_s - started_s, (ended_s - begun_s) / max(watch.n_changes, 1))


def _finish(server: ForkServer, verb: KilledVerb, run: Path) -> None:
    server.wait(server.start(verb.arguments(run)))
    assert verb.is_done(run), server.log.read_text()[-3000:]


def _kill(
    server: ForkServer,
    verb: KilledVerb,
    run: Path,
    dice: random.Random,
    pace: Pace,
    report: KillReport,
    n_missed: int,
) -> bool:
    """Start the verb and kill it, the earlier the more tries have come too late; False where it had ended."""
    by_steps = (report.kills + n_missed) % 2 == 0
    most_steps = max(verb.most_steps >> n_missed, 1)
    number = signal.SIGTERM if verb.stops and dice.random() < 0.25 else signal.SIGKILL
    n_steps = dice.randint(1, most_steps) if by_steps else 0
    longest_s = pace.step_s if by_steps else pace.start_s + most_steps * pace.step_s
    delay_s = dice.uniform(0.0, longest_s) / 2**n_missed
    finished, check = verb.finished(run), verb.before(run)
    watch = FolderWatch(run)
    process_id = server.start(verb.arguments(run))
    if not (_see_steps(server, process_id, watch, n_steps) and _see_time(server, process_id, delay_s)):
        return False
    os.kill(process_id, number)  # it cannot be another process: nobody has waited for this one
    exit_code = server.wait(process_id)
    if exit_code not in (-number, STOPPED):
        return False
    kept = verb.finished(run)
    assert finished.items() <= kept.items(), f"{verb.name} made again what was finished"
    check()
    report.kills += 1
    report.by_signal[number.name] += 1
    report.half_made += verb.is_half_made(run)
    report.within_write += any(run.rglob(".*.tmp"))
    return True


def _see_steps(server: ForkServer, process_id: int, watch: FolderWatch, n_steps: int) -> bool:
    """Wait until the folder has changed so often; False where the child has ended."""
    looks = 0
    while watch.look() < n_steps:
        looks += 1
        if looks % LOOKS_BETWEEN_POLLS == 0 and server.poll(process_id) is not None:
            return False
        time.sleep(PAUSE_S)
    return True


def _see_time(server: ForkServer, process_id: int, delay_s: float) -> bool:
    """Wait so long; False where the child has ended."""
    until_s = time.monotonic() + delay_s
    while time.monotonic() < until_s:
        if server.poll(process_id) is not None:
            return False
        time.sleep(min(0.01, max(until_s - time.monotonic(), 0.0)))
    return server.poll(process_id) is None
