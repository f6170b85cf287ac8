"""What labels cost, as a job's file says it: prices stand in ``[select]`` or in ``[labels]``, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tasksel.label_cost import LabelPrices
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasksel.job.config import JobConfig

__all__ = ["PRICE_KEYS", "label_prices", "take_prices", "with_prices"]

PRICE_KEYS: Final = {
    "cost_per_example": "per_example",
    "cost_per_1k_prompt_tokens": "per_1k_prompt_tokens",
    "cost_per_1k_response_tokens": "per_1k_response_tokens",
}
"""Keys of ``[select]`` by the price that each is."""


def take_prices(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys of ``[select]`` as `tasksel.select` takes them: prices together.

    Examples
    --------
    >>> take_prices({"budget": 3, "cost_per_example": 0.5})
    {'budget': 3, 'prices': {'per_example': 0.5}}
    """
    prices = {price: keys[name] for name, price in PRICE_KEYS.items() if name in keys}
    rest = {name: value for name, value in keys.items() if name not in PRICE_KEYS}
    return {**rest, "prices": prices} if prices else rest


def label_prices(config: JobConfig) -> LabelPrices | None:
    """Return what a label costs; None where the file names no price.

    Raises
    ------
    ConfigError
        ``[labels]`` and ``[select]`` say different prices, or two selections do.
    """
    found = {where: prices for where, prices in _said(config).items() if prices.are_given}
    if not found:
        return None
    (first, prices), *others = found.items()
    for where, each in others:
        if each != prices:
            raise ConfigError(f"{first} and {where} say different prices of a label; say them once.")
    return prices


def with_prices(keys: Mapping[str, Any], config: JobConfig) -> dict[str, Any]:
    """Return keys of ``[select]``; a budget in money without any goes by the prices of ``[labels]``."""
    prices = label_prices(config)
    has_own = "cost_column" in keys or any(name in keys for name in PRICE_KEYS)
    if "budget_cost" not in keys or has_own or prices is None:
        return dict(keys)
    return {**keys, **{name: getattr(prices, price) for name, price in PRICE_KEYS.items()}}


def _said(config: JobConfig) -> dict[str, LabelPrices]:
    """Return the prices of each place of the file."""
    keys = config["labels"]
    per_1k = keys.get("cost_per_1k_tokens", 0.0)
    said = {"[labels]": LabelPrices(keys.get("cost_per_example", 0.0), per_1k, per_1k)}
    for each in config.selections:
        where = f"[[select]] {each.name}" if each.name else "[select]"
        said[where] = LabelPrices(**take_prices(each.settings).get("prices", {}))
    return said
