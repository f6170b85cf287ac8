"""The section on coverage: the headline, a map, the gaps with real rows that stand for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.data_coverage import coverage
from tasksel.embedding import read_embeddings
from tasksel.html_page import Column, bullets, paragraph, table
from tasksel.pool import load_pool
from tasksel.report.embedding_map import draw_map
from tasksel.report.pictures import Pictures

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
    pictures: Pictures | None = None,
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
    pictures : Pictures, optional
        Draws the map and what else there is to see.
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
        paragraph(found.headline()),
        bullets(flag.message for flag in found.flags),
        *_map_blocks(found, vectors, synthetic, pictures or Pictures(), seed),
        _gap_table(found, pool),
        _statistics_table(found),
    ]


def _map_blocks(found: Coverage, real: Any, synthetic: Any, pictures: Pictures, seed: int) -> list[str]:
    is_gap = np.zeros(len(real), dtype=bool)
    for rows in found.gaps["exemplars"].to_list():
        is_gap[rows] = True
    return [
        pictures.draw("map", lambda width: draw_map(real, synthetic, is_gap, seed=seed, width=width)),
        pictures.draw("calibration", lambda width: found.plot_calibration(width=width)),
        pictures.draw("gaps", lambda width: found.plot_gaps(width=width)),
        pictures.missing_note(),
    ]


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
