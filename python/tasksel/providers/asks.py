"""A request and what became of it, and both as a journal keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.endpoint import Reply
from tasksel.providers.chat import Message, usage_of
from tasksel.reply_journal import JournalEntry
from tasksel.spending_caps import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasksel.providers.chat import Provider
    from tasksel.spending_caps import SpendingCaps

__all__ = [
    "ANSWERED",
    "MAYBE_PAID",
    "PROBLEM",
    "Answer",
    "Ask",
    "answer_of",
    "count_journal",
    "entry_usage",
    "loss_entry",
]

ANSWERED: Final = 200
_REQUEST_BYTES: Final = "request_bytes"
"""Fact of a journal entry: size of the request's messages, from which tokens can be estimated."""
PROBLEM: Final = "problem"
"""Fact of an entry that is no answer."""
MAYBE_PAID: Final = "maybe_paid"
"""Fact of an entry: tokens, read and written, of attempts that got no reply and may have been worked on."""


class Ask(NamedTuple):
    """One request.

    Attributes
    ----------
    key : str
        Under which its reply is kept.
    body : mapping
        What the provider made of the request.
    messages : tuple of Message
        What is in it.
    max_tokens : int
        Longest reply.
    facts : mapping
        Kept in the journal beside the reply.
    """

    key: str
    body: Mapping[str, Any]
    messages: tuple[Message, ...]
    max_tokens: int
    facts: Mapping[str, Any]

    @property
    def request_bytes(self) -> int:
        """Size of the messages in UTF-8."""
        return sum(len(each.content.encode("utf-8", "surrogatepass")) for each in self.messages)

    def entry(self, reply: Reply) -> JournalEntry:
        """Return what the journal keeps."""
        return JournalEntry(self.key, reply, {_REQUEST_BYTES: self.request_bytes, **self.facts})


class Answer(NamedTuple):
    """What became of a request.

    Attributes
    ----------
    reply : Reply or None
        Of status 200; None where there is a problem.
    problem : str
        ``""``, ``refused`` (the server refuses this request), ``filtered``, or ``unanswered`` (it failed
        on every attempt).
    detail : str
        What the server said to it.
    """

    reply: Reply | None
    problem: str = ""
    detail: str = ""


def answer_of(entry: JournalEntry) -> Answer:
    """Return what a journal says of a request."""
    if entry.reply.status == ANSWERED:
        return Answer(entry.reply)
    return Answer(None, str(entry.facts.get(PROBLEM, "unanswered")), entry.reply.body)


def entry_usage(provider: Provider, entry: JournalEntry) -> Usage:
    """Return the tokens of a reply in a journal, estimated where the provider reported none."""
    request_bytes = entry.facts.get(_REQUEST_BYTES)
    completion = provider.read(entry.reply)
    return usage_of(completion, request_bytes if isinstance(request_bytes, int) else 0)


def count_journal(caps: SpendingCaps, provider: Provider, entries: Mapping[str, JournalEntry]) -> None:
    """Count what earlier runs spent, so that a cap is one of the whole folder."""
    for entry in entries.values():
        if entry.reply.status == ANSWERED:
            caps.count(entry_usage(provider, entry))
        for usage in _losses(entry):
            caps.count(usage)


def loss_entry(ask: Ask, most: Usage, entries: Mapping[str, JournalEntry]) -> JournalEntry:
    """Return what a journal keeps of an attempt that got no reply and may have been worked on.

    It stands under a key of its own, so that neither the reply that comes later nor a kill takes it away.

    Parameters
    ----------
    ask : Ask
        The request.
    most : Usage
        What the attempt may have used.
    entries : mapping of str to JournalEntry
        What the journal has.
    """
    number = 0
    while (key := f"{ask.key}#lost{number}") in entries:
        number += 1
    return JournalEntry(key, Reply(0, ""), {MAYBE_PAID: [[most.input_tokens, most.output_tokens]]})


def _losses(entry: JournalEntry) -> list[Usage]:
    noted = entry.facts.get(MAYBE_PAID)
    pairs = [each for each in noted if isinstance(each, list)] if isinstance(noted, list) else []
    return [
        Usage(each[0], each[1], is_estimate=True)
        for each in pairs
        if [type(count) for count in each] == [int, int] and min(each) >= 0
    ]
