"""The settings of a base model: its world, its size, and what it is to know of each task."""

from __future__ import annotations

import dataclasses
import enum

from tasksel.toy_world import LONG_ANSWER_TASKS, TOY_TASKS, ToyTask, toy_stream
from tasksel.toy_world.task import draw_distinct

HEAD_SIZE = 32

WORLD_TASKS: dict[str, tuple[ToyTask, ...]] = {"toy": TOY_TASKS, "long-answers": LONG_ANSWER_TASKS}

# Where a world needs other numbers than the toy world, whose model is the shipped one. Long answers ask for
# copying at any distance, which a small model finds late. On eight of their tasks the loss after 300 steps
# was 1.58 nats with a learning rate of 0.01 for the matrices, 1.74 with 0.02 and 2.15 with 0.04; 1.68 with
# 0.02 and with 0.01 for the embeddings. Of the tokens of a list of names, which stand three words apart,
# 4 of 100 were right after 600 steps, and 63 where a quarter of the examples repeated their input.
WORLD_SETTINGS: dict[str, dict[str, float]] = {
    "toy": {},
    "long-answers": {
        "repetition_share": 0.25,
        "steps": 2000,
        "batch_examples": 32,
        "matrix_learning_rate": 0.01,
        "embedding_learning_rate": 0.01,
        "holdout_per_task": 20,
        "max_new_tokens": 448,
    },
}


class Coverage(enum.Enum):
    """What the base model has seen of a task."""

    FAMILIAR = "familiar"  # the skill, mostly under the instruction that the pool uses
    RARE_INSTRUCTION = "rare instruction"  # the skill, but seldom under the pool's instruction
    RENAMED = "renamed"  # the skill, never under the pool's instruction
    ABSENT = "absent"  # neither


_LEVELS = {
    "F": Coverage.FAMILIAR,
    "r": Coverage.RARE_INSTRUCTION,
    "N": Coverage.RENAMED,
    "-": Coverage.ABSENT,
}

COVERAGE_MIXES: dict[str, tuple[Coverage, ...]] = {
    name: tuple(_LEVELS[letter] for letter in letters)
    for name, letters in {
        "mixed": "FNF-rFN-Fr",  # 4 of 10 familiar, 2 of each other level
        "hard": "FN-N-FN-Nr",  # 2 familiar, 1 rare instruction, 4 renamed, 3 absent
        "easy": "FFNFFrFF-F",  # 7 familiar, 1 of each other level
    }.items()
}
"""Levels by name of the mix, dealt in this order."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that the model depends on besides the tasks and the versions of the libraries."""

    seed: int = 0
    """Decides coverage, text, weights at the start and the holdout."""

    world: str = "toy"
    architecture: str = "llama"

    vocabulary_size: int = 1280
    """Tokens: 256 bytes, two special ones, the rest merges; fewer where the words run out before."""

    tokenizer_texts_per_task: int = 300
    """Inputs and answers a task that the merges are learned from; absent tasks included."""

    tokenizer_texts_per_instruction: int = 10

    context_tokens: int = 1024
    """`max_position_embeddings`; rotary positions cost no parameters."""

    hidden_size: int = 128
    n_layers: int = 2
    n_heads: int = 4
    intermediate_size: int = 256
    """Of a gated network; one without a gate is half as wide again, which makes it equally large."""

    coverage_cycle: tuple[Coverage, ...] = COVERAGE_MIXES["mixed"]
    """Dealt over the shuffled tasks of one family after the other, so that every family has its share."""

    familiar_share: float = 0.8
    """Examples of a familiar task under the pool's instruction; the others use the other wording."""

    rare_share: float = 0.03
    """Likewise for a task whose instruction is rare."""

    repetition_share: float = 0.0
    """Examples that repeat an input as it is, under no instruction. A language model can do that before it
    learns any task; a small one finds it late in long answers, where most tokens are no copies."""

    steps: int = 1000
    batch_examples: int = 64
    bucket_batches: int = 8
    """Batches drawn together and sorted by length, so that little is padding."""

    matrix_learning_rate: float = 0.02
    """For Muon, which trains the matrices of the layers. After 800 steps the loss was 0.32 nats with it and
    1.20 with AdamW alone, for a quarter more CPU time."""

    embedding_learning_rate: float = 4e-3
    """For AdamW, which trains embeddings and norms."""

    adam_betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    warmup_share: float = 0.05
    """Share of the steps with rising learning rates; a cosine falls to zero after it."""

    max_gradient_norm: float = 1.0

    holdout_per_task: int = 40
    max_new_tokens: int = 16

    @property
    def tasks(self) -> tuple[ToyTask, ...]:
        """The tasks of the world."""
        return WORLD_TASKS[self.world]


# Settings that came after the shipped model. They are recorded where they are not the default, so that the
# script still writes the record that stands beside the model, to the byte.
_LATER_SETTINGS = ("world", "architecture", "repetition_share")


def describe_settings(config: TrainingConfig) -> dict[str, object]:
    """Write the settings so that JSON can hold them."""
    settings = dataclasses.asdict(config)
    for name in _LATER_SETTINGS:
        if settings[name] == getattr(TrainingConfig, name):
            del settings[name]
    return {**settings, "coverage_cycle": [level.value for level in config.coverage_cycle]}


def assign_coverage(config: TrainingConfig) -> dict[str, Coverage]:
    """Level of coverage of each task, a random choice within its family."""
    rng = toy_stream("coverage", config.seed)
    families = list(dict.fromkeys(task.family for task in config.tasks))
    shuffled: list[str] = []
    for family in families:
        names = [task.name for task in config.tasks if task.family == family]
        shuffled.extend(draw_distinct(rng, names, len(names)))
    cycle = config.coverage_cycle
    return {name: cycle[place % len(cycle)] for place, name in enumerate(shuffled)}
