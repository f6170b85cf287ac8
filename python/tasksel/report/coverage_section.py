"""The section on coverage: the headline, a map, the gaps with real rows that stand for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.data_coverage import coverage
from tasksel.embedding import read_embeddings
from tasksel.html_page import Column, bullets, figure, paragraph, table
from tasksel.pool import load_pool
from tasksel.report.embedding_map import draw_map
from tasksel_core.errors import MissingExtraError

if TYPE_CHECKING:
    import polars as pl

    from tasksel.data_coverage import Coverage
    from tasksel.pool import PoolSource

__all__ = ["coverage_blocks"]

MAX_GAPS: Final = 20
_EXEMPLAR_CHARS: Final = 300
_SHOWN_STATISTICS: Final = (
    ("precision", "Precision: synthetic rows near real ones"),
    ("recall", "Recall: real rows near synthetic ones, by their own radius"),
    ("density", "Density"),
    ("coverage", "Coverage of PRDC: real rows with a synthetic one near"),
    ("near_duplicates", "Near-duplicates among the synthetic rows"),
    ("near_copies", "Near-copies of real rows"),
    ("vendi_ratio", "Vendi ratio: variety against the real set's"),
    ("classifier_accuracy", "Accuracy of a classifier that tells the sets apart"),
    ("total_variation", "Total variation over clusters of the real rows"),
)


def coverage_blocks(
    records: pl.DataFrame,
    real: PoolSource,
    real_embeddings: str,
    synthetic_embeddings: str,
    *,
    seed: int = 0,
) -> list[str]:
    """Measure how records cover real prompts, and say it in HTML.

    Parameters
    ----------
    records : DataFrame
        Synthetic records, with a row for each vector.
    real : path, DataFrame, LazyFrame or Pool
        Real prompts.
    real_embeddings, synthetic_embeddings : str
        As `tasksel.embedding.read_embeddings` takes them.
    seed : int
        Of the measurement and of the points that the map shows.

    Raises
    ------
    SchemaError
        The vectors do not fit the rows.
    """
    pool = load_pool(real).frame
    vectors = read_embeddings(real_embeddings, pool)
    synthetic = read_embeddings(synthetic_embeddings, records)
    tasks = pool["task"].to_list() if "task" in pool.columns else None
    found = coverage(
        vectors,
        synthetic,
        real_tasks=tasks,
        synthetic_tasks=records["task"].to_list()
        if tasks is not None and "task" in records.columns
        else None,
        seed=seed,
    )
    return [
        paragraph(_headline(found)),
        bullets(flag.message for flag in found.flags),
        _map_block(found, vectors, synthetic, seed),
        _gap_table(found, pool),
        _statistics_table(found),
    ]


def _headline(found: Coverage) -> str:
    if found.coverage_equivalent is None:
        return "There are too few real rows to say how much of them is covered."
    low, high = found.interval if found.interval is not None else (None, None)
    interval = "" if low is None else f" (95 % interval {low:.2f} to {high:.2f})"
    return (
        f"Coverage-equivalent {found.coverage_equivalent:.2f}{interval}: the synthetic set looks as real "
        f"rows do with {1 - found.coverage_equivalent:.0%} of the real mass missing. From 0.85 on is good, "
        "below 0.70 there are gaps."
    )


def _map_block(found: Coverage, real: Any, synthetic: Any, seed: int) -> str:
    is_gap = np.zeros(len(real), dtype=bool)
    for rows in found.gaps["exemplars"].to_list():
        is_gap[rows] = True
    try:
        svg = draw_map(real, synthetic, is_gap, seed=seed)
    except MissingExtraError as error:
        return paragraph(str(error), soft=True)
    caption = (
        "Both sets in the plane in which the real one differs most; triangles are real rows that stand for a "
        "gap. What is apart here is apart; what is together may still differ in other directions."
    )
    return figure(svg, caption=caption, label="Map of the real and the synthetic rows")


def _gap_table(found: Coverage, pool: pl.DataFrame) -> str:
    if found.gaps.is_empty():
        return paragraph("No cluster of the real rows has significantly too few synthetic ones.")
    rows = []
    for gap in found.gaps.head(MAX_GAPS).iter_rows(named=True):
        nearest = pool["prompt"][gap["exemplars"][0]] if gap["exemplars"] else None
        rows.append({**gap, "nearest": nearest})
    columns = [
        Column("cluster", "Cluster", is_number=True),
        *([Column("task", "Mostly")] if "task" in found.gaps.columns else []),
        Column("real_share", "Real", "{:.1%}".format, is_number=True),
        Column("synthetic_share", "Synthetic", "{:.1%}".format, is_number=True),
        Column("p_adjusted", "p, adjusted", "{:.2g}".format, is_number=True),
        Column("nearest", "A real prompt of it"),
    ]
    caption = f"{found.gaps.height:,} gap{'s' * (found.gaps.height != 1)}, the largest first."
    return table(rows, columns, caption=caption, max_chars=_EXEMPLAR_CHARS)


def _statistics_table(found: Coverage) -> str:
    rows = [
        {"what": title, "figure": found.statistics.get(name)}
        for name, title in _SHOWN_STATISTICS
        if found.statistics.get(name) is not None
    ]
    return table(
        rows, [Column("what", "Over all rows"), Column("figure", "", "{:.3f}".format, is_number=True)]
    )
