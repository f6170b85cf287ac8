"""What is fuzzed: by name, the check and how its inputs are mutated."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from reader_fuzz.mutation import Mutator

__all__ = ["TARGET_NAMES", "Target", "load_target"]

TARGET_NAMES: Final = ("config_files", "label_import", "pool_readers", "reply_parser", "score_readers")
"""Each is a module here, and has a folder of seeds."""


class Target(NamedTuple):
    """One fuzzed reader.

    Attributes
    ----------
    check : callable
        Takes an input; raises where a promise is broken.
    mutator : Mutator
        Makes inputs of inputs.
    """

    check: Callable[[bytes], None]
    mutator: Mutator


def load_target(name: str) -> Target:
    """Import a target alone: to instrument all that the others import takes the fuzzer half a minute."""
    target = importlib.import_module(f"reader_fuzz.{name}").TARGET
    assert isinstance(target, Target)
    return target
