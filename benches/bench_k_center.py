"""Greedy k-center against what else picks the same rows, in CPU time on one thread.

Run ``python benches/bench_k_center.py`` for the table, with ``--json`` for one JSON object,
``--case 20k/2k`` for some cases only, ``--pairs 5`` for more repeats, and
``--embeddings vectors.npy --budget 2000`` for vectors of your own. All start from the same row.

Picks are compared first. Ours must be those of one pass over all rows for each center, to the bit
(that pass, vectorised in Rust, is the contest "plain"); every pick of a prefix must be the farthest
row in float64 wherever the gap is over float32 rounding. The picks of the others must cover as well as ours.

The peers are optional: ``pip install '.[bench]'``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contest import Alternative, Case, Goal, Growth, Limit, main
from tasksel_core import covering_radii, k_center_greedy
from tasksel_core._core import _k_center_greedy_by, _k_center_ways
from vectors import KINDS, Embeddings, vectors

if TYPE_CHECKING:
    from collections.abc import Callable

Rows = NDArray[np.int64]

# Of a distance: float32 rounding of some hundred squares, several times over.
RTOL = 1e-5
# Of a covering radius: one pick that differs within rounding leads to others.
RADIUS_RTOL = 0.02
CHECKED_PICKS = 50
# Rows times centers: the plain traversal of a million rows and ten thousand centers takes half an hour.
MOST_CHECKED = 10**9


@dataclass(frozen=True)
class Task:
    """Vectors, how many of them are picked, and the center that is there."""

    embeddings: Embeddings
    budget: int
    start: int


def task_of(embeddings: Embeddings, budget: int) -> Task:
    """Start from the row nearest to the mean."""
    mean = embeddings.mean(axis=0)
    # In blocks: a million rows need no second matrix of the same size.
    blocks = np.array_split(embeddings, -(-len(embeddings) // 4096))
    from_mean = np.concatenate([np.linalg.norm(block - mean, axis=1) for block in blocks])
    return Task(embeddings, budget, int(from_mean.argmin()))


def made(kind: str, n_rows: int, budget: int, scale: float) -> Task:
    """Generate vectors of one kind."""
    return task_of(vectors(kind, max(2, round(n_rows * scale))), max(1, round(budget * scale)))


def read(path: Callable[[], Path], budget: int, scale: float) -> Task:
    """Take vectors from a file."""
    embeddings = np.load(path())
    return task_of(embeddings[: max(2, round(len(embeddings) * scale))], max(1, round(budget * scale)))


def with_tasksel(task: Task, n_threads: int = 1, **options: int) -> Rows:
    """Our picks after the start."""
    start = np.array([task.start])
    return k_center_greedy(task.embeddings, task.budget, initial_rows=start, n_threads=n_threads, **options)[
        0
    ]


def with_way(way: str, task: Task) -> Rows:
    """Our picks with no more than the instructions of a slower processor."""
    start = np.array([task.start])
    return _k_center_greedy_by(way, task.embeddings, task.budget, initial_rows=start, n_threads=1)[0]


def missing_way(way: str) -> str:
    """Say whether this processor is one of the slower ones."""
    return "" if way in _k_center_ways() else f"this processor has no {way}"


def with_plain(task: Task) -> Rows:
    """One fused, vectorised pass over all rows for each center."""
    start = np.array([task.start])
    return _k_center_greedy_by("plain", task.embeddings, task.budget, initial_rows=start, n_threads=1)[0]


def with_loop(task: Task, distances_to: Callable[[Embeddings, int], Embeddings]) -> Rows:
    """Run the usual loop around what gives the distances, or their squares, of all rows to one."""
    nearest = np.full(len(task.embeddings), np.inf, dtype=np.float32)
    rows = np.empty(task.budget + 1, dtype=np.int64)
    rows[0] = task.start
    for position in range(task.budget):
        center = rows[position]
        np.minimum(nearest, distances_to(task.embeddings, center), out=nearest)
        nearest[center] = -1
        rows[position + 1] = nearest.argmax()
    return rows[1:]


def with_blas(task: Task) -> Rows:
    """Squared norms once, one matrix-vector product for each center."""
    squares = np.einsum("ij,ij->i", task.embeddings, task.embeddings)

    def distances_to(embeddings: Embeddings, center: int) -> Embeddings:
        distances = embeddings @ embeddings[center]
        distances *= -2
        distances += squares
        distances += squares[center]
        return distances

    return with_loop(task, distances_to)


def with_sklearn(task: Task) -> Rows:
    """Ask scikit-learn for the distances to each center, as published code for core-sets does."""
    from sklearn.metrics import pairwise_distances

    return with_loop(task, lambda rows, center: pairwise_distances(rows, rows[[center]])[:, 0])


def with_faiss(task: Task) -> Rows:
    """Ask faiss for the distances to each center."""
    import faiss

    faiss.omp_set_num_threads(1)
    return with_loop(task, lambda rows, center: faiss.pairwise_distances(rows[[center]], rows)[0])


def with_simsimd(task: Task) -> Rows:
    """Ask simsimd for the distances to each center."""
    import simsimd

    def distances_to(embeddings: Embeddings, center: int) -> Embeddings:
        found = simsimd.cdist(embeddings[[center]], embeddings, metric="sqeuclidean", threads=1)
        return np.asarray(found)[0]

    return with_loop(task, distances_to)


def with_skmatter(task: Task) -> Rows:
    """Run skmatter's farthest-point sampling."""
    from skmatter.sample_selection import FPS

    selector = FPS(initialize=task.start, n_to_select=task.budget + 1)
    return selector.fit(task.embeddings).selected_idx_[1:]


def with_mundig(task: Task) -> Rows:
    """Run lightly-mundig's diversifying strategy."""
    from lightly_mundig import Selection

    selection = Selection()
    selection.add_diversifying_strategy(task.embeddings, 1.0)
    return np.array(selection.run_selection([task.start], len(task.embeddings), task.budget + 1)[1:])


def with_partitions(task: Task) -> Rows:
    """Pick in eight parts, then among their centers."""
    return with_tasksel(task, partitions=8)


def first_picks(loop: Callable[[Task], Rows], n_parts: int, task: Task) -> Rows:
    """Give a part of the picks of a loop, to which each pick costs the same."""
    return loop(Task(task.embeddings, max(1, task.budget // n_parts), task.start))


def assert_farthest(task: Task, rows: Rows) -> None:
    """Each of the first picks is the farthest row in float64, up to float32 rounding."""
    points = task.embeddings.astype(np.float64)
    nearest = np.full(len(points), np.inf)
    center = task.start
    for row in rows[:CHECKED_PICKS]:
        difference = points - points[center]
        nearest = np.minimum(nearest, np.sqrt(np.einsum("ij,ij->i", difference, difference)))
        assert nearest[row] >= nearest.max() * (1 - RTOL)
        center = row


def check(task: Task, ours: Rows) -> None:
    """Ours are the picks of the plain traversal, and those of float64 as far as rounding allows."""
    if len(task.embeddings) * task.budget <= MOST_CHECKED:
        assert_farthest(task, ours)
        np.testing.assert_array_equal(ours, with_plain(task))
    else:
        few = Task(task.embeddings, CHECKED_PICKS, task.start)
        np.testing.assert_array_equal(ours[:CHECKED_PICKS], with_plain(few))


def radius_of(task: Task, rows: Rows) -> float:
    """Largest distance of any row to its nearest center."""
    return float(
        covering_radii(task.embeddings, task.embeddings[np.append(task.start, rows)], n_threads=1)[-1]
    )


def agree(task: Task, ours: Rows, theirs: Rows) -> str:
    """Raise unless theirs cover as well as as many of ours; tell how many are the same."""
    ours = ours[: len(theirs)]
    if np.array_equal(ours, theirs):
        return "same picks"
    same, ratio = float(np.mean(ours == theirs)), radius_of(task, theirs) / radius_of(task, ours)
    np.testing.assert_allclose(ratio, 1, rtol=RADIUS_RTOL)
    return f"{same:.1%} same picks, covering radius {ratio:.4f} of ours"


def compare_radii(task: Task, ours: Rows, exact: Rows) -> str:
    """Tell how much farther the centers of partitions leave the farthest row."""
    return f"covering radius {radius_of(task, ours) / radius_of(task, exact):.3f} of exact"


BLAS = partial(Alternative, "numpy BLAS", with_blas)
PLAIN = partial(Alternative, "plain", with_plain)
MUNDIG = partial(Alternative, "lightly-mundig", with_mundig, ("lightly_mundig",))
LOOPS = (
    Alternative("simsimd", with_simsimd, ("simsimd",)),
    Alternative("faiss", with_faiss, ("faiss",)),
    Alternative("skmatter", with_skmatter, ("skmatter",)),
    Alternative(
        "scikit-learn, first tenth of the picks",
        partial(first_picks, with_sklearn, 10),
        ("sklearn",),
        times=10,
    ),
)


def input_bytes(task: Task) -> int:
    """Memory of the vectors."""
    return task.embeddings.nbytes


MEMORY = Limit(0.35, 0.3)


def case_of(
    name: str, kind: str, n_rows: int, budget: int, *alternatives: Alternative, **options: object
) -> Case:
    """Make a case of generated vectors."""
    return Case(
        "k-center",
        f"{name} {kind}",
        partial(made, kind, n_rows, budget),
        with_tasksel,
        alternatives,
        agree,
        check=check,
        input_bytes=input_bytes,
        **options,
    )


def minilm() -> Path:
    """Where the real vectors are that the suite runs on."""
    return Path(os.environ.get("TASKSEL_MINILM", Path(__file__).with_name("minilm.npy")))


def missing_minilm() -> str:
    """Say what to do where they are not."""
    is_there = minilm().exists()
    return "" if is_there else "first run python benches/embed_minilm.py POOL.parquet benches/minilm.npy"


def agree_on_real(task: Task, ours: Rows, theirs: Rows) -> str:
    """As `agree`; tell how many rows there are, too."""
    return f"{len(task.embeddings):,} rows, {agree(task, ours, theirs)}"


CASES = [
    case_of("5k/500", "low-rank", 5_000, 500, BLAS(), PLAIN(), MUNDIG(), *LOOPS, is_quick=True),
    *(
        case_of(
            "20k/2k",
            kind,
            20_000,
            2_000,
            BLAS(goal=Goal(18, 40)),
            PLAIN(),
            MUNDIG(),
            *(LOOPS if kind == "low-rank" else ()),
            memory=MEMORY,
            is_quick=kind == "clustered",
        )
        for kind in KINDS
    ),
    *(
        case_of(
            "50k/5k",
            kind,
            50_000,
            5_000,
            BLAS(goal=Goal(55, 120)),
            MUNDIG(goal=Goal(90, 200)),
            memory=MEMORY,
        )
        for kind in ("clustered", "low-rank")
    ),
    case_of(
        "50k/15k",
        "low-rank",
        50_000,
        15_000,
        PLAIN(goal=Goal(25, 50)),
        memory=replace(
            MEMORY,
            shortfall="codes take a quarter of the input, and those of centers, here 30 % of the rows, are "
            "kept a second time in the order in which rows are multiplied with them",
        ),
    ),
    Case(
        "k-center",
        "MiniLM of prompts, 2k picked",
        partial(read, minilm, 2_000),
        with_tasksel,
        (BLAS(goal=Goal(15, 30)), PLAIN(), MUNDIG(goal=Goal(28, 50)), *LOOPS),
        agree_on_real,
        check=check,
        input_bytes=input_bytes,
        memory=MEMORY,
        is_quick=True,
        needs=missing_minilm,
    ),
    case_of(
        "1M/10k",
        "low-rank",
        1_000_000,
        10_000,
        Alternative("numpy BLAS, first 100 picks", partial(first_picks, with_blas, 100), times=100),
        on_two_threads=partial(with_tasksel, n_threads=2),
        seconds=Limit(15, 6),
        memory=MEMORY,
        two_threads=Goal(1.6, 1.9),
    ),
    *(
        Case(
            "k-center, slower processors",
            f"20k/2k low-rank, by {way}",
            partial(made, "low-rank", 20_000, 2_000),
            partial(with_way, way),
            (BLAS(),),
            agree,
            check=check,
            input_bytes=input_bytes,
            needs=partial(missing_way, way),
            note="the alternative has all the instructions of this processor",
        )
        for way in ("avx512-vnni", "avx2", "portable")
    ),
    Case(
        "k-center, 8 partitions",
        "100k/5k low-rank",
        partial(made, "low-rank", 100_000, 5_000),
        with_partitions,
        (Alternative("exact", with_tasksel),),
        compare_radii,
        input_bytes=input_bytes,
    ),
]

GROWTHS = [
    Growth(
        "k-center",
        "a hundredth picked, low-rank",
        lambda n_rows: made("low-rank", n_rows, n_rows // 100, 1.0),
        (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
        with_tasksel,
        BLAS(),
        most_rows_of_best=100_000,
        input_bytes=input_bytes,
        most_rows_of_quick=30_000,
    ),
]


def own_cases(paths: list[Path], budget: int) -> list[Case]:
    """Make the cases of files of vectors."""
    return [
        Case(
            "k-center",
            path.name,
            partial(read, lambda path=path: path, budget),
            with_tasksel,
            (BLAS(), PLAIN(), MUNDIG()),
            agree_on_real,
            check=check,
            input_bytes=input_bytes,
        )
        for path in paths
    ]


if __name__ == "__main__":
    main(__file__, __doc__, CASES, GROWTHS, own_cases)
