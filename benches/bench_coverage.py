"""Coverage of one set of vectors by another: time and memory, and its balls against prdc.

Run ``python benches/bench_coverage.py`` for the table, with ``--json`` for one JSON object, ``--case
within`` for some cases only, and ``--pairs 5`` for more repeats.

The cases:

- ``precision and coverage within``: ``tasksel.data_coverage.prdc``, which counts rows on the edge of a ball
  as inside, against ``compute_prdc`` of prdc; figures agree where nothing repeats.
- ``coverage``: all of ``tasksel.data_coverage.coverage``, 3,000 rows to 100,000 against as many. No other
  package gives its headline; prdc alone would hold 146 GB of distances for 100,000 against 100,000.

The peers are optional: ``pip install '.[bench]'``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench_neighbours import Task, input_bytes, made
from bench_neighbours import prdc as peer_prdc
from contest import Alternative, Case, Goal, Growth, main
from tasksel.data_coverage import coverage, prdc

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ATOL = 2e-3


def our_prdc(task: Task) -> NDArray[np.floating]:
    """Precision, recall, density and coverage."""
    return np.array(prdc(task.first, task.second, task.k))


def same_figures(_: Task, ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> str:
    """Raise if figures differ by more than rows on the edge of a ball."""
    np.testing.assert_allclose(ours, theirs, atol=ATOL)
    return f"same within {np.abs(ours - theirs).max():.1g}"


def our_coverage(task: Task) -> float | None:
    """Give the headline; everything else is computed too."""
    return coverage(task.first, task.second).coverage_equivalent


PRDC = (Alternative("prdc", peer_prdc, ("prdc",), goal=Goal(6), memory_goal=Goal(10)),)


def own_cases(_: list[Path], __: int) -> list[Case]:
    """Take no vectors of one's own: the cases of ``bench_neighbours.py`` do."""
    return []


CASES = [
    Case(
        "precision and coverage within",
        f"5k among 5k {kind}",
        partial(made, kind, 5_000, 5),
        our_prdc,
        PRDC,
        same_figures,
        input_bytes=input_bytes,
        is_quick=kind == "low-rank",
    )
    for kind in ("clustered", "low-rank")
]
GROWTHS = [
    Growth(
        "coverage",
        f"{kind} against as many",
        lambda n_rows, kind=kind: made(kind, n_rows, 5, 1.0),
        (3_000, 10_000, 30_000, 100_000),
        our_coverage,
        input_bytes=input_bytes,
        most_rows_of_quick=3_000 if kind == "clustered" else 0,
    )
    for kind in ("clustered", "low-rank")
]


if __name__ == "__main__":
    main(__file__, __doc__, CASES, GROWTHS, own_cases)
