"""Prompts to token ids: template, special tokens inside user text, truncation to the context."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tasksel.causal_model import CausalModel

__all__ = [
    "EncodedPrompt",
    "PromptEncoder",
    "check_prompt_template",
    "cut_left",
    "pad_left",
    "pad_right",
    "plan_batches",
]

PLACEHOLDER = "{prompt}"
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


def check_prompt_template(prompt_template: str | None) -> None:
    r"""Refuse a prompt template that does not hold ``{prompt}`` exactly once; other braces are text.

    Raises
    ------
    ConfigError
        The placeholder is missing or repeated, or the template is no text.

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
    if not isinstance(prompt_template, str):
        raise ConfigError(f"The prompt template is {prompt_template!r}; text with {PLACEHOLDER} is wanted.")
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
        try:
            rendered = self.causal_model.tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                tokenize=False,
                add_generation_prompt=True,
                date_string=_CHAT_DATE,
            )
        except _template_errors() as error:
            raise ConfigError(
                f"The tokenizer's chat template fails on a single user message ({error}); "
                "pass a prompt template instead."
            ) from error
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
        prefix, _, suffix = self._render(_FRAME_MARK).partition(_FRAME_MARK)
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
        return EncodedPrompt(cut_left(ids, limit, self.causal_model.bos_id), len(ids) - limit)

    def _lone_token(self) -> int:
        """Return what the model reads for an empty prompt: it needs one token to predict the next from."""
        bos_id = self.causal_model.bos_id
        return bos_id if bos_id is not None else (*self.causal_model.eos_ids, self.causal_model.pad_id)[0]


def cut_left(token_ids: npt.NDArray[np.int32], limit: int, bos_id: int | None) -> npt.NDArray[np.int32]:
    """Return the last `limit` (at least 1) tokens of a prompt; a leading BOS stays, as one of them.

    Examples
    --------
    >>> ids = np.array([7, 1, 2, 3], dtype=np.int32)
    >>> cut_left(ids, 2, None).tolist(), cut_left(ids, 2, 7).tolist()
    ([2, 3], [7, 3])
    """
    if len(token_ids) <= limit:
        return token_ids
    if limit > 1 and token_ids[0] == bos_id:
        return np.concatenate([token_ids[:1], token_ids[len(token_ids) - limit + 1 :]])
    return token_ids[len(token_ids) - limit :]


def _template_errors() -> tuple[type[Exception], ...]:
    """Return what rendering raises; transformers refuses with an ImportError when jinja2 is missing.

    A template is a program of strangers in a sandbox, and may divide by zero or count too far.
    """
    general = (
        ArithmeticError,
        AttributeError,
        ImportError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    )
    try:
        from jinja2 import TemplateError
    except ModuleNotFoundError:
        return general
    return (*general, TemplateError)


def _find_max_prompt_tokens(context_tokens: int | None, max_new_tokens: int) -> int | None:
    if context_tokens is None:
        return None
    if max_new_tokens >= context_tokens:
        raise ConfigError(
            f"max_new_tokens is {max_new_tokens}, but the model's context holds {context_tokens} tokens, "
            f"prompt included; at most {context_tokens - 1} are allowed."
        )
    return context_tokens - max_new_tokens


def pad_left(
    prompt_token_ids: Sequence[npt.NDArray[np.int32]], pad_id: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Put prompts into one array, padded on the left, where generation goes on at the right end.

    Parameters
    ----------
    prompt_token_ids : sequence of ndarray of int32
        One array a prompt, at least one.
    pad_id : int
        The padding token.

    Returns
    -------
    input_ids, attention_mask : ndarray of int64, shape (n_prompts, longest)
    """
    return _pad(prompt_token_ids, pad_id, is_left=True)


def pad_right(
    token_ids: Sequence[npt.NDArray[np.int32]], pad_id: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Put texts into one array, padded on the right, where no token of a causal model sees it.

    Parameters
    ----------
    token_ids : sequence of ndarray of int32
        One array a text, at least one.
    pad_id : int
        The padding token.

    Returns
    -------
    input_ids, attention_mask : ndarray of int64, shape (n_texts, longest)

    Examples
    --------
    >>> ids, mask = pad_right([np.array([7, 8], dtype=np.int32), np.array([9], dtype=np.int32)], 0)
    >>> ids.tolist(), mask.tolist()
    ([[7, 8], [9, 0]], [[1, 1], [1, 0]])
    """
    return _pad(token_ids, pad_id, is_left=False)


def _pad(
    token_ids: Sequence[npt.NDArray[np.int32]], pad_id: int, *, is_left: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    width = max(map(len, token_ids))
    input_ids = np.full((len(token_ids), width), pad_id, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, ids in enumerate(token_ids):
        start = width - len(ids) if is_left else 0
        input_ids[row, start : start + len(ids)] = ids
        attention_mask[row, start : start + len(ids)] = 1
    return input_ids, attention_mask


def plan_batches(
    prompt_tokens: Sequence[int], *, max_new_tokens: int, batch_tokens: int, max_batch_rows: int
) -> list[list[int]]:
    """Deal prompts into batches of similar length, the longest first.

    A lack of memory then shows at once, and the time to go, guessed from the rows so far, is rather too
    long than too short.

    Parameters
    ----------
    prompt_tokens : sequence of int
        Length of each prompt.
    max_new_tokens : int
        Room that each row keeps for its answer.
    batch_tokens : int
        Largest batch, in tokens with padding and answers. One prompt that is longer goes alone.
    max_batch_rows : int
        Most prompts in a batch.

    Returns
    -------
    list of list of int
        Positions in `prompt_tokens`; each stands in exactly one batch, equal lengths in their order.

    Examples
    --------
    >>> plan_batches([3, 9, 4, 3], max_new_tokens=1, batch_tokens=10, max_batch_rows=9)
    [[1], [2, 0], [3]]
    """
    order = sorted(range(len(prompt_tokens)), key=lambda position: -prompt_tokens[position])
    batches = []
    start = 0
    while start < len(order):
        widest = prompt_tokens[order[start]] + max_new_tokens
        stop = start + max(1, min(max_batch_rows, batch_tokens // widest))
        batches.append(order[start:stop])
        start = stop
    return batches
