"""What a run would send next and what that would cost, without sending anything."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tasksel.providers import entry_usage, estimate_tokens
from tasksel.providers.asks import ANSWERED
from tasksel.reply_journal import read_journal
from tasksel.synthesis.generation_replay import REPLIES_NAME, make_provider, replay
from tasksel.synthesis.planned_examples import FULL_TIER, find_tier, read_planned_run
from tasksel.synthesis.records import GENERATION_FOLDER

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from tasksel.providers import Provider
    from tasksel.reply_journal import JournalEntry

__all__ = ["DryRun", "rehearse"]


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What a run would send next.

    Parameters
    ----------
    tier, planned, accepted : int
        The tier, its examples, and those that have an item already.
    requests : int
        Requests that the rest begins with; corrections and further tries come on top.
    input_tokens : int
        Estimate of what they hold, at four bytes a token.
    output_tokens : int or None
        Estimate from the replies that are there; None before the first one.
    most_output_tokens : int
        If every reply were as long as it may be.
    cost, most_cost : float or None
        Of the estimate and of the longest replies; None where price or estimate is missing.
    currency : str or None
        Of the cost.
    first_request : tuple of (str, str)
        Role and text of each message of the first request; empty where there is none.
    """

    tier: int
    planned: int
    accepted: int
    requests: int
    input_tokens: int
    output_tokens: int | None
    most_output_tokens: int
    cost: float | None
    most_cost: float | None
    currency: str | None
    first_request: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it."""
        return dataclasses.asdict(self)


def rehearse(
    run: str | os.PathLike[str],
    *,
    tier: str | int = FULL_TIER,
    exemplars: Mapping[str, Sequence[str]] | None = None,
) -> DryRun:
    """Say what a run would send, and what that would cost; nothing is sent or written.

    Parameters
    ----------
    run, tier, exemplars
        As for `generate`.

    Raises
    ------
    ConfigError, ResumeError
        As for `generate`.
    """
    planned = read_planned_run(run)
    asked_tier = find_tier(planned.tiers, tier)
    entries = read_journal(planned.folder / GENERATION_FOLDER / REPLIES_NAME)
    waves, caps, _ = replay(planned, entries, asked_tier, exemplars)
    requests = waves.first_requests(asked_tier)
    input_tokens = sum(
        estimate_tokens(message.content) for each in requests for message in each.chat.messages
    )
    most = sum(each.chat.max_tokens for each in requests)
    answered = [each for each in entries.values() if each.reply.status == ANSWERED]
    n_items = sum(len(each.examples) for each in requests)
    output_tokens = _expected_output(answered, make_provider(planned.config), n_items)
    price = caps.price

    def cost(output: int | None) -> float | None:
        return None if price is None or output is None else price.cost_of(input_tokens, output)

    return DryRun(
        tier=asked_tier,
        planned=sum(each.planned for each in waves.count_strata(asked_tier)),
        accepted=sum(each.accepted for each in waves.count_strata(asked_tier)),
        requests=len(requests),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        most_output_tokens=most,
        cost=cost(output_tokens),
        most_cost=cost(most),
        currency=None if price is None else price.currency,
        first_request=tuple(requests[0].chat.messages) if requests else (),
    )


def _expected_output(answered: Sequence[JournalEntry], provider: Provider, n_items: int) -> int | None:
    """Estimate what so many items take, from what those took that were answered."""
    n_asked = sum(len(each.facts.get("plan_ids", ())) for each in answered)
    written = sum(entry_usage(provider, each).output_tokens for each in answered)
    return -(-written * n_items // n_asked) if n_asked else None
