"""How an arm spends a budget: round by round, from the draw and from what earlier labels taught."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import polars as pl

import tasksel_core
from tasksel.allocation import number_tasks
from tasksel.answer_match import exact_match
from tasksel.selection import select_rows
from tasksel.selection_labelled import LabelledRows
from tasksel.strategies import (
    Ranking,
    RankingProblem,
    find_picker,
    find_strategy,
    order_within_tasks,
)
from tasksel.study.draws import sample_rows
from tasksel.study.oracle import best_quotas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tasksel.scores import Scores
    from tasksel.study.config import ArmConfig, RoundConfig
    from tasksel.study.draws import Draw
    from tasksel.study.trainings import Probe

__all__ = ["AskTrained", "find_needs", "spend"]

_LABELLED_ALLOCATORS: Final = ("task-diversity", "size-proportional", "weighted-task-diversity")
"""Strategies whose later rounds go by the weights of this module; others go on as `select_rows` does."""
_CHURN_PROMPTS: Final = 64
"""Prompts of a task that are answered again: the error of their share is then at most .06."""
_SMALLEST_SIGNAL: Final = 1e-6
"""Keeps the weight of a task without any error above zero."""


class AskTrained(Protocol):
    """Asks a model that was trained on an arm's labels so far."""

    def __call__(self, labelled: NDArray[np.int64], asked: NDArray[np.int64], label_noise: float) -> Probe:
        """Return its answers to the pool rows `asked`; raises where the training must run first."""


def find_needs(arm: ArmConfig) -> frozenset[str]:
    """Return what a draw must prepare for an arm: some of `tasksel.study.draws.SHARED_WORK`."""
    needs: set[str] = set()
    for each in arm.rounds:
        for taker in (find_strategy(each.strategy), find_picker(each.within)):
            needs |= {"scores"} if "confidence" in taker.needs else set()
            needs |= {"embeddings"} if "embeddings" in taker.needs else set()
        if each.signal == "loss":
            needs.add("losses")
        if each.signal == "ambiguity":
            needs.add("ambiguity")
        if each.spread_power:
            needs.add("embeddings")
    if arm.tasks in ("split", "clusters"):
        needs.add("embeddings")
    return frozenset(needs)


def spend(
    draw: Draw,
    arm: ArmConfig,
    budget: int,
    ask_trained: AskTrained,
    *,
    gains: Mapping[str, NDArray[np.float64]] | None = None,
) -> NDArray[np.int64]:
    """Choose the pool rows that an arm labels.

    Parameters
    ----------
    draw : Draw
        Prepared for `find_needs` of the arm.
    arm : ArmConfig
        Its rounds.
    budget : int
        Labels in all.
    ask_trained : AskTrained
        Gives the answers of a model trained on labelled rows.
    gains : mapping of str to ndarray of float64, optional
        For the oracle: the figure of each task after 0, 1, 2, … labels, higher is better.

    Returns
    -------
    ndarray of int64, shape (min(budget, n_rows),)
        Pool rows in the order chosen.
    """
    frame = _cut_tasks(draw, arm)
    names, task = number_tasks(frame, "task", required=True, strategy=arm.name)
    spending = _Spending(draw, arm, frame, task, len(names), ask_trained)
    budget = min(budget, frame.height)
    if arm.oracle:
        assert gains is not None  # noqa: S101 - the runner measures them first
        quotas = best_quotas([gains[name] for name in names], spending.available, budget)
        spending.take(quotas, arm.rounds[0])
        return spending.labelled
    for each in arm.rounds:
        spending.spend_round(each, goal=min(budget, len(spending.labelled) + spending.size_of(each, budget)))
    return spending.labelled


def _cut_tasks(draw: Draw, arm: ArmConfig) -> pl.DataFrame:
    """Return the prompts with the tasks that the arm sees."""
    frame = draw.prompts
    if arm.tasks == "true":
        return frame
    assert arm.n_tasks is not None  # noqa: S101 - checked with the study's file; for the type checker
    names, task = number_tasks(frame, "task", required=True, strategy=arm.name)
    if arm.tasks == "merged":
        # Neighbours by name, which in most collections are of one kind.
        cut = task * arm.n_tasks // len(names)
    elif arm.tasks == "clusters":
        cut = tasksel_core.k_means(draw.embeddings, min(arm.n_tasks, frame.height), seed=draw.seed)[1]
    else:
        cut = _split_tasks(draw, task, len(names), arm.n_tasks)
    return frame.with_columns(pl.Series("task", [f"{arm.tasks}-{number:04d}" for number in cut]))


def _split_tasks(draw: Draw, task: NDArray[np.int64], n_tasks: int, n_wanted: int) -> NDArray[np.int64]:
    """Cut each task into the same number of clusters, fewer where it has fewer rows."""
    parts = max(1, round(n_wanted / n_tasks))
    cut = np.empty(len(task), dtype=np.int64)
    for number in range(n_tasks):
        rows = np.flatnonzero(task == number)
        clusters = tasksel_core.k_means(draw.embeddings[rows], min(parts, len(rows)), seed=draw.seed)[1]
        cut[rows] = number * parts + clusters
    return cut


@dataclass
class _Spending:
    """An arm between two rounds: what it has labelled so far."""

    draw: Draw
    arm: ArmConfig
    frame: pl.DataFrame
    task: NDArray[np.int64]
    n_tasks: int
    ask_trained: AskTrained
    labelled: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def available(self) -> NDArray[np.int64]:
        return np.bincount(self.task, minlength=self.n_tasks)

    @property
    def labelled_counts(self) -> NDArray[np.int64]:
        return np.bincount(self.task[self.labelled], minlength=self.n_tasks)

    def size_of(self, each: RoundConfig, budget: int) -> int:
        """Return how many labels a round buys."""
        if each.per_task is not None:
            return int(np.minimum(self.available, each.per_task).sum())
        return budget if each.share is None else round(budget * each.share)

    def spend_round(self, each: RoundConfig, *, goal: int) -> None:
        """Label until there are `goal` labels."""
        if goal <= len(self.labelled):
            return
        is_later = len(self.labelled) > 0 and each.strategy in _LABELLED_ALLOCATORS
        if is_later or each.has_own_weights:
            log_weights = self._log_weights(each)
            self.take(self._quotas(each, log_weights, goal), each)
        else:
            self._select_from_rest(each, goal - len(self.labelled))

    def _select_from_rest(self, each: RoundConfig, budget: int) -> None:
        needs = find_needs(self.arm)
        labelled = LabelledRows(np.sort(self.labelled), np.empty(0, dtype=np.int64), "earlier rounds")
        found = select_rows(
            self.frame,
            budget=budget,
            scores=(lambda metric: self._read_scores(each, metric)) if "scores" in needs else None,
            strategy=each.strategy,
            within=each.within,
            base=each.base,
            alpha=each.alpha,
            max_weight_ratio=each.max_weight_ratio,
            metric=each.metric,
            task_mean=each.task_mean,
            rounding=each.rounding,
            options=each.options,
            seed=self.draw.seed,
            embeddings=self.draw.embeddings if "embeddings" in needs else None,
            labelled=labelled if len(self.labelled) else None,
        )
        self.labelled = np.concatenate([self.labelled, found.rows])

    def _read_scores(self, each: RoundConfig, metric: str) -> Scores:
        if each.scores == "base":
            return self.draw.read_scores(metric)
        everything = np.arange(len(self.task))
        return self.ask_trained(self.labelled, everything, self.arm.label_noise).read_scores(
            self.draw, metric
        )

    def _log_weights(self, each: RoundConfig) -> NDArray[np.float64]:
        """Return the log-weight of each task, before any cap."""
        if each.strategy == "task-diversity":
            return np.zeros(self.n_tasks)
        log_sizes = np.log(self.available)
        if each.strategy == "size-proportional":
            return log_sizes
        log_weights = (
            self._confidence_weights(each) if each.signal == "confidence" else self._signal_weights(each)
        )
        log_weights = log_weights + each.size_power * log_sizes
        if each.spread_power:
            log_weights = log_weights + each.spread_power * np.log(self._spread())
        if each.order == "inverted":
            return -log_weights
        if each.order == "shuffled":
            return np.random.default_rng([self.draw.seed, 11]).permutation(log_weights)
        return log_weights

    def _confidence_weights(self, each: RoundConfig) -> NDArray[np.float64]:
        log_confidence = self._read_scores(each, each.metric or "product").log_confidence
        by_task = tasksel_core.task_log_confidence(
            log_confidence, self.task, self.n_tasks, mean=each.task_mean
        )
        return tasksel_core.inverse_confidence_weights(
            by_task, alpha=each.alpha, max_ratio=each.max_weight_ratio, log=True
        )

    def _signal_weights(self, each: RoundConfig) -> NDArray[np.float64]:
        """Weigh each task by what its labels so far say is left to learn, or what they set in motion."""
        without_labels = {"churn": self._churn, "ambiguity": self._ambiguity}
        values = without_labels[each.signal]() if each.signal in without_labels else self._shrunk_signal(each)
        signal: NDArray[np.float64] = np.maximum(values + each.offset, _SMALLEST_SIGNAL)
        log_weights = each.alpha * np.log(signal)
        if each.max_weight_ratio is not None:
            log_weights = np.minimum(log_weights, log_weights.min() + np.log(each.max_weight_ratio))
        return log_weights

    def _shrunk_signal(self, each: RoundConfig) -> NDArray[np.float64]:
        """Return the mean signal of each task's labels, drawn towards the prior."""
        values = self._label_signal(each)
        counts = self.labelled_counts
        sums = np.bincount(self.task[self.labelled], weights=values, minlength=self.n_tasks)
        prior = np.full(self.n_tasks, values.mean())
        if each.prior == "confidence":
            log_confidence = self._read_scores(each, each.metric or "product").log_confidence
            prior = 1 - np.exp(tasksel_core.task_log_confidence(log_confidence, self.task, self.n_tasks))
        shrunk: NDArray[np.float64] = (sums + each.shrinkage * prior) / np.maximum(counts + each.shrinkage, 1)
        return np.where(counts + each.shrinkage == 0, prior, shrunk)

    def _churn(self) -> NDArray[np.float64]:
        """Return the share of each task's prompts that a model trained on the labels so far answers anew.

        Of every task a random sample is asked, so that it costs a large pool no second scoring.
        """
        rng = np.random.default_rng([self.draw.seed, 19])
        asked = sample_rows(self.task, self.n_tasks, _CHURN_PROMPTS, rng)
        probe = self.ask_trained(self.labelled, asked, self.arm.label_noise)
        changed = (probe.read_generations(self.draw) != self.draw.generations.gather(asked)).to_numpy()
        counts = np.bincount(self.task[asked], minlength=self.n_tasks)
        churn: NDArray[np.float64] = (
            np.bincount(self.task[asked], weights=changed, minlength=self.n_tasks) / counts
        )
        return churn

    def _ambiguity(self) -> NDArray[np.float64]:
        """Return how often two answers that the base model draws to one prompt of a task differ."""
        ambiguity = self.draw.ambiguity
        asked = np.flatnonzero(~np.isnan(ambiguity))
        counts = np.bincount(self.task[asked], minlength=self.n_tasks)
        sums = np.bincount(self.task[asked], weights=ambiguity[asked], minlength=self.n_tasks)
        means: NDArray[np.float64] = sums / np.maximum(counts, 1)
        return np.where(counts == 0, ambiguity[asked].mean(), means)

    def _spread(self) -> NDArray[np.float64]:
        """Return one minus the mean cosine of two different prompts of each task.

        Hidden states share a large common part, which is taken out first.
        """
        vectors = self.draw.embeddings.astype(np.float64)
        vectors -= vectors.mean(axis=0)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _SMALLEST_SIGNAL)
        sums = np.zeros((self.n_tasks, vectors.shape[1]))
        np.add.at(sums, self.task, vectors)
        n = self.available
        pairs = np.maximum(n * (n - 1), 1)
        cosines = ((sums**2).sum(axis=1) - n) / pairs
        known = n > 1
        spread: NDArray[np.float64] = np.where(
            known, 1 - cosines, 1 - cosines[known].mean() if known.any() else 1
        )
        return np.maximum(spread, _SMALLEST_SIGNAL)

    def _label_signal(self, each: RoundConfig) -> NDArray[np.float64]:
        """Return the signal of each labelled row, in the order of `labelled`."""
        if each.signal == "loss":
            return self.draw.losses[self.labelled]
        if each.signal == "error" and each.scores == "trained":
            return self._error_after()
        before = self._errors(self.draw.generations.gather(self.labelled), self.labelled)
        return before if each.signal == "error" else before + self._error_after()

    def _error_after(self) -> NDArray[np.float64]:
        """Return whether each labelled row is answered wrongly by a model that learned the others' half.

        Two trainings, each on one half of every task's labels, each asked the other half: a model that is
        asked what it has learned by heart would have no errors.
        """
        ordered = np.sort(self.labelled)
        shuffled = np.random.default_rng([self.draw.seed, 13]).permutation(ordered)
        turn = np.zeros(self.n_tasks, dtype=np.int64)
        halves = np.empty(len(shuffled), dtype=np.int64)
        for place, number in enumerate(self.task[shuffled]):
            halves[place] = turn[number] % 2
            turn[number] += 1
        errors = np.zeros(len(self.task))
        for half in (0, 1):
            learned, asked = shuffled[halves == half], np.sort(shuffled[halves != half])
            if len(learned) and len(asked):
                probe = self.ask_trained(learned, asked, self.arm.label_noise)
                errors[asked] = self._errors(probe.read_generations(self.draw), asked)
        return errors[self.labelled]

    def _errors(self, generations: pl.Series, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        responses = self.draw.pool["response"].gather(rows)
        return np.array(
            [
                1.0 - exact_match(generation or "", response)
                for generation, response in zip(generations, responses, strict=True)
            ]
        )

    def _quotas(self, each: RoundConfig, log_weights: NDArray[np.float64], goal: int) -> NDArray[np.int64]:
        """Return how many labels each task shall have, those of earlier rounds included."""
        base = (find_strategy(each.strategy).base or 0) if each.base is None else each.base
        available, labelled = self.available, self.labelled_counts
        limits = available
        if each.max_share_ratio is not None:
            share = int(np.ceil(each.max_share_ratio * goal / self.n_tasks))
            limits = np.maximum(np.minimum(available, share), labelled)
        new_labels = goal - len(self.labelled)
        if limits.sum() - labelled.sum() < new_labels:
            limits = available
        return labelled + tasksel_core.allocate(
            log_weights,
            limits - labelled,
            new_labels,
            base=base,
            labelled=labelled,
            rounding=each.rounding,
            log_weights=True,
        )

    def take(self, quotas: NDArray[np.int64], each: RoundConfig) -> None:
        """Label up to `quotas` rows of each task, in the order of the round's picker."""
        rest = np.setdiff1d(np.arange(len(self.task)), self.labelled)
        wanted = quotas - self.labelled_counts
        picker = find_picker(each.within)
        confidences = {}
        if "confidence" in picker.needs:
            metric = picker.metric or each.metric or "product"
            confidences[metric] = self._read_scores(each, metric).log_confidence[rest]
        problem = RankingProblem(
            task=self.task[rest],
            n_tasks=self.n_tasks,
            budget=int(wanted.sum()),
            seed=self.draw.seed,
            log_confidence=next(iter(confidences.values()), None),
            confidences=confidences,
            embeddings=self.draw.embeddings[rest] if "embeddings" in picker.needs else None,
        )
        ranking = Ranking(tasksel_core.round_robin(self.task[rest], wanted, seed=self.draw.seed))
        ordered = order_within_tasks(problem, ranking, picker, own_options=dict(each.options))
        self.labelled = np.concatenate([self.labelled, rest[ordered.rows]])
