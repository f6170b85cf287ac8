"""Several answers to each prompt, drawn from the model's own distribution instead of its likeliest one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tasksel.causal_model import suitable_threads
from tasksel.prompt_encoding import PromptEncoder, pad_left
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tasksel.causal_model import CausalModel

__all__ = ["disagreement", "sample_answers"]


def sample_answers(
    causal_model: CausalModel,
    prompts: Sequence[str],
    *,
    n_samples: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
    batch_tokens: int = 8192,
) -> list[list[str]]:
    """Draw answers to each prompt.

    Parameters
    ----------
    causal_model : CausalModel
        From `tasksel.causal_model.load_model`.
    prompts : sequence of str
        Read as `tasksel.score` gives them to the model.
    n_samples : int
        Answers a prompt.
    max_new_tokens : int
        Longest answer, the end token included.
    temperature : float
        Above 0; 1 is the model's own distribution.
    seed : int
        Of the draws; the generator of the process is left as it was.
    batch_tokens : int
        Padded prompt and answer tokens of one batch. Another batch draws other answers.

    Returns
    -------
    list of list of str, shape (n_prompts, n_samples)
        Without special tokens, in the order of `prompts`.

    Raises
    ------
    ConfigError
        A number is out of range.
    """
    if n_samples < 1 or max_new_tokens < 1 or batch_tokens < 1 or not temperature > 0:
        raise ConfigError(
            f"n_samples, max_new_tokens and batch_tokens are {n_samples}, {max_new_tokens} and "
            f"{batch_tokens}, temperature is {temperature}; at least 1 and above 0 are wanted."
        )
    import torch

    encoder = PromptEncoder(causal_model, prompt_template=None, max_new_tokens=max_new_tokens)
    encoded = [prompt.token_ids for prompt in encoder.encode(prompts)]
    order = sorted(range(len(encoded)), key=lambda row: -len(encoded[row]))
    answers: list[list[str]] = [[] for _ in encoded]
    with torch.random.fork_rng(enabled=True), suitable_threads(causal_model):
        torch.manual_seed(seed)
        start = 0
        while start < len(order):
            row_tokens = n_samples * (len(encoded[order[start]]) + max_new_tokens)
            rows = order[start : start + max(1, batch_tokens // row_tokens)]
            texts = _draw(
                causal_model, [encoded[row] for row in rows], n_samples, max_new_tokens, temperature
            )
            for place, row in enumerate(rows):
                answers[row] = texts[place * n_samples : (place + 1) * n_samples]
            start += len(rows)
    return answers


def disagreement(answers: Sequence[str]) -> float:
    """Return the share of pairs of answers that differ; NaN of fewer than two.

    An unbiased estimate of the Gini index of the model's answers, whatever their number.

    Examples
    --------
    >>> disagreement(["4", "4", "4", "5"])
    0.5
    >>> disagreement(["4", "4"])
    0.0
    """
    n = len(answers)
    if n < 2:
        return float("nan")
    equal = sum(count * (count - 1) for count in Counter(answers).values())
    return 1.0 - equal / (n * (n - 1))


def _draw(
    causal_model: CausalModel,
    batch: Sequence[NDArray[np.int32]],
    n_samples: int,
    max_new_tokens: int,
    temperature: float,
) -> list[str]:
    import torch
    from transformers import GenerationConfig

    input_ids, mask = pad_left(batch, causal_model.pad_id)
    config = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        num_return_sequences=n_samples,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(causal_model.eos_ids) or None,
        pad_token_id=causal_model.pad_id,
    )
    with torch.inference_mode():
        sequences = causal_model.model.generate(
            input_ids=torch.from_numpy(input_ids).to(causal_model.device),
            attention_mask=torch.from_numpy(mask).to(causal_model.device),
            generation_config=config,
        )
    texts: list[str] = causal_model.tokenizer.batch_decode(
        sequences[:, input_ids.shape[1] :].cpu().tolist(),
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return [text.strip() for text in texts]
