"""Synthetic data that covers: plan what is to be written, have it written, check it, use it."""

from tasksel.synthesis.config import SynthesisConfig
from tasksel.synthesis.config_file import read_config, read_planned_config
from tasksel.synthesis.edge_run import EdgeSummary, make_edge_records
from tasksel.synthesis.label_evaluation import BothWays, evaluate_both_ways, evaluate_file
from tasksel.synthesis.label_weights import LabelWeights, label_shares, weigh_labels
from tasksel.synthesis.planning import SynthesisPlan, plan
from tasksel.synthesis.validation import Validation, validate

__all__ = [
    "BothWays",
    "EdgeSummary",
    "LabelWeights",
    "SynthesisConfig",
    "SynthesisPlan",
    "Validation",
    "evaluate_both_ways",
    "evaluate_file",
    "label_shares",
    "make_edge_records",
    "plan",
    "read_config",
    "read_planned_config",
    "validate",
    "weigh_labels",
]
