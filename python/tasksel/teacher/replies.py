"""What a reply is: an answer that can be a label, or something that is set aside, with the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tasksel.refusals import find_refusal

if TYPE_CHECKING:
    from tasksel.providers import Answer, Completion, Provider
    from tasksel.spending_caps import Usage
    from tasksel.teacher.settings import TeacherSettings

__all__ = ["REASONS", "Reading", "read_answer", "repeats_prompt", "split_reasoning"]

REASONS: Final = (
    "refusal",
    "filtered",
    "truncated",
    "empty",
    "repeats the prompt",
    "cut prompt",
    "refused by the server",
    "unreadable",
)
"""Why a reply is no label: the model declined, a filter of the provider stepped in, the longest answer was
reached, there is no text, it is the prompt again, the prompt did not fit the model's context, the server
takes no such request, or its reply is none of a model."""

_FEWEST_CHARS: Final = 16
"""A shorter prompt may be answered by itself, as a greeting is."""
_BEGIN_CHARS: Final = 64
_SIGNS: Final = re.compile(r"[\W_]+")
_QUOTED_CHARS: Final = 200
_REASONING: Final = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
_OPEN_REASONING: Final = re.compile(r"\s*<think>(?!.*</think>)", re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """One reply, read.

    Parameters
    ----------
    text : str
        What the model wrote, white space at both ends and reasoning aside; empty where there is nothing.
    reason : str
        One of `REASONS`, or empty for an answer that can be a label.
    detail : str
        What it was known by.
    is_cut : bool
        The longest answer was reached.
    has_reasoning : bool
        Reasoning in ``<think>`` was left out of the text.
    usage : Usage or None
        Tokens as the provider reports them.
    """

    text: str
    reason: str = ""
    detail: str = ""
    is_cut: bool = False
    has_reasoning: bool = False
    usage: Usage | None = None

    @property
    def is_answer(self) -> bool:
        """Whether it can be a label."""
        return not self.reason


def read_answer(answer: Answer, provider: Provider, prompt: str, settings: TeacherSettings) -> Reading | None:
    """Read what became of a request; None where it is still to be answered.

    Parameters
    ----------
    answer : Answer
        As the journal has it.
    provider : Provider
        Reads the body of a reply.
    prompt : str
        What was asked.
    settings : TeacherSettings
        What is kept all the same.
    """
    if answer.reply is None:
        if answer.problem == "unanswered":
            return None
        reason = "filtered" if answer.problem == "filtered" else "refused by the server"
        return Reading("", reason, answer.detail[:_QUOTED_CHARS])
    completion = provider.read(answer.reply)
    if completion.outcome == "unreadable":
        return Reading("", "unreadable", " ".join(answer.reply.body.split())[:_QUOTED_CHARS])
    text, has_reasoning = split_reasoning(completion.text, keep=settings.keep_reasoning)
    reason, detail = _reason(completion, text, prompt, settings)
    return Reading(text, reason, detail, completion.is_cut, has_reasoning, completion.usage)


def _reason(completion: Completion, text: str, prompt: str, settings: TeacherSettings) -> tuple[str, str]:
    """Return why a completion is no label, and what shows it; two empty texts for an answer."""
    if completion.outcome == "filtered":
        return "filtered", "the provider's content filter"
    if completion.has_cut_prompt:
        return "cut prompt", "the prompt does not fit the model's context"
    if completion.is_cut and (not settings.keep_truncated or not text):
        return "truncated", f"cut at {settings.max_tokens:,} tokens"
    if completion.outcome == "refusal" and not (settings.keep_refusals and text):
        return "refusal", "said by the provider"
    if not text:
        return "empty", ""
    words = None if settings.keep_refusals else find_refusal(text)
    if words is not None:
        return "refusal", words
    asked = [prompt] if settings.prompt_template is None else [prompt, settings.render(prompt)]
    is_echo = any(repeats_prompt(text, each) for each in asked)
    return ("repeats the prompt", "") if is_echo else ("", "")


def split_reasoning(text: str, *, keep: bool) -> tuple[str, bool]:
    r"""Return an answer without reasoning in ``<think>`` before it, and whether there was any.

    Reasoning that does not end leaves no answer.

    Examples
    --------
    >>> split_reasoning("<think>2 + 2 ...</think>\n\n4", keep=False)
    ('4', True)
    >>> split_reasoning("<think>2 + 2 ...", keep=False)
    ('', True)
    >>> split_reasoning(" Use <think> tags. ", keep=False)
    ('Use <think> tags.', False)
    """
    if keep:
        return text.strip(), False
    if _OPEN_REASONING.match(text):
        return "", True
    found = _REASONING.match(text)
    return (text[found.end() :].strip(), True) if found else (text.strip(), False)


def repeats_prompt(text: str, prompt: str) -> bool:
    """Tell whether an answer is nothing but its prompt, once or again and again; case and signs aside.

    Examples
    --------
    >>> repeats_prompt('"Name the capital of France!"', "Name the capital of France.")
    True
    >>> repeats_prompt("Hello!", "Hello"), repeats_prompt("Paris", "Name the capital of France.")
    (False, False)
    """
    # Beginnings first: most answers differ from their prompt in the first words.
    begin, said_begin = _plain(prompt[:_BEGIN_CHARS]), _plain(text[:_BEGIN_CHARS])
    n_shared = min(len(begin), len(said_begin))
    if begin[:n_shared] != said_begin[:n_shared]:
        return False
    asked, said = _plain(prompt), _plain(text)
    if len(asked) < _FEWEST_CHARS or len(said) < len(asked):
        return False
    times = -(-len(said) // len(asked))
    # The last time may be cut short.
    return (asked * times)[: len(said)] == said


def _plain(text: str) -> str:
    """Keep letters and digits, without case."""
    return _SIGNS.sub("", text.casefold())
