"""Runs a study: draws, cells, each training once; on several cores, and on from where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tasksel.evaluation_figures import direction_of
from tasksel.file_places import is_folder
from tasksel.run_folder import folder_lock, make_folder, read_json, refuse_unknown_format, write_json
from tasksel.study.cells import ALL_LABELS, GAINS_SHAPE, NO_LABELS, Cell, CellWork
from tasksel.study.config import StudyConfig
from tasksel.study.config_file import load_study
from tasksel.study.oracle import fit_gain_curves
from tasksel.study.publication import STUDY_NAME, publish
from tasksel.study.results import StudyResult, choose_candidate, collect_results
from tasksel.study.spending import find_needs
from tasksel_core.errors import ConfigError, TaskselError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasksel.study.cells import SpentCell
    from tasksel.study.config import WorldConfig
    from tasksel.study.trainings import Training

__all__ = ["StudyProgress", "run_study"]


_POLL_S = 0.5


class StudyProgress(Protocol):
    """Called when a piece of work is done."""

    def __call__(self, done: int, total: int, doing: str) -> None:
        """Take the pieces done, those known so far (more may follow), and what is being done."""


def run_study(
    study: str | os.PathLike[str] | StudyConfig,
    *,
    out: str | os.PathLike[str],
    store: str | os.PathLike[str] | None = None,
    model: str | None = None,
    jobs: int | None = None,
    progress: StudyProgress | None = None,
) -> StudyResult:
    """Run every cell of a study and compare the arms.

    The same call on the same folder goes on where it stopped, also after ``kill -9``. The study's file may
    grow or change in between: what is finished and still asked for is used again, and nothing is mixed,
    since every training is named by a hash of all that it depends on.

    Parameters
    ----------
    study : path or StudyConfig
        See `tasksel.study.load_study`.
    out : path
        Folder for everything.
    store : path, optional
        Folder for draws and trainings, by default `out`: studies that name the same one, one after the other,
        share what they have in common.
    model : str, optional
        Base model for every world instead of the one that the study names; relative to this folder.
    jobs : int, optional
        Processes that work side by side, each with its share of the cores; by default one a core, and one
        where there is a GPU.
    progress : StudyProgress, optional
        Called as work is done.

    Returns
    -------
    StudyResult

    Raises
    ------
    ConfigError
        The study's file is wrong, or a model or file is missing.
    ResumeError
        The folder holds another draw under the same name, or is in use.
    """
    config = study if isinstance(study, StudyConfig) else load_study(study)
    if model is not None:
        config = _with_model(config, model)
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ConfigError(f"jobs is {jobs!r}; a whole number of at least 1 is wanted.")
    folder, shared = Path(out), Path(out if store is None else store)
    work = CellWork(config, folder, shared)
    for world in config.worlds:
        work.find_draw(world.name, 0)  # tells at once that a model or a file is missing
    with contextlib.ExitStack() as held:
        for each in dict.fromkeys((folder, shared)):
            held.enter_context(folder_lock(each))
        refuse_unknown_format(folder / STUDY_NAME)
        workers = held.enter_context(_workers(work, jobs or _suitable_jobs()))
        return _StudyRun(config, work, workers, progress).finish()


def _with_model(study: StudyConfig, model: str) -> StudyConfig:
    """Put one base model into every world; a folder becomes absolute, since a study's paths are its own."""
    named = str(Path(model).absolute()) if is_folder(model) else model
    worlds = tuple(dataclasses.replace(world, model=named) for world in study.worlds)
    return dataclasses.replace(study, worlds=worlds)


def _suitable_jobs() -> int:
    import torch

    if torch.cuda.is_available():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _StudyRun:
    """One call of `run_study` on a folder that it holds for itself."""

    study: StudyConfig
    work: CellWork
    workers: _Workers
    progress: StudyProgress | None
    done: int = 0
    total: int = 0
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    spent: dict[Cell, Training] = field(default_factory=dict)

    def finish(self) -> StudyResult:
        if self.study.oracle is not None:
            for world in self.study.worlds:
                self._measure_gains(world)
        chosen = None
        tuning_cells: list[Cell] = []
        if self.study.tuning is not None:
            tuning_cells = self._tuning_cells()
            self._run_cells(tuning_cells)
            chosen = choose_candidate(self.study, self._collect(tuning_cells, "tune"))
        report_cells = self._report_cells(chosen)
        self._run_cells(report_cells)
        places = dict.fromkeys((cell.world, cell.seed) for cell in report_cells or tuning_cells)
        contamination = [row for rows in self.workers.map("check_draw", list(places)) for row in rows]
        result = StudyResult.compare(
            self.study,
            tuning=self._collect(tuning_cells, "tune"),
            report=self._collect(report_cells, "report"),
            chosen=chosen,
            gains=self._read_gains(),
            contamination=contamination,
            folder=self.work.out,
        )
        publish(result)
        return result

    def _collect(self, cells: Sequence[Cell], phase: str) -> Any:
        return collect_results(
            self.work, [(cell, self.spent[cell], self.results[self.spent[cell].key]) for cell in cells], phase
        )

    def _tuning_cells(self) -> list[Cell]:
        tuning = self.study.tuning
        assert tuning is not None  # noqa: S101 - asked for only then; for the type checker
        arms = dict.fromkeys((*self.study.baselines, *tuning.candidates))
        budgets = tuning.budgets or self.study.budgets
        return [
            Cell(world.name, seed, arm, budget)
            for world in self.study.worlds
            for seed in world.tune
            for arm in arms
            for budget in budgets
        ]

    def _report_cells(self, chosen: str | None) -> list[Cell]:
        candidates = set() if self.study.tuning is None else set(self.study.tuning.candidates) - {chosen}
        left_out = candidates - set(self.study.baselines)
        arms = [arm for arm in self.study.arms if arm.name not in left_out]
        cells = []
        for world in self.study.worlds:
            for seed in world.report:
                cells += [
                    Cell(world.name, seed, arm.name, budget)
                    for arm in arms
                    for budget in arm.budgets or self.study.budgets
                ]
                cells += [Cell(world.name, seed, NO_LABELS, 0.0)] if self.study.no_labels else []
                cells += [Cell(world.name, seed, ALL_LABELS, 1.0)] if self.study.all_labels else []
        return cells

    def _run_cells(self, cells: list[Cell]) -> None:
        arms = [self.study.arm(name) for name in {cell.arm for cell in cells} - {NO_LABELS, ALL_LABELS}]
        needed = frozenset().union(*(find_needs(arm) for arm in arms)) if arms else frozenset()
        places = dict.fromkeys((cell.world, cell.seed, needed) for cell in cells)
        self._expect(len(places))
        for _ in self.workers.map("prepare_draw", list(places)):
            self._advance("draws")
        waiting = cells
        while waiting:
            outcomes: list[SpentCell] = list(self.workers.map("spend_cell", waiting))
            self.spent.update({each.cell: each.training for each in outcomes if not each.is_waiting})
            waiting = [each.cell for each in outcomes if each.is_waiting]
            self._run_trainings([each.training for each in outcomes])

    def _run_trainings(self, trainings: Iterable[Training]) -> None:
        """Run each training once; the largest first, so that no core waits long at the end."""
        unique = {each.key: each for each in trainings if each.key not in self.results}
        ordered = sorted(unique.values(), key=lambda each: -len(each.rows))
        self._expect(len(ordered))
        for training, result in self.workers.map("run_training", ordered):
            self.results[training.key] = result
            self._advance("trainings")

    def _measure_gains(self, world: WorldConfig) -> None:
        oracle = self.study.oracle
        assert oracle is not None  # noqa: S101 - asked for only then; for the type checker
        places = [(world.name, run) for run in range(oracle.runs)]
        trainings = sorted(self.workers.map("plan_dose_run", places), key=lambda each: each.seed)
        draws = [self.work.find_dose_draw(*place) for place in places]
        doses = [self.work.dose_of_run(draw, run) for run, draw in enumerate(draws)]
        names = sorted(doses[0])
        if any(sorted(dose) != names for dose in doses):
            raise ConfigError(
                f"World {world.name!r}: its seeds have different tasks, so their gains cannot be measured; "
                "leave n_tasks out."
            )
        self._run_trainings(trainings)
        figures = []
        for training in trainings:
            rows = self.results[training.key]["tasks"]
            found = {row["task"]: row[self.study.primary] for row in rows}
            figures.append([found[name] for name in names])
        sign = direction_of(self.study.primary)
        given = np.array([[dose[name] for name in names] for dose in doses])
        levels, curves = fit_gain_curves(given, sign * np.array(figures))
        path = self.work.gains_path(world.name)
        make_folder(path.parent)
        write_json(
            path,
            {
                "metric": self.study.primary,
                "levels": levels.tolist(),
                "curves": {name: curve.tolist() for name, curve in zip(names, curves, strict=True)},
            },
        )

    def _read_gains(self) -> dict[str, Any]:
        if self.study.oracle is None:
            return {}
        paths = {world.name: self.work.gains_path(world.name) for world in self.study.worlds}
        return {name: read_json(path, GAINS_SHAPE) for name, path in paths.items()}

    def _expect(self, pieces: int) -> None:
        self.total += pieces
        self._report("starting")

    def _advance(self, doing: str) -> None:
        self.done += 1
        self._report(doing)

    def _report(self, doing: str) -> None:
        if self.progress is not None:
            self.progress(self.done, self.total, doing)


class _Workers(Protocol):
    """Calls methods of `CellWork`, here or in other processes."""

    def map(self, method: str, items: Sequence[Any]) -> Iterator[Any]:
        """Yield the results in the order in which they come."""


@dataclass
class _OneProcess:
    """Works in this process."""

    work: CellWork

    def map(self, method: str, items: Sequence[Any]) -> Iterator[Any]:
        for item in items:
            yield getattr(self.work, method)(item)


@dataclass
class _SeveralProcesses:
    """Works in processes of its own, a few items ahead."""

    executor: ProcessPoolExecutor
    jobs: int

    def map(self, method: str, items: Sequence[Any]) -> Iterator[Any]:
        waiting = deque(items)
        running: set[Future[Any]] = set()
        while waiting or running:
            while waiting and len(running) < 2 * self.jobs:
                running.add(self.executor.submit(_call, method, waiting.popleft()))
            # With a timeout, since polars restarts system calls after Ctrl-C: a wait without end would not
            # hear of it.
            finished, running = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for each in finished:
                yield each.result()


@contextlib.contextmanager
def _workers(work: CellWork, jobs: int) -> Iterator[_Workers]:
    """Start the processes, and stop them at once if the block fails: what they had begun is on disk."""
    if jobs == 1:
        yield _OneProcess(work)
        return
    # Not forked: a child would inherit torch's thread pools without their threads.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    executor = ProcessPoolExecutor(
        jobs, context, initializer=_start_worker, initargs=(work.study, work.out, work.store, threads)
    )
    try:
        yield _SeveralProcesses(executor, jobs)
        executor.shutdown()
    except BrokenProcessPool as error:
        raise TaskselError(
            "A worker process was killed, most likely for want of memory; run the same command again with "
            "fewer --jobs, and it goes on where it stopped."
        ) from error
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise


_WORK: list[CellWork] = []
"""Of a worker process: its one `CellWork`."""


def _start_worker(study: StudyConfig, out: Path, store: Path, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _WORK.append(CellWork(study, out, store))
    import torch

    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End this worker when its parent is gone: one that was killed could not tell its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(method: str, item: Any) -> Any:
    return getattr(_WORK[0], method)(item)
