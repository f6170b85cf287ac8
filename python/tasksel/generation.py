"""A Hugging Face causal language model answers prompts, and every token that it writes is measured.

Decoding is greedy. A recorder inside `transformers`' own generation loop keeps four numbers a token
(logprob, entropy, margin, and a check), so that memory grows with batch x tokens and not, as with
`output_scores`, with batch x tokens x vocabulary. Neither torch nor transformers is imported before a
model is really loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasksel.causal_model import CausalModel, load_model
from tasksel.prompt_encoding import pad_left
from tasksel_core.errors import ConfigError, TaskselError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = [
    "BatchGenerator",
    "CausalModel",
    "Generation",
    "TokenRecorder",
    "generate",
    "load_model",
]

_LOWEST_EXPONENT = -104.0
"""exp(-104) is 0 in float32, so that clamping here changes no sum and keeps 0 x -inf out of the entropy."""


@dataclass(frozen=True)
class Generation:
    """What the model wrote for one prompt; the end token counts, whatever follows it does not.

    Attributes
    ----------
    text : str
        The answer without special tokens.
    token_ids : ndarray of int32, shape (n_tokens,)
        The tokens as generated, the end token included.
    token_logprobs : ndarray of float32, shape (n_tokens,)
        Natural log of the probability that the model gave to each token.
    token_entropy : ndarray of float32, shape (n_tokens,)
        Entropy of the full next-token distribution in nats.
    token_margin : ndarray of float32, shape (n_tokens,)
        Probability of the most likely token minus that of the second.
    finish_reason : {"stop", "length"}
        ``stop`` when the model ended the answer, ``length`` when `max_new_tokens` did.
    """

    text: str
    token_ids: npt.NDArray[np.int32]
    token_logprobs: npt.NDArray[np.float32]
    token_entropy: npt.NDArray[np.float32]
    token_margin: npt.NDArray[np.float32]
    finish_reason: Literal["stop", "length"]


@dataclass
class TokenRecorder:
    """A logits processor that changes nothing and measures each step of a greedy generation.

    A step is measured one call late, when the emitted token stands at the end of `input_ids`: the
    numbers then belong to the token that was really emitted, without a second argmax (which on a CPU
    costs more than everything done here), and the logits, which generation no longer needs, can be
    overwritten in place.

    With z the logits minus the logit of the emitted token and s the sum of exp(z) over the *other*
    tokens, the logprob is -log1p(s) (exact to the last digit also near probability 1), the entropy
    log1p(s) - sum(z exp(z)) / (1 + s), the margin -expm1(max z) / (1 + s).

    Attributes
    ----------
    steps : list of Tensor, each float32 of shape (4, batch)
        Logprob, entropy, margin and largest z of the other tokens; the last is positive where the
        emitted token was not the most likely one.
    """

    steps: list[Any] = field(default_factory=list)
    _pending: Any = None
    _exponentials: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Measure the step before this one and keep `scores` (batch, vocabulary) for the next call."""
        if self._pending is not None:
            self._measure(input_ids[:, -1:])
        self._pending = scores
        return scores

    def finish(self, new_token_ids: Any) -> Any:
        """Measure the last step and return all of them.

        Parameters
        ----------
        new_token_ids : Tensor of int64, shape (batch, n_new)
            What generation returned after the prompt.

        Returns
        -------
        Tensor of float32, shape (n_new, 4, batch)
        """
        import torch

        n_new = new_token_ids.shape[1]
        # Where the stop check runs a step late (mps), one step more was measured than was returned.
        if len(self.steps) < n_new:
            with torch.inference_mode():  # the logits were made in it, if generation ran in it
                self._measure(new_token_ids[:, -1:])
        if len(self.steps) < n_new:
            raise TaskselError(f"Only {len(self.steps)} of {n_new} generated tokens passed the recorder.")
        return torch.stack(self.steps[:n_new])

    def _measure(self, token_ids: Any) -> None:
        import torch

        z = self._pending.sub_(self._pending.gather(-1, token_ids))
        z.scatter_(-1, token_ids, float("-inf"))
        second = z.amax(-1)
        # Rows that ended before emit padding, whose z may be large: kept finite here, cut later.
        z.clamp_(_LOWEST_EXPONENT, 0.0)
        if self._exponentials is None:
            self._exponentials = torch.empty_like(z)
        exponentials = torch.exp(z, out=self._exponentials)
        others = exponentials.sum(-1)
        weighted = exponentials.mul_(z).sum(-1)
        log_total, inverse_total = others.log1p(), 1.0 / (1.0 + others)
        entropy = log_total - weighted * inverse_total
        margin = -second.expm1() * inverse_total
        self.steps.append(torch.stack([-log_total, entropy, margin, second]))
        self._pending = None


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
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    input_ids, attention_mask = pad_left(prompt_token_ids, causal_model.pad_id)
    recorder = TokenRecorder()
    config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(causal_model.eos_ids) or None,
        pad_token_id=causal_model.pad_id,
    )
    with torch.inference_mode():
        sequences = causal_model.model.generate(
            input_ids=torch.from_numpy(input_ids).to(causal_model.device),
            attention_mask=torch.from_numpy(attention_mask).to(causal_model.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([recorder]),
        )
        new_token_ids = sequences[:, input_ids.shape[1] :]
        measured = recorder.finish(new_token_ids).float().cpu().numpy()
    return _cut_generations(causal_model, new_token_ids.cpu().numpy(), measured, max_new_tokens)


class BatchGenerator:
    """Answers batch after batch and halves those that do not fit into the device's memory.

    Parameters
    ----------
    causal_model : CausalModel
        From `load_model`.
    max_new_tokens : int
        Longest answer, the end token included.

    Attributes
    ----------
    split_batches : int
        How often a batch was halved. Its logprobs can differ from those of the whole batch in the last
        digits, since kernels depend on the shape.
    """

    def __init__(self, causal_model: CausalModel, *, max_new_tokens: int) -> None:
        self.causal_model = causal_model
        self.max_new_tokens = max_new_tokens
        self.split_batches = 0
        self._too_many_tokens: int | None = None

    def generate(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> list[Generation]:
        """Answer one batch; see `generate`.

        Raises
        ------
        ConfigError
            A single prompt does not fit into the device's memory.
        """
        generations = None if self._is_known_to_fail(prompt_token_ids) else self._try(prompt_token_ids)
        if generations is not None:
            return generations
        self.split_batches += 1
        half = (len(prompt_token_ids) + 1) // 2
        return self.generate(prompt_token_ids[:half]) + self.generate(prompt_token_ids[half:])

    def _count_tokens(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> int:
        return len(prompt_token_ids) * (max(map(len, prompt_token_ids)) + self.max_new_tokens)

    def _is_known_to_fail(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> bool:
        if self._too_many_tokens is None or len(prompt_token_ids) == 1:
            return False
        return self._count_tokens(prompt_token_ids) >= self._too_many_tokens

    def _try(self, prompt_token_ids: Sequence[npt.NDArray[np.int32]]) -> list[Generation] | None:
        import torch

        try:
            return generate(self.causal_model, prompt_token_ids, max_new_tokens=self.max_new_tokens)
        except torch.OutOfMemoryError as error:
            if len(prompt_token_ids) == 1:
                raise ConfigError(
                    f"A prompt of {len(prompt_token_ids[0])} tokens and {self.max_new_tokens} new ones "
                    f"do not fit into the memory of {self.causal_model.device}; lower max_new_tokens, or use "
                    "a smaller dtype or model."
                ) from error
        # Outside the handler, whose traceback would keep the tensors of the failed batch alive.
        self._too_many_tokens = self._count_tokens(prompt_token_ids)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None


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
