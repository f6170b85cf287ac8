"""A draw: one world with one seed, and what all arms share there, made once and kept in files."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

import tasksel_core
from tasksel.allocation import number_tasks
from tasksel.answer_sampling import disagreement, sample_answers
from tasksel.causal_model import load_model, suitable_threads
from tasksel.embedding import read_embeddings
from tasksel.evaluation_exact import read_answers
from tasksel.evaluation_loss import measure_losses
from tasksel.hidden_states import embed_hidden_states
from tasksel.json_shapes import NUMBER
from tasksel.pool import load_pool
from tasksel.pool_ids import columns_sha256
from tasksel.run_folder import MANIFEST_NAME, make_folder, read_json, write_json
from tasksel.run_folder_frames import read_frame, write_array, write_frame
from tasksel.scores import read_scores
from tasksel.scoring import score
from tasksel.study.worlds import SOURCE_ROW
from tasksel_core.errors import ResumeError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from tasksel.scores import Scores
    from tasksel.study.worlds import World

__all__ = ["SHARED_WORK", "Draw", "sample_rows"]

SHARED_WORK: Final = ("scores", "embeddings", "losses", "ambiguity")
"""What a draw can be asked to prepare."""

POOL_NAME: Final = "pool.parquet"
HOLDOUT_NAME: Final = "holdout.parquet"
COSTS_NAME: Final = "cpu_s.json"
_PROMPTS: Final = {"id": str, "task": str, "prompt": str, "response": str}
_AMBIGUITY_PROMPTS: Final = 32
"""Prompts of a task that the base model answers several times."""
_AMBIGUITY_SAMPLES: Final = 4
"""Answers to each: six pairs each; with 32 prompts the standard error of a task is at most .09."""


@dataclass(frozen=True)
class Draw:
    """One world with one seed.

    Parameters
    ----------
    world : World
        Where.
    seed : int
        Of pool, holdout, selections and trainings.
    folder : Path
        Where its files are: ``pool.parquet``, ``holdout.parquet``, ``base/scores``, ``embeddings.npy``,
        ``losses.npy``, ``ambiguity.npy``.
    per_task : int, optional
        Draw a pool in which all tasks are that large, for measuring gains.
    """

    world: World
    seed: int
    folder: Path
    per_task: int | None = None

    @cached_property
    def pool(self) -> pl.DataFrame:
        """The pool with its responses, as it was drawn."""
        return read_frame(self.pool_path, _PROMPTS) if self.pool_path.exists() else self._draw_pool()

    @cached_property
    def holdout(self) -> pl.DataFrame:
        """Held-out prompts with responses, equally many a task."""
        path = self.holdout_path
        return read_frame(path, _PROMPTS) if path.exists() else self.world.make_holdout(self.seed)

    @property
    def pool_path(self) -> Path:
        """Where the pool stands once it is prepared."""
        return self.folder / POOL_NAME

    @property
    def holdout_path(self) -> Path:
        """Where the holdout stands once it is prepared."""
        return self.folder / HOLDOUT_NAME

    @cached_property
    def pool_sha256(self) -> str:
        """Hash of the pool's ids, tasks, prompts and responses."""
        return _content_sha256(self.pool)

    @property
    def prompts(self) -> pl.DataFrame:
        """The pool as a user has it before anything is labelled."""
        return self.pool.drop("response", SOURCE_ROW, strict=False)

    @cached_property
    def pool_shares(self) -> dict[str, float]:
        """Share of each task in the pool."""
        counts = self.pool["task"].value_counts()
        return dict(zip(counts["task"], (counts["count"] / self.pool.height).to_list(), strict=True))

    def prepare(self, needed: frozenset[str]) -> None:
        """Write the pool, the holdout and whatever of `SHARED_WORK` is needed; what is there is kept."""
        make_folder(self.folder)
        for path, frame in (
            (self.pool_path, self._draw_pool()),
            (self.holdout_path, self.world.make_holdout(self.seed)),
        ):
            if not path.exists():
                write_frame(path, frame)
            elif _content_sha256(read_frame(path, _PROMPTS)) != _content_sha256(frame):
                raise ResumeError(
                    f"{path} is not what world {self.world.name!r} draws with seed {self.seed} now; "
                    "choose another output folder, or delete it to begin anew."
                )
        makers = {
            "scores": self._score,
            "embeddings": self._embed,
            "losses": self._measure_losses,
            "ambiguity": self._measure_ambiguity,
        }
        for name in SHARED_WORK:
            if name in needed:
                with self.counted(name):
                    makers[name]()

    @contextlib.contextmanager
    def counted(self, stage: str) -> Iterator[None]:
        """Add the CPU seconds of the block to the draw's account of them."""
        started_s = time.process_time()
        yield
        path = self.folder / COSTS_NAME
        costs = read_json(path, {...: NUMBER}) if path.exists() else {}
        costs[stage] = costs.get(stage, 0.0) + time.process_time() - started_s
        write_json(path, costs)

    def read_scores(self, metric: str) -> Scores:
        """Return the base model's confidence of each pool row."""
        return read_scores(self.folder / "base", self.pool["id"], metric=metric)

    @cached_property
    def task_confidences(self) -> dict[str, float]:
        """Mean confidence of the base model in its answers to each task; empty where it was not asked."""
        if not (self.folder / "base" / "scores" / MANIFEST_NAME).exists():
            return {}
        names, task = number_tasks(self.pool, "task", required=True, strategy="a study")
        log_confidence = self.read_scores("product").log_confidence
        means = tasksel_core.task_log_confidence(log_confidence, task, len(names))
        return dict(zip(names, np.exp(means).tolist(), strict=True))

    @cached_property
    def generations(self) -> pl.Series:
        """What the base model answered, in pool order."""
        return read_generations(self.folder / "base", self.pool)

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """Float32, shape (n_rows, n_dimensions)."""
        vectors: NDArray[np.float32] = np.load(self.folder / "embeddings.npy", allow_pickle=False)
        return vectors

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Cross-entropy of each response under the base model, in nats a token; shape (n_rows,)."""
        losses: NDArray[np.float64] = np.load(self.folder / "losses.npy", allow_pickle=False)
        return losses

    @cached_property
    def ambiguity(self) -> NDArray[np.float64]:
        """Share of pairs of drawn answers that differ, shape (n_rows,); NaN where the model was not asked."""
        ambiguity: NDArray[np.float64] = np.load(self.folder / "ambiguity.npy", allow_pickle=False)
        return ambiguity

    def _draw_pool(self) -> pl.DataFrame:
        if self.per_task is not None:
            return self.world.make_dose_pool(self.seed, self.per_task)
        return self.world.make_pool(self.seed)

    def _score(self) -> None:
        if (self.folder / "base" / "scores" / MANIFEST_NAME).exists():
            return
        score(
            self.prompts,
            model=self.world.model,
            out=self.folder / "base",
            max_new_tokens=self.world.config.max_new_tokens,
        )

    def _embed(self) -> None:
        path = self.folder / "embeddings.npy"
        if path.exists():
            return
        if self.world.embeddings is None:
            causal_model = load_model(self.world.model)
            with suitable_threads(causal_model):
                vectors = embed_hidden_states(causal_model, self.pool["prompt"].to_list())
        else:
            vectors = _rows_of_file(self.world.embeddings, self.pool)
        write_array(path, vectors)

    def _measure_losses(self) -> None:
        path = self.folder / "losses.npy"
        if path.exists():
            return
        examples = measure_losses(load_model(self.world.model), load_pool(self.pool))
        write_array(path, examples["loss"].to_numpy())

    def _measure_ambiguity(self) -> None:
        path = self.folder / "ambiguity.npy"
        if path.exists():
            return
        names, task = number_tasks(self.pool, "task", required=True, strategy="a study")
        rows = sample_rows(task, len(names), _AMBIGUITY_PROMPTS, np.random.default_rng([self.seed, 23]))
        answers = sample_answers(
            load_model(self.world.model),
            self.pool["prompt"].gather(rows).to_list(),
            n_samples=_AMBIGUITY_SAMPLES,
            max_new_tokens=self.world.config.max_new_tokens,
            seed=self.seed,
        )
        ambiguity = np.full(self.pool.height, np.nan)
        ambiguity[rows] = [disagreement(each) for each in answers]
        write_array(path, ambiguity)


def sample_rows(
    task: NDArray[np.int64], n_tasks: int, per_task: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return up to `per_task` rows of each task at random, rising."""
    order = rng.permutation(len(task))
    by_task = order[np.argsort(task[order], kind="stable")]
    sizes = np.bincount(task, minlength=n_tasks)
    place = np.arange(len(by_task)) - (np.cumsum(sizes) - sizes)[task[by_task]]
    return np.sort(by_task[place < per_task])


def read_generations(run: Path, pool: pl.DataFrame) -> pl.Series:
    """Return the answers of a scoring run over a pool, in the pool's order."""
    return pool.select("id").join(read_answers(run), on="id", how="left", maintain_order="left")["generation"]


def _rows_of_file(path: Path, pool: pl.DataFrame) -> NDArray[np.float32]:
    """Read the vectors of the rows that were drawn; a .npy has them by row of the file, a .parquet by id."""
    if path.suffix != ".npy":
        return read_embeddings(str(path), pool)
    rows = pool[SOURCE_ROW].to_numpy()
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    if vectors.ndim != 2 or len(vectors) <= rows.max():
        raise SchemaError(
            f"{path.name} has the shape {vectors.shape}; a vector for each row of the world's file is wanted."
        )
    return np.ascontiguousarray(vectors[rows], dtype=np.float32)


def _content_sha256(frame: pl.DataFrame) -> str:
    return columns_sha256(frame, ("id", "task", "prompt", "response"))
