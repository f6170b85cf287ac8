"""Replies in which a model declines instead of answering, known by the sentences that models use for it.

Two strictnesses: `find_refusal` for replies that may say anything, where "I can't" inside an answer is none;
`sounds_like_refusal` for replies that were to have a form and lack it, where a mention is enough.
"""

from __future__ import annotations

import re
from typing import Final

from tasksel.refusals_sentences import REFUSAL_SENTENCES

__all__ = ["find_refusal", "sounds_like_refusal"]

_MENTION: Final = re.compile(
    r"\b(i('| a)m (very |so )?sorry|i (can't|cannot|can not|won't|will not|am (unable|not able))|as an ai)\b",
    re.IGNORECASE,
)
_MENTION_CHARS: Final = 400
_LONGEST_CHARS: Final = 1_000
"""What goes on for longer is an answer with a reservation at its beginning."""
_QUOTED_CHARS: Final = 120

_REFUSALS: Final = {
    language: re.compile(pattern, re.IGNORECASE | re.VERBOSE)
    for language, pattern in REFUSAL_SENTENCES.items()
}
_LEADING: Final = re.compile(r"[\W_]+")


def find_refusal(text: str) -> str | None:
    """Return the words by which a reply is known as a refusal; None where it is none.

    Only how a reply begins counts, and only a short one is taken for a refusal: an answer with a reservation
    is an answer. Sentences of seventeen languages are known.

    Parameters
    ----------
    text : str
        The reply.

    Examples
    --------
    >>> find_refusal("I'm sorry, but I can't help with that.")
    "I'm sorry, but I can't help"
    >>> find_refusal("Es tut mir leid, dabei kann ich nicht helfen.")
    'Es tut mir leid, dabei kann ich nicht'
    >>> find_refusal("I can't believe it, she said, and left.") is None
    True
    """
    if len(text) > _LONGEST_CHARS:
        return None
    plain = text.replace("\u2019", "'")
    begin = _LEADING.match(plain)
    start = begin.end() if begin else 0
    for pattern in _REFUSALS.values():
        found = pattern.match(plain, start)
        if found:
            return " ".join(found[0].split())[:_QUOTED_CHARS]
    return None


def sounds_like_refusal(text: str) -> bool:
    """Tell whether a reply that lacks the form it was to have is a refusal; a mention is enough.

    Examples
    --------
    >>> sounds_like_refusal("That is hard. I'm sorry, I will not."), sounds_like_refusal("Here you are.")
    (True, False)
    """
    head = text.strip()[:_MENTION_CHARS].replace("\u2019", "'")
    return bool(_MENTION.search(head)) or find_refusal(text) is not None
