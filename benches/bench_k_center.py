"""Greedy k-center against what else picks the same rows, in CPU time on one thread.

Run ``python benches/bench_k_center.py`` for the table, with ``--json`` for one JSON object,
``--case 20k/2k`` for some cases only, ``--pairs 5`` for more repeats, and
``--embeddings vectors.npy --budget 2000`` for vectors of your own. All start from the same row.

Picks are compared first. Ours must be those of one pass over all rows for each center, to the bit
(that pass, vectorised in Rust, is the contest "plain"); every pick of a prefix must be the farthest
row in float64 wherever the gap is over float32 rounding. Then the sides run in turns, so that a
change in the machine's load meets all, and the ratio of each pair of runs (alternative / tasksel) is
collected. CPU time counts all threads of the process; every side is held to one.

lightly-mundig is an optional peer: ``pip install lightly-mundig``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# Before the libraries that read them are imported.
os.environ.update(dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1"))

import numpy as np
from numpy.typing import NDArray

from tasksel_core import k_center_greedy
from tasksel_core._core import _plain_k_center_greedy

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from lightly_mundig import Selection
except ImportError:
    Selection = None

Embeddings = NDArray[np.float32]
Rows = NDArray[np.int64]

# Of a distance: float32 rounding of some hundred squares, several times over.
RTOL = 1e-5


@dataclass(frozen=True)
class Case:
    """Vectors of one kind, how many are picked, and the goals of each contest."""

    name: str
    kind: str
    n_rows: int
    budget: int
    goals: dict[str, float]


CASES = [
    *(
        Case(f"20k/2k {kind}", kind, 20_000, 2_000, {"numpy BLAS": 18})
        for kind in ("gaussian", "clustered", "low-rank")
    ),
    *(
        Case(f"50k/5k {kind}", kind, 50_000, 5_000, {"numpy BLAS": 55, "lightly-mundig": 90})
        for kind in ("clustered", "low-rank")
    ),
    Case("50k/15k low-rank", "low-rank", 50_000, 15_000, {"plain": 25}),
]


def vectors(kind: str, n_rows: int, n_columns: int = 384, seed: int = 0) -> Embeddings:
    """Embeddings of one kind: without structure, in 200 clusters, or near a subspace of 16 dimensions."""
    rng = np.random.default_rng(seed)

    def gaussian(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    if kind == "gaussian":
        return gaussian(n_rows, n_columns)
    if kind == "clustered":
        centers = gaussian(200, n_columns)
        return centers[rng.integers(200, size=n_rows)] + np.float32(0.3) * gaussian(n_rows, n_columns)
    return gaussian(n_rows, 16) @ gaussian(16, n_columns) + np.float32(0.05) * gaussian(n_rows, n_columns)


def with_tasksel(embeddings: Embeddings, budget: int, start: int) -> Rows:
    """Our picks after the start."""
    return k_center_greedy(embeddings, budget, initial_rows=np.array([start]), n_threads=1)[0]


def with_plain(embeddings: Embeddings, budget: int, start: int) -> Rows:
    """One fused, vectorised pass over all rows for each center."""
    return _plain_k_center_greedy(embeddings, budget, initial_rows=np.array([start]), n_threads=1)[0]


def with_blas(embeddings: Embeddings, budget: int, start: int) -> Rows:
    """Run the usual loop: squared norms once, one matrix-vector product for each center."""
    squares = np.einsum("ij,ij->i", embeddings, embeddings)
    nearest = np.full(len(embeddings), np.inf, dtype=np.float32)
    rows = np.empty(budget + 1, dtype=np.int64)
    rows[0] = start
    for position in range(budget):
        center = rows[position]
        distances = embeddings @ embeddings[center]
        distances *= -2
        distances += squares
        distances += squares[center]
        np.minimum(nearest, distances, out=nearest)
        nearest[center] = -1
        rows[position + 1] = nearest.argmax()
    return rows[1:]


def with_mundig(embeddings: Embeddings, budget: int, start: int) -> Rows:
    """lightly-mundig's diversifying strategy."""
    selection = Selection()
    selection.add_diversifying_strategy(embeddings, 1.0)
    return np.array(selection.run_selection([start], len(embeddings), budget + 1)[1:])


def assert_farthest(embeddings: Embeddings, rows: Rows, start: int, n_picks: int) -> None:
    """Each of the first picks is the farthest row in float64, up to float32 rounding."""
    points = embeddings.astype(np.float64)
    nearest = np.full(len(points), np.inf)
    center = start
    for row in rows[:n_picks]:
        difference = points - points[center]
        nearest = np.minimum(nearest, np.sqrt(np.einsum("ij,ij->i", difference, difference)))
        assert nearest[row] >= nearest.max() * (1 - RTOL)
        center = row


def timed(side: Callable[[Embeddings, int, int], Rows], *arguments: Embeddings | int) -> tuple[float, Rows]:
    """CPU time of one run in seconds, and its picks."""
    begin = time.process_time()
    rows = side(*arguments)
    return time.process_time() - begin, rows


def contest(case: Case, embeddings: Embeddings, pairs: int, checked_picks: int) -> list[dict]:
    """Ratios of one case, a row of the table each."""
    start = int(np.linalg.norm(embeddings - embeddings.mean(axis=0), axis=1).argmin())
    sides = {"numpy BLAS": with_blas, "plain": with_plain}
    if Selection is not None:
        sides["lightly-mundig"] = with_mundig

    arguments = (embeddings, case.budget, start)
    ours = with_tasksel(*arguments)
    assert_farthest(embeddings, ours, start, checked_picks)
    np.testing.assert_array_equal(ours, with_plain(*arguments))
    results = []
    for name in case.goals.keys() & sides.keys() or sides.keys():
        times = []
        for _ in range(pairs):
            ours_s, _ = timed(with_tasksel, *arguments)
            theirs_s, theirs = timed(sides[name], *arguments)
            times.append((ours_s, theirs_s))
        ratios = [theirs_s / ours_s for ours_s, theirs_s in times]
        results.append(
            {
                "case": case.name,
                "alternative": name,
                "ours_s": statistics.median(ours_s for ours_s, _ in times),
                "alternative_s": statistics.median(theirs_s for _, theirs_s in times),
                "ratio_min": min(ratios),
                "ratio_median": statistics.median(ratios),
                "ratio_max": max(ratios),
                "goal": case.goals.get(name),
                "same_picks": float(np.mean(theirs == ours)),
            }
        )
    return results


def processor() -> str:
    """Name of the processor, and which of the kernels' instructions it has."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return "unknown"
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in lines.items()}
    has = [flag for flag in ("avx2", "avx512_vnni", "amx_int8") if flag in values.get("flags", "").split()]
    return (
        f"{values.get('model name', 'unknown')} ({', '.join(has) or 'none of avx2, avx512_vnni, amx_int8'})"
    )


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", default="", help="run only cases whose name contains this")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--checked-picks", type=int, default=50, help="picks compared in float64")
    parser.add_argument(
        "--embeddings", type=Path, help=".npy of float32, shape (n, d), in place of the cases"
    )
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cases = [case for case in CASES if arguments.case in case.name]
    if arguments.embeddings:
        own = np.load(arguments.embeddings)
        cases = [Case(arguments.embeddings.name, "own", len(own), arguments.budget, {})]
    results = []
    if not arguments.json:
        print(f"{processor()}; numpy {np.__version__}; one thread, CPU time")
        if Selection is None:
            print("lightly-mundig is skipped: it is not installed")
    for case in cases:
        embeddings = own if case.kind == "own" else vectors(case.kind, case.n_rows)
        for row in contest(case, embeddings, arguments.pairs, arguments.checked_picks):
            results.append(row)
            if not arguments.json:
                print(
                    "{case} against {alternative}: {ours_s:.3f} s, {alternative_s:.2f} s, "
                    "ratio min {ratio_min:.1f} median {ratio_median:.1f} max {ratio_max:.1f}, goal {goal}, "
                    "same picks {same_picks:.1%}".format(**row),
                    flush=True,
                )
    if arguments.json:
        print(json.dumps({"processor": processor(), "results": results}))


if __name__ == "__main__":
    main()
