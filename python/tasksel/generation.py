"""A Hugging Face causal language model answers prompts, and every token that it writes is measured.

Decoding is greedy. A recorder inside `transformers`' own generation loop keeps four numbers a token
(logprob, entropy, margin, and a check), so that memory grows with batch x tokens and not, as with
`output_scores`, with batch x tokens x vocabulary. Neither torch nor transformers is imported before a
model is really loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasksel.causal_model import CausalModel, load_model
from tasksel_core.errors import ConfigError, TaskselError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = [
    "BatchGenerator",
    "CausalModel",
    "EncodedPrompt",
    "Generation",
    "PromptEncoder",
    "TokenRecorder",
    "check_prompt_template",
    "generate",
    "load_model",
]

PLACEHOLDER = "{prompt}"
_LOWEST_EXPONENT = -104.0
"""exp(-104) is 0 in float32, so that clamping here changes no sum and keeps 0 x -inf out of the entropy."""

_CHAT_DATE = "26 Jul 2024"
"""Llama 3 templates print today's date unless one is passed: a run that passes midnight must not change.
This is the date that the templates themselves fall back to."""


_FRAME_MARK = "\ue000prompt\ue001"
"""Stands for a prompt while a template is taken apart: characters for private use, which no template has."""


@dataclass(frozen=True)
class EncodedPrompt:
    """One prompt as the model reads it.

    Attributes
    ----------
    token_ids : ndarray of int32, shape (n_tokens,)
        At least one token, also for an empty prompt.
    truncated_tokens : int
        How many tokens were cut from the left because they do not fit the context.
    """

    token_ids: npt.NDArray[np.int32]
    truncated_tokens: int


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


def check_prompt_template(prompt_template: str | None) -> None:
    r"""Refuse a prompt template that does not hold ``{prompt}`` exactly once; other braces are text.

    Raises
    ------
    ConfigError
        The placeholder is missing or repeated.

    Examples
    --------
    >>> check_prompt_template("Q: {prompt}\nA (as {json}):")
    >>> check_prompt_template("Q: A:")
    Traceback (most recent call last):
    ...
    tasksel_core.errors.ConfigError: The prompt template 'Q: A:' holds {prompt} 0 times; it must ...
    """
    if prompt_template is None:
        return
    count = prompt_template.count(PLACEHOLDER)
    if count != 1:
        raise ConfigError(
            f"The prompt template {prompt_template!r} holds {PLACEHOLDER} {count} times; "
            "it must hold it exactly once."
        )


class PromptEncoder:
    """Prompts to token ids: template, special tokens, truncation.

    An explicit `prompt_template` goes before the tokenizer's chat template, which goes before the bare
    prompt. Special tokens of a template are special; the same strings inside a user's prompt are plain
    text, so that a prompt that quotes ``</s>`` or ``<|im_end|>`` cannot end its own turn. (Two limits:
    added tokens that the tokenizer does not call special keep their single id, and a chat template that
    rewrites a prompt instead of quoting it, beyond trimming white space, is tokenized as a whole.)

    Prompts that do not fit are cut from the left, template included: the tail, where the question and
    the turn of the assistant stand, survives, and so does a leading BOS.

    Parameters
    ----------
    causal_model : CausalModel
        Its tokenizer and context.
    prompt_template : str or None
        Holds ``{prompt}`` once.
    max_new_tokens : int
        Room to keep for the answer.

    Raises
    ------
    ConfigError
        The template is wrong, or the answer alone fills the context.
    """

    def __init__(
        self, causal_model: CausalModel, *, prompt_template: str | None, max_new_tokens: int
    ) -> None:
        check_prompt_template(prompt_template)
        self.causal_model = causal_model
        self.prompt_template = prompt_template
        self.max_prompt_tokens = _find_max_prompt_tokens(causal_model.context_tokens, max_new_tokens)
        tokenizer = causal_model.tokenizer
        self._uses_chat_template = prompt_template is None and bool(tokenizer.chat_template)
        special_tokens = sorted(
            {text for text in tokenizer.all_special_tokens if text}, key=len, reverse=True
        )
        self._special = re.compile("|".join(map(re.escape, special_tokens)) or r"(?!)")
        self._adds_special_tokens = not (
            self._uses_chat_template
            or (prompt_template and tokenizer.bos_token and prompt_template.startswith(tokenizer.bos_token))
        )
        self._prefix, self._suffix = self._find_frame()

    def encode(self, prompts: Sequence[str]) -> list[EncodedPrompt]:
        """Encode `prompts`, in their order."""
        texts = [self._render(prompt) for prompt in prompts]
        token_ids = self._encode_plain(texts)
        for position, prompt in enumerate(prompts):
            if self._special.search(prompt):
                token_ids[position] = self._encode_quoting(texts[position])
        return [self._fit(ids) for ids in token_ids]

    def _render(self, prompt: str) -> str:
        if self.prompt_template is not None:
            return self.prompt_template.replace(PLACEHOLDER, prompt)
        if not self._uses_chat_template:
            return prompt
        rendered = self.causal_model.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            date_string=_CHAT_DATE,
        )
        return str(rendered)

    def _find_frame(self) -> tuple[str, str]:
        """Return the text that the template puts before and after every prompt.

        Raises
        ------
        ConfigError
            The chat template cannot be rendered for a single user message.
        """
        if self.prompt_template is None and not self._uses_chat_template:
            return "", ""
        try:
            rendered = self._render(_FRAME_MARK)
        except _template_errors() as error:
            raise ConfigError(
                f"The tokenizer's chat template fails on a single user message ({error}); "
                "pass a prompt template instead."
            ) from error
        prefix, _, suffix = rendered.partition(_FRAME_MARK)
        return prefix, suffix

    def _encode_plain(self, texts: list[str], *, parse_special: bool = True) -> list[list[int]]:
        if not texts:
            return []
        encoded = self.causal_model.tokenizer(
            texts,
            add_special_tokens=self._adds_special_tokens,
            split_special_tokens=not parse_special,
            return_attention_mask=False,
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def _encode_quoting(self, text: str) -> list[int]:
        """Encode a text whose prompt holds strings of special tokens, which stay plain text."""
        if not (self._prefix or self._suffix):
            return self._encode_plain([text], parse_special=False)[0]
        if not (text.startswith(self._prefix) and text.endswith(self._suffix)):
            return self._encode_plain([text])[0]
        start, stop = len(self._prefix), len(text) - len(self._suffix)
        # The plain text that touches the prompt is encoded with it, so that merges across the seam stay.
        before = [match.end() for match in self._special.finditer(text, 0, start)]
        after = [match.start() for match in self._special.finditer(text, stop)]
        start, stop = (before[-1] if before else 0), (after[0] if after else len(text))
        tokenizer = self.causal_model.tokenizer
        head = self._encode_plain([text[:start]])[0]
        quoted = tokenizer(text[start:stop], add_special_tokens=False, split_special_tokens=True)["input_ids"]
        tail = tokenizer(text[stop:], add_special_tokens=False)["input_ids"]
        return [*head, *quoted, *tail]

    def _fit(self, token_ids: list[int]) -> EncodedPrompt:
        ids = np.asarray(token_ids or [self._lone_token()], dtype=np.int32)
        if ids.max() >= self.causal_model.n_embeddings:
            raise ConfigError(
                f"The tokenizer gives token {ids.max()}, but the model knows only "
                f"{self.causal_model.n_embeddings} tokens; the two do not belong together."
            )
        limit = self.max_prompt_tokens
        if limit is None or len(ids) <= limit:
            return EncodedPrompt(ids, 0)
        keeps_bos = limit > 1 and ids[0] == self.causal_model.bos_id
        kept = (
            np.concatenate([ids[:1], ids[len(ids) - limit + 1 :]]) if keeps_bos else ids[len(ids) - limit :]
        )
        return EncodedPrompt(kept, len(ids) - limit)

    def _lone_token(self) -> int:
        """Return what the model reads for an empty prompt: it needs one token to predict the next from."""
        bos_id = self.causal_model.bos_id
        return bos_id if bos_id is not None else (*self.causal_model.eos_ids, self.causal_model.pad_id)[0]


def _template_errors() -> tuple[type[Exception], ...]:
    """Return what rendering raises; transformers refuses with an ImportError when jinja2 is missing."""
    general = (ImportError, TypeError, ValueError)
    try:
        from jinja2 import TemplateError
    except ModuleNotFoundError:
        return general
    return (*general, TemplateError)


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

    input_ids, attention_mask = _pad_left(prompt_token_ids, causal_model.pad_id)
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


def _pad_left(
    prompt_token_ids: Sequence[npt.NDArray[np.int32]], pad_id: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    width = max(len(ids) for ids in prompt_token_ids)
    input_ids = np.full((len(prompt_token_ids), width), pad_id, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, ids in enumerate(prompt_token_ids):
        input_ids[row, width - len(ids) :] = ids
        attention_mask[row, width - len(ids) :] = 1
    return input_ids, attention_mask


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


def _find_max_prompt_tokens(context_tokens: int | None, max_new_tokens: int) -> int | None:
    if context_tokens is None:
        return None
    if max_new_tokens >= context_tokens:
        raise ConfigError(
            f"max_new_tokens is {max_new_tokens}, but the model's context holds {context_tokens} tokens, "
            f"prompt included; at most {context_tokens - 1} are allowed."
        )
    return context_tokens - max_new_tokens
