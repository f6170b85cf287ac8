"""Synthetic data that covers: plan what is to be written, have it written, check it, use it."""

from tasksel.synthesis.config import SynthesisConfig
from tasksel.synthesis.config_file import read_config, read_planned_config
from tasksel.synthesis.edge_run import EdgeSummary, make_edge_records
from tasksel.synthesis.generation_rehearsal import DryRun, rehearse
from tasksel.synthesis.generation_run import describe_status, generate, reparse
from tasksel.synthesis.generation_summary import GenerationSummary
from tasksel.synthesis.label_evaluation import BothWays, evaluate_both_ways, evaluate_file
from tasksel.synthesis.label_weights import LabelWeights, label_shares, weigh_labels
from tasksel.synthesis.planning import SynthesisPlan, plan
from tasksel.synthesis.records import export_records, read_records
from tasksel.synthesis.validation import Validation, validate

__all__ = [
    "BothWays",
    "DryRun",
    "EdgeSummary",
    "GenerationSummary",
    "LabelWeights",
    "SynthesisConfig",
    "SynthesisPlan",
    "Validation",
    "describe_status",
    "evaluate_both_ways",
    "evaluate_file",
    "export_records",
    "generate",
    "label_shares",
    "make_edge_records",
    "plan",
    "read_config",
    "read_planned_config",
    "read_records",
    "rehearse",
    "reparse",
    "validate",
    "weigh_labels",
]
