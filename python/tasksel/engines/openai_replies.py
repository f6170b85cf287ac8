"""What an OpenAI-compatible server answered -> a generation with its measured tokens.

Servers differ in shape and in what they leave out; where a number could not be trusted, a sentence says why.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from tasksel.engines.truncated_entropy import truncated_entropy
from tasksel.generation import Generation
from tasksel_core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = ["CompletionRead", "IncompleteReplyError", "read_completion"]

_NO_LOGPROBS: Final = (
    "The server's reply holds no logprobs; they must be switched on where it is started, or the model there "
    "does not give them."
)
_NOTHING: Final = -9_000.0
"""OpenAI and vLLM write -9999, llama.cpp the lowest float32 where a logprob is minus infinity or unknown."""
_ROUNDING: Final = 1e-3
"""How far above 0 a logprob, or above that of the emitted token another one, may be by rounding."""
_MOST_MASS: Final = 1.02
"""Listed probabilities add up to 1 at most; computed in bfloat16 they miss it by a percent."""
_SAME: Final = 1e-5
_TOKEN_ID: Final = re.compile(r"token_id:(\d+)")
_MAX_COUNT: Final = 2**31 - 1
"""Counts and ids of tokens are kept in 32 bits; no vocabulary and no answer comes near."""
_STOPPED: Final = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence"})
_BROKEN_TEXT: Final = ("\ufffd", "bytes:")
"""How servers write a token that is only a part of a character."""


class IncompleteReplyError(ProviderError):
    """The reply is in order, but some tokens of this answer have no logprobs."""


class CompletionRead(NamedTuple):
    """A completion as it was read.

    Attributes
    ----------
    generation : Generation or None
        None where the server's filter stopped the answer or the model refused.
    refusal : str or None
        Why there is none.
    prompt_tokens : int or None
        As the server counts them.
    has_end_token : bool or None
        Whether the token that ended the answer is among those measured; None where the answer did not end
        or it cannot be told.
    """

    generation: Generation | None
    refusal: str | None
    prompt_tokens: int | None
    has_end_token: bool | None


class _Step(NamedTuple):
    """One token: its text, its id where it is told, its logprob, and those of the likeliest tokens."""

    token: str
    token_id: int | None
    logprob: float
    listed: Sequence[float]


def read_completion(body: str, *, top_k: int) -> CompletionRead:
    """Read a reply of status 200.

    Parameters
    ----------
    body : str
        Of a completion (``text`` and parallel lists, or llama.cpp's list of tokens) or a chat completion
        (``message``, and a list of tokens).
    top_k : int
        How many of the likeliest tokens were asked for.

    Returns
    -------
    CompletionRead
        With, for each token, the entropy of the distribution that is left when all tokens but the `top_k`
        listed ones (and the emitted one) are taken as one outcome: with p the listed probabilities and r the
        rest, the sum of p log(1 / p) over the listed tokens plus r log(1 / r). It is no larger than the
        entropy of the whole distribution, and smaller by at most r log(tokens not listed). The margin is
        that of the two largest listed probabilities; where a single token is listed, r stands for the second.

    Raises
    ------
    ProviderError
        The reply holds no logprobs, they are none, or they are not those of a greedy answer.
    IncompleteReplyError
        There is not one for every token.

    Examples
    --------
    >>> body = '''{"choices": [{"text": "yes", "finish_reason": "length", "logprobs": {"tokens": ["yes"],
    ...     "token_logprobs": [-0.5], "top_logprobs": [{"yes": -0.5, "no": -1.5}]}}]}'''
    >>> read = read_completion(body, top_k=2)
    >>> read.generation.text, round(float(read.generation.token_margin[0]), 3)
    ('yes', 0.383)
    """
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        finish = choice.get("finish_reason")
        text = _read_text(choice)
        usage = content.get("usage") or {}
        prompt_tokens = _count(usage.get("prompt_tokens"))
        refusal = _read_refusal(choice, finish)
        if refusal is not None:
            return CompletionRead(None, refusal, prompt_tokens, None)
        n_written = _count(usage.get("completion_tokens"))
        steps = _read_steps(choice, is_empty=not text and finish in _STOPPED and (n_written or 0) <= 1)
        token_ids = _read_ids(steps, choice)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ProviderError(f"The server's reply is no completion: {body[:200].strip()!r}.") from error
    finish_reason = _read_finish(finish)
    has_end_token = _has_end_token(steps, text, choice) if finish_reason == "stop" else None
    _check_complete(steps, n_written, has_end_token=has_end_token, finish_reason=finish_reason)
    logprobs, entropy, margin = _measure(steps)
    generation = Generation(
        text=text,
        token_ids=token_ids,
        token_logprobs=logprobs,
        token_entropy=entropy,
        token_margin=margin,
        finish_reason=finish_reason,
        entropy_top_k=top_k,
    )
    return CompletionRead(generation, None, prompt_tokens, has_end_token)


def _read_text(choice: Mapping[str, Any]) -> str:
    if "message" not in choice:
        return str(choice["text"])
    content = choice["message"].get("content")
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(str(part.get("text", "")) for part in content)


def _read_refusal(choice: Mapping[str, Any], finish: Any) -> str | None:
    if finish == "content_filter":
        return "The server's content filter stopped the answer."
    refusal = (choice.get("message") or {}).get("refusal")
    return f"The model refused: {str(refusal)[:200]!r}." if refusal else None


def _read_finish(finish: Any) -> Literal["stop", "length"]:
    if finish == "length":
        return "length"
    if not isinstance(finish, str | None) or finish not in _STOPPED:
        raise ProviderError(
            f"The answer ended for the reason {finish!r}, which is neither its end nor a limit."
        )
    return "stop"


def _count(number: Any) -> int | None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        return None
    if number > _MAX_COUNT:
        raise OverflowError(f"{number} is no number of tokens.")
    return number


# Tokens


def _read_steps(choice: Mapping[str, Any], *, is_empty: bool) -> list[_Step]:
    logprobs = choice.get("logprobs") or {}
    if logprobs.get("content") is not None:
        return [_read_entry(entry) for entry in logprobs["content"]]
    if logprobs.get("token_logprobs") is not None:
        return _read_columns(logprobs)
    if is_empty:
        return []
    raise ProviderError(_NO_LOGPROBS)


def _read_entry(entry: Mapping[str, Any]) -> _Step:
    """Read a token of chat completions, or of either kind from llama.cpp, which adds its id."""
    listed = [_number(each["logprob"]) for each in entry.get("top_logprobs") or ()]
    token = str(entry["token"])
    return _Step(token, _token_id(entry.get("id"), token), _number(entry["logprob"]), listed)


def _read_columns(logprobs: Mapping[str, Any]) -> list[_Step]:
    numbers, tokens = logprobs["token_logprobs"], logprobs["tokens"]
    listed = logprobs.get("top_logprobs") or [None] * len(numbers)
    if not len(numbers) == len(tokens) == len(listed):
        raise ProviderError(
            f"The server's reply names {len(tokens)} tokens, {len(numbers)} logprobs and {len(listed)} lists "
            "of likely tokens, which should be equally many."
        )
    return [
        _Step(
            str(token), _token_id(None, str(token)), _number(number), [*map(_number, (each or {}).values())]
        )
        for token, number, each in zip(tokens, numbers, listed, strict=True)
    ]


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no logprob.")
    return float(value)


def _token_id(stated: Any, token: str) -> int | None:
    """Return the id that llama.cpp states, or that vLLM writes in place of the token."""
    if _count(stated) is not None:
        return int(stated)
    found = _TOKEN_ID.fullmatch(token)
    return None if found is None else _count(int(found.group(1)))


def _read_ids(steps: Sequence[_Step], choice: Mapping[str, Any]) -> npt.NDArray[np.int32] | None:
    stated = choice.get("token_ids")
    if (
        isinstance(stated, list)
        and len(stated) == len(steps)
        and all(_count(each) is not None for each in stated)
    ):
        return np.asarray(stated, dtype=np.int32)
    ids = [step.token_id for step in steps]
    known = [each for each in ids if each is not None]
    return np.asarray(known, dtype=np.int32) if known and len(known) == len(ids) else None


def _has_end_token(steps: Sequence[_Step], text: str, choice: Mapping[str, Any]) -> bool | None:
    """Whether the last token is the one that ended the answer.

    vLLM, which writes ``token_id:…``, and llama.cpp, which writes nothing for it, list it; others show its
    name, which is not in the text, or end with the last token of the text.
    """
    if not steps:
        return False
    token = steps[-1].token
    if isinstance(choice.get("stop_reason"), str):
        return False
    if token == "" or _TOKEN_ID.fullmatch(token):
        return True
    if token.strip() == "" or any(mark in token for mark in _BROKEN_TEXT):
        return None
    return not text.endswith(token)


def _check_complete(
    steps: Sequence[_Step],
    n_written: int | None,
    *,
    has_end_token: bool | None,
    finish_reason: Literal["stop", "length"],
) -> None:
    """Refuse an answer that lacks logprobs of some tokens: its confidence would look higher than it is.

    llama.cpp (of 2026) lists no token that leaves a character unfinished; reasoning models hide tokens.
    """
    if n_written is None:
        return
    may_lack = 1 if finish_reason == "stop" and has_end_token is not True else 0
    if len(steps) < n_written - may_lack:
        raise IncompleteReplyError(
            f"The server gives logprobs of only {len(steps)} of the {n_written} tokens of an answer: some "
            "servers list no token that is a part of a character, and none of hidden reasoning."
        )


# Measuring


def _measure(
    steps: Sequence[_Step],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return logprob, truncated entropy and margin of each token, all of shape (n_tokens,)."""
    logprobs = np.array([step.logprob for step in steps], dtype=np.float64)
    table = _fill_table(steps)
    _check_numbers(logprobs, table)
    probabilities = np.exp(np.minimum(table, 0.0))
    rest = np.maximum(0.0, 1.0 - probabilities.sum(axis=1))
    ordered = np.sort(probabilities, axis=1)
    n_listed = np.isfinite(table).sum(axis=1)
    second = np.where(n_listed > 1, ordered[:, -2], rest)
    margin = np.maximum(0.0, ordered[:, -1] - second)
    return (
        np.minimum(logprobs, 0.0).astype(np.float32),
        truncated_entropy(probabilities).astype(np.float32),
        margin.astype(np.float32),
    )


def _fill_table(steps: Sequence[_Step]) -> npt.NDArray[np.float64]:
    """Return the listed logprobs, shape (n_tokens, most listed), filled up with minus infinity.

    The emitted token is added where it is not listed: of tokens that are written alike, such as parts of
    characters, one key of a list holds only one.
    """
    rows = []
    for step in steps:
        listed = [number for number in step.listed if number > _NOTHING]
        if not any(abs(number - step.logprob) <= _SAME for number in listed):
            listed.append(step.logprob)
        rows.append(listed)
    table = np.full((len(rows), max(2, *map(len, rows), 2)), -np.inf)
    for row, listed in zip(table, rows, strict=True):
        row[: len(listed)] = listed
    return table


def _check_numbers(logprobs: npt.NDArray[np.float64], table: npt.NDArray[np.float64]) -> None:
    if not (logprobs > _NOTHING).all() or np.isnan(table).any():
        raise ProviderError("The server gives no logprob for some token of an answer.")
    if (largest := max(logprobs.max(initial=-1.0), table.max(initial=-1.0))) > _ROUNDING:
        raise ProviderError(
            f"The server gives {largest:.4g} as a logprob, but none is above 0: it must be set to give "
            "logarithms of probabilities, not logits or negated logarithms."
        )
    if (most := np.exp(np.minimum(table, 0.0)).sum(axis=1).max(initial=0.0)) > _MOST_MASS:
        raise ProviderError(
            f"The probabilities that the server gives for one token add up to {most:.4g}; they are no "
            "logprobs of one distribution."
        )
    above = table.max(axis=1, initial=-np.inf) - logprobs
    if (above > _ROUNDING).any():
        raise ProviderError(
            "The server emitted a token that is not its most likely one, although the temperature is 0: a "
            "penalty in its defaults, or sampling, must be switched off there."
        )
