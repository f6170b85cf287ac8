"""What probing found: figures by category, kinds of failures, and where the next batch should look."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.intervals import wilson_interval
from tasksel.synthesis.edge_cases import is_mutable
from tasksel.synthesis.edge_mutations import variant_names
from tasksel.synthesis.probe_batch import BY_MODEL, CONTROL
from tasksel_core import allocate
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasksel.synthesis.config import EdgeConfig

__all__ = ["RESULT_SCHEMA", "category_figures", "next_batch", "signature_figures"]

RESULT_SCHEMA: Final[Mapping[str, Any]] = {
    "iteration": pl.Int64,
    "key": pl.String,
    "category": pl.String,
    "variant": pl.String,
    "field": pl.String,
    "change": pl.String,
    "outcome": pl.String,
    "exit_code": pl.Int64,
    "signal": pl.String,
    "failed": pl.Boolean,
    "signature": pl.String,
    "error_line": pl.String,
    "first_line": pl.String,
    "last_line": pl.String,
    "input": pl.String,
}
"""Columns of the results, one row an example; ``input`` is the file that was kept for it, if one was."""
FLOOR_SHARE: Final = 0.25
"""Share of the next batch that is dealt to all categories alike, so that none is forgotten."""


def category_figures(results: pl.DataFrame) -> list[dict[str, Any]]:
    """Count by category what was run and failed, with an interval, and compare with ordinary examples.

    Later batches look where failures were, so that rates over all of them would say more of where was looked
    than of the program: rate, interval and p-value are of the first batch.

    Parameters
    ----------
    results : pl.DataFrame
        Columns of `RESULT_SCHEMA`.

    Returns
    -------
    list of dict
        ``category``, ``run``, ``failed``, ``complained`` (exit code 0, yet an error on standard error),
        ``signatures``, ``first_run``, ``first_failed``, ``rate``, ``low``, ``high`` (Wilson, 95 %; null where
        nothing was run), ``p_value`` (Fisher's exact test against the ordinary examples, one-sided, times the
        number of categories; null for these themselves), ``example`` (first error line or outcome); the
        ordinary ones first, then by name.
    """
    names = sorted(set(results["category"]), key=lambda name: (name != CONTROL, name))
    control = results.filter(pl.col("category") == CONTROL)
    figures = []
    for name in names:
        rows = results.filter(pl.col("category") == name)
        first = rows.filter(pl.col("iteration") == 1)
        run, failed = first.height, int(first["failed"].sum())
        low, high = wilson_interval(failed, run)
        p_value = None
        if name != CONTROL and control.height and run:
            tail = fisher_tail(failed, run, int(control["failed"].sum()), control.height)
            p_value = min(1.0, tail * sum(each != CONTROL for each in names))
        told = rows.filter(pl.col("signature").is_not_null()).sort(
            "failed", descending=True, maintain_order=True
        )
        figures.append(
            {
                "category": name,
                "run": rows.height,
                "failed": int(rows["failed"].sum()),
                "complained": int((~rows["failed"] & rows["signature"].is_not_null()).sum()),
                "signatures": rows["signature"].drop_nulls().n_unique(),
                "first_run": run,
                "first_failed": failed,
                "rate": failed / run if run else None,
                "low": low if run else None,
                "high": high if run else None,
                "p_value": p_value,
                "example": None if told.is_empty() else told["error_line"][0] or told["signature"][0],
            }
        )
    return figures


def fisher_tail(failed: int, run: int, control_failed: int, control_run: int) -> float:
    """Return the probability of so many failures or more, were failing equally likely in both groups.

    Exact: the hypergeometric tail in whole numbers.

    Examples
    --------
    >>> round(fisher_tail(3, 4, 0, 4), 4)
    0.0714
    """
    total, both = failed + control_failed, run + control_run
    most = min(total, run)
    ways = sum(math.comb(run, k) * math.comb(control_run, total - k) for k in range(failed, most + 1))
    return ways / math.comb(both, total)


def signature_figures(results: pl.DataFrame) -> list[dict[str, Any]]:
    """Count the kinds of failures and complaints, the most frequent first.

    Returns
    -------
    list of dict
        ``signature``, ``failed``, ``count``, ``categories`` (name -> count), ``iteration`` (the first),
        ``first_line``, ``last_line``, ``change`` and ``input`` of the first example.
    """
    told = results.filter(pl.col("signature").is_not_null())
    figures = []
    for (signature,), rows in told.group_by("signature", maintain_order=True):
        first = rows.row(0, named=True)
        figures.append(
            {
                "signature": signature,
                "failed": bool(rows["failed"].any()),
                "count": rows.height,
                "categories": dict(sorted(Counter(rows["category"]).items())),
                "iteration": int(rows["iteration"].to_numpy().min()),
                **{name: first[name] for name in ("first_line", "last_line", "change", "input")},
            }
        )
    return sorted(figures, key=lambda each: (-each["count"], each["signature"]))


def next_batch(
    results: pl.DataFrame,
    size: int,
    *,
    floor: int | None = None,
    config: EdgeConfig | None = None,
) -> pl.DataFrame:
    """Plan the next batch where the program failed: categories, then ways of making them.

    Categories share the batch in proportion to 1 plus, for each kind of failure or complaint, the square root
    of how often it was seen, none below the floor. A kind that is well known therefore does not take the
    whole batch, and several kinds count more than one. The share of a category is shared among its variants,
    tried or not, by the same rule without a floor.

    Parameters
    ----------
    results : pl.DataFrame
        Columns of `RESULT_SCHEMA`, of all iterations so far.
    size : int
        Examples of the next batch.
    floor : int, optional
        Least number of each category; default: a quarter of the batch, dealt equally, and at least 1.
    config : EdgeConfig, optional
        Knows the custom categories.

    Returns
    -------
    pl.DataFrame
        ``category``, ``variant``, ``run``, ``failed`` (complaints included), ``planned`` and ``needs_model``:
        such are written by a model, the others are made by `mutate`.

    Raises
    ------
    ConfigError
        `size` or `floor` is negative.

    Examples
    --------
    >>> rows = [{"category": "missing", "variant": "null", "failed": True, "signature": "exit 1"}] * 3
    >>> rows += [{"category": "boundary", "variant": "lowest", "failed": False, "signature": None}] * 3
    >>> plan = next_batch(pl.DataFrame(rows, schema=RESULT_SCHEMA), 20)
    >>> dict(plan.group_by("category", maintain_order=True).agg(pl.col("planned").sum()).iter_rows())
    {'boundary': 5, 'missing': 15}
    """
    if size < 0 or (floor is not None and floor < 0):
        raise ConfigError(
            f"A next batch of {size} with a floor of {floor}: numbers of at least 0 are wanted."
        )
    told = results.filter(pl.col("category") != CONTROL)
    run = Counter(told.select("category", "variant").iter_rows())
    bad = told.filter(pl.col("signature").is_not_null())
    failed = Counter(bad.select("category", "variant").iter_rows())
    kinds = Counter(bad.select("category", "signature").iter_rows())
    kinds_of_variants = Counter(bad.select("category", "variant", "signature").iter_rows())
    categories = sorted({category for category, _ in run})
    if floor is None:
        floor = max(1, math.floor(FLOOR_SHARE * size / max(len(categories), 1)))
    merits = [_merit(kinds, (category,)) for category in categories]
    shares = _shared(merits, size, floor)
    rows = []
    for category, share in zip(categories, shares, strict=True):
        needs_model = not _can_mutate(category, config)
        variants = (BY_MODEL,) if needs_model else variant_names(category)
        merits = [_merit(kinds_of_variants, (category, variant)) for variant in variants]
        planned_each = dict(zip(variants, _shared(merits, share, 0), strict=True))
        if run[category, BY_MODEL]:
            planned_each.setdefault(BY_MODEL, 0)
        for variant, planned in planned_each.items():
            rows.append(
                (category, variant, run[category, variant], failed[category, variant], planned, needs_model)
            )
    names = {"category": pl.String, "variant": pl.String, "run": pl.Int64, "failed": pl.Int64}
    schema = {**names, "planned": pl.Int64, "needs_model": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _can_mutate(category: str, config: EdgeConfig | None) -> bool:
    try:
        return is_mutable(category, config)
    except ConfigError:  # a name that only the batch's file knows
        return False


def _merit(kinds: Mapping[tuple[str, ...], int], prefix: tuple[str, ...]) -> float:
    """Return the sum of the square roots of how often each kind of failure was seen under a prefix."""
    return sum(math.sqrt(count) for name, count in kinds.items() if name[: len(prefix)] == prefix)


def _shared(merits: Sequence[float], size: int, floor: int) -> list[int]:
    """Share places in proportion to merit + 1, each at least `floor` as far as they go."""
    if not merits:
        return []
    weights = np.array(merits, dtype=np.float64) + 1.0
    available = np.full(len(merits), max(size, 1), dtype=np.int64)
    return [int(each) for each in allocate(weights, available, size, base=floor)]
