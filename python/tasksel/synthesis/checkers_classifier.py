"""A small classifier on embeddings, trained from labelled real rows; how wrong it is, is part of the answer.

Multinomial logistic regression with an L2 penalty, cross-validated. Its realised shares are corrected for its
own confusions (adjusted counting), and where it is hardly better than chance it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.intervals import wilson_interval
from tasksel.synthesis.checkers import Confusion, Realised, normalised_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.synthesis.checkers import CheckedDimension, Evidence

__all__ = [
    "LogisticClassifier",
    "corrected_shares",
    "cross_validated",
    "find_by_classifier",
    "train_classifier",
]

N_FOLDS: Final = 5
MIN_ROWS: Final = 5
"""Labelled rows of a value that is learned; a value with fewer is left out."""
MAX_ROWS: Final = 20_000
"""Labelled rows that are trained on; of more a random part is taken."""
MIN_ADVANTAGE: Final = 0.1
"""The lower end of the balanced accuracy's interval must be this share of the way from chance to perfect."""
PENALTY: Final = 1e-3
_STEPS: Final = 400
_TOLERANCE: Final = 1e-5


class LogisticClassifier:
    """Multinomial logistic regression on standardised columns.

    Parameters
    ----------
    mean, scale : ndarray of float64, shape (n_dimensions,)
        Of the training rows.
    weights : ndarray of float64, shape (n_dimensions + 1, n_classes)
        The last row is the intercept.
    """

    def __init__(
        self, mean: NDArray[np.float64], scale: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> None:
        self.mean, self.scale, self.weights = mean, scale, weights

    def predict(self, vectors: NDArray[Any]) -> NDArray[np.int64]:
        """Return the most probable class of each row; the lowest of equal ones."""
        features = _features(vectors, self.mean, self.scale)
        return np.asarray((features @ self.weights).argmax(axis=1), dtype=np.int64)


def train_classifier(
    vectors: NDArray[Any], classes: NDArray[np.int64], n_classes: int, *, penalty: float = PENALTY
) -> LogisticClassifier:
    """Fit the regression by Nesterov's accelerated gradient with restarts; every class counts the same.

    Parameters
    ----------
    vectors : ndarray, shape (n_rows, n_dimensions)
        Finite.
    classes : ndarray of int64, shape (n_rows,)
        From 0 to ``n_classes - 1``; each occurs.
    n_classes : int
        At least 2.
    penalty : float
        On half the squared weights, without the intercept.

    Returns
    -------
    LogisticClassifier

    References
    ----------
    O'Donoghue, B., Candès, E. (2015). Adaptive restart for accelerated gradient schemes. Foundations of
    Computational Mathematics 15, 715-732.

    Examples
    --------
    >>> vectors = np.array([[0.0, 1], [0.1, 1], [1, 0], [1.1, 0]])
    >>> train_classifier(vectors, np.array([0, 0, 1, 1]), 2).predict(vectors).tolist()
    [0, 0, 1, 1]
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    # One scale for all columns keeps the geometry of the embedding; a column alone must not be blown up.
    scale = np.full_like(mean, max(float(np.sqrt((deviation**2).mean())), 1e-12) * np.sqrt(len(mean)))
    features = _features(vectors, mean, scale)
    sizes = np.bincount(classes, minlength=n_classes)
    # Shares of the real rows are not those of the plan: equal weight a class leaves no prior to correct.
    row_weights = 1.0 / (n_classes * sizes[classes])
    wanted = np.eye(n_classes)[classes]
    # Half the largest eigenvalue of the weighted Gram matrix bounds the curvature (Boehning 1992).
    gram = (features * row_weights[:, None]).T @ features
    rate = 1.0 / (0.5 * float(np.linalg.eigvalsh(gram)[-1]) + penalty)
    decay = np.full((features.shape[1], 1), penalty)
    decay[-1] = 0.0
    weights = np.zeros((features.shape[1], n_classes))
    ahead, momentum = weights.copy(), 1.0
    for _ in range(_STEPS):
        errors = (_softmax(features @ ahead) - wanted) * row_weights[:, None]
        gradient = features.T @ errors + decay * ahead
        moved = ahead - rate * gradient
        if (gradient * (moved - weights)).sum() > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - weights)
        weights, momentum = moved, following
        if np.abs(gradient).max() < _TOLERANCE:
            break
    return LogisticClassifier(mean, scale, weights)


def cross_validated(
    vectors: NDArray[Any], classes: NDArray[np.int64], n_classes: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return what the classifier finds for each row when it was trained without the row's fold.

    Folds are stratified: every class is dealt to them in a random order.
    """
    folds = np.empty(len(classes), dtype=np.int64)
    order = rng.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    folds[order] = np.arange(len(order)) % N_FOLDS
    found = np.empty(len(classes), dtype=np.int64)
    for fold in range(N_FOLDS):
        held = folds == fold
        model = train_classifier(vectors[~held], classes[~held], n_classes)
        found[held] = model.predict(vectors[held])
    return found


def find_by_classifier(dimension: CheckedDimension, evidence: Evidence) -> Realised:
    """Classify each record by its embedding, or say why that cannot be trusted.

    Parameters
    ----------
    dimension : CheckedDimension
        Whose check has the kind ``classifier``; ``column`` names the label among the real rows.
    evidence : Evidence
        With `vectors`, `real` and `real_vectors`.

    Returns
    -------
    Realised
        The account has ``labelled_rows``, ``accuracy`` and ``balanced_accuracy`` with an interval each, and
        ``chance``. Records without a finite vector have no value.
    """
    missing = _what_is_missing(dimension, evidence)
    if missing:
        return Realised([], missing)
    assert evidence.vectors is not None  # noqa: S101 - said to be there above
    vectors, classes, values = _labelled(dimension, evidence)
    if len(values) < 2:
        return Realised(
            [], f"fewer than two values have {MIN_ROWS} labelled real rows, so there is nothing to learn"
        )
    rng = np.random.default_rng(evidence.seed)
    counts = np.zeros((len(values), len(values)), dtype=np.int64)
    np.add.at(counts, (classes, cross_validated(vectors, classes, len(values), rng)), 1)
    account = _describe(counts)
    low, chance = account["balanced_accuracy_interval"][0], account["chance"]
    if low < chance + MIN_ADVANTAGE * (1 - chance):
        reason = (
            f"the classifier is hardly better than chance (balanced accuracy "
            f"{account['balanced_accuracy']:.2f}, chance {chance:.2f}, {len(classes):,} labelled rows); "
            "label more real rows or use another check"
        )
        return Realised([], reason, account)
    usable = np.isfinite(evidence.vectors).all(axis=1)
    found: list[str | None] = [None] * len(evidence.vectors)
    model = train_classifier(vectors, classes, len(values))
    for row, number in zip(
        np.flatnonzero(usable).tolist(), model.predict(evidence.vectors[usable]).tolist(), strict=True
    ):
        found[row] = values[number]
    lacking = [value for value in dimension.values if value not in values]
    reason = f"too few labelled real rows of {', '.join(lacking)} to know them" if lacking else ""
    return Realised(found, reason, account, Confusion(values, counts))


def corrected_shares(
    found: NDArray[np.int64], confusion: NDArray[np.int64], *, steps: int = 500
) -> NDArray[np.float64]:
    """Estimate the true shares behind what a fallible classifier found: maximum likelihood, by EM.

    The counts found are a mixture of the rows of the confusion matrix; EM keeps the weights shares, where the
    inverse of the matrix can leave [0, 1].

    Parameters
    ----------
    found : ndarray of int64, shape (n_values,)
        How often each value was found.
    confusion : ndarray of int64, shape (n_values, n_values)
        True x found, of held-out rows with labels.
    steps : int
        Iterations.

    Returns
    -------
    ndarray of float64, shape (n_values,)
        Non-negative, of sum 1.

    References
    ----------
    Forman, G. (2008). Quantifying counts and costs via classification. Data Mining and Knowledge Discovery
    17, 164-206. Saerens, M., et al. (2002). Adjusting the outputs of a classifier to new a priori
    probabilities. Neural Computation 14, 21-41.

    Examples
    --------
    >>> corrected_shares(np.array([62, 38]), np.array([[900, 100], [200, 800]])).round(3).tolist()
    [0.6, 0.4]
    """
    if not found.sum():
        return np.full(len(found), 1.0 / len(found))
    # Half a count a cell: a confusion that was never seen is rare, not impossible.
    smoothed = confusion + 0.5 / len(found)
    rates = smoothed / smoothed.sum(axis=1, keepdims=True)
    shares = np.full(len(found), 1.0 / len(found))
    for _ in range(steps):
        mixture = shares @ rates
        updated = shares * (rates @ (found / mixture)) / found.sum()
        moved = np.abs(updated - shares).max()
        shares = updated
        if moved < 1e-9:
            break
    return np.asarray(shares / shares.sum())


def _what_is_missing(dimension: CheckedDimension, evidence: Evidence) -> str:
    if evidence.real is None:
        return "a classifier is trained from labelled real rows, and no real pool was given"
    column = _column(dimension)
    if column not in evidence.real.columns:
        return f"the real pool has no column {column!r} with labels"
    if evidence.vectors is None or evidence.real_vectors is None:
        return "a classifier needs embeddings of both the records and the real rows"
    if evidence.vectors.shape[1] != evidence.real_vectors.shape[1]:
        return (
            f"the embeddings have {evidence.vectors.shape[1]} and {evidence.real_vectors.shape[1]} "
            "dimensions; both must come from one model"
        )
    return ""


def _column(dimension: CheckedDimension) -> str:
    named = "" if dimension.check is None else dimension.check.column
    return named or dimension.name


def _labelled(
    dimension: CheckedDimension, evidence: Evidence
) -> tuple[NDArray[np.float64], NDArray[np.int64], tuple[str, ...]]:
    """Give vectors and classes of the real rows with an allowed label, and the values that are learned."""
    assert evidence.real is not None  # noqa: S101 - said to be there before
    assert evidence.real_vectors is not None  # noqa: S101 - likewise
    known = {normalised_value(value): place for place, value in enumerate(dimension.values)}
    labels = np.array(
        [
            -1 if label is None else known.get(normalised_value(label), -1)
            for label in evidence.real[_column(dimension)].to_list()
        ],
        dtype=np.int64,
    )
    labels[~np.isfinite(evidence.real_vectors).all(axis=1)] = -1
    kept = [place for place in range(len(dimension.values)) if (labels == place).sum() >= MIN_ROWS]
    rows = np.flatnonzero(np.isin(labels, kept))
    if len(rows) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(evidence.seed).choice(rows, MAX_ROWS, replace=False))
        kept = [place for place in kept if (labels[rows] == place).sum() >= MIN_ROWS]
        rows = rows[np.isin(labels[rows], kept)]
    numbers = {place: number for number, place in enumerate(kept)}
    classes = np.array([numbers[place] for place in labels[rows].tolist()], dtype=np.int64)
    values = tuple(dimension.values[place] for place in kept)
    return evidence.real_vectors[rows].astype(np.float64), classes, values


def _describe(counts: NDArray[np.int64]) -> dict[str, Any]:
    sizes, right = counts.sum(axis=1), np.diag(counts)
    recalls = right / sizes
    # Independent binomials: the variance of their mean.
    spread = 1.96 * float(np.sqrt((recalls * (1 - recalls) / sizes + 0.25 / sizes**2).sum())) / len(sizes)
    balanced = float(recalls.mean())
    return {
        "labelled_rows": int(sizes.sum()),
        "accuracy": float(right.sum() / sizes.sum()),
        "accuracy_interval": list(wilson_interval(int(right.sum()), int(sizes.sum()))),
        "balanced_accuracy": balanced,
        "balanced_accuracy_interval": [max(0.0, balanced - spread), min(1.0, balanced + spread)],
        "chance": 1.0 / len(sizes),
    }


def _features(
    vectors: NDArray[Any], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    scaled = (np.asarray(vectors, dtype=np.float64) - mean) / scale
    # Rows of about length 1, and an intercept.
    return np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
