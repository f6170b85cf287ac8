"""Two worlds of procedural tasks in families, with answers that can be verified.

A *pool* drawn from a world is as uneven as real ones (the task of rank r has a share near 1/r); a *holdout*
has the same number of prompts for every task and shares none with any pool, since a fixed eighth of each
task's inputs is set apart for it. Everything follows from the seed, to the byte, on every platform.

The *toy world* has 57 tasks with answers of a few tokens, the *long-answer world* 44 tasks with answers of
three to four hundred.
"""

from __future__ import annotations

from .examples import ToyExample, draw_toy_examples, exact_match, is_held_out, toy_stream
from .long_answer_tasks import LONG_ANSWER_TASKS
from .pools import make_long_answer_holdout, make_long_answer_pool, make_toy_holdout, make_toy_pool
from .task import ToyTask, toy_prompt
from .toy_tasks import TOY_TASKS

__all__ = [
    "LONG_ANSWER_TASKS",
    "TOY_TASKS",
    "ToyExample",
    "ToyTask",
    "draw_toy_examples",
    "exact_match",
    "is_held_out",
    "make_long_answer_holdout",
    "make_long_answer_pool",
    "make_toy_holdout",
    "make_toy_pool",
    "toy_prompt",
    "toy_stream",
]
