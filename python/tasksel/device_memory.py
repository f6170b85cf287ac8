"""Batches that do not fit into a device's memory are worked on in halves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    Batch = Sequence[npt.NDArray[np.int32]]

__all__ = ["BatchHalving", "is_out_of_memory"]

_Made = TypeVar("_Made")


@dataclass
class BatchHalving(Generic[_Made]):
    """Works on batches of prompts, and on halves of those that are too large.

    Parameters
    ----------
    join : callable
        Makes one of what became of two halves, the first of them first.
    refuse : callable
        Says, for the tokens of a prompt that does not fit even alone, what to do about it.
    new_tokens : int
        Room that each prompt takes besides its own tokens.

    Attributes
    ----------
    n_splits : int
        How often a batch was halved. What is made of it can differ in the last digits from what would have
        been made of the whole, since kernels depend on the shape.
    """

    join: Callable[[_Made, _Made], _Made]
    refuse: Callable[[int], str]
    new_tokens: int = 0
    n_splits: int = field(default=0, init=False)
    _too_many_tokens: int | None = field(default=None, init=False)

    def run(self, work: Callable[[Batch], _Made], batch: Batch) -> _Made:
        """Call a function with a batch, or with its parts.

        Parameters
        ----------
        work : callable
            Makes something of the tokens of each prompt. It is not kept, since it mostly holds the model.
        batch : sequence of ndarray of int32
            Tokens of each prompt, at least one.

        Raises
        ------
        ConfigError
            A single prompt does not fit into the device's memory.
        """
        if not self._is_known_to_fail(batch):
            try:
                return work(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise ConfigError(self.refuse(len(batch[0]))) from error
            # Outside the handler, whose traceback would keep the tensors of the failed batch alive.
            self._too_many_tokens = self._count_tokens(batch)
            _empty_memory()
        self.n_splits += 1
        half = (len(batch) + 1) // 2
        return self.join(self.run(work, batch[:half]), self.run(work, batch[half:]))

    def _is_known_to_fail(self, batch: Batch) -> bool:
        if self._too_many_tokens is None or len(batch) == 1:
            return False
        return self._count_tokens(batch) >= self._too_many_tokens

    def _count_tokens(self, batch: Batch) -> int:
        """Count the tokens of a batch with its padding."""
        return len(batch) * (max(map(len, batch)) + self.new_tokens)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell a lack of memory; torch has a class for it on CUDA alone, and a sentence on CPU and mps."""
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "not enough memory" in text


def _empty_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
