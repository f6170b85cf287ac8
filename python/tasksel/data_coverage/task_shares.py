"""Shares of the tasks in a set without labels: how likely each task makes each row, and which mixture fits.

How likely is what linear discriminants of labelled real rows say, each row judged by discriminants that were
fitted without it. A temperature and a factor for each task make the likelihoods honest; the mixture is found
by expectation-maximisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Reference", "TaskModels", "estimate_shares", "fit_task_models"]

N_FOLDS: Final = 5
SHRINKAGE: Final = 0.1
"""Part of the mean variance that is added to the covariance within tasks."""
TEMPERATURES: Final = np.geomspace(0.01, 2.0, 40)
MAX_TEMPERED_ROWS: Final = 4000
FACTOR_STEPS: Final = 20
FACTOR_ROWS: Final = 10.0
"""Rows of each task that are taken to be judged rightly on the whole: factors of small tasks are noise."""
PRIOR_ROWS: Final = 1.0
"""Rows a task, with the real shares, that are added to those whose shares are looked for."""
SHARE_STEPS: Final = 60
MAX_LIKELIHOODS: Final = 1 << 24
"""Numbers in the table of likelihoods: a sample of the real rows is judged where there would be more."""
LEAST_LOG: Final = np.float32(-30.0)
"""Of a likelihood: products of smaller ones are subnormal, and a processor is ten times slower with those."""
BLOCK_ROWS: Final = 8192


class Reference(NamedTuple):
    """The real set as other sets are compared with it.

    Attributes
    ----------
    shares : ndarray of float64, shape (n_tasks,)
        Of the tasks.
    factors : ndarray of float32, shape (n_tasks,)
        What likelihoods are multiplied with: then the tasks' mean posteriors are their shares.
    """

    shares: npt.NDArray[np.float64]
    factors: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Discriminants:
    """Linear scores of the tasks: log likelihoods but for what all tasks of a row have in common."""

    center: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]

    def __call__(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        scores = np.empty((len(rows), len(self.offsets)), dtype=np.float32)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            scores[start : start + BLOCK_ROWS] = (block - self.center) @ self.weights + self.offsets
        return scores


@dataclass(frozen=True)
class TaskModels:
    """Discriminants of each fold, and what they say of the real rows that they did not see.

    Attributes
    ----------
    likelihoods : ndarray of float32, shape (n_judged, n_tasks)
        Of real rows, in each row relative to the likeliest task.
    tasks : ndarray of int64, shape (n_judged,)
        Of the same rows.
    """

    folds: tuple[_Discriminants, ...]
    temperature: float
    likelihoods: npt.NDArray[np.float32]
    tasks: npt.NDArray[np.int64]

    def judge(self, rows: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Return the likelihoods of other rows, each judged by one fold as the real rows were."""
        scores = np.empty((len(rows), self.likelihoods.shape[1]), dtype=np.float32)
        fold = rng.permutation(len(rows)) % len(self.folds)
        for number, discriminants in enumerate(self.folds):
            members = fold == number
            scores[members] = discriminants(rows[members])
        return _likelihoods(scores, self.temperature)

    def reference(self, rng: np.random.Generator | None = None) -> Reference:
        """Return shares and factors of the judged rows, or of a bootstrap sample of them.

        References
        ----------
        Alexandari, A., Kundaje, A., and Shrikumar, A. (2020). Maximum Likelihood with Bias-Corrected
        Calibration is Hard-To-Beat at Label Shift Adaptation. ICML.
        """
        n_rows, n_tasks = self.likelihoods.shape
        weights = np.ones(n_rows) if rng is None else rng.multinomial(n_rows, np.full(n_rows, 1 / n_rows))
        rows = np.bincount(self.tasks, weights=weights, minlength=n_tasks)
        shares, factors = rows / n_rows, np.ones(n_tasks)
        for _ in range(FACTOR_STEPS):
            weighted = (shares * factors).astype(np.float32)
            expected = np.maximum(self.likelihoods @ weighted, np.float32(1e-30))
            judged = weighted * ((weights.astype(np.float32) / expected) @ self.likelihoods)
            factors *= np.clip((rows + FACTOR_ROWS) / (judged + FACTOR_ROWS), 0.01, 100.0)
        return Reference(shares, factors.astype(np.float32))


def fit_task_models(
    rows: npt.NDArray[np.float32], tasks: npt.NDArray[np.int64], n_tasks: int, rng: np.random.Generator
) -> TaskModels:
    """Fit discriminants by cross-fitting, and the temperature of their likelihoods.

    Parameters
    ----------
    rows : ndarray of float32, shape (n_rows, n_columns)
    tasks : ndarray of int64, shape (n_rows,)
    n_tasks : int
        Codes are 0 to `n_tasks` - 1.
    rng : numpy.random.Generator
        Of the folds.

    References
    ----------
    Hastie, T., Tibshirani, R., and Friedman, J. (2009). The Elements of Statistical Learning, section 4.3.
    """
    # Each fold has its part of each task, as far as the task has a row for each.
    order = np.lexsort((rng.random(len(rows)), tasks))
    fold = np.empty(len(rows), dtype=np.int64)
    fold[order] = np.arange(len(rows)) % N_FOLDS
    folds = _fit_folds(rows, tasks, n_tasks, fold)
    judged = np.sort(rng.permutation(len(rows))[: max(1, MAX_LIKELIHOODS // n_tasks)])
    scores = np.empty((len(judged), n_tasks), dtype=np.float32)
    for number, discriminants in enumerate(folds):
        members = fold[judged] == number
        scores[members] = discriminants(rows[judged[members]])
    temperature = _fit_temperature(scores, tasks[judged], rng)
    return TaskModels(folds, temperature, _likelihoods(scores, temperature), tasks[judged])


def estimate_shares(likelihoods: npt.NDArray[np.float32], reference: Reference) -> npt.NDArray[np.float64]:
    """Find the shares of tasks that make rows likely, beginning at the real shares.

    Parameters
    ----------
    likelihoods : ndarray of float32, shape (n_rows, n_tasks)
    reference : Reference
        A task that has no share there gets none.

    References
    ----------
    Saerens, M., Latinne, P., and Decaestecker, C. (2002). Adjusting the Outputs of a Classifier to New a
    Priori Probabilities. Neural Computation 14(1).

    Examples
    --------
    >>> sure = np.repeat(np.array([[1, 0.01], [0.01, 1]], dtype=np.float32), [75, 25], axis=0)
    >>> even = Reference(np.array([0.5, 0.5]), np.ones(2, dtype=np.float32))
    >>> estimate_shares(sure, even).round(2).tolist()
    [0.75, 0.25]
    """
    weighted = likelihoods * reference.factors
    shares = reference.shares.astype(np.float32)
    added = np.float32(PRIOR_ROWS * len(shares)) * shares
    for _ in range(SHARE_STEPS):
        expected = np.maximum(weighted @ shares, np.float32(1e-30))
        shares = shares * ((1 / expected) @ weighted) + added
        shares /= shares.sum()
    return shares.astype(np.float64)


def _fit_folds(
    rows: npt.NDArray[np.float32],
    tasks: npt.NDArray[np.int64],
    n_tasks: int,
    fold: npt.NDArray[np.int64],
) -> tuple[_Discriminants, ...]:
    """Fit on all but one fold each; sums of each fold are taken once and subtracted."""
    center = rows.mean(axis=0, dtype=np.float64)
    n_columns = rows.shape[1]
    counts = np.zeros((N_FOLDS, n_tasks))
    sums = np.zeros((N_FOLDS, n_tasks, n_columns))
    products = np.zeros((N_FOLDS, n_columns, n_columns))
    for number in range(N_FOLDS):
        members = np.flatnonzero(fold == number)
        for start in range(0, len(members), BLOCK_ROWS):
            some = members[start : start + BLOCK_ROWS]
            block = rows[some] - center
            products[number] += block.T @ block
            np.add.at(counts[number], tasks[some], 1.0)
            np.add.at(sums[number], tasks[some], block)
    total = counts.sum(axis=0), sums.sum(axis=0), products.sum(axis=0)
    return tuple(
        _fit_discriminants(
            center, total[0] - counts[number], total[1] - sums[number], total[2] - products[number]
        )
        for number in range(N_FOLDS)
    )


def _fit_discriminants(
    center: npt.NDArray[np.float64],
    counts: npt.NDArray[np.float64],
    sums: npt.NDArray[np.float64],
    products: npt.NDArray[np.float64],
) -> _Discriminants:
    """Give the log density of normal distributions with one covariance, less what tasks have in common."""
    # A task without a row lies at the center, where it attracts nothing in particular.
    means = sums / np.maximum(counts, 1.0)[:, None]
    within = products - (means * counts[:, None]).T @ means
    within /= max(counts.sum() - np.count_nonzero(counts), 1.0)
    variance = max(float(np.trace(within)) / len(within), 0.0)
    within += np.eye(len(within)) * max(SHRINKAGE * variance, 1e-12)
    weights = np.linalg.solve(within, means.T).astype(np.float64, copy=False)
    return _Discriminants(center, weights, -0.5 * (means * weights.T).sum(axis=1))


def _likelihoods(scores: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    """Return likelihoods relative to the likeliest task of each row."""
    logs = (scores - scores.max(axis=1, keepdims=True)) * np.float32(temperature)
    likelihoods: npt.NDArray[np.float32] = np.exp(np.maximum(logs, LEAST_LOG, out=logs), out=logs)
    return likelihoods


def _fit_temperature(
    scores: npt.NDArray[np.float32], tasks: npt.NDArray[np.int64], rng: np.random.Generator
) -> float:
    """Choose the factor of the scores under which held-out labels are likeliest."""
    some = rng.permutation(len(scores))[:MAX_TEMPERED_ROWS]
    place = (np.arange(len(some)), tasks[some])
    prior = (np.bincount(tasks, minlength=scores.shape[1]) / len(tasks)).astype(np.float32)
    fits = []
    for temperature in TEMPERATURES:
        likelihoods = _likelihoods(scores[some], float(temperature))
        own, every = likelihoods[place] * prior[tasks[some]], likelihoods @ prior
        fits.append(float(np.log(np.maximum(own, 1e-30) / np.maximum(every, 1e-30)).mean()))
    return float(TEMPERATURES[int(np.argmax(fits))])
