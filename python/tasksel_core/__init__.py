"""The kernels of tasksel: numpy in, numpy out. Needs nothing but numpy.

Every kernel gives the same result for any number of threads (``RAYON_NUM_THREADS``), releases the
GIL while it works, and raises from `tasksel_core.errors`.
"""

from tasksel_core._core import (
    __version__,
    allocate,
    ball_counts,
    covering_radii,
    facility_location,
    graph_cut,
    inverse_confidence_weights,
    k_center_greedy,
    k_means,
    log_confidence,
    nearest_neighbours,
    round_robin,
    task_log_confidence,
    weighted_round_robin,
)

__all__ = [
    "__version__",
    "allocate",
    "ball_counts",
    "covering_radii",
    "facility_location",
    "graph_cut",
    "inverse_confidence_weights",
    "k_center_greedy",
    "k_means",
    "log_confidence",
    "nearest_neighbours",
    "round_robin",
    "task_log_confidence",
    "weighted_round_robin",
]
