"""How much the labels of a task repeat each other: near-duplicate texts, and vectors next to each other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.near_duplicates import SHINGLE_CHARS, SIMILARITY, find_near_duplicates
from tasksel.text_shingles import comparable_text, hash_shingles
from tasksel_core import nearest_neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tasksel.explanation_inputs import ExplainedRows

__all__ = ["Repeats", "find_repeats", "strip_template"]

MOST_LABELS: Final = 10_000
"""Labels that are compared, the first in rank order; of a larger selection that is one for less money."""
NEAR: Final = 0.05
"""Two vectors are near-duplicates where their squared distance is under a twentieth of the mean squared
distance between two prompts of the task. A fixed cosine cannot tell: 0.95 holds for most pairs of a narrow
task and, in a space of hidden states, for most pairs of a pool. See `scripts/explanation_study.py`."""
BLURRED: Final = 0.25
"""Vectors of a task tell its prompts apart where the mean squared distance between them is at least this
share of the median task's. Under that the model has most often cut the prompts off before they differ."""
_TEMPLATE_ROWS: Final = 200
_FEWEST_ROWS: Final = 8
"""Prompts under which what they share is no template."""
_FEW_LABELS: Final = 8
"""Labels of a task up to which all pairs are compared, which is quicker than signatures."""
_SPREAD_ROWS: Final = 2_000
_QUERY_ROWS: Final = 2_000
_CONTROL_ROWS: Final = 200
"""Prompts that a control of few labels is repeated for."""
_MOST_CONTROLS: Final = 20
_ALL_CONTROLS: Final = 4_000
"""Controls of all tasks together."""
_PARALLEL_ROWS: Final = 2_000


@dataclass(frozen=True, eq=False)
class Repeats:
    """How much the labels repeat each other.

    Parameters
    ----------
    is_repeated : ndarray of bool, shape (n_compared,)
        Of the first labels in rank order: whether a near-duplicate is among the others of its task.
    random_share : float or None
        Share of near-duplicate texts among as many prompts drawn at random; None without the pool.
    redundancy, pool_redundancy : ndarray of float64, shape (n_tasks,)
        Mean cosine similarity of a label to the nearest other label of its task, and the same for as many
        prompts of the task drawn at random; NaN under two labels or without vectors.
    blurred : ndarray of bool, shape (n_tasks,)
        Tasks whose vectors do not tell their prompts apart.
    """

    is_repeated: NDArray[np.bool_]
    random_share: float | None
    redundancy: NDArray[np.float64]
    pool_redundancy: NDArray[np.float64]
    blurred: NDArray[np.bool_]


def find_repeats(rows: ExplainedRows, *, seed: int = 0) -> Repeats:
    """Compare the labels of each task with each other, and as many prompts drawn at random.

    Texts are compared without what all prompts of their task begin and end with. Vectors add what is worded
    otherwise, in tasks whose prompts they tell apart.

    Parameters
    ----------
    rows : ExplainedRows
        With or without embeddings.
    seed : int
        Of what is drawn at random.
    """
    rng = np.random.default_rng(seed)
    compared = rows.picked_rows[:MOST_LABELS]
    groups = _Groups(rows)
    is_repeated = groups.repeated_texts(compared)
    random_share = None
    if rows.pool is not None and len(compared) > 1:
        drawn = rng.choice(rows.frame.height, len(compared), replace=False)
        random_share = float(groups.repeated_texts(drawn).mean())
    n_tasks = rows.allocation.height
    if rows.embeddings is None:
        unknown = np.full(n_tasks, np.nan)
        return Repeats(is_repeated, random_share, unknown, unknown, np.zeros(n_tasks, dtype=bool))
    spreads = groups.spreads(rng)
    blurred = _blurred(spreads)
    redundancy, control = np.full(n_tasks, np.nan), np.full(n_tasks, np.nan)
    for task, places in enumerate(_by_task(rows.task[compared], n_tasks)):
        if len(places) > 1:
            asked, distances = _nearest(groups.unit_vectors(compared[places]), rng)
            redundancy[task] = 1.0 - np.mean(distances**2) / 2
            if not blurred[task]:
                is_repeated[places[asked[distances**2 < NEAR * spreads[task]]]] = True
            if rows.pool is not None:
                control[task] = groups.control(task, len(places), rng)
    return Repeats(is_repeated, random_share, redundancy, control, blurred)


def _by_task(task: NDArray[np.int64], n_tasks: int) -> list[NDArray[np.int64]]:
    order = np.argsort(task, kind="stable")
    return np.split(order, np.cumsum(np.bincount(task, minlength=n_tasks))[:-1])


def _blurred(spreads: NDArray[np.float64]) -> NDArray[np.bool_]:
    known = spreads[~np.isnan(spreads)]
    # Under half of the tasks may be blurred for the median to be that of one which is not.
    floor = BLURRED * float(np.median(known[known > 1e-9])) if (known > 1e-9).any() else 0.0
    return spreads < max(floor, 1e-9)  # not those of a single prompt, which are NaN


def _nearest(
    vectors: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows, all or some of them, and their distance to the nearest other one."""
    rows = np.arange(len(vectors))
    if len(rows) > _QUERY_ROWS:
        rows = np.sort(rng.choice(rows, _QUERY_ROWS, replace=False))
    # The nearest of all is the row itself, or one at the same place: the second is the nearest other one.
    n_threads = None if len(vectors) > _PARALLEL_ROWS else 1
    _, distances = nearest_neighbours(vectors[rows], vectors, 2, n_threads=n_threads)
    return rows, distances[:, 1].astype(np.float64)


class _Groups:
    """The rows of each task, as texts without their template and as vectors of length one."""

    def __init__(self, rows: ExplainedRows) -> None:
        self._rows = rows
        self._members = _by_task(rows.task, rows.allocation.height)
        self._templates: dict[int, tuple[int, int] | None] = {}

    def repeated_texts(self, picked: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of the rows have a near-duplicate text among the others of their task."""
        is_repeated = np.zeros(len(picked), dtype=bool)
        texts = self._rows.frame["prompt"].gather(picked).to_list()
        for task, places in enumerate(_by_task(self._rows.task[picked], len(self._members))):
            if len(places) > 1:
                repeated = self._repeated(task, [texts[place] for place in places])
                is_repeated[places[repeated]] = True
        return is_repeated

    def _repeated(self, task: int, texts: Sequence[str]) -> list[int]:
        template = self._template(task)
        if template is None:
            first: dict[str, int] = {}
            of = [first.setdefault(comparable_text(text), row) for row, text in enumerate(texts)]
            return sorted({each for row, kept in enumerate(of) if kept != row for each in (row, kept)})
        cores = [strip_template(text, template) for text in texts]
        if len(cores) <= _FEW_LABELS:
            return _compare_all(cores)
        found = find_near_duplicates(cores)
        return sorted({*found.rows.tolist(), *found.of_rows.tolist()})

    def _template(self, task: int) -> tuple[int, int] | None:
        """Return how many characters all prompts of a task begin and end with; None where they are few."""
        if task not in self._templates:
            members = self._members[task]
            some = members[:: max(1, len(members) // _TEMPLATE_ROWS)]
            texts = self._rows.frame["prompt"].gather(some).to_list()
            self._templates[task] = _shared_ends(texts) if len(texts) >= _FEWEST_ROWS else None
        return self._templates[task]

    def unit_vectors(self, picked: NDArray[np.int64]) -> NDArray[np.float32]:
        assert self._rows.embeddings is not None  # noqa: S101 -- the caller has looked
        vectors = np.asarray(self._rows.embeddings[picked], dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units = np.zeros_like(vectors)
        np.divide(vectors, lengths, out=units, where=lengths > 0)
        return units

    def spreads(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the mean squared distance between two prompts of each task; NaN under two prompts."""
        spreads = np.full(len(self._members), np.nan)
        for task, members in enumerate(self._members):
            if len(members) > 1:
                some = (
                    rng.choice(members, _SPREAD_ROWS, replace=False)
                    if len(members) > _SPREAD_ROWS
                    else members
                )
                vectors = self.unit_vectors(some).astype(np.float64)
                centred = vectors - vectors.mean(axis=0)
                spreads[task] = 2.0 * float(np.einsum("ij,ij->", centred, centred)) / (len(some) - 1)
        return spreads

    def control(self, task: int, n_picked: int, rng: np.random.Generator) -> float:
        """Return the redundancy of as many prompts of a task drawn at random, over some draws."""
        members = self._members[task]
        all_of_it = n_picked == len(members)
        most = int(np.clip(_ALL_CONTROLS // len(self._members), 1, _MOST_CONTROLS))
        n_draws = 1 if all_of_it else int(np.clip(_CONTROL_ROWS // n_picked, 1, most))
        draws = [rng.choice(members, n_picked, replace=False) for _ in range(n_draws)]
        squares = [np.mean(_nearest(self.unit_vectors(drawn), rng)[1] ** 2) for drawn in draws]
        return float(1.0 - np.mean(squares) / 2)


def _compare_all(texts: Sequence[str]) -> list[int]:
    """Return which of a few texts nearly repeat another one: what `find_near_duplicates` would find."""
    hashes, offsets = hash_shingles([comparable_text(text) for text in texts], SHINGLE_CHARS)
    sets = [set(hashes[first:last].tolist()) for first, last in itertools.pairwise(offsets.tolist())]
    near = set()
    for (row, one), (other_row, other) in itertools.combinations(enumerate(sets), 2):
        common = len(one & other)
        if common and common >= SIMILARITY * (len(one) + len(other) - common):
            near |= {row, other_row}
    return sorted(near)


def _shared_ends(texts: Sequence[str]) -> tuple[int, int]:
    return _shared_start(texts), _shared_start([text[::-1] for text in texts])


def _shared_start(texts: Sequence[str]) -> int:
    """Return how many characters all texts begin with, in whole words."""
    first, last = min(texts), max(texts)
    ends = (place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1])
    shared = first[: next(ends, min(len(first), len(last)))]
    return max((place + 1 for place, char in enumerate(shared) if char.isspace()), default=0)


def strip_template(text: str, template: tuple[int, int]) -> str:
    """Return a text without so many characters at its beginning and end; all of it if nothing is left.

    Examples
    --------
    >>> strip_template("Is this spam? Win now! Answer:", (14, 8))
    'Win now!'
    >>> strip_template("spam", (4, 0))
    'spam'
    """
    start, end = template
    core = text[start : len(text) - end].strip() if start + end < len(text) else ""
    return core or text
