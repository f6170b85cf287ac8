"""What the answers to the selected prompts cost, as far as the file says what one costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tasksel.job.ledger import manifest_sha256
from tasksel.job.prices import label_prices
from tasksel.job.stages_training import find_labels
from tasksel.pool import unanswered
from tasksel.run_folder import MANIFEST_NAME, read_versioned
from tasksel.selection_files import read_selection
from tasksel.token_counts import TokenCounter
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    import polars as pl

    from tasksel.job.context import JobContext

__all__ = ["LabelCost", "estimate_labels"]


@dataclass(frozen=True)
class LabelCost:
    """What labels cost.

    Parameters
    ----------
    labels : int or None
        Answers that are bought; None where a budget in tokens or money decides it later.
    is_upper_bound : bool
        Whether it may be fewer: several selections, not made yet, share prompts.
    answered : bool
        Whether the answers are there already, so that nothing is bought.
    cost : float or None
        None where the file names no cost, or tokens that it depends on are unknown.
    currency : str
        As the file names it.
    tokens : int or None
        Of prompts and answers; None where the length of answers is unknown.
    basis : str
        Where the figures are from, or why there are none.
    """

    labels: int | None
    is_upper_bound: bool = False
    answered: bool = False
    cost: float | None = None
    currency: str = ""
    tokens: int | None = None
    basis: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        return asdict(self)


def estimate_labels(context: JobContext) -> LabelCost:
    """Say how many answers are bought and what they cost; what is not known stays unknown."""
    keys = context.config["labels"]
    currency = str(keys.get("currency", ""))
    chosen, is_upper_bound = _selected_prompts(context)
    labels = len(chosen) if chosen is not None else _largest_number(context)
    if _are_there(context):
        return LabelCost(labels, is_upper_bound, answered=True, basis="the answers are there already")
    if labels is None:
        return _bought_later(context, currency)
    prices = label_prices(context.config)
    read, written, basis = _tokens(context, chosen, labels)
    tokens = None if written is None else read + written
    found = LabelCost(labels, is_upper_bound, currency=currency, tokens=tokens, basis=basis)
    if prices is None:
        said = "neither cost_per_example nor cost_per_1k_tokens stands in [labels]"
        return replace(found, basis=f"unknown: {said}")
    if prices.per_1k_response_tokens and written is None:
        return replace(found, basis=f"unknown: {basis}")
    cost = labels * prices.per_example + read / 1000 * prices.per_1k_prompt_tokens
    cost += (written or 0) / 1000 * prices.per_1k_response_tokens
    goes_by_length = prices.per_1k_prompt_tokens or prices.per_1k_response_tokens
    return replace(found, cost=cost, basis=basis if goes_by_length else "by cost_per_example")


def _bought_later(context: JobContext, currency: str) -> LabelCost:
    """Say what a budget in tokens or money is, where the number of labels is not known yet."""
    settings = [each.settings for each in context.config.selections]
    money, tokens = (
        sum(each.get(name, 0.0) for each in settings) for name in ("budget_cost", "budget_tokens")
    )
    return LabelCost(
        None,
        is_upper_bound=True,
        cost=money or None,
        currency=currency,
        tokens=round(tokens) or None,
        basis="as many labels as the budget buys",
    )


def _selected_prompts(context: JobContext) -> tuple[list[str] | None, bool]:
    """Return the prompts of all selections, if all are made; and whether their number is only a bound."""
    prompts: dict[str, str] = {}
    for each in context.config.selections:
        folder = context.places.selection(each.name)
        if manifest_sha256(folder) is None:
            return None, len(context.config.selections) > 1
        try:
            frame: pl.DataFrame = read_selection(folder).frame
        except TaskselError:
            return None, len(context.config.selections) > 1
        prompts.update(frame.select("id", "prompt").iter_rows())
    return list(prompts.values()), False


def _largest_number(context: JobContext) -> int | None:
    rows = context.given_pool.frame.height
    wanted = [each.most_prompts(rows) for each in context.config.selections]
    known = [each for each in wanted if each is not None]
    return min(sum(known), rows) if len(known) == len(wanted) else None


def _are_there(context: JobContext) -> bool:
    path, is_named = find_labels(context)
    return path.is_file() or (not is_named and not unanswered(context.given_pool.frame).height)


def _tokens(context: JobContext, chosen: list[str] | None, labels: int) -> tuple[int, int | None, str]:
    """Return the tokens of prompts and answers, and where they are from; None where answers are unknown."""
    answer_tokens = _mean_answer_tokens(context)
    config = context.config
    model = next((config[name]["model"] for name in ("score", "train") if "model" in config[name]), None)
    frame = context.given_pool.frame
    texts = frame["prompt"].to_list() if chosen is None else chosen
    count = TokenCounter(model).count(texts)
    prompts = count.tokens * labels / max(1, len(texts))
    if answer_tokens is None:
        return round(prompts), None, "how long answers are is not known before [score] has run"
    basis = f"prompts {count.basis}; answers as long as the model's own, {answer_tokens:,.0f} tokens"
    return round(prompts), round(labels * answer_tokens), basis


def _mean_answer_tokens(context: JobContext) -> float | None:
    """Return the mean length of the answers that the model gave when it was scored."""
    folder = context.places.scores
    if manifest_sha256(folder) is None:
        return None
    shape = {"counts?": {"rows?": int, "tokens?": int}}
    counts = read_versioned(folder / MANIFEST_NAME, shape).get("counts", {})
    rows, tokens = counts.get("rows"), counts.get("tokens")
    return tokens / rows if rows and tokens else None
