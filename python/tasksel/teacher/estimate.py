"""What a run would send and what that would cost, without sending anything."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.providers import answer_of, estimate_tokens
from tasksel.token_counts import TokenCounter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tasksel.providers import Ask, Message, Provider
    from tasksel.reply_journal import JournalEntry
    from tasksel.spending_caps import Price, Spent, Usage

__all__ = ["TeacherEstimate", "estimate_asks"]

_FEWEST_REPLIES: Final = 5
"""Fewer replies say little about how long the others will be."""
_REQUEST_BYTES: Final = "request_bytes"


@dataclass(frozen=True)
class TeacherEstimate:
    """What a run would send.

    Parameters
    ----------
    selected, settled, blank, asked, unanswered : int
        Rows of the selection; those with a label of somebody else; those with a blank prompt; the others;
        those of them without a reply.
    requests : int
        That would be sent, retries aside.
    input_tokens : int
        That they hold.
    input_basis : str
        How these were counted or estimated.
    output_tokens : int
        That the replies are taken to have.
    output_basis : str
        Where that is from.
    most_output_tokens : int
        If every reply were as long as it may be.
    cost, most_cost : float or None
        Of these tokens; None where the price is not known.
    spent_cost : float or None
        Of what was asked before.
    currency : str or None
        Of the costs.
    first_request : tuple of (str, str)
        Role and text of each message of the first request; empty where there is none.
    """

    selected: int
    settled: int
    blank: int
    asked: int
    unanswered: int
    requests: int
    input_tokens: int
    input_basis: str
    output_tokens: int
    output_basis: str
    most_output_tokens: int
    cost: float | None
    most_cost: float | None
    spent_cost: float | None
    currency: str | None
    first_request: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it."""
        return asdict(self)


def estimate_asks(
    asks: Sequence[Ask],
    entries: Mapping[str, JournalEntry],
    provider: Provider,
    *,
    tokenizer: str | None,
    price: Price | None,
    spent: Spent,
    **rows: int,
) -> TeacherEstimate:
    """Estimate what requests use, from a tokenizer and from the replies that are there.

    Parameters
    ----------
    asks : sequence of Ask
        What would be sent.
    entries : mapping of str to JournalEntry
        The journal; with five replies or more these say how long others are.
    provider : Provider
        Reads them.
    tokenizer : str or None
        A model whose tokenizer counts the prompts, where it is on this machine.
    price : Price or None
        What tokens cost.
    spent : Spent
        By what was asked before.
    **rows
        Counts of rows, as in `TeacherEstimate`.
    """
    usages = list(_reported(entries, provider))
    input_tokens, input_basis = _count_input(asks, usages, tokenizer)
    most = sum(each.max_tokens for each in asks)
    if len(usages) >= _FEWEST_REPLIES:
        mean = sum(usage.output_tokens for usage, _ in usages) / len(usages)
        output_tokens = round(mean * len(asks))
        output_basis = f"as long as the {len(usages):,} replies that are there, {mean:,.0f} tokens each"
    else:
        output_tokens, output_basis = most, "each as long as max_tokens allows: an upper bound"
    return TeacherEstimate(
        **rows,
        requests=len(asks),
        input_tokens=input_tokens,
        input_basis=input_basis,
        output_tokens=output_tokens,
        output_basis=output_basis,
        most_output_tokens=most,
        cost=None if price is None else price.cost_of(input_tokens, output_tokens),
        most_cost=None if price is None else price.cost_of(input_tokens, most),
        spent_cost=spent.cost,
        currency=spent.currency,
        first_request=tuple((each.role, each.content) for each in asks[0].messages) if asks else (),
    )


def _reported(entries: Mapping[str, JournalEntry], provider: Provider) -> Iterator[tuple[Usage, int]]:
    """Give the tokens that the provider reported, and the bytes of the request."""
    for entry in entries.values():
        answer = answer_of(entry)
        usage = None if answer.reply is None else provider.read(answer.reply).usage
        size = entry.facts.get(_REQUEST_BYTES)
        if usage is not None and isinstance(size, int):
            yield usage, size


def _count_input(
    asks: Sequence[Ask], usages: Sequence[tuple[Usage, int]], tokenizer: str | None
) -> tuple[int, str]:
    """Count with a tokenizer, else scale by what replies reported, else go by bytes."""
    if tokenizer is not None:
        counter = TokenCounter(tokenizer)
        if counter.has_tokenizer:
            found = counter.count([_text(each.messages) for each in asks])
            return found.tokens, f"{found.basis}; without a chat template"
    total_bytes = sum(each.request_bytes for each in asks)
    known_bytes = sum(size for _, size in usages)
    if len(usages) >= _FEWEST_REPLIES and known_bytes:
        reported = sum(usage.input_tokens for usage, _ in usages)
        scaled = round(total_bytes * reported / known_bytes)
        return scaled, f"estimated from what {len(usages):,} replies reported"
    tokens = sum(estimate_tokens(message.content) for each in asks for message in each.messages)
    return tokens, "estimated at four bytes a token"


def _text(messages: Sequence[Message]) -> str:
    return "\n\n".join(each.content for each in messages)
