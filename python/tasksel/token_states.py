"""What a model reads of several texts at a time, and the sums of what it makes of their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasksel.prompt_encoding import pad_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

__all__ = ["padded_inputs", "sum_over_tokens"]


def padded_inputs(token_ids: Sequence[npt.NDArray[np.int32]], pad_id: int, device: str) -> dict[str, Any]:
    """Return texts as a model of transformers takes them, padded on the right.

    Parameters
    ----------
    token_ids : sequence of ndarray of int32
        One array a text, at least one.
    pad_id : int
        The padding token.
    device : str
        Where the tensors go.

    Returns
    -------
    dict of str to Tensor of int64, shape (n_texts, longest)
        ``input_ids`` and ``attention_mask``.
    """
    import torch

    input_ids, mask = pad_right(token_ids, pad_id)
    return {
        "input_ids": torch.from_numpy(input_ids).to(device),
        "attention_mask": torch.from_numpy(mask).to(device),
    }


def sum_over_tokens(states: Any, mask: Any) -> tuple[Any, Any]:
    """Return the sum of the states of each text's tokens, and how many tokens it has.

    Parameters
    ----------
    states : Tensor, shape (n_texts, width, n_dimensions)
        Of any dtype. They become float32 before they are added: sums over a long text leave the range of
        float16.
    mask : Tensor of int64, shape (n_texts, width)
        1 where there is a token.

    Returns
    -------
    sums : Tensor of float32, shape (n_texts, n_dimensions)
    counts : Tensor of float32, shape (n_texts, 1)
    """
    states = states.float()
    weights = mask[..., None].to(states.dtype)
    return (states * weights).sum(dim=1), weights.sum(dim=1)
