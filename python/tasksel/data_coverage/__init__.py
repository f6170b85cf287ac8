"""How well one set of texts covers another, judged on their embeddings.

The yardstick is real data with a known part of its mass removed; see `tasksel.data_coverage.yardstick` for
the headline and `docs/coverage` for what it catches and what it misses.
"""

from tasksel.data_coverage.legacy import LEGACY_WARNING, legacy_score
from tasksel.data_coverage.measurement import coverage
from tasksel.data_coverage.neighbourhoods import Prdc, prdc
from tasksel.data_coverage.result import Coverage, Flag

__all__ = ["LEGACY_WARNING", "Coverage", "Flag", "Prdc", "coverage", "legacy_score", "prdc"]
