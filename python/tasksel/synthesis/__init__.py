"""Synthetic data by plan: strata and counts, requests, edge cases, checks."""

from tasksel.synthesis.config import SynthesisConfig
from tasksel.synthesis.config_file import read_config, read_planned_config
from tasksel.synthesis.label_evaluation import BothWays, evaluate_both_ways, evaluate_file
from tasksel.synthesis.label_weights import LabelWeights, label_shares, weigh_labels
from tasksel.synthesis.planning import SynthesisPlan, plan

__all__ = [
    "BothWays",
    "LabelWeights",
    "SynthesisConfig",
    "SynthesisPlan",
    "evaluate_both_ways",
    "evaluate_file",
    "label_shares",
    "plan",
    "read_config",
    "read_planned_config",
    "weigh_labels",
]
