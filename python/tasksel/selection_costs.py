"""A budget in tokens or in money instead of in prompts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasksel.label_cost import LabelPrices, longest_affordable, measure_lengths, read_amounts
from tasksel.selection_inputs import find_answer_tokens
from tasksel_core.errors import BudgetError, ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from tasksel.strategies import Ranking

__all__ = ["LabelCosts", "read_label_costs"]

COST_COLUMN = "cost"
"""Column that a pool's costs are read from where the user names none."""


@dataclass(frozen=True, eq=False)
class LabelCosts:
    """What each label costs, and how much there is to spend.

    Parameters
    ----------
    unit : {"tokens", "cost"}
        Of costs and amount.
    costs : ndarray of float64, shape (n_rows,)
        Of each pool row.
    tokens : ndarray of float64, shape (n_rows,), or None
        Prompt and response of each row; None where only a column of costs is known.
    amount : float or None
        Budget; None where it is a number of prompts.
    per_cost : bool
        Whether a task's share is one of the money instead of the labels.
    settings : dict
        For the manifest.
    note : str
        How the costs came about; empty where there is nothing to say.
    """

    unit: Literal["tokens", "cost"]
    costs: NDArray[np.float64]
    tokens: NDArray[np.float64] | None
    amount: float | None
    per_cost: bool
    settings: dict[str, Any]
    note: str

    def most_prompts(self, rows: NDArray[np.int64]) -> int:
        """Return how many of some rows the budget can buy at most, the cheapest ones.

        Raises
        ------
        BudgetError
            It does not even buy the cheapest.
        """
        assert self.amount is not None  # noqa: S101 - asked for only then; for the type checker
        costs = np.sort(self.costs[rows])
        n_most = longest_affordable(costs, self.amount)
        if not n_most:
            least = f", the cheapest label costs {costs[0]:g}" if len(costs) else ""
            raise BudgetError(f"{self._named()} buys no label{least}.")
        return n_most

    def cut(self, ranking: Ranking) -> int:
        """Return how many rows of a ranking the budget buys, from the first one on.

        Raises
        ------
        BudgetError
            It does not buy the first one.
        """
        assert self.amount is not None  # noqa: S101 - asked for only then; for the type checker
        n_bought = longest_affordable(self.costs[ranking.rows], self.amount)
        if not n_bought:
            first = self.costs[ranking.rows[0]]
            raise BudgetError(
                f"{self._named()} does not buy the label that comes first, which costs {first:g}."
            )
        return n_bought

    def _named(self) -> str:
        return f"The budget of {self.amount:,g} {'tokens' if self.unit == 'tokens' else 'in money'}"

    def task_costs(self, task: NDArray[np.int64], n_tasks: int) -> NDArray[np.float64]:
        """Return the mean cost of a label of each task, float64, shape (n_tasks,).

        Raises
        ------
        ConfigError
            A task's labels cost nothing, so that nothing can be had per cost.
        """
        sums = np.bincount(task, weights=self.costs, minlength=n_tasks)
        means: NDArray[np.float64] = sums / np.maximum(np.bincount(task, minlength=n_tasks), 1)
        if (means <= 0).any():
            raise ConfigError("A task whose labels cost nothing has no value per cost; leave --per-cost out.")
        return means

    def figures(self, rows: NDArray[np.int64]) -> dict[str, float]:
        """Return tokens and money of some rows, as far as they are known."""
        found = {}
        if self.tokens is not None:
            found["label_tokens"] = math.fsum(self.tokens[rows].tolist())
        if self.unit == "cost":
            found["label_cost"] = math.fsum(self.costs[rows].tolist())
        return found


def read_label_costs(
    frame: pl.DataFrame,
    scores: str | os.PathLike[str] | pl.DataFrame | None,
    *,
    budget: int | None,
    budget_tokens: float | None,
    budget_cost: float | None,
    cost_column: str | None,
    prices: LabelPrices | Mapping[str, float] | None,
    per_cost: bool,
) -> LabelCosts | None:
    """Work out what labels cost, where a selection is to know it.

    Parameters
    ----------
    frame : DataFrame
        The pool.
    scores : path or DataFrame, optional
        Hold the model's answers, whose lengths stand for those of the responses.
    budget, budget_tokens, budget_cost
        Of which the user gives one.
    cost_column : str, optional
        What each label costs; by default the column ``cost``, where there are no prices.
    prices : LabelPrices or mapping, optional
        What a label costs by its lengths.
    per_cost : bool
        Whether a task's share is one of the money.

    Returns
    -------
    LabelCosts or None
        None where prompts are all that counts.

    Raises
    ------
    BudgetError
        None or more than one budget, or one that is not above 0.
    ConfigError
        There is a budget in money, and neither prices nor a column of costs.
    SchemaError
        A column holds something that is no amount.
    """
    amount = _check_amounts(budget, budget_tokens, budget_cost)
    if not isinstance(prices, LabelPrices):
        prices = _as_prices(prices)
    in_money = budget_cost is not None or cost_column is not None or prices.are_given
    if budget_tokens is not None and in_money:
        raise ConfigError(
            "A budget in tokens and prices do not go together; give --budget-cost for one in money."
        )
    if not in_money and budget_tokens is None and not per_cost:
        return None
    if cost_column is not None and prices.are_given:
        raise ConfigError(f"Costs come either from the column {cost_column!r} or from prices, not from both.")
    if budget_tokens is None and not prices.are_given and (cost_column or COST_COLUMN) in frame.columns:
        return _of_column(frame, cost_column or COST_COLUMN, amount, per_cost=per_cost)
    if cost_column is not None:
        read_amounts(frame, cost_column)  # raises: there is no such column
    if budget_cost is not None and not prices.are_given:
        raise ConfigError(
            f"A budget in money needs what a label costs: a column {COST_COLUMN!r} of the pool "
            "(--cost-column), --cost-per-example, --cost-per-1k-prompt-tokens or "
            "--cost-per-1k-response-tokens."
        )
    needs_responses = not prices.are_given or prices.per_1k_response_tokens > 0
    lengths = measure_lengths(frame, find_answer_tokens(frame, scores), needs_responses=needs_responses)
    settings: dict[str, Any] = {"prices": asdict(prices)} if prices.are_given else {}
    return LabelCosts(
        unit="cost" if prices.are_given else "tokens",
        costs=prices.of(lengths) if prices.are_given else lengths.tokens,
        tokens=None if np.isnan(lengths.tokens).any() else lengths.tokens,
        amount=amount,
        per_cost=per_cost,
        settings=settings,
        note=lengths.account if prices.depend_on_lengths else "",
    )


def _as_prices(given: Mapping[str, float] | None) -> LabelPrices:
    allowed = list(asdict(LabelPrices()))
    for name in given or {}:
        if name not in allowed:
            raise ConfigError(f"There is no price {name!r}; allowed: {', '.join(allowed)}.")
    return LabelPrices(**(given or {}))


def _check_amounts(
    budget: int | None, budget_tokens: float | None, budget_cost: float | None
) -> float | None:
    given = {"budget": budget, "budget_tokens": budget_tokens, "budget_cost": budget_cost}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        what = " and ".join(named) if named else "none"
        raise BudgetError(
            f"One budget is wanted, in prompts (budget), in tokens (budget_tokens) or in money "
            f"(budget_cost), and {what} is given."
        )
    if budget is not None:
        return None
    amount = given[named[0]]
    if isinstance(amount, bool) or not isinstance(amount, (int, float, np.integer, np.floating)):
        raise BudgetError(f"{named[0]} is {amount!r}; allowed: a number above 0.")
    if not 0 < amount < math.inf:
        raise BudgetError(f"{named[0]} is {amount}; allowed: a number above 0.")
    return float(amount)


def _of_column(frame: pl.DataFrame, column: str, amount: float | None, *, per_cost: bool) -> LabelCosts:
    return LabelCosts(
        unit="cost",
        costs=read_amounts(frame, column),
        tokens=None,
        amount=amount,
        per_cost=per_cost,
        settings={"cost_column": column},
        note=f"Costs are those of the column {column!r}.",
    )
