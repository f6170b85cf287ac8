"""Orders over embeddings whose first rows stand for all the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import tasksel_core
from tasksel.strategies.declaration import Option, Picker
from tasksel.strategies.partitioned_k_center import partitioned_k_center
from tasksel.strategies.problem import Ranking

if TYPE_CHECKING:
    from tasksel.strategies.problem import PickingProblem

__all__ = ["COVERAGES"]

N_NEIGHBOURS = Option(
    "n_neighbours", 0, 0, math.inf, "neighbours that count; 0: all up to 4,096 rows, 64 above"
)
PARTITIONS = Option(
    "partitions", 1, 1, math.inf, "parts that are picked from one by one, for embeddings larger than memory"
)


def _k_center(problem: PickingProblem) -> Ranking:
    assert problem.embeddings is not None  # noqa: S101 -- guaranteed by `needs`
    partitions = int(problem.own_options["partitions"])
    # The parts of other machines know no rows of one another's, labelled ones neither.
    if partitions > 1 and problem.spread is not None and not len(problem.taken_rows):
        rows, radii = partitioned_k_center(problem.embeddings, problem.quota, partitions, problem.spread)
        return Ranking(rows, radii=radii)
    rows, radii = tasksel_core.k_center_greedy(
        problem.embeddings,
        problem.quota,
        initial_rows=problem.taken_rows,
        partitions=partitions if partitions > 1 else None,
        n_threads=problem.n_threads,
    )
    return Ranking(rows, radii=radii)


def _facility_location(problem: PickingProblem) -> Ranking:
    assert problem.embeddings is not None  # noqa: S101 -- guaranteed by `needs`
    rows, gains = tasksel_core.facility_location(
        problem.embeddings,
        problem.quota,
        n_neighbours=int(problem.own_options["n_neighbours"]) or None,
        initial_rows=problem.taken_rows,
        n_threads=problem.n_threads,
    )
    return Ranking(rows, gains=gains)


def _graph_cut(problem: PickingProblem) -> Ranking:
    assert problem.embeddings is not None  # noqa: S101 -- guaranteed by `needs`
    rows, gains = tasksel_core.graph_cut(
        problem.embeddings,
        problem.quota,
        trade_off=problem.own_options["trade_off"],
        n_neighbours=int(problem.own_options["n_neighbours"]) or None,
        initial_rows=problem.taken_rows,
        n_threads=problem.n_threads,
    )
    return Ranking(rows, gains=gains)


COVERAGES = (
    Picker(
        "k-center",
        "farthest-first: the largest distance to a picked prompt shrinks fastest",
        _k_center,
        needs=frozenset({"embeddings"}),
        options=(PARTITIONS,),
        reference="Sener & Savarese 2018, arXiv:1708.00489",
        takes_labelled=True,
    ),
    Picker(
        "facility-location",
        "every prompt is as similar as can be to one that is picked",
        _facility_location,
        needs=frozenset({"embeddings"}),
        options=(N_NEIGHBOURS,),
        reference="Wei, Iyer & Bilmes 2015, ICML; on prompts: Bhatt et al. 2024, arXiv:2401.06692",
        takes_labelled=True,
    ),
    Picker(
        "graph-cut",
        "similar to all prompts, and not to each other",
        _graph_cut,
        needs=frozenset({"embeddings"}),
        options=(
            Option("trade_off", 0.5, 0.0, math.inf, "weight of the redundancy among the picked (lambda)"),
            N_NEIGHBOURS,
        ),
        reference="Iyer & Bilmes 2013, NIPS; as in ATGen, arXiv:2506.23342",
        takes_labelled=True,
    ),
)
