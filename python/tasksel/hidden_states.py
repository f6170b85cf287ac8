"""Embeddings that need no second model: what the model itself makes of a prompt, averaged over its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasksel.causal_model import suitable_threads
from tasksel.prompt_encoding import PromptEncoder, plan_batches
from tasksel.token_states import padded_inputs, sum_over_tokens
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tasksel.causal_model import CausalModel

__all__ = ["embed_hidden_states", "mean_states"]


def embed_hidden_states(
    causal_model: CausalModel,
    prompts: Sequence[str],
    *,
    prompt_template: str | None = None,
    batch_tokens: int = 8192,
) -> npt.NDArray[np.float32]:
    """Embed prompts as the mean of the model's last hidden states over their tokens.

    A prompt is read as `tasksel.score` gives it to the model, template and special tokens included; one that
    does not fit the context loses tokens on the left. The states are those that the head would read, after
    the last norm, and the head itself is not run.

    Parameters
    ----------
    causal_model : CausalModel
        From `tasksel.causal_model.load_model`, with an adapter or without one.
    prompts : sequence of str
        An empty one is embedded as the token that begins a text.
    prompt_template : str, optional
        As for `tasksel.score`.
    batch_tokens : int
        Padded tokens of one batch; one prompt that is longer goes alone.

    Returns
    -------
    ndarray of float32, shape (n_prompts, n_dimensions)
        In the order of `prompts`, not normalised; a batch changes the last digits alone.

    Raises
    ------
    ConfigError
        `batch_tokens` is below 1, or the template is wrong.
    """
    if batch_tokens < 1:
        raise ConfigError(f"batch_tokens is {batch_tokens}; a whole number of at least 1 is wanted.")
    encoder = PromptEncoder(causal_model, prompt_template=prompt_template, max_new_tokens=0)
    # Of no prompts the width is still asked for, and only a prompt tells it for every kind of model.
    encoded = [prompt.token_ids for prompt in encoder.encode(prompts or [""])]
    batches = plan_batches(
        list(map(len, encoded)), max_new_tokens=0, batch_tokens=batch_tokens, max_batch_rows=len(encoded)
    )
    with suitable_threads(causal_model):
        parts = [(rows, mean_states(causal_model, [encoded[row] for row in rows])) for rows in batches]
    embeddings = np.empty((len(encoded), parts[0][1].shape[1]), dtype=np.float32)
    for rows, means in parts:
        embeddings[rows] = means
    return embeddings[: len(prompts)]


def mean_states(causal_model: CausalModel, batch: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
    """Return the mean of the last hidden states over the tokens of each prompt of one batch.

    Parameters
    ----------
    causal_model : CausalModel
        From `tasksel.causal_model.load_model`.
    batch : sequence of ndarray of int32
        Tokens of each prompt, at least one prompt and one token.

    Returns
    -------
    ndarray of float32, shape (n_prompts, n_dimensions)
    """
    import torch

    given = padded_inputs(batch, causal_model.pad_id, causal_model.device)
    with torch.inference_mode():
        sums, counts = sum_over_tokens(_last_states(causal_model.model, given), given["attention_mask"])
    array: npt.NDArray[np.float32] = (sums / counts).cpu().numpy()
    return array


def _last_states(network: Any, given: dict[str, Any]) -> Any:
    """Return the last hidden states, without logits where the model can be called without its head."""
    base = network.base_model
    if base is network:
        return network(**given, use_cache=False, output_hidden_states=True).hidden_states[-1]
    return base(**given, use_cache=False).last_hidden_state
