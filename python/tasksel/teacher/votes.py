"""Several answers to one prompt become one: the most frequent, and the first of those that are equally so."""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from tasksel.answer_match import normalise_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Vote", "vote", "vote_key"]

_DIGIT: Final = re.compile(r"\d")
_FRAME: Final = string.whitespace + "\"'`*.,;:!?()[]{}"
"""Stands around a short answer without being part of it; a sign and a percent are."""


class Vote(NamedTuple):
    """What a majority chose.

    Attributes
    ----------
    place : int
        Of the chosen answer among those given.
    votes : int
        Answers that are the same as it.
    answers : int
        All that were given.
    """

    place: int
    votes: int
    answers: int

    @property
    def agreement(self) -> float:
        """Share of the answers that are the same as the chosen one."""
        return self.votes / self.answers


def vote(answers: Sequence[str]) -> Vote:
    """Choose the most frequent answer; of equally frequent ones that which came first.

    Free text hardly ever repeats: then the first answer is chosen, with one vote.

    Parameters
    ----------
    answers : sequence of str
        At least one.

    References
    ----------
    Wang, X., et al. (2023). Self-Consistency Improves Chain of Thought Reasoning in Language Models. ICLR.
    arXiv:2203.11171.

    Examples
    --------
    >>> vote(["Paris", "Lyon", "paris."])
    Vote(place=0, votes=2, answers=3)
    >>> vote(["b", "a"])
    Vote(place=0, votes=1, answers=2)
    """
    if len(answers) == 1:
        return Vote(0, 1, 1)
    keys = [vote_key(each) for each in answers]
    counts = Counter(keys)  # in the order of first occurrence, which `max` keeps among equals
    best = max(counts, key=lambda key: counts[key])
    return Vote(keys.index(best), counts[best], len(keys))


def vote_key(answer: str) -> str:
    """Return what two answers have in common if they count as the same.

    Case, articles, punctuation and white space are left out, as `normalise_answer` does; but not where that
    would make numbers equal that are not (1.5 and 15, -3 and 3), or leave nothing ("A", "?").

    Examples
    --------
    >>> vote_key("The Eiffel Tower.") == vote_key("eiffel tower")
    True
    >>> vote_key("-3") == vote_key("3"), vote_key("(A)") == vote_key("a."), vote_key("A") == vote_key("B")
    (False, True, False)
    """
    framed = " ".join(answer.casefold().strip(_FRAME).split())
    if _DIGIT.search(framed):
        return framed
    return normalise_answer(answer) or framed or answer.strip()
