"""What rounds would buy: how many labels each, for how many tokens and how much money."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tasksel.job.ledger import manifest_sha256
from tasksel.job.prices import label_prices
from tasksel.label_cost import measure_lengths, read_amounts
from tasksel.rounds.places import BEFORE
from tasksel.scores_lengths import read_answer_tokens
from tasksel.selection_costs import COST_COLUMN
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasksel.rounds.round_jobs import RoundJobs

__all__ = ["PlannedRound", "RoundsPlan", "plan_rounds"]


@dataclass(frozen=True)
class PlannedRound:
    """What a round would buy.

    Parameters
    ----------
    number : int
        From 1.
    new_labels : int or None
        At most; None where a budget in tokens or money decides it.
    tokens, cost : float or None
        Of them, at the mean of the pool; None where that is not known.
    is_there : bool
        Whether a round with this number has ended in the run folder.
    """

    number: int
    new_labels: int | None
    tokens: float | None
    cost: float | None
    is_there: bool


@dataclass(frozen=True)
class RoundsPlan:
    """What rounds would buy, if no rule stops them.

    Parameters
    ----------
    pool : dict
        ``name`` and ``rows``.
    annotator : str
        Who would label.
    rounds : tuple of PlannedRound
        In their order.
    currency : str
        Of the costs.
    basis : str
        Where tokens and money are from, or why there are none.
    """

    pool: dict[str, Any]
    annotator: str
    rounds: tuple[PlannedRound, ...]
    currency: str
    basis: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        return {**asdict(self), "rounds": [asdict(each) for each in self.rounds]}


def plan_rounds(jobs: RoundJobs) -> RoundsPlan:
    """Say what rounds would buy; nothing is run, and nothing is written.

    Parameters
    ----------
    jobs : RoundJobs
        Of the file; its pool is read.
    """
    pool = jobs.whole.given_pool
    tokens, cost, basis = _means(jobs)
    sizes = jobs.config.sizes
    planned = []
    for number, (amount, size) in enumerate(zip(_steps(sizes.goals), _labels(jobs), strict=True), start=1):
        planned.append(
            PlannedRound(
                number,
                size,
                amount if sizes.budget == "budget_tokens" else _times(size, tokens),
                amount if sizes.budget == "budget_cost" else _times(size, cost),
                jobs.places.account(number).is_file(),
            )
        )
    return RoundsPlan(
        {"name": pool.name, "rows": pool.frame.height},
        jobs.annotator_of(pool.frame),
        tuple(planned),
        str(jobs.config.job["labels"].get("currency", "")),
        basis,
    )


def _steps(goals: tuple[float, ...]) -> Iterator[float]:
    return (later - earlier for earlier, later in itertools.pairwise((0.0, *goals)))


def _labels(jobs: RoundJobs) -> Iterator[int | None]:
    """Return how many labels each round has, as long as the pool lasts."""
    left = jobs.whole.given_pool.frame.height
    for step in _steps(jobs.config.sizes.goals):
        if jobs.config.sizes.budget != "budget":
            yield None
            continue
        taken = min(round(step), left)
        left -= taken
        yield taken


def _times(labels: int | None, mean: float | None) -> float | None:
    return None if labels is None or mean is None else labels * mean


def _means(jobs: RoundJobs) -> tuple[float | None, float | None, str]:
    """Return tokens and cost of a label, at the mean of the pool, and where they are from."""
    frame, scores = jobs.whole.given_pool.frame, jobs.places.job(BEFORE).scores
    answers = None if manifest_sha256(scores) is None else read_answer_tokens(scores, frame["id"])
    prices = label_prices(jobs.config.job)
    column = jobs.config.selection.settings.get("cost_column", COST_COLUMN)
    cost = None
    if prices is None and column in frame.columns:
        cost = float(read_amounts(frame, column).mean())
    try:
        lengths = measure_lengths(frame, answers)
    except ConfigError:
        by_length = prices is not None and (prices.per_1k_prompt_tokens or prices.per_1k_response_tokens)
        if prices is not None and not by_length:
            cost = prices.per_example
        return None, cost, "How long answers will be is not known yet, so that tokens are not."
    if prices is not None:
        cost = float(prices.of(lengths).mean())
    return float(lengths.tokens.mean()), cost, f"At the mean of the pool. {lengths.account}"
