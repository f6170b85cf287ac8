"""What vLLM answered to one prompt -> a generation with its measured tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasksel.engines.truncated_entropy import truncated_entropy
from tasksel.generation import Generation
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    import numpy.typing as npt

    from tasksel.causal_model import CausalModel

__all__ = ["measure_top_logprobs", "read_completion"]


def read_completion(completion: Any, causal_model: CausalModel, top_logprobs: int) -> Generation:
    """Read an answer that was generated greedily with flat logprobs.

    Parameters
    ----------
    completion : vllm.CompletionOutput
        With `FlatLogprobs`: at each position the emitted token stands first and the likeliest tokens follow,
        the emitted one among them again.
    causal_model : CausalModel
        Its tokenizer and end tokens.
    top_logprobs : int
        How many likeliest tokens were asked for.

    Raises
    ------
    TaskselError
        The answer ended for a reason that is neither its end nor a limit, lacks logprobs, or was not greedy.
    """
    if completion.finish_reason not in ("stop", "length"):
        raise TaskselError(
            f"vLLM ended an answer for the reason {completion.finish_reason!r}, which is neither its end nor "
            "a limit."
        )
    token_ids = np.asarray(completion.token_ids, dtype=np.int32)
    listed_ids, logprobs = _read_flat(completion.logprobs, token_ids)
    entropy, margin = measure_top_logprobs(listed_ids, logprobs)
    text = causal_model.tokenizer.decode(
        token_ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return Generation(
        text=text,
        token_ids=token_ids,
        token_logprobs=np.minimum(logprobs[:, 0], 0.0).astype(np.float32),
        token_entropy=entropy,
        token_margin=margin,
        finish_reason=completion.finish_reason,
        entropy_top_k=top_logprobs,
    )


def _read_flat(
    flat: Any, token_ids: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return ids and logprobs of the listed tokens, both of shape (n_tokens, 1 + n_listed)."""
    n_tokens = len(token_ids)
    logprobs = np.asarray(flat.logprobs, dtype=np.float64)
    if n_tokens == 0 or len(flat) != n_tokens or logprobs.size % n_tokens:
        raise TaskselError(
            f"vLLM gave {n_tokens} tokens and logprobs of {len(flat)}; every token needs them."
        )
    listed_ids = np.asarray(flat.token_ids, dtype=np.int64).reshape(n_tokens, -1)
    if not np.array_equal(listed_ids[:, 0], token_ids):
        raise TaskselError("vLLM's logprobs are not those of the tokens that it emitted.")
    return listed_ids, logprobs.reshape(n_tokens, -1)


def measure_top_logprobs(
    listed_ids: npt.NDArray[np.int64], logprobs: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the truncated entropy and the margin of every token.

    Parameters
    ----------
    listed_ids : ndarray of int64, shape (n_tokens, n_columns)
        The emitted token first, then the likeliest ones, of which one may be the emitted token again.
    logprobs : ndarray of float64, shape (n_tokens, n_columns)
        Their natural logarithms of probabilities.

    Returns
    -------
    entropy, margin : ndarray of float32, shape (n_tokens,)

    Raises
    ------
    TaskselError
        A number is not one, or the emitted token is not the likeliest.

    Examples
    --------
    >>> entropy, margin = measure_top_logprobs(np.array([[7, 7, 3]]), np.log([[0.5, 0.5, 0.25]]))
    >>> entropy.round(3).tolist(), margin.round(3).tolist()
    ([1.0399999618530273], [0.25])
    """
    likeliest = np.where(listed_ids[:, 1:] == listed_ids[:, :1], -np.inf, logprobs[:, 1:])
    second = likeliest.max(axis=1)
    _check_numbers(logprobs[:, 0], second)
    probabilities = np.exp(np.minimum(np.column_stack([logprobs[:, 0], likeliest]), 0.0))
    margin = probabilities[:, 0] - np.exp(second)
    return truncated_entropy(probabilities).astype(np.float32), margin.astype(np.float32)


def _check_numbers(emitted: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> None:
    if not np.isfinite(emitted).all() or np.isnan(second).any():
        raise TaskselError(
            "The model's logits in vLLM are not finite; try another dtype (float32 or bfloat16)."
        )
    if (second > emitted).any():
        raise TaskselError(
            "vLLM emitted a token that is not its most likely one, so its generation is not greedy; tasksel "
            "cannot score with a vLLM whose logits are changed or whose tokens are drafted by a looser rule."
        )
