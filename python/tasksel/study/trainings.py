"""What a set of labels is worth: train on it, evaluate, keep the figures. Equal sets are trained once.

A training is named by a hash of everything that its figures depend on, so that arms which choose the same
rows share it, a changed setting never meets old figures, and one that was killed goes on where it stood.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.evaluation import BENCHMARK_FILES, EvaluationSettings, evaluate
from tasksel.json_shapes import NUMBER
from tasksel.pool_ids import columns_sha256
from tasksel.run_folder import FORMAT_VERSION, file_sha256, read_json, text_sha256, write_json
from tasksel.scores import read_scores
from tasksel.scoring import score
from tasksel.study.config import BENCHMARKS, METRICS
from tasksel.study.draws import read_generations
from tasksel.training import train
from tasksel.training_settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tasksel.scores import Scores
    from tasksel.study.config import StudyConfig
    from tasksel.study.draws import Draw

__all__ = [
    "Probe",
    "Training",
    "benchmark_questions",
    "noisy_labels",
    "plan_training",
    "read_probe",
    "run_training",
]

RESULT_NAME: Final = "result.json"
_WORK: Final = "work"
_ANSWERS: Final = "answers"


@dataclass(frozen=True)
class Training:
    """A set of labels to be learned, and what is asked of the model afterwards.

    Attributes
    ----------
    key : str
        Hash of everything that its figures depend on.
    world, seed : str and int
        The draw.
    rows : tuple of int
        Labelled pool rows, rising; none for the base model.
    label_noise : float
        Share of them that carry another answer of their task.
    asked : tuple of int, optional
        Pool rows that the trained model answers, for the next round; None evaluates it on the holdout.
    """

    key: str
    world: str
    seed: int
    rows: tuple[int, ...]
    label_noise: float = 0.0
    asked: tuple[int, ...] | None = None


def plan_training(
    study: StudyConfig,
    draw: Draw,
    rows: NDArray[np.int64],
    *,
    label_noise: float = 0.0,
    asked: NDArray[np.int64] | None = None,
) -> Training:
    """Name the training on some pool rows of a draw.

    Parameters
    ----------
    study : StudyConfig
        Its training settings and metrics.
    draw : Draw
        Pool, holdout and base model.
    rows : ndarray of int64
        Pool rows to label, in any order: a set is trained the same way whoever chose it.
    label_noise : float
        Share of wrong labels.
    asked : ndarray of int64, optional
        Pool rows to answer afterwards, instead of the evaluation.
    """
    ordered = np.sort(rows)
    config = draw.world.config
    settings = TrainingSettings(**study.training_of(config), seed=draw.seed)
    questions = draw.holdout if asked is None else draw.pool[np.sort(asked)]
    depends_on = {
        "format_version": FORMAT_VERSION,
        "model": draw.world.model_sha256,
        "labels": columns_sha256(noisy_labels(draw, ordered, label_noise), ("prompt", "response")),
        "training": settings.to_identity() if len(ordered) else None,
        "questions": columns_sha256(questions, ("task", "prompt", "response")),
        "pool_shares": draw.pool_shares if asked is None else None,
        "max_new_tokens": config.max_new_tokens,
        "suites": find_suites(study) if asked is None else None,
        **_identify_benchmarks(study, is_evaluated=asked is None),
    }
    key = text_sha256(json.dumps(depends_on, sort_keys=True))[:24]
    return Training(
        key,
        draw.world.name,
        draw.seed,
        tuple(ordered.tolist()),
        label_noise,
        None if asked is None else tuple(np.sort(asked).tolist()),
    )


def _identify_benchmarks(study: StudyConfig, *, is_evaluated: bool) -> dict[str, Any]:
    """Hash the files of the benchmarks that a training is evaluated on."""
    paths = [path for files in _benchmark_files(study) for path in files if path.is_file()]
    return {"benchmarks": {path.name: file_sha256(path) for path in paths}} if is_evaluated and paths else {}


def benchmark_questions(study: StudyConfig) -> list[Path]:
    """Return the files with the questions of the benchmarks that a study evaluates on."""
    return [questions for questions, *_ in _benchmark_files(study)]


def _benchmark_files(study: StudyConfig) -> list[list[Path]]:
    """Return the files of each benchmark that a study evaluates on, its questions first."""
    if study.benchmarks is None:
        return []
    folder = study.folder / study.benchmarks
    asked = [suite for suite in find_suites(study) if suite in BENCHMARK_FILES]
    return [[folder / name for name in BENCHMARK_FILES[suite]] for suite in asked]


def find_suites(study: StudyConfig) -> list[str]:
    """Return the suites that measure the study's metrics."""
    return list(dict.fromkeys(METRICS[metric] for metric in study.metrics))


def noisy_labels(draw: Draw, rows: NDArray[np.int64], label_noise: float) -> pl.DataFrame:
    """Return the labelled rows, a share of them with another answer of their own task.

    Which rows are wrong follows from the draw alone, so that arms get the same wrong label for the same row.

    Parameters
    ----------
    draw : Draw
        Its pool has the responses.
    rows : ndarray of int64
        Rows of it.
    label_noise : float
        Probability of a wrong label; a task whose answers are all the same has none.
    """
    chosen = draw.pool[rows].select("id", "task", "prompt", "response")
    if not label_noise:
        return chosen
    pool = draw.pool
    rng = np.random.default_rng([draw.seed, 7])
    is_wrong = rng.random(pool.height) < label_noise
    picks = rng.random(pool.height)
    answers = dict(pool.group_by("task").agg(pl.col("response").unique().sort()).iter_rows())
    responses = []
    for row, task, response in zip(rows.tolist(), chosen["task"], chosen["response"], strict=True):
        others = [answer for answer in answers[task] if answer != response] if is_wrong[row] else []
        responses.append(others[int(picks[row] * len(others))] if others else response)
    return chosen.with_columns(pl.Series("response", responses, dtype=pl.String))


def run_training(study: StudyConfig, draw: Draw, training: Training, folder: Path) -> dict[str, Any]:
    """Train, evaluate or answer, and write ``result.json`` last; a finished one is read.

    Parameters
    ----------
    study, draw
        As in `plan_training`.
    training : Training
        From there.
    folder : Path
        Of this training alone.

    Returns
    -------
    dict
        ``tasks`` (one row a task: its share of the pool and the mean of each metric), ``benchmarks`` (macro
        and micro of each), ``training`` (figures of the training or None), ``cpu_s`` (CPU seconds of training
        and evaluating).
    """
    path = folder / RESULT_NAME
    if path.exists():
        figures = {metric: NUMBER for metric in study.metrics if metric not in BENCHMARKS}
        tasks = [{"task": str, "pool_share": NUMBER, **figures}]
        return read_json(path, {"tasks": tasks, "benchmarks": {...: {"macro": NUMBER, "micro": NUMBER}}})
    work = folder / _WORK
    work.mkdir(parents=True, exist_ok=True)
    with _paused_collection():
        result = _run(study, draw, training, folder, work)
    write_json(path, result)
    shutil.rmtree(work)
    return result


@contextlib.contextmanager
def _paused_collection() -> Iterator[None]:
    """Leave cycles alone during a training: looking for them takes a tenth of a small one's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.collect()


def _run(study: StudyConfig, draw: Draw, training: Training, folder: Path, work: Path) -> dict[str, Any]:
    config = draw.world.config
    started_s = time.process_time()
    model, adapter, figures = draw.world.model, None, None
    if training.rows:
        labels = noisy_labels(draw, np.array(training.rows), training.label_noise)
        summary = train(labels, model=model, out=work, seed=draw.seed, **study.training_of(config))
        model, adapter = summary.model or model, summary.adapter
        figures = {
            "examples": summary.examples,
            "steps": summary.steps,
            "tokens": summary.tokens,
            "loss_by_epoch": summary.loss_by_epoch,
        }
    trained_s = time.process_time()
    if training.asked is None:
        found = _evaluate(study, draw, model, adapter, work)
    else:
        questions = draw.pool[list(training.asked)].select("id", "task", "prompt")
        score(
            questions,
            model=model,
            adapter=adapter,
            out=folder / _ANSWERS,
            max_new_tokens=config.max_new_tokens,
        )
        found = {"tasks": [], "benchmarks": {}}
    cpu_s = {"training": trained_s - started_s, "evaluation": time.process_time() - trained_s}
    return {"world": training.world, "seed": training.seed, **found, "training": figures, "cpu_s": cpu_s}


def _evaluate(study: StudyConfig, draw: Draw, model: str, adapter: str | None, work: Path) -> dict[str, Any]:
    evaluation = evaluate(
        draw.holdout,
        model=model,
        adapter=adapter,
        suites=find_suites(study),
        out=work / "evaluation",
        benchmarks=None if study.benchmarks is None else study.folder / study.benchmarks,
        settings=EvaluationSettings(max_new_tokens=draw.world.config.max_new_tokens),
    )
    tasks = draw.holdout.select("task").unique().sort("task")
    benchmarks = {}
    for suite in evaluation.suites:
        if suite.name in BENCHMARKS:
            figures = suite.figures[BENCHMARKS[suite.name]]
            benchmarks[suite.name] = {kind: figures[kind]["mean"] for kind in ("macro", "micro")}
            continue
        metrics = [metric for metric in study.metrics if METRICS[metric] == suite.name]
        tasks = tasks.join(suite.tasks.select("task", *metrics), on="task", how="left", maintain_order="left")
    shares = pl.Series("pool_share", [draw.pool_shares.get(task, 0.0) for task in tasks["task"]])
    return {"tasks": tasks.with_columns(shares).to_dicts(), "benchmarks": benchmarks}


@dataclass(frozen=True)
class Probe:
    """What a model that was trained between two rounds answers.

    Attributes
    ----------
    folder : Path
        Run folder of its answers.
    rows : ndarray of int64
        Pool rows that it was asked, rising.
    """

    folder: Path
    rows: NDArray[np.int64]

    def read_scores(self, draw: Draw, metric: str) -> Scores:
        """Return its confidence in its answer to each row asked."""
        return read_scores(self.folder, draw.pool["id"].gather(self.rows), metric=metric)

    def read_generations(self, draw: Draw) -> pl.Series:
        """Return its answers."""
        return read_generations(self.folder, draw.pool[self.rows])


def read_probe(training: Training, folder: Path) -> Probe | None:
    """Return the answers of a training that was asked some, or None where it has not run yet."""
    if training.asked is None or not (folder / RESULT_NAME).exists():
        return None
    return Probe(folder / _ANSWERS, np.array(training.asked, dtype=np.int64))
