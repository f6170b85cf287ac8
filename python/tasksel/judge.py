"""A model judges pairs of answers, each in both orders, over any OpenAI-compatible endpoint.

Every raw reply is appended to ``replies.jsonl`` before it is looked at, under a key of the request alone:
a run that was stopped asks only what is missing, and another way of reading replies costs nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.judge_replies import ask_all, request_key
from tasksel.refusals import sounds_like_refusal
from tasksel.winrate import DRAW, preference_from_logprobs
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasksel.endpoint import Endpoint, Reply

__all__ = ["OUTCOMES", "REPLIES_NAME", "JudgeSettings", "count_outcomes", "judge_pairs", "read_verdict"]

REPLIES_NAME: Final = "replies.jsonl"
OUTCOMES: Final = ("preference", "tie", "refusal", "unparsable", "rejected")
_PAIR_COLUMNS: Final = ("prompt_id", "prompt", "answer", "baseline_answer")
_FIRST, _SECOND, _TIE = "m", "M", "tie"
_FRAME_CHARS: Final = " \t\r\n\"'`*.()[]{}"
_SYSTEM: Final = "You compare two answers to the same instruction and name the better one."
_QUESTION: Final = """\
## Instruction
{prompt}

## Answer of model m
{first}

## Answer of model M
{second}

## Task
Which answer would a careful person prefer, for being correct, helpful and to the point? Neither the order of
the answers nor their length is a merit. Reply with the name of the better model alone, m or M; if they are
equally good, reply tie."""


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge is asked.

    Parameters
    ----------
    model : str
        Name of the judging model at the endpoint.
    logprobs : bool
        Ask for the first token's five most likely alternatives; not every endpoint takes that.
    max_tokens : int
        Longest reply, in tokens.
    concurrency : int
        Requests at a time.
    """

    model: str
    logprobs: bool = True
    max_tokens: int = 4
    concurrency: int = 4


def judge_pairs(
    pairs: pl.DataFrame, endpoint: Endpoint, settings: JudgeSettings, *, folder: Path
) -> pl.DataFrame:
    """Ask the judge about every pair in both orders.

    Parameters
    ----------
    pairs : pl.DataFrame
        ``prompt_id``, ``prompt``, ``answer`` and ``baseline_answer``, all String and not null.
    endpoint : Endpoint
        Where the judge is.
    settings : JudgeSettings
        How it is asked.
    folder : Path
        Keeps the raw replies; the same call continues an interrupted one.

    Returns
    -------
    pl.DataFrame
        ``prompt_id``, ``preference`` (Float64: the mean of both orders, from 1, the baseline's answer, to 2;
        null where an order gave none), ``baseline_first`` and ``baseline_second`` (Float64, of each order),
        ``outcome_first`` and ``outcome_second`` (one of `OUTCOMES`), ``flipped`` (Boolean: each order
        preferred the answer in the same place).

    Raises
    ------
    SchemaError
        A column is missing or holds nulls.
    ProviderError
        The endpoint failed for good; what was answered is kept.

    References
    ----------
    Zheng, L., et al. (2023). Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena, section 3.4 (swapping
    positions). arXiv:2306.05685.
    """
    _check_pairs(pairs)
    rows = list(pairs.select(_PAIR_COLUMNS).iter_rows())
    requests = [
        (_request(prompt, baseline, answer, settings), _request(prompt, answer, baseline, settings))
        for _, prompt, answer, baseline in rows
    ]
    bodies = [body for both in requests for body in both]
    replies = ask_all(bodies, endpoint, folder / REPLIES_NAME, concurrency=settings.concurrency)
    verdicts = [
        {"prompt_id": prompt_id, **_combine(*(read_verdict(replies[request_key(body)]) for body in both))}
        for (prompt_id, *_), both in zip(rows, requests, strict=True)
    ]
    floats = dict.fromkeys(("preference", "baseline_first", "baseline_second"), pl.Float64)
    texts = dict.fromkeys(("outcome_first", "outcome_second"), pl.String)
    return pl.DataFrame(verdicts, schema={"prompt_id": pl.String} | floats | texts | {"flipped": pl.Boolean})


def _combine(first: tuple[float | None, str], second: tuple[float | None, str]) -> dict[str, Any]:
    """Put both orders of a pair together; in the second the generator's answer was shown first."""
    (one, outcome_one), (shown, outcome_two) = first, second
    other = None if shown is None else 3 - shown
    preference, flipped = None, False
    if one is not None and other is not None:
        preference, flipped = (one + other) / 2, (one - DRAW) * (other - DRAW) < 0
    return {
        "preference": preference,
        "baseline_first": one,
        "baseline_second": other,
        "outcome_first": outcome_one,
        "outcome_second": outcome_two,
        "flipped": flipped,
    }


def count_outcomes(verdicts: pl.DataFrame) -> dict[str, int]:
    """Count what the judge replied, over both orders, and what became of the pairs.

    Examples
    --------
    >>> verdicts = {"preference": [1.5, None], "flipped": [True, False]}
    >>> verdicts |= {"outcome_first": ["tie", "refusal"], "outcome_second": ["tie", "preference"]}
    >>> counts = count_outcomes(pl.DataFrame(verdicts))
    >>> counts["pairs"], counts["unjudged_pairs"], counts["refusal"], counts["tie"]
    (2, 1, 1, 2)
    """
    seen = Counter([*verdicts["outcome_first"], *verdicts["outcome_second"]])
    return {
        "pairs": verdicts.height,
        "unjudged_pairs": verdicts["preference"].null_count(),
        "flipped_pairs": int(verdicts["flipped"].sum()),
        **{outcome: seen[outcome] for outcome in OUTCOMES},
    }


def read_verdict(reply: Reply) -> tuple[float | None, str]:
    r"""Read a reply: the preference from 1, the first answer shown, to 2, and what kind of reply it is.

    Parameters
    ----------
    reply : Reply
        Status and body as they came.

    Returns
    -------
    preference : float or None
        None where the reply names no answer.
    outcome : str
        One of `OUTCOMES`.

    Examples
    --------
    >>> from tasksel.endpoint import Reply
    >>> read_verdict(Reply(200, '{"choices": [{"message": {"content": " M.\\n"}}]}'))
    (2.0, 'preference')
    >>> read_verdict(Reply(200, '{"choices": [{"mess'))
    (None, 'unparsable')
    """
    if reply.status != 200:
        return None, "rejected"
    try:
        choice = json.loads(reply.body)["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        refused = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
        name = text.strip(_FRAME_CHARS)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None, "unparsable"
    if refused:
        return None, "refusal"
    if name.casefold() == _TIE:
        return DRAW, "tie"
    if name in (_FIRST, _SECOND):
        return _graded(choice, 1.0 if name == _FIRST else 2.0), "preference"
    return None, "refusal" if sounds_like_refusal(text) else "unparsable"


def _graded(choice: Mapping[str, Any], named: float) -> float:
    """Return what the first token's probabilities say, where they are there, else the name alone."""
    try:
        top = choice["logprobs"]["content"][0]["top_logprobs"]
        found = preference_from_logprobs([each["token"] for each in top], [each["logprob"] for each in top])
    except (LookupError, TypeError, SchemaError):
        return named
    return named if found is None else found


def _check_pairs(pairs: pl.DataFrame) -> None:
    missing = [name for name in _PAIR_COLUMNS if name not in pairs.columns]
    if missing:
        raise SchemaError(f"The pairs lack {', '.join(missing)}; they have {', '.join(pairs.columns)}.")
    for name in _PAIR_COLUMNS:
        if pairs[name].null_count():
            raise SchemaError(f"{pairs[name].null_count()} pairs have no {name}.")


def _request(prompt: str, first: str, second: str, settings: JudgeSettings) -> dict[str, Any]:
    question = _QUESTION
    # One pass, so that a prompt that quotes "{second}" stays what it is.
    parts = {"{prompt}": prompt, "{first}": first, "{second}": second}
    question = re.sub("|".join(map(re.escape, parts)), lambda found: parts[found[0]], question)
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}]
    body = {
        "model": settings.model,
        "messages": messages,
        "temperature": 0,
        "max_tokens": settings.max_tokens,
    }
    return body | ({"logprobs": True, "top_logprobs": 5} if settings.logprobs else {})
