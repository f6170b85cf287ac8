"""What a file of rounds may say beside the sections of a job."""

from __future__ import annotations

from typing import Final

from tasksel.job.sections import Key, Section

__all__ = ["ANNOTATORS", "ROUNDS", "SCORES", "TEACHER"]

ANNOTATORS: Final = ("pool", "file", "people", "teacher")
"""Who gives the labels: the pool's own responses, a file, imports into the run folder, a model."""
SCORES: Final = ("base", "trained")
"""Whose confidence a round goes by: the base model's, or that of the model of the round before."""

ROUNDS: Final = Section(
    "How many rounds, how large, and when to stop.",
    {
        "n": Key("whole", help="Rounds at most.", default="as many as sizes or share has"),
        "sizes": Key(
            "whole", help="Labels of each round, a list or one number for all.", default="budget / n each"
        ),
        "share": Key(
            "number", help="Shares of the budget of [select], a list or one number for all.", default="1 / n"
        ),
        "annotator": Key(
            "text",
            help="Who labels: pool, file, people or teacher.",
            default="teacher with a [teacher], file with [labels] path, else pool or people",
        ),
        "scores": Key("text", help="Confidence of the base model or of the last trained one.", value="base"),
        "metric": Key("text", help="Figure of the evaluation to go by.", default="the first of its suite"),
        "flat_after": Key("whole", help="Stop when so many rounds gained too little.", default="never"),
        "min_gain": Key("number", help="What flat_after asks for, in the metric's unit.", value=0.01),
        "stop_radius": Key("number", help="Stop at this covering radius; wants embeddings.", default="never"),
        "max_cost": Key("number", help="Begin no round that would pass this much money.", default="no limit"),
        "max_tokens": Key("number", help="The same in tokens of labels.", default="no limit"),
    },
)

_QUESTION: Final = {
    "system": Key("text"),
    "prompt_template": Key("text"),
    "temperature": Key("number"),
    "top_p": Key("number"),
    "max_tokens": Key("whole"),
    "seed": Key("whole"),
    "samples": Key("whole"),
    "keep_truncated": Key("flag"),
    "keep_refusals": Key("flag"),
    "keep_reasoning": Key("flag"),
}
_LIMITS: Final = {
    "concurrency": Key("whole", decides=False),
    "requests_per_minute": Key("whole", decides=False),
    "tokens_per_minute": Key("whole", decides=False),
    "max_requests": Key("whole", decides=False),
    "max_total_tokens": Key("whole", decides=False),
    "max_cost": Key("number", decides=False),
    "input_price": Key("number", decides=False),
    "output_price": Key("number", decides=False),
    "currency": Key("text", decides=False),
}

TEACHER: Final = Section(
    "A model that answers the selected prompts; its caps hold for each round.",
    {
        "model": Key("model", is_required=True),
        "provider": Key("text"),
        "endpoint": Key("text"),
        "key_variable": Key("text", decides=False),
        "timeout_s": Key("number", decides=False),
        "device": Key("text", decides=False),
        **_QUESTION,
        **_LIMITS,
    },
    verb="annotate teacher",
    excluded={
        "selection": "it is that of each round",
        "into": "the run folder has a place for everything",
        "folder": "the run folder has a place for everything",
        "dry_run": "about what is printed, not about what is done",
        "tokenizer": "of a dry run",
    },
)
