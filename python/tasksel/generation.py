"""A Hugging Face causal language model answers prompts, and every token that it writes is measured.

Decoding is greedy. Four numbers a token are kept (logprob, entropy, margin, and a check), so that memory
grows with batch x tokens and not, as with `output_scores`, with batch x tokens x vocabulary. Neither torch
nor transformers is imported before a model is really loaded.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from tasksel.causal_model import CausalModel, load_model
from tasksel.device_memory import BatchHalving
from tasksel.generation_loop import GreedyLoop
from tasksel.generation_recorder import TokenRecorder
from tasksel.generation_states import PromptStates
from tasksel.prompt_encoding import pad_left
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = [
    "BatchAnswers",
    "BatchGenerator",
    "CausalModel",
    "Generation",
    "TokenRecorder",
    "generate",
    "load_model",
]

_CHECKED_TOKENS = 16
"""Room that comparing the loops needs; a model with a smaller context is left to `generate`."""


@dataclass(frozen=True)
class Generation:
    """What the model wrote for one prompt; the end token counts, whatever follows it does not.

    Attributes
    ----------
    text : str
        The answer without special tokens.
    token_ids : ndarray of int32, shape (n_tokens,), or None
        The tokens as generated, the end token included; None where a server does not tell them.
    token_logprobs : ndarray of float32, shape (n_tokens,)
        Natural log of the probability that the model gave to each token.
    token_entropy : ndarray of float32, shape (n_tokens,)
        Entropy of the next-token distribution in nats: of the whole one, or truncated (`entropy_top_k`).
    token_margin : ndarray of float32, shape (n_tokens,)
        Probability of the most likely token minus that of the second.
    finish_reason : {"stop", "length"}
        ``stop`` when the model ended the answer, ``length`` when `max_new_tokens` did.
    entropy_top_k : int or None
        How many of the likeliest tokens the entropy was made from, all others taken as one outcome; None
        where it is that of the whole distribution.
    """

    text: str
    token_ids: npt.NDArray[np.int32] | None
    token_logprobs: npt.NDArray[np.float32]
    token_entropy: npt.NDArray[np.float32]
    token_margin: npt.NDArray[np.float32]
    finish_reason: Literal["stop", "length"]
    entropy_top_k: int | None = None


class BatchAnswers(NamedTuple):
    """Answers of one batch, in the order of its prompts.

    Attributes
    ----------
    generations : list of Generation
        One a prompt.
    hidden_means : ndarray of float32, shape (n_prompts, n_dimensions), or None
        Mean last hidden state over each prompt's tokens, where it was asked for.
    """

    generations: list[Generation]
    hidden_means: npt.NDArray[np.float32] | None


def generate(
    causal_model: CausalModel, prompt_token_ids: Sequence[npt.NDArray[np.int32]], *, max_new_tokens: int
) -> list[Generation]:
    """Answer one batch of prompts greedily and measure every generated token.

    Parameters
    ----------
    causal_model : CausalModel
        From `load_model`.
    prompt_token_ids : sequence of ndarray of int32
        One array a prompt, none of them empty; they are padded on the left to the longest.
    max_new_tokens : int
        Longest answer, the end token included.

    Returns
    -------
    list of Generation
        In the order of the prompts.

    Raises
    ------
    TaskselError
        The model gave numbers that are not finite, or emitted a token that is not the most likely one.
    """
    states = PromptStates(causal_model.model, is_wanted=False)
    new_token_ids, measured = _generate(
        causal_model, prompt_token_ids, max_new_tokens=max_new_tokens, states=states
    )
    return _cut_generations(causal_model, new_token_ids, measured, max_new_tokens)


def _generate(
    causal_model: CausalModel,
    prompt_token_ids: Sequence[npt.NDArray[np.int32]],
    *,
    max_new_tokens: int,
    states: PromptStates,
    static_cache: bool = False,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Answer a batch by the loop of transformers; returns what `GreedyLoop.answer` does."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    padded, seen = pad_left(prompt_token_ids, causal_model.pad_id)
    input_ids, mask = (torch.from_numpy(array).to(causal_model.device) for array in (padded, seen))
    recorder = TokenRecorder()
    config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        cache_implementation="static" if static_cache else None,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(causal_model.eos_ids) or None,
        pad_token_id=causal_model.pad_id,
    )
    with torch.inference_mode():
        states.expect(input_ids, mask)
        sequences = causal_model.model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([recorder]),
        )
        new_token_ids = sequences[:, padded.shape[1] :]
        measured = recorder.finish(new_token_ids).float().cpu().numpy()
    return new_token_ids.cpu().numpy(), measured


class BatchGenerator:
    """Answers batch after batch and halves those that do not fit into the device's memory.

    Where the model allows it, and gives there what it gives in `generate`, a loop of our own is used: ended
    rows leave the batch, and a beginning that all its prompts share is read once.

    Parameters
    ----------
    causal_model : CausalModel
        From `load_model`.
    max_new_tokens : int
        Longest answer, the end token included.
    records_hidden : bool
        Whether the mean last hidden state over each prompt is kept, from the same pass.
    shares_prefix : bool
        Whether a shared beginning is read once where that pays.
    static_cache : bool
        Whether `generate` is used with a cache of fixed size, which it compiles the model for on CUDA.

    Attributes
    ----------
    split_batches : int
        How often a batch was halved. Its logprobs can differ from those of the whole batch in the last
        digits, since kernels depend on the shape.
    """

    def __init__(
        self,
        causal_model: CausalModel,
        *,
        max_new_tokens: int,
        records_hidden: bool = False,
        shares_prefix: bool = True,
        static_cache: bool = False,
    ) -> None:
        self.causal_model = causal_model
        self.max_new_tokens = max_new_tokens
        self.records_hidden = records_hidden
        self.shares_prefix = shares_prefix
        self.static_cache = static_cache
        self._halving = BatchHalving(
            _join,
            functools.partial(_refuse, max_new_tokens, causal_model.device),
            new_tokens=max_new_tokens,
        )

    @property
    def split_batches(self) -> int:
        """How often a batch was halved."""
        return self._halving.n_splits

    @functools.cached_property
    def loop(self) -> GreedyLoop | None:
        """The loop of our own; None where `generate` of transformers is used instead."""
        if self.static_cache:
            return None
        loop = GreedyLoop(self.causal_model, shares_prefix=self.shares_prefix)
        return loop if _agrees(loop, self.causal_model) else None

    def generate(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> list[Generation]:
        """Answer one batch; see `generate`.

        Raises
        ------
        ConfigError
            A single prompt does not fit into the device's memory.
        """
        return self.answer(prompt_token_ids).generations

    def answer(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> BatchAnswers:
        """Answer one batch, with the mean hidden states of its prompts where they were asked for.

        Raises
        ------
        ConfigError
            A single prompt does not fit into the device's memory.
        """
        return self._halving.run(self._answer, prompt_token_ids)

    def _answer(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> BatchAnswers:
        options = {"max_new_tokens": self.max_new_tokens}
        with PromptStates(self.causal_model.model, is_wanted=self.records_hidden) as states:
            if self.loop is not None:
                new_token_ids, measured = self.loop.answer(prompt_token_ids, states=states, **options)
            else:
                new_token_ids, measured = _generate(
                    self.causal_model,
                    prompt_token_ids,
                    states=states,
                    static_cache=self.static_cache,
                    **options,
                )
        generations = _cut_generations(self.causal_model, new_token_ids, measured, self.max_new_tokens)
        return BatchAnswers(generations, states.means())


def _refuse(max_new_tokens: int, device: str, n_tokens: int) -> str:
    return (
        f"A prompt of {n_tokens} tokens and {max_new_tokens} new ones do not fit into the memory of "
        f"{device}; lower max_new_tokens, or use a smaller dtype or model."
    )


def _join(first: BatchAnswers, second: BatchAnswers) -> BatchAnswers:
    means = None
    if first.hidden_means is not None and second.hidden_means is not None:
        means = np.concatenate([first.hidden_means, second.hidden_means])
    return BatchAnswers(first.generations + second.generations, means)


def _agrees(loop: GreedyLoop, causal_model: CausalModel) -> bool:
    """Tell whether the loop gives what `generate` gives, on three small prompts with padding and a prefix.

    Models differ in how they count positions and hide padding. What a model's code looks like is no proof;
    this is, at the price of a few passes.
    """
    context = causal_model.context_tokens
    if not loop.fits(causal_model) or (context is not None and context < _CHECKED_TOKENS):
        return False
    ids = np.random.default_rng(0).integers(0, causal_model.n_embeddings, size=(3, _CHECKED_TOKENS - 3))
    ids[:, :4] = ids[0, :4]
    prompts = [row[:n_tokens].astype(np.int32) for row, n_tokens in zip(ids, (13, 5, 9), strict=True)]
    expected = generate(causal_model, prompts, max_new_tokens=3)
    states = PromptStates(causal_model.model, is_wanted=False)
    try:
        found = loop.answer(prompts, max_new_tokens=3, states=states, prefix_tokens=4)
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False
    tolerance = 1e-3 if causal_model.dtype == "float32" else 0.1
    return all(
        _is_close(generation, token_ids, logprobs, tolerance)
        for generation, token_ids, logprobs in zip(expected, found[0], found[1][:, 0].T, strict=True)
    )


def _is_close(
    generation: Generation,
    token_ids: npt.NDArray[np.int64],
    logprobs: npt.NDArray[np.float32],
    tolerance: float,
) -> bool:
    """Tell whether logprobs agree up to the first token that differs, as one of two near equals may."""
    n_tokens = min(len(generation.token_logprobs), len(token_ids))
    differing = np.flatnonzero(np.asarray(generation.token_ids)[:n_tokens] != token_ids[:n_tokens])
    stop = int(differing[0]) + 1 if len(differing) else n_tokens
    return bool(np.allclose(generation.token_logprobs[:stop], logprobs[:stop], rtol=0, atol=tolerance))


def _cut_generations(
    causal_model: CausalModel,
    new_token_ids: npt.NDArray[np.int64],
    measured: npt.NDArray[np.float32],
    max_new_tokens: int,
) -> list[Generation]:
    is_end = np.isin(new_token_ids, causal_model.eos_ids)
    stopped = np.asarray(is_end.any(axis=1))
    lengths = np.where(stopped, is_end.argmax(axis=1) + 1, new_token_ids.shape[1])
    texts = causal_model.tokenizer.batch_decode(
        [ids[:length].tolist() for ids, length in zip(new_token_ids, lengths, strict=True)],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    generations = []
    for row, (text, length) in enumerate(zip(texts, lengths.tolist(), strict=True)):
        numbers = measured[:length, :, row]
        _check_measured(numbers, causal_model.dtype)
        if not stopped[row] and length != max_new_tokens:
            raise TaskselError(f"The model ended an answer after {length} tokens without an end token.")
        generations.append(
            Generation(
                text=text,
                token_ids=new_token_ids[row, :length].astype(np.int32),
                token_logprobs=numbers[:, 0].copy(),
                token_entropy=np.maximum(numbers[:, 1], 0.0),
                token_margin=numbers[:, 2].copy(),
                finish_reason="stop" if stopped[row] else "length",
            )
        )
    return generations


def _check_measured(numbers: npt.NDArray[np.float32], dtype: str) -> None:
    """Refuse numbers of shape (n_tokens, 4) that cannot be those of a greedy answer."""
    if not np.isfinite(numbers[:, :3]).all():
        raise TaskselError(
            f"The model's logits in {dtype} are not finite; try another dtype (float32 or bfloat16)."
        )
    if (numbers[:, 3] > 0.0).any():
        raise TaskselError(
            "The model emitted a token that is not its most likely one, so its generation is not greedy; "
            "tasksel cannot score with a model that replaces the generation loop."
        )
