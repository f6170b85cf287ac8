"""What a run came to: counts, strata that are short, tokens and cost."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any, Final

from tasksel.run_folder import FORMAT_VERSION
from tasksel.synthesis.item_intake import REASONS
from tasksel.synthesis.replies import REPAIRS
from tasksel_core import __version__

if TYPE_CHECKING:
    from tasksel.spending_caps import Spent
    from tasksel.synthesis.generation_waves import GenerationWaves, StratumCount
    from tasksel.synthesis.planned_examples import PlannedRun

__all__ = ["GenerationSummary", "manifest_content", "summarise"]

_STEPS: Final = (
    "corrections",
    "fresh tries",
    "topped up items",
    "extra items",
    "adopted replies",
    "cut prompts",
)


@dataclasses.dataclass(frozen=True)
class GenerationSummary:
    """How far a run is, up to a tier.

    Parameters
    ----------
    run : str
        Name of its folder.
    tier, planned, accepted : int
        The tier, its examples, and those that have an item.
    is_finished : bool
        Nothing is left to ask: every stratum is full, or was asked for twice the plan.
    strata : tuple of StratumCount
        In the plan's order.
    repairs, rejects, steps : dict of str to int
        Replies mended, by repair; items given up, by reason; corrections, fresh tries and the like.
    replies : int
        Requests answered, in all runs of the folder.
    sent : int
        Requests sent this time, every attempt counted.
    input_tokens, output_tokens : int
        Of all replies.
    is_estimate : bool
        Not all of these tokens were reported by the provider.
    cost : float or None
        None where the price is not known.
    currency : str or None
        Of the cost.
    ended : str, optional
        Why it ended before it was finished, as a clause.
    was_given_up : bool
        The provider failed for good.
    """

    run: str
    tier: int
    planned: int
    accepted: int
    is_finished: bool
    strata: tuple[StratumCount, ...]
    repairs: dict[str, int]
    rejects: dict[str, int]
    steps: dict[str, int]
    replies: int
    sent: int
    input_tokens: int
    output_tokens: int
    is_estimate: bool
    cost: float | None
    currency: str | None
    ended: str | None = None
    was_given_up: bool = False

    @property
    def short(self) -> tuple[StratumCount, ...]:
        """The strata that lack items."""
        return tuple(each for each in self.strata if each.accepted < each.planned)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it."""
        content = dataclasses.asdict(self)
        content["strata"] = [each._asdict() for each in self.strata]
        content["short"] = [each.stratum for each in self.short]
        return content


def summarise(
    planned: PlannedRun,
    waves: GenerationWaves,
    spent: Spent,
    *,
    tier: int,
    is_finished: bool,
    sent: int = 0,
    ended: str | None = None,
    was_given_up: bool = False,
) -> GenerationSummary:
    """Put together how far a run is.

    Parameters
    ----------
    planned, waves, spent
        The plan, the state of the generation, and what was spent in all.
    tier : int
        Up to which examples count.
    is_finished, sent, ended, was_given_up
        As in `GenerationSummary`.
    """
    strata = tuple(waves.count_strata(tier))
    counts = waves.counts + waves.intake.counts
    reasons = collections.Counter(each.reason for each in waves.rejects)
    return GenerationSummary(
        run=planned.folder.name,
        tier=tier,
        planned=sum(each.planned for each in strata),
        accepted=sum(each.accepted for each in strata),
        is_finished=is_finished,
        strata=strata,
        repairs={name: counts[name] for name in REPAIRS if counts[name]},
        rejects={name: reasons[name] for name in REASONS if reasons[name]},
        steps={name: counts[name] for name in _STEPS if counts[name]},
        replies=spent.requests,
        sent=sent,
        input_tokens=spent.usage.input_tokens,
        output_tokens=spent.usage.output_tokens,
        is_estimate=spent.usage.is_estimate,
        cost=spent.cost,
        currency=spent.currency,
        ended=ended,
        was_given_up=was_given_up,
    )


def manifest_content(
    planned: PlannedRun, waves: GenerationWaves, spent: Spent, *, tier: int
) -> dict[str, Any]:
    """Return what the manifest says: inputs, settings, counts; no times and no places."""
    found = summarise(planned, waves, spent, tier=tier, is_finished=True).to_dict()
    for name in ("run", "is_finished", "sent", "ended", "was_given_up"):
        del found[name]
    model = planned.config.model
    settings = {
        "provider": model.provider,
        "model": model.model,
        "temperature": model.temperature,
        "top_p": model.top_p,
        "max_tokens": model.max_tokens,
        "items": planned.config.request.items,
    }
    return {
        "format_version": FORMAT_VERSION,
        "tasksel": __version__,
        "plan_sha256": planned.plan_sha256,
        "settings": settings,
        "records": len(waves.accepted),
        **found,
    }
