"""A cell of a study: one arm with one budget on one draw; which rows it labels, which training that is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.contamination import check_contamination
from tasksel.json_shapes import NUMBER
from tasksel.run_folder import FORMAT_VERSION, make_folder, read_json, text_sha256, write_json
from tasksel.study.draws import Draw
from tasksel.study.oracle import draw_doses, fit_gain_curve
from tasksel.study.spending import spend
from tasksel.study.trainings import Training, benchmark_questions, plan_training, read_probe, run_training
from tasksel.study.worlds import World, open_world

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.study.config import ArmConfig, StudyConfig, WorldConfig
    from tasksel.study.trainings import Probe

__all__ = ["ALL_LABELS", "CELL_SHAPE", "GAINS_SHAPE", "NO_LABELS", "Cell", "CellWork", "SpentCell"]

CELL_SHAPE: Final = {"identity": str, "labels": int, "pool_rows": int, "picked": {...: int}, "rows": [int]}
"""Of the file of a cell."""
GAINS_SHAPE: Final = {"levels": [int], "curves": {...: [NUMBER]}}
"""Of the file with the gain curves of a world."""
NO_LABELS: Final = "base model"
"""The arm that trains on nothing."""
ALL_LABELS: Final = "all labels"
"""The arm that trains on the whole pool."""


@dataclass(frozen=True)
class Cell:
    """One arm with one budget on one draw.

    Attributes
    ----------
    world, seed
        The draw.
    arm : str
        Name of the arm, `NO_LABELS` or `ALL_LABELS`.
    budget : float
        As in the study's file.
    """

    world: str
    seed: int
    arm: str
    budget: float

    def path(self, out: Path) -> Path:
        """Return where the cell's file stands."""
        return out / "cells" / self.world / f"seed-{self.seed}" / f"{self.arm} @ {self.budget:g}.json"


@dataclass(frozen=True)
class SpentCell:
    """What a cell chose, or the training that it must wait for.

    Attributes
    ----------
    cell : Cell
        Which.
    training : Training
        To be run: of its labels, or, if `is_waiting`, between two of its rounds.
    is_waiting : bool
        Whether the cell has to be spent again after the training.
    """

    cell: Cell
    training: Training
    is_waiting: bool = False


class _TrainingNeededError(Exception):
    """An arm's next round depends on a training that has not run."""

    def __init__(self, training: Training) -> None:
        super().__init__(training.key)
        self.training = training


class CellWork:
    """The work of a study, as a worker process does it: everything is found again in files.

    Parameters
    ----------
    study : StudyConfig
        What is compared.
    out : Path
        The study's folder.
    store : Path
        Where draws and trainings stand: the same folder, or one that several studies share.
    """

    def __init__(self, study: StudyConfig, out: Path, store: Path) -> None:
        self.study = study
        self.out = out
        self.store = store
        self._draw = cache(self._open_draw)
        self._world = cache(self._open_world)

    def prepare_draw(self, place: tuple[str, int, frozenset[str]]) -> tuple[str, int]:
        """Write pool, holdout and shared work of the draw of a world and a seed."""
        world, seed, needed = place
        self.find_draw(world, seed).prepare(needed)
        return world, seed

    def check_draw(self, place: tuple[str, int]) -> list[dict[str, Any]]:
        """Count what the pool of a draw shares with the prompts that it is evaluated on."""
        world, seed = place
        draw = self.find_draw(world, seed)
        found = check_contamination(draw.pool_path, [draw.holdout_path, *benchmark_questions(self.study)])
        return [
            {
                "world": world,
                "seed": seed,
                "reference": Path(each["name"]).name,
                "questions": each["rows"],
                "unchecked": each["unchecked_rows"],
                "shared_questions": each["ngram_rows"],
                "sharing_pool_rows": each["pool_ngram_rows"],
            }
            for each in found.references
        ]

    def find_draw(self, world: str, seed: int) -> Draw:
        """Return the draw of a world with a seed."""
        return self._draw(world, seed, per_task=None)

    def spend_cell(self, cell: Cell) -> SpentCell:
        """Choose the rows of a cell; its file keeps them."""
        draw = self.find_draw(cell.world, cell.seed)
        identity = self._identify(cell, draw)
        path = cell.path(self.out)
        noise = self._label_noise(cell)
        if path.exists():
            kept = read_json(path, CELL_SHAPE)
            if kept["identity"] == identity:
                rows = np.array(kept["rows"], dtype=np.int64)
                return SpentCell(cell, plan_training(self.study, draw, rows, label_noise=noise))
        try:
            rows = self._choose_rows(cell, draw)
        except _TrainingNeededError as needed:
            return SpentCell(cell, needed.training, is_waiting=True)
        training = plan_training(self.study, draw, rows, label_noise=noise)
        picked = draw.pool[rows]["task"].value_counts().sort("task")
        make_folder(path.parent)
        write_json(
            path,
            {
                "identity": identity,
                "labels": len(rows),
                "pool_rows": draw.pool.height,
                "training": training.key,
                "picked": dict(picked.iter_rows()),
                "rows": rows.tolist(),
            },
        )
        return SpentCell(cell, training)

    def _choose_rows(self, cell: Cell, draw: Draw) -> NDArray[np.int64]:
        if cell.arm == NO_LABELS:
            return np.empty(0, dtype=np.int64)
        if cell.arm == ALL_LABELS:
            return np.arange(draw.pool.height)
        arm = self.study.arm(cell.arm)

        def ask_trained(labelled: NDArray[np.int64], asked: NDArray[np.int64], label_noise: float) -> Probe:
            training = plan_training(self.study, draw, labelled, label_noise=label_noise, asked=asked)
            probe = read_probe(training, self.training_folder(training))
            if probe is None:
                raise _TrainingNeededError(training)
            return probe

        gains = self._read_gains(cell.world) if arm.oracle else None
        return spend(draw, arm, count_labels(cell.budget, draw.pool.height), ask_trained, gains=gains)

    def run_training(self, training: Training) -> tuple[Training, dict[str, Any]]:
        """Train on a set of labels and evaluate or answer; a finished one is read."""
        per_task = self._dose_size() if self._is_dose(training.seed) else None
        draw = self._draw(training.world, training.seed, per_task=per_task)
        return training, run_training(self.study, draw, training, self.training_folder(training))

    def training_folder(self, training: Training) -> Path:
        """Return the folder of a training."""
        return self.store / "trainings" / training.key

    def plan_dose_run(self, place: tuple[str, int]) -> Training:
        """Plan run `place[1]` of the trainings that measure the gains of a world."""
        world, run = place
        draw = self.find_dose_draw(world, run)
        draw.prepare(frozenset())
        rows: list[int] = []
        pool = draw.pool.with_row_index("row")
        for task, dose in self.dose_of_run(draw, run).items():
            rows.extend(pool.filter(pool["task"] == task)["row"].head(dose).to_list())
        return plan_training(self.study, draw, np.array(rows, dtype=np.int64))

    def dose_of_run(self, draw: Draw, run: int) -> dict[str, int]:
        """Return the labels of each task in a run; a task with fewer prompts gives what it has."""
        oracle = self.study.oracle
        assert oracle is not None  # noqa: S101 - the study checked it; for the type checker
        counts = dict(draw.pool["task"].value_counts().sort("task").iter_rows())
        doses = draw_doses(len(counts), oracle.doses, oracle.runs, np.random.default_rng([oracle.seed, 17]))
        return {
            task: min(int(dose), count)
            for (task, count), dose in zip(counts.items(), doses[run], strict=True)
        }

    def find_dose_draw(self, world: str, run: int) -> Draw:
        """Return the draw of a run that measures gains."""
        assert self.study.oracle is not None  # noqa: S101 - as above
        return self._draw(world, self.study.oracle.seed + run, per_task=self._dose_size())

    def gains_path(self, world: str) -> Path:
        """Return where the gain curves of a world stand."""
        return self.out / "gains" / f"{world}.json"

    def _read_gains(self, world: str) -> dict[str, NDArray[np.float64]]:
        found = read_json(self.gains_path(world), GAINS_SHAPE)
        levels = np.array(found["levels"], dtype=np.int64)
        return {task: fit_gain_curve(levels, np.array(curve)) for task, curve in found["curves"].items()}

    def _is_dose(self, seed: int) -> bool:
        oracle = self.study.oracle
        return oracle is not None and oracle.seed <= seed < oracle.seed + oracle.runs

    def _dose_size(self) -> int:
        assert self.study.oracle is not None  # noqa: S101 - as above
        return max(self.study.oracle.doses)

    def _label_noise(self, cell: Cell) -> float:
        return 0.0 if cell.arm in (NO_LABELS, ALL_LABELS) else self.study.arm(cell.arm).label_noise

    def _identify(self, cell: Cell, draw: Draw) -> str:
        """Hash what a cell's rows depend on."""
        arm: ArmConfig | None = None
        if cell.arm not in (NO_LABELS, ALL_LABELS):
            arm = self.study.arm(cell.arm)
        depends_on: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "arm": cell.arm if arm is None else asdict(arm),
            "budget": cell.budget,
            "seed": cell.seed,
            "pool": draw.pool_sha256,
            "model": draw.world.model_sha256,
            "training": self.study.training_of(draw.world.config) if _has_rounds(arm) else None,
            "gains": read_json(self.gains_path(cell.world)) if arm is not None and arm.oracle else None,
        }
        return text_sha256(json.dumps(depends_on, sort_keys=True))

    def _open_draw(self, world: str, seed: int, *, per_task: int | None) -> Draw:
        kind = "seed" if per_task is None else "doses"
        folder = self.store / "worlds" / world / f"{kind}-{seed}"
        return Draw(self._world(world), seed, folder, per_task)

    def _open_world(self, name: str) -> World:
        config: WorldConfig = next(world for world in self.study.worlds if world.name == name)
        return open_world(config, self.study.folder)


def count_labels(budget: float, pool_rows: int) -> int:
    """Return the labels that a budget buys: a share of the pool up to 1, or a number of labels above.

    Examples
    --------
    >>> count_labels(0.2, 51), count_labels(1.0, 51), count_labels(30, 51)
    (10, 51, 30)
    """
    return max(1, round(budget * pool_rows)) if budget <= 1 else min(int(budget), pool_rows)


def _has_rounds(arm: ArmConfig | None) -> bool:
    return arm is not None and len(arm.rounds) > 1
