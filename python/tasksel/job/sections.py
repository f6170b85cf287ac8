"""What a job's file may say: its sections, their keys, and which flags of the verbs have none, and why.

A section runs a verb; a flag of the verb is a key of the section, with the same name. A test compares both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OUTSIDE_FLAGS", "SECTIONS", "SHARED_KEYS", "Key", "Kind", "Section"]

Kind: TypeAlias = Literal[
    "text", "whole", "number", "flag", "path", "model", "source", "names", "pairs", "range"
]
"""How a value is read. ``path``: relative to the file. ``model``, ``source``: the same where there is such a
file or folder; else a name, a column. ``names``: a list, or text with commas. ``pairs``: a table.
``range``: a number, or text such as 10:300."""


@dataclass(frozen=True)
class Key:
    """One key of a section.

    Parameters
    ----------
    kind : str
        See `Kind`.
    parameter : str
        Of the function that the section calls, where it has another name than the key.
    decides : bool
        Whether another value gives another result. A key that only says where and how fast work is done can
        be changed without anything being done again.
    shared : str
        The key at the top of the file that stands in for it.
    help : str
        Of a key that is no flag of a verb.
    default : str
        Likewise, as a person reads it.
    value : Any
        Likewise, what it shows where it is not set; None where there is nothing to show.
    is_required : bool
        Whether the section is of no use without it.
    """

    kind: Kind
    parameter: str = ""
    decides: bool = True
    shared: str = ""
    help: str = ""
    default: str = ""
    value: Any = None
    is_required: bool = False


@dataclass(frozen=True)
class Section:
    """One section of the file.

    Parameters
    ----------
    summary : str
        What it is for.
    keys : mapping of str to Key
        By name.
    verb : str
        Of the command line, whose flags are its keys; empty where it runs none.
    excluded : mapping of str to str
        Flags and arguments of the verb that are no keys, and why.
    """

    summary: str
    keys: Mapping[str, Key]
    verb: str = ""
    excluded: Mapping[str, str] = field(default_factory=dict)


OUTSIDE_FLAGS: Final = {
    "out": "the run folder has a place for everything",
    "json": "about what is printed, not about what is done",
    "quiet": "about what is printed, not about what is done",
    "debug": "about what is printed, not about what is done",
}
"""Flags of every verb that are no keys, and why."""

_OF_POOL: Final = "[pool] says it once for all stages"
_POOL_FLAGS: Final = {"pool": _OF_POOL, "task_column": _OF_POOL, "id_column": _OF_POOL}
_OF_RUN: Final = "it is that of this job"
_OF_SYNTHESIS: Final = "of the reports of `tasksel synth`"
_MODEL: Final = Key("model", shared="model")
_SEED: Final = Key("whole", shared="seed")
_DEVICE: Final = Key("text", decides=False, shared="device")
_TEMPLATE: Final = Key("text", shared="prompt_template")
_SPREAD: Final = {
    "backend": Key("text", decides=False),
    "ray_address": Key("text", decides=False),
    "n_workers": Key("whole", decides=False),
}

SHARED_KEYS: Final = {
    "out": Key("path", help="Run folder, relative to this file.", default="this file's name and -run"),
    "model": Key(
        "model",
        help="Base model of [score], [train] and [evaluate]: a folder, a name on the hub, or demo.",
        default="said in each section",
    ),
    "prompt_template": Key(
        "text",
        help="Text with {prompt} in it for [score], [train] and [evaluate], for a model without a chat "
        "template.",
        default="none",
    ),
    "seed": Key("whole", help="Seed of every section that has none of its own.", value=0),
    "device": Key(
        "text", help="auto, cpu, cuda, cuda:1, mps; for every section without its own.", value="auto"
    ),
}
"""Keys above the first section."""

SECTIONS: Final = {
    "pool": Section(
        "The prompts to choose from.",
        {
            "path": Key(
                "path",
                help="Parquet, JSONL, JSON or CSV in any of the usual shapes; or a URL.",
                is_required=True,
            ),
            "task_column": Key(
                "text", help="Column of the pool to use as task.", default="that of the pool's shape"
            ),
            "id_column": Key(
                "text", help="Column of the pool to use as id.", default="that of the pool's shape"
            ),
        },
    ),
    "embed": Section(
        "One vector a prompt, for strategies and pickers that need them.",
        {
            "embed_from": Key("source"),
            "model": Key("model"),
            "adapter": Key("model"),
            "prompt_template": Key("text"),
            "batch_tokens": Key("whole"),
            "max_tokens": Key("whole"),
            "shard_rows": Key("whole"),
            "device": _DEVICE,
            "dtype": Key("text"),
            **_SPREAD,
        },
        verb="embed",
        excluded=_POOL_FLAGS,
    ),
    "tasks": Section(
        "Find the tasks of a pool that has none, or cut them anew. With [embed] its vectors are used.",
        {
            "embeddings": Key("source"),
            "using": Key("path"),
            "n_tasks": Key("range"),
            "method": Key("text"),
            "min_size": Key("whole"),
            "templates": Key("flag"),
            "embedding_model": Key("model"),
            "device": _DEVICE,
            "budget": Key("whole"),
            "scores": Key("source"),
            "metric": Key("text"),
            "tag_endpoint": Key("text"),
            "tag_model": Key("text"),
            "tag_key_env": Key("text", decides=False),
            "tag_concurrency": Key("whole", decides=False),
            "tag_max_requests": Key("whole", decides=False),
            "tag_max_tokens": Key("whole", decides=False),
            "seed": _SEED,
        },
        verb="tasks",
        excluded={**_POOL_FLAGS, "model_out": "the run folder has a place for everything"},
    ),
    "score": Section(
        "The base model answers every prompt, and the log-probability of each token is kept.",
        {
            "model": _MODEL,
            "engine": Key("text"),
            "adapter": Key("model"),
            "max_new_tokens": Key("whole"),
            "prompt_template": _TEMPLATE,
            "batch_tokens": Key("whole"),
            "max_batch_rows": Key("whole"),
            "shard_rows": Key("whole"),
            "device": _DEVICE,
            "dtype": Key("text"),
            "embed_from": Key("text"),
            "base_url": Key("text"),
            "api": Key("text"),
            "top_logprobs": Key("whole"),
            "max_concurrency": Key("whole", decides=False),
            "engine_option": Key("pairs", parameter="engine_options"),
            **_SPREAD,
        },
        verb="score",
        excluded=_POOL_FLAGS,
    ),
    "select": Section(
        "Which prompts to label. Write [[select]] with a name each for several selections.",
        {
            "name": Key("text", help="Name of the selection, where there are several.", default="none"),
            "budget": Key("whole"),
            "budget_tokens": Key("number"),
            "budget_cost": Key("number"),
            "scores": Key("source"),
            "labelled": Key("path"),
            "strategy": Key("text"),
            "within": Key("text"),
            "base": Key("whole"),
            "alpha": Key("number"),
            "max_weight_ratio": Key("number"),
            "metric": Key("text"),
            "task_mean": Key("text"),
            "rounding": Key("text"),
            "option": Key("pairs", parameter="options"),
            "seed": _SEED,
            "embeddings": Key("source"),
            "cost_column": Key("text"),
            "cost_per_example": Key("number"),
            "cost_per_1k_prompt_tokens": Key("number"),
            "cost_per_1k_response_tokens": Key("number"),
            "per_cost": Key("flag"),
            **_SPREAD,
        },
        verb="select",
        excluded=_POOL_FLAGS,
    ),
    "labels": Section(
        "The answers to the selected prompts, and what they cost.",
        {
            "path": Key(
                "path",
                help="File of labelled rows, with response and id (or prompt).",
                default="the pool's own responses, else labels.jsonl in the run folder",
            ),
            "allow_missing": Key(
                "flag", help="Train on what is labelled, where some answers are missing.", value=False
            ),
            "cost_per_example": Key(
                "number", decides=False, help="Of one label, for --dry-run.", default="unknown"
            ),
            "cost_per_1k_tokens": Key(
                "number",
                decides=False,
                help="Of 1,000 tokens of prompt and answer, for --dry-run.",
                default="unknown",
            ),
            "currency": Key("text", decides=False, help="Of the costs.", default="none"),
        },
    ),
    "train": Section(
        "Finetune the base model on the labelled selection.",
        {
            "model": _MODEL,
            "r": Key("whole"),
            "alpha": Key("number"),
            "dropout": Key("number"),
            "target_modules": Key("text"),
            "full": Key("flag"),
            "learning_rate": Key("number"),
            "warmup_ratio": Key("number"),
            "weight_decay": Key("number"),
            "batch_size": Key("whole"),
            "device_batch_tokens": Key("whole", decides=False),
            "epochs": Key("whole"),
            "max_tokens": Key("whole"),
            "packing": Key("flag"),
            "gradient_checkpointing": Key("flag", decides=False),
            "merge": Key("flag", decides=False),
            "trainer": Key("text"),
            "prompt_template": _TEMPLATE,
            "checkpoint_every_s": Key("number", decides=False),
            "seed": _SEED,
            "device": _DEVICE,
            "dtype": Key("text"),
        },
        verb="train",
        excluded={
            "selected": "it is the labelled selection of this job",
            "task_column": _OF_POOL,
            "id_column": _OF_POOL,
        },
    ),
    "evaluate": Section(
        "Say what the training bought: the trained model beside the base model.",
        {
            "base": Key("flag", help="Evaluate the base model too.", value=True),
            "pool": Key("path"),
            "suite": Key("names", parameter="suites"),
            "model": _MODEL,
            "benchmarks": Key("path"),
            "verdicts": Key("path"),
            "baseline": Key("text"),
            "judge_url": Key("text"),
            "judge_model": Key("text"),
            "judge_key_env": Key("text"),
            "judge_logprobs": Key("flag"),
            "judge_concurrency": Key("whole", decides=False),
            "include_path": Key("path"),
            "max_new_tokens": Key("whole"),
            "prompt_template": _TEMPLATE,
            "max_tokens": Key("whole"),
            "mmlu_shots": Key("whole"),
            "bbh_shots": Key("whole"),
            "batch_tokens": Key("whole"),
            "device": _DEVICE,
            "dtype": Key("text"),
            "seed": _SEED,
            "task_column": Key("text"),
            "id_column": Key("text"),
        },
        verb="evaluate",
        excluded={
            "adapter": "the adapter that this job trains is evaluated",
            "scores": "answers that were recorded elsewhere are not those of this job's models",
        },
    ),
    "report": Section(
        "One HTML file about it all, report.html in the run folder.",
        {"plots": Key("path"), "plot_format": Key("text"), "seed": _SEED},
        verb="report",
        excluded={
            "folder": _OF_RUN,
            "pool": _OF_RUN,
            "scores": _OF_RUN,
            "embeddings": _OF_RUN,
            "real": _OF_SYNTHESIS,
            "embeddings_real": _OF_SYNTHESIS,
            "embeddings_synth": _OF_SYNTHESIS,
        },
    ),
}
"""Sections by name, in the order in which they run."""
