"""The settings of a training: what each means, what is allowed, and which of them make another training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from tasksel.prompt_encoding import check_prompt_template
from tasksel.suggestions import did_you_mean
from tasksel.whole_numbers import check_whole_numbers, is_finite_number
from tasksel_core.errors import ConfigError

__all__ = ["ALL_LINEAR", "TRAINERS", "TRAINING_DTYPES", "TrainingSettings"]

ALL_LINEAR = "all-linear"
TRAINERS = ("transformers", "trl")
TRAINING_DTYPES = ("auto", "bfloat16", "float32")

_COUNTS = ("r", "batch_size", "device_batch_tokens", "epochs", "max_tokens")
_FREE = ("device_batch_tokens", "gradient_checkpointing", "checkpoint_every_s", "merge")
"""May change when a training goes on: they decide where and how fast, not (but for rounding) what."""
_LORA_ONLY = ("r", "alpha", "dropout", "target_modules")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of `tasksel.train`, which documents them; checked when they are made.

    Raises
    ------
    ConfigError
        A setting is out of range, or two contradict each other.
    """

    r: int = 64
    alpha: float = 16.0
    dropout: float = 0.1
    target_modules: str = ALL_LINEAR
    full: bool = False
    learning_rate: float = 1e-4
    warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    batch_size: int = 128
    device_batch_tokens: int = 8192
    epochs: int = 3
    max_tokens: int = 2048
    packing: bool = False
    gradient_checkpointing: bool = False
    merge: bool = False
    trainer: str = "transformers"
    prompt_template: str | None = None
    checkpoint_every_s: float = 300.0
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        check_whole_numbers({name: getattr(self, name) for name in _COUNTS})
        check_whole_numbers({"seed": self.seed}, at_least=0)
        _check_between("learning_rate", self.learning_rate, above=0.0)
        _check_between("alpha", self.alpha, above=0.0)
        _check_between("dropout", self.dropout, at_least=0.0, below=1.0)
        _check_between("warmup_ratio", self.warmup_ratio, at_least=0.0, below=1.0)
        _check_between("weight_decay", self.weight_decay, at_least=0.0)
        _check_between("checkpoint_every_s", self.checkpoint_every_s, at_least=0.0)
        _check_choice("trainer", self.trainer, TRAINERS)
        _check_choice("dtype", self.dtype, TRAINING_DTYPES)
        check_prompt_template(self.prompt_template)
        if not isinstance(self.target_modules, str) or not self.find_targets():
            raise ConfigError(
                f"target_modules is {self.target_modules!r}; {ALL_LINEAR} or names of modules with commas "
                "between them (q_proj,v_proj) are wanted."
            )
        if self.packing and self.trainer == "trl":
            raise ConfigError(
                "packing with trainer 'trl' would make a step of batch_size rows instead of examples; leave "
                "one of the two out."
            )
        if self.full and self.merge:
            raise ConfigError(
                "full trains the whole model, so there is no adapter to merge; leave merge out."
            )

    def find_targets(self) -> str | list[str]:
        """Return the names of the modules that get an adapter, sorted, or ``all-linear``."""
        if self.target_modules == ALL_LINEAR:
            return ALL_LINEAR
        return sorted({name.strip() for name in self.target_modules.split(",") if name.strip()})

    def to_identity(self) -> dict[str, Any]:
        """Return the settings that a training cannot change while it goes on."""
        unused = (*_FREE, *(_LORA_ONLY if self.full else ()))
        return {name: value for name, value in asdict(self).items() if name not in unused}


def _check_between(
    name: str, value: Any, *, above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf
) -> None:
    if is_finite_number(value) and above < value < below and value >= at_least:
        return
    limits = [f"above {above:g}"] if above > -math.inf else [f"of at least {at_least:g}"]
    limits += [f"below {below:g}"] if below < math.inf else []
    raise ConfigError(f"{name} is {value!r}; a number {' and '.join(limits)} is wanted.")


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        hint = did_you_mean(value, allowed)
        raise ConfigError(f"{name} is {value!r}; allowed are {', '.join(allowed)}.{hint}")
