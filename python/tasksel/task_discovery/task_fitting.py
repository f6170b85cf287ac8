"""From prompts and embeddings to a task model: templates, clusters of the rest, small ones merged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.task_discovery.clustering import Clusters, density_clusters, mean_clusters
from tasksel.task_discovery.task_model import DiscoveredTask, TaskModel
from tasksel.task_discovery.templates import count_matches, match_templates, mine_templates
from tasksel.task_discovery.unit_vectors import (
    Nearest,
    mean_vectors,
    nearest_centers,
    usable_rows,
)
from tasksel.task_discovery.ward import ward_cuts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import polars as pl

    from tasksel.task_discovery.cluster_number import NumberChoice
    from tasksel.task_discovery.discovery_settings import DiscoverySettings
    from tasksel.task_discovery.templates import Template

__all__ = ["FAR_SHARE", "FittedTasks", "fit_tasks"]

FAR_SHARE: Final = 0.1
FENCE: Final = 3.0
"""A prompt is far from all centers when it is less similar to its own than nine of ten prompts are to the
nearest center of another task, or by Tukey's rule for what is far out: more than three interquartile ranges
under the lower quartile. The first bound counts where clusters run into each other, the second where they
stand apart."""


@dataclass(frozen=True)
class FittedTasks:
    """Tasks without names.

    Attributes
    ----------
    model : TaskModel
        The larger tasks first; each named by its number.
    labels : ndarray of int64, shape (n_rows,)
        Place of the task of each prompt, -1 for "other".
    choice : NumberChoice or None
        How the number of clusters was decided, where it was.
    notes : tuple of str
        What a person should know.
    """

    model: TaskModel
    labels: npt.NDArray[np.int64]
    choice: NumberChoice | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Parts:
    """Templates and centers, and the task of each."""

    templates: list[Template]
    centers: npt.NDArray[np.float32]
    template_tasks: npt.NDArray[np.int64]
    center_tasks: npt.NDArray[np.int64]
    least_similarity: float
    kinds: list[str]


def fit_tasks(
    texts: pl.Series,
    vectors: npt.NDArray[np.float32],
    settings: DiscoverySettings,
    *,
    min_size: int,
    progress: Callable[[int, int], object] | None = None,
) -> FittedTasks:
    """Find tasks.

    Parameters
    ----------
    texts : pl.Series of String
        From `tasksel.task_discovery.templates.normalised`.
    vectors : ndarray of float32, shape (n_texts, d)
        Their embeddings.
    settings : DiscoverySettings
        How they are looked for.
    min_size : int
        Prompts of the smallest task.
    progress : callable, optional
        Called as ``progress(done, total)`` while the number of clusters is chosen.

    Raises
    ------
    SchemaError
        The vectors are not finite.
    MissingExtraError
        HDBSCAN is asked for, and scikit-learn is not installed.
    """
    usable = usable_rows(vectors) & (texts != "").to_numpy()
    templates = (
        mine_templates(texts, min_prompts=max(min_size, 2), seed=settings.seed) if settings.templates else []
    )
    matches = match_templates(texts, templates)
    rest = np.flatnonzero((matches < 0) & usable)
    matched = np.flatnonzero((matches >= 0) & usable)
    template_centers = mean_vectors(vectors, matched, matches[matched], len(templates))
    clusters = _cluster(vectors, rest, len(templates), settings, min_size, progress)
    centers, least = _keep_large(vectors, rest, clusters.centers, min_size, keeps_one=not templates)
    notes = [] if len(centers) == len(clusters.centers) else [_merged_note(clusters, centers, min_size)]

    def count() -> npt.NDArray[np.int64]:
        own = nearest_centers(vectors, rest, centers).centers if len(centers) else rest[:0]
        return np.concatenate(
            [count_matches(matches, len(templates)), np.bincount(own, minlength=len(centers))]
        )

    parts = _parts(templates, template_centers, centers, least, settings, count)
    if not len(centers) and len(templates):
        parts = _with_template_centers(parts, template_centers, vectors, matched)
    return _ordered(parts, texts, vectors, clusters.choice, notes)


def _cluster(
    vectors: npt.NDArray[np.float32],
    rest: npt.NDArray[np.int64],
    n_templates: int,
    settings: DiscoverySettings,
    min_size: int,
    progress: Callable[[int, int], object] | None,
) -> Clusters:
    if not len(rest) or (n_templates and len(rest) < min_size):
        return Clusters(np.zeros((0, vectors.shape[1]), dtype=np.float32), None)
    if settings.method == "hdbscan":
        found = density_clusters(vectors, rest, min_rows=min_size, seed=settings.seed)
        # Where nothing is dense, all of it is one cluster.
        return found if len(found.centers) else mean_clusters(vectors, rest, 1, seed=settings.seed)
    number = settings.n_tasks
    share = len(rest) / len(vectors)
    if isinstance(number, tuple):
        number = (_left_for(number[0], n_templates, share), _left_for(number[1], n_templates, share))
    elif number is not None:
        number = _left_for(number, n_templates, share)
    return mean_clusters(vectors, rest, number, seed=settings.seed, progress=progress)


def _left_for(n_tasks: int, n_templates: int, share: float) -> int:
    """Return how many of the tasks are clusters: what templates leave, and no less than in proportion.

    Templates of a few prompts each would otherwise leave one cluster for nearly all of the pool; what is too
    many is merged afterwards.
    """
    return max(n_tasks - n_templates, round(n_tasks * share), 1)


def _keep_large(
    vectors: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    centers: npt.NDArray[np.float32],
    min_size: int,
    *,
    keeps_one: bool,
) -> tuple[npt.NDArray[np.float32], float]:
    """Drop the center of the smallest cluster, whose rows go to their nearest, until none is too small.

    Returns
    -------
    centers : ndarray of float32
        Those that are left.
    least_similarity : float
        Under which a row is far from all of them.
    """
    while len(centers):
        centers, nearest = _without_tiny(vectors, rows, centers, min_size)
        least = _least_similarity(nearest, len(centers))
        is_near = nearest.similarity >= least
        sizes = np.bincount(nearest.centers[is_near], minlength=len(centers))
        if sizes.min() >= min_size or (keeps_one and len(centers) == 1):
            return centers, least
        centers = np.delete(centers, sizes.argmin(), axis=0)
    return centers, -1.0


def _without_tiny(
    vectors: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    centers: npt.NDArray[np.float32],
    min_size: int,
) -> tuple[npt.NDArray[np.float32], Nearest]:
    nearest = nearest_centers(vectors, rows, centers)
    labels = nearest.centers.copy()
    alive = np.arange(len(centers))
    while len(alive) > 1:
        sizes = np.bincount(labels, minlength=len(centers))[alive]
        if sizes.min() >= min_size:
            break
        gone = alive[sizes.argmin()]
        alive = alive[alive != gone]
        moved = np.flatnonzero(labels == gone)
        if len(moved):
            labels[moved] = alive[nearest_centers(vectors, rows[moved], centers[alive]).centers]
    if len(alive) < len(centers):
        centers = centers[alive]
        nearest = nearest_centers(vectors, rows, centers)
    return centers, nearest


def _least_similarity(nearest: Nearest, n_centers: int) -> float:
    """Return the similarity under which a row is far from all centers; nothing is far where there is one."""
    if n_centers < 2 or not len(nearest.similarity):
        return -1.0
    foreign = float(np.quantile(nearest.next_similarity, FAR_SHARE))
    quarter, three_quarters = np.quantile(nearest.similarity, (0.25, 0.75)).tolist()
    return float(round(max(foreign, quarter - FENCE * (three_quarters - quarter)), 6))


def _parts(
    templates: list[Template],
    template_centers: npt.NDArray[np.float32],
    centers: npt.NDArray[np.float32],
    least: float,
    settings: DiscoverySettings,
    count: Callable[[], npt.NDArray[np.int64]],
) -> _Parts:
    """Give each template and center a task; merge tasks where fewer were asked for."""
    n_found = len(templates) + len(centers)
    kinds = ["template"] * len(templates) + ["cluster"] * len(centers)
    groups = np.arange(n_found)
    most = settings.n_tasks[1] if isinstance(settings.n_tasks, tuple) else settings.n_tasks
    if most is not None and n_found > most:
        groups = ward_cuts(np.concatenate([template_centers, centers]), count(), [most])[most]
        counts = np.bincount(groups)
        firsts = np.unique(groups, return_index=True)[1]
        kinds = [
            kinds[first] if counts[place] == 1 else "merged" for place, first in enumerate(firsts.tolist())
        ]
    return _Parts(templates, centers, groups[: len(templates)], groups[len(templates) :], least, kinds)


def _with_template_centers(
    parts: _Parts,
    centers: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    matched: npt.NDArray[np.int64],
) -> _Parts:
    """Let what no template fits go to the nearest template: nothing else is there."""
    kept = np.flatnonzero(np.square(centers).sum(axis=1) > 0)
    if not len(kept):
        return parts
    least = _least_similarity(nearest_centers(vectors, matched, centers[kept]), len(kept))
    return replace(
        parts, centers=centers[kept], center_tasks=parts.template_tasks[kept], least_similarity=least
    )


def _ordered(
    parts: _Parts,
    texts: pl.Series,
    vectors: npt.NDArray[np.float32],
    choice: NumberChoice | None,
    notes: list[str],
) -> FittedTasks:
    """Assign every prompt as a new one would be, and put the larger tasks first."""
    model = _numbered_model(parts, np.arange(len(parts.kinds)))
    labels = model.assign(texts, vectors)
    sizes = np.bincount(labels[labels >= 0], minlength=len(parts.kinds))
    order = np.lexsort((np.arange(len(sizes)), -sizes))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    labels[labels >= 0] = places[labels[labels >= 0]]
    return FittedTasks(_numbered_model(parts, places), labels, choice, tuple(notes))


def _numbered_model(parts: _Parts, places: npt.NDArray[np.int64]) -> TaskModel:
    kinds = [kind for _, kind in sorted(zip(places.tolist(), parts.kinds, strict=True))]
    return TaskModel(
        tasks=tuple(DiscoveredTask(f"task {number + 1}", kind) for number, kind in enumerate(kinds)),
        templates=tuple(parts.templates),
        template_tasks=places[parts.template_tasks],
        centers=parts.centers,
        center_tasks=places[parts.center_tasks],
        least_similarity=parts.least_similarity,
    )


def _merged_note(clusters: Clusters, centers: npt.NDArray[np.float32], min_size: int) -> str:
    gone = len(clusters.centers) - len(centers)
    what = "1 cluster" if gone == 1 else f"{gone:,} clusters"
    return (
        f"{what} of {len(clusters.centers):,} had fewer than {min_size:,} prompts and went to the nearest "
        "others; --min-size changes that."
    )
