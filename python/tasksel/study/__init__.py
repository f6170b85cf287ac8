"""Studies: strategies x budgets x seeds x worlds, compared pair by pair, with random always beside them."""

from tasksel.study.config import CONTROL_ARMS, StudyConfig
from tasksel.study.config_file import load_study
from tasksel.study.publication import read_study
from tasksel.study.results import StudyResult
from tasksel.study.runner import StudyProgress, run_study

__all__ = [
    "CONTROL_ARMS",
    "StudyConfig",
    "StudyProgress",
    "StudyResult",
    "load_study",
    "read_study",
    "run_study",
]
