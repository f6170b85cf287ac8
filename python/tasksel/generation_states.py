"""Mean last hidden states of prompts, caught on the way while a model answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasksel.token_states import sum_over_tokens

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

__all__ = ["PromptStates"]


class PromptStates:
    """Sums the last hidden states of the prompts that a model reads inside the block.

    The states are those that the head would read, after the last norm, as `tasksel.hidden_states` gives them.
    They are caught by a hook on the model without its head, so that nothing is computed twice; a model that
    has no such part is asked for them in a pass of their own.

    Parameters
    ----------
    network : Any
        A causal language model of transformers.
    is_wanted : bool
        Without it the block does nothing.
    """

    def __init__(self, network: Any, *, is_wanted: bool) -> None:
        self.network = network
        self.is_wanted = is_wanted
        self._mask: Any = None
        self._sums: Any = None
        self._counts: Any = None
        self._hook: Any = None

    def __enter__(self) -> PromptStates:
        if self.is_wanted and self.network.base_model is not self.network:
            self._hook = self.network.base_model.register_forward_hook(self._catch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook = None

    @property
    def reads_apart(self) -> bool:
        """Whether prompts are read in a pass of their own, which has to see them whole."""
        return self.is_wanted and self._hook is None

    def expect(self, input_ids: Any, mask: Any) -> None:
        """Take the states of the pass that comes next; a pass that was not announced is let by.

        Parameters
        ----------
        input_ids, mask : Tensor of int64, shape (batch, width)
            What the pass reads. Sums of several passes are added; a pass of one row counts for all rows.
        """
        if not self.is_wanted:
            return
        self._mask = mask
        if self.reads_apart:
            output = self.network(
                input_ids=input_ids, attention_mask=mask, use_cache=False, output_hidden_states=True
            )
            self._add(output.hidden_states[-1])

    def means(self) -> npt.NDArray[np.float32] | None:
        """Return the means as float32 of shape (batch, n_dimensions), or None where they are not wanted."""
        if not self.is_wanted:
            return None
        array: npt.NDArray[np.float32] = (self._sums / self._counts).cpu().numpy()
        return array

    def _catch(self, _module: Any, _given: Any, output: Any) -> None:
        if self._mask is not None:
            self._add(output[0])

    def _add(self, states: Any) -> None:
        sums, counts = sum_over_tokens(states, self._mask)
        self._sums = sums if self._sums is None else self._sums + sums
        self._counts = counts if self._counts is None else self._counts + counts
        self._mask = None
