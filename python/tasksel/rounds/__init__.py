"""Labels in rounds: each builds on those before, and ends where labels buy nothing more."""

from tasksel.rounds.config import RoundsConfig, load_rounds
from tasksel.rounds.record import RoundRecord
from tasksel.rounds.result import RoundsResult
from tasksel.rounds.run import run_rounds

__all__ = ["RoundRecord", "RoundsConfig", "RoundsResult", "load_rounds", "run_rounds"]
