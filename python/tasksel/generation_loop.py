"""A greedy loop of our own: rows that have ended leave the batch, a shared beginning is read once.

`generate` of transformers lets a batch go on as it is until its last row has ended, copies the cache at
every step, and reads a beginning that all prompts share as often as there are prompts. The tokens and numbers
are the same as there, up to the last digits.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasksel.generation_cache import KeyValues
from tasksel.generation_recorder import measure_tokens
from tasksel.prompt_encoding import pad_left

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tasksel.causal_model import CausalModel
    from tasksel.generation_states import PromptStates

__all__ = ["GreedyLoop", "shared_prefix_tokens"]

_KEPT_SHARE = 0.75
"""Ended rows leave when no more than this share is left: each time costs about one step of attention."""
_STEPS_PER_CHECK = 8
"""On an accelerator, where asking which rows have ended waits for everything that was queued."""
_LEAST_SAVED_SHARE = 0.1
_LEAST_SHARED_TOKENS = 16
_CACHE_NAMES = ("cache", "past_key_values")
"""Since transformers 5.24, and before."""


def shared_prefix_tokens(prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> int:
    """Return how many first tokens all prompts share; each keeps at least its last token for itself.

    Examples
    --------
    >>> shared_prefix_tokens([np.array([1, 2, 3]), np.array([1, 2, 4, 5]), np.array([1, 2])])
    1
    """
    shortest = min(map(len, prompt_token_ids)) - 1
    first = prompt_token_ids[0][:shortest]
    for ids in prompt_token_ids[1:]:
        differing = np.flatnonzero(first != ids[: len(first)])
        if len(differing):
            first = first[: differing[0]]
    return len(first)


@dataclass
class _Segment:
    """The steps between two departures of rows."""

    rows: npt.NDArray[np.int64]
    token_ids: list[Any]
    measured: list[Any]


class GreedyLoop:
    """Answers batches of one model.

    Parameters
    ----------
    causal_model : CausalModel
        One that `fits`.
    shares_prefix : bool
        Whether a beginning that all prompts of a batch share is read once, where that saves enough.
    drops_ended : bool
        Whether ended rows leave the batch.
    """

    def __init__(
        self, causal_model: CausalModel, *, shares_prefix: bool = True, drops_ended: bool = True
    ) -> None:
        import torch

        self.causal_model = causal_model
        self.shares_prefix = shares_prefix
        self.drops_ended = drops_ended
        self._cache_name = _find_cache_name(causal_model.model) or _CACHE_NAMES[-1]
        self._device = torch.device(causal_model.device)
        self._steps_per_check = 1 if self._device.type == "cpu" else _STEPS_PER_CHECK
        self._eos_ids = torch.tensor(causal_model.eos_ids, dtype=torch.int64, device=self._device)

    @staticmethod
    def fits(causal_model: CausalModel) -> bool:
        """Tell whether the model takes what the loop gives it: positions, masks and a cache of our own."""
        network = causal_model.model
        taken = inspect.signature(network.forward).parameters
        return (
            {"input_ids", "attention_mask", "position_ids", "logits_to_keep"} <= taken.keys()
            and _find_cache_name(network) is not None
            and getattr(network.config, "_attn_implementation", None) == "sdpa"
            and KeyValues.fits(network)
        )

    def answer(
        self,
        prompt_token_ids: Sequence[npt.NDArray[np.int32]],
        *,
        max_new_tokens: int,
        states: PromptStates,
        prefix_tokens: int | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Answer one batch.

        Parameters
        ----------
        prompt_token_ids : sequence of ndarray of int32
            One array a prompt, none of them empty.
        max_new_tokens : int
            Longest answer, the end token included.
        states : PromptStates
            Told of every pass that reads prompts.
        prefix_tokens : int, optional
            How many first tokens, the same in all prompts, are read once; as many as pay, if it is not said.

        Returns
        -------
        new_token_ids : ndarray of int64, shape (n_prompts, n_steps)
            What follows an end token means nothing.
        measured : ndarray of float32, shape (n_steps, 4, n_prompts)
            As `measure_tokens` gives it.
        """
        import torch

        with torch.inference_mode():
            if prefix_tokens is None:
                prefix_tokens = 0 if states.reads_apart else self._find_prefix_tokens(prompt_token_ids)
            batch = _Batch(self.causal_model, states, self._cache_name)
            logits = batch.read(prompt_token_ids, prefix_tokens)
            segments = self._decode(batch, logits, max_new_tokens)
            return _join(segments, len(prompt_token_ids), self.causal_model.pad_id)

    def _find_prefix_tokens(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> int:
        """Return the length of the beginning that is read once, 0 where that would not pay."""
        if not self.shares_prefix or len(prompt_token_ids) < 2:
            return 0
        shared = shared_prefix_tokens(prompt_token_ids)
        saved = shared * (len(prompt_token_ids) - 1)
        pays = saved >= _LEAST_SAVED_SHARE * sum(map(len, prompt_token_ids))
        return shared if pays and shared >= _LEAST_SHARED_TOKENS else 0

    def _decode(self, batch: _Batch, logits: Any, max_new_tokens: int) -> list[_Segment]:
        import torch

        segments = [_Segment(np.arange(len(logits)), [], [])]
        ended = torch.zeros(len(logits), dtype=torch.bool, device=self._device)
        for step in range(1, max_new_tokens + 1):
            token_ids = _most_likely(logits)
            segments[-1].token_ids.append(token_ids)
            segments[-1].measured.append(measure_tokens(logits, token_ids[:, None]))
            if step == max_new_tokens:
                break
            ended |= torch.isin(token_ids, self._eos_ids)
            if step % self._steps_per_check == 0:
                left = (~ended).nonzero()[:, 0]
                if len(left) == 0:
                    break
                if self.drops_ended and len(left) <= _KEPT_SHARE * len(ended):
                    batch.keep(left)
                    segments.append(_Segment(segments[-1].rows[left.cpu().numpy()], [], []))
                    token_ids, ended = token_ids[left], ended[left]
            logits = batch.step(token_ids)
        return segments


class _Batch:
    """The rows that are still answered: their cache, which columns of it they see, and their positions."""

    def __init__(self, causal_model: CausalModel, states: PromptStates, cache_name: str) -> None:
        self.causal_model = causal_model
        self.states = states
        self.key_values = KeyValues(causal_model.model)
        self.cache_name = cache_name
        self.mask: Any = None
        self.positions: Any = None
        self.starts: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def read(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]], prefix_tokens: int) -> Any:
        """Read the prompts and return the logits of their last tokens, shape (batch, vocabulary)."""
        import torch

        device = self.causal_model.device
        n_rows = len(prompt_token_ids)
        if prefix_tokens:
            prefix = torch.from_numpy(prompt_token_ids[0][None, :prefix_tokens].astype(np.int64)).to(device)
            ones = torch.ones_like(prefix)
            self.states.expect(prefix, ones)
            self._forward(prefix, None, torch.arange(prefix_tokens, device=device)[None])
            self.key_values.select(torch.zeros(n_rows, dtype=torch.int64, device=device))
        input_ids, seen = pad_left(
            [ids[prefix_tokens:] for ids in prompt_token_ids], self.causal_model.pad_id
        )
        has_padding = not seen.all()
        seen = np.concatenate([np.ones((n_rows, prefix_tokens), dtype=np.int64), seen], axis=1)
        mask = torch.from_numpy(seen).to(device)
        positions = (mask.cumsum(1) - 1).clamp_(min=0)[:, prefix_tokens:]
        ids = torch.from_numpy(input_ids).to(device)
        self.states.expect(ids, mask[:, prefix_tokens:])
        logits = self._forward(ids, mask if has_padding else None, positions)
        self.mask = mask.bool() if has_padding else None
        self.positions = positions[:, -1:]
        self.starts = seen.argmax(axis=1)
        return logits

    def step(self, token_ids: Any) -> Any:
        """Read one token a row and return the logits that follow."""
        import torch

        self.positions = self.positions + 1
        mask = None
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones((len(self.mask), 1))], dim=1)
            # Of four dimensions, a mask is taken as it is: the models' own way builds it anew and, on an
            # accelerator, waits to see whether it hides anything.
            mask = self.mask[:, None, None, :]
        return self._forward(token_ids[:, None], mask, self.positions)

    def keep(self, rows: Any) -> None:
        """Let all other rows go, and the columns that none of the rest sees."""
        kept = rows.cpu().numpy()
        self.starts = self.starts[kept]
        first_column = int(self.starts.min())
        self.key_values.select(rows, first_column)
        self.positions = self.positions[rows]
        self.starts = self.starts - first_column
        if self.mask is not None:
            self.mask = self.mask[rows, first_column:]

    def _forward(self, input_ids: Any, mask: Any, positions: Any) -> Any:
        output = self.causal_model.model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            **{self.cache_name: self.key_values.cache},
        )
        return output.logits[:, -1].float()


def _find_cache_name(network: Any) -> str | None:
    """Return what a model calls the keys and values that it is given; None where it takes none."""
    taken = inspect.signature(network.forward).parameters
    return next((name for name in _CACHE_NAMES if name in taken), None)


def _most_likely(logits: Any) -> Any:
    """Return the index of the largest logit of each row, the first of equal ones."""
    if logits.device.type != "cpu":
        return logits.argmax(-1)
    import torch

    # numpy's is vectorised: a tenth of the time of torch's, which would cost more than measuring the token.
    return torch.from_numpy(logits.numpy().argmax(-1))


def _join(
    segments: Sequence[_Segment], n_rows: int, pad_id: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    import torch

    n_steps = sum(len(segment.token_ids) for segment in segments)
    new_token_ids = np.full((n_rows, n_steps), pad_id, dtype=np.int64)
    measured = np.zeros((n_steps, 4, n_rows), dtype=np.float32)
    start = 0
    for segment in segments:
        stop = start + len(segment.token_ids)
        if stop > start:
            new_token_ids[segment.rows, start:stop] = torch.stack(segment.token_ids, dim=1).cpu().numpy()
            measured[start:stop, :, segment.rows] = torch.stack(segment.measured).cpu().numpy()
        start = stop
    return new_token_ids, measured
