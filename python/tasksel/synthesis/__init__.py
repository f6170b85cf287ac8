"""Synthetic data by plan: strata and counts, requests, edge cases, checks."""

from tasksel.synthesis.config import SynthesisConfig
from tasksel.synthesis.config_file import read_config
from tasksel.synthesis.planning import SynthesisPlan, plan

__all__ = ["SynthesisConfig", "SynthesisPlan", "plan", "read_config"]
