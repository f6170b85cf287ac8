"""Train balanced, count as in reality: importance weights of labels, and an evaluation both ways.

A set that was made balanced has another label distribution than the data a model will meet. Under label
shift, where examples of a label look alike in both, the weight ``p_real(y) / p_train(y)`` of each example
gives the loss its real mean.

References
----------
Saerens, M., Latinne, P., Decaestecker, C. (2002). Adjusting the outputs of a classifier to new a priori
probabilities: a simple procedure. Neural Computation 14, 21-41.
Kish, L. (1965). Survey Sampling. Wiley, section 8.2 (effective sample size).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import polars as pl

from tasksel.pool_files import scan_file
from tasksel.run_folder import write_text
from tasksel.run_folder_frames import write_frame
from tasksel.suggestions import did_you_mean
from tasksel.synthesis.config_values import check_number, check_numbers, holds_shares, share_of
from tasksel.synthesis.held_counts import column_text
from tasksel.wording import counted
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["WEIGHT_COLUMN", "LabelWeights", "TableSource", "label_shares", "read_table", "weigh_labels"]

WEIGHT_COLUMN: Final = "weight"
SMALL_EFFECTIVE_SHARE: Final = 0.5
"""Effective sample size, as a share of the rows, under which a person is told."""
_LABELS_SHOWN: Final = 5

TableSource: TypeAlias = "str | os.PathLike[str] | pl.DataFrame"
"""A Parquet, JSONL, JSON or CSV file, or a frame; no column but the label's is needed."""


@dataclass(frozen=True, eq=False)
class LabelWeights:
    """Weights of training examples that give their labels the real distribution.

    Attributes
    ----------
    frame : DataFrame
        The training rows with the column ``weight`` (Float64, mean 1).
    labels : DataFrame
        A row a label: ``label``, ``train_rows``, ``train_share``, ``real_rows`` (null for targets),
        ``real_share``, ``weight`` (null where there is no training row).
    n_effective : float
        How many rows of equal weight say as much (Kish).
    absent_share : float
        Share of the real data whose labels no training row has; no weight brings them back.
    findings : tuple of str
        What a person should know.
    """

    frame: pl.DataFrame
    labels: pl.DataFrame
    n_effective: float
    absent_share: float
    findings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account, without the rows."""
        return {
            "rows": self.frame.height,
            "n_effective": self.n_effective,
            "absent_share": self.absent_share,
            "labels": self.labels.to_dicts(),
            "findings": list(self.findings),
        }

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the weighted rows as Parquet or JSONL, by the suffix.

        Raises
        ------
        ConfigError
            The suffix is another.
        OSError
            The file cannot be written.
        """
        target = Path(path)
        if target.suffix not in (".parquet", ".jsonl"):
            raise ConfigError(f"{target.name} is to be written; allowed are .parquet and .jsonl.")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".parquet":
            write_frame(target, self.frame)
        else:
            write_text(target, self.frame.write_ndjson())
        return target


def weigh_labels(
    train: TableSource,
    real: TableSource | None = None,
    *,
    column: str,
    targets: Mapping[str, float] | None = None,
    smoothing: float = 0.0,
    cap: float | None = None,
) -> LabelWeights:
    """Weigh training examples by ``p_real(y) / p_train(y)``.

    Parameters
    ----------
    train, real : path or DataFrame
        What is trained on, and data with the real label distribution.
    column : str
        The label, in both.
    targets : mapping of str to float, optional
        Instead of `real`: label -> share or count.
    smoothing : float
        Rows added to each label of the real data before shares are taken, so that a label it happens not to
        hold keeps some weight; goes with `real`.
    cap : float, optional
        Largest weight, above 1; what is cut off is spread over the other examples in proportion.

    Returns
    -------
    LabelWeights

    Raises
    ------
    SchemaError
        A file cannot be read, lacks the column, or has rows without a label.
    ConfigError
        Neither or both of `real` and `targets` are given, no label is in both, or a setting is out of range.

    Examples
    --------
    >>> train = pl.DataFrame({"label": ["good", "bad"]})
    >>> weigh_labels(train, column="label", targets={"good": 0.9, "bad": 0.1}).frame["weight"].to_list()
    [1.8, 0.2]
    """
    check_number("smoothing", smoothing, 0)
    if cap is not None:
        check_number("cap", cap, 1)
    rows, name = read_table(train, "training data")
    labels = read_labels(rows, column, name)
    if labels.null_count():
        raise SchemaError(f"{labels.null_count():,} rows of {name} have no {column}; drop or label them.")
    counts, shares, findings = label_shares(real, targets, column, smoothing, labels.unique().to_list())
    table, absent = _label_table(labels, counts, shares)
    weights = labels.to_frame("label").join(table, on="label", how="left", maintain_order="left")["weight"]
    capped = _cap_weights(weights.to_numpy(), cap)
    n_effective = float(capped.sum() ** 2 / np.square(capped).sum())
    by_label = pl.DataFrame({"label": labels, "weight": capped}).unique("label")
    table = table.drop("weight").join(by_label, on="label", how="left", maintain_order="left")
    findings += _weight_findings(table, n_effective, rows.height, absent, float(weights.max()), cap)  # type: ignore[arg-type] # a number, as the table has no other
    if WEIGHT_COLUMN in rows.columns:
        rows = rows.rename({WEIGHT_COLUMN: f"original_{WEIGHT_COLUMN}"})
        findings.append(f"The column {WEIGHT_COLUMN!r} of {name} is now original_{WEIGHT_COLUMN}.")
    weighted = rows.with_columns(pl.Series(WEIGHT_COLUMN, capped))
    return LabelWeights(weighted, table, n_effective, absent, tuple(findings))


def read_table(source: TableSource, noun: str) -> tuple[pl.DataFrame, str]:
    """Read a file or frame of any columns, and what messages call it.

    Raises
    ------
    SchemaError
        It cannot be read or holds no rows.
    """
    if isinstance(source, pl.DataFrame):
        frame, name = source, f"the {noun}"
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        frame, name = scan_file(path, text_columns=(), eager=True).frame.collect(), path.name
    else:
        raise ConfigError(f"The {noun} is {type(source).__name__}; a path or a polars DataFrame is wanted.")
    if frame.is_empty():
        raise SchemaError(f"{name} holds no rows.")
    return frame, name


def read_labels(frame: pl.DataFrame, column: str, name: str) -> pl.Series:
    """Return a label column as text.

    Raises
    ------
    SchemaError
        There is no such column.
    """
    if column not in frame.columns:
        hint = did_you_mean(column, frame.columns)
        raise SchemaError(
            f"{name} has no column {column!r}; it has {', '.join(map(repr, frame.columns))}.{hint}"
        )
    return frame.select(column_text(frame, column))[column]


def label_shares(
    real: TableSource | None,
    targets: Mapping[str, float] | None,
    column: str,
    smoothing: float = 0.0,
    known: list[str] | None = None,
) -> tuple[dict[str, int] | None, dict[str, float], list[str]]:
    """Return rows (None for targets) and share of each label in the real distribution, and what was found.

    Parameters
    ----------
    real, targets, column, smoothing
        As in `weigh_labels`.
    known : list of str, optional
        Labels that are smoothed even where the real data do not hold them.

    Raises
    ------
    ConfigError
        Neither or both of `real` and `targets` are given, or the targets are no shares.
    """
    if (real is None) == (targets is None):
        raise ConfigError("Either real data (--to) or target shares (--target) are wanted.")
    if targets is not None:
        if smoothing:
            raise ConfigError("smoothing adds rows to real data; it goes with --to, not with --target.")
        check_numbers("The target shares", targets)
        is_share = holds_shares("The target shares", targets.values())
        total = sum(targets.values())
        scaled = is_share and abs(total - 1) > 1e-9
        findings = [f"The target shares sum to {total:g}; they were scaled to 1."] if scaled else []
        return None, share_of(targets), findings
    frame, name = read_table(real if real is not None else pl.DataFrame(), "real data")
    labels = read_labels(frame, column, name)
    findings = []
    if labels.null_count():
        findings.append(f"{labels.null_count():,} rows of {name} have no {column} and do not count.")
    counts = {str(label): int(rows) for label, rows in labels.drop_nulls().value_counts().iter_rows()}
    if not counts:
        raise SchemaError(f"No row of {name} has a {column}.")
    smoothed = {label: counts.get(label, 0) + smoothing for label in sorted({*counts, *(known or [])})}
    return counts, share_of(smoothed), findings


def _label_table(
    labels: pl.Series, counts: dict[str, int] | None, shares: dict[str, float]
) -> tuple[pl.DataFrame, float]:
    """Return a row a label with weights of mean 1, and the real share that training does not have."""
    trained = {str(label): int(rows) for label, rows in labels.value_counts().iter_rows()}
    absent = sum(share for label, share in shares.items() if label not in trained)
    covered = sum(share for label, share in shares.items() if label in trained)
    if covered <= 0:
        raise ConfigError(
            f"Training and real data have no label in common: {_shown(sorted(trained))} against "
            f"{_shown(sorted(label for label, share in shares.items() if share > 0))}."
        )
    rows = [
        {
            "label": label,
            "train_rows": trained.get(label, 0),
            "train_share": trained.get(label, 0) / len(labels),
            "real_rows": None if counts is None else counts.get(label, 0),
            "real_share": shares.get(label, 0.0),
            "weight": shares.get(label, 0.0) / covered * len(labels) / trained[label]
            if label in trained
            else None,
        }
        for label in sorted({*trained, *shares}, key=lambda label: (-shares.get(label, 0.0), label))
    ]
    integers = {"train_rows": pl.Int64, "real_rows": pl.Int64}
    floats = {"train_share": pl.Float64, "real_share": pl.Float64, "weight": pl.Float64}
    return pl.DataFrame(rows, schema={"label": pl.String, **integers, **floats}).select(*rows[0]), absent


def _cap_weights(weights: NDArray[np.float64], cap: float | None) -> NDArray[np.float64]:
    """Return weights of mean 1 and at most `cap`: those below it are scaled up by what was cut off."""
    scaled: NDArray[np.float64] = weights / weights.mean()
    if cap is None or scaled.max() <= cap:
        return scaled
    if (scaled > 0).mean() * cap < 1:
        raise ConfigError(
            f"cap is {cap:g}, and only {(scaled > 0).mean():.1%} of the rows have a real label: at least "
            f"{1 / (scaled > 0).mean():.4g} is wanted."
        )
    # The capped set only grows, so that at most every row is passed once.
    is_capped = np.zeros(len(scaled), dtype=bool)
    while True:
        rest = len(scaled) - cap * is_capped.sum()
        below = scaled[~is_capped].sum()
        # Divided first: for weights near the smallest number rest / below is past the largest one.
        is_shared = ~is_capped & (below > 0)
        shared = np.divide(scaled, below, out=np.zeros_like(scaled), where=is_shared) * rest
        over = ~is_capped & (shared > cap * (1 + 1e-12))
        if not over.any():
            return np.where(is_capped, cap, shared)
        is_capped |= over


def _weight_findings(
    table: pl.DataFrame, n_effective: float, n_rows: int, absent: float, heaviest: float, cap: float | None
) -> list[str]:
    findings = []
    lost = table.filter((pl.col("train_rows") == 0) & (pl.col("real_share") > 0))
    if lost.height:
        findings.append(
            f"No training row has {counted(lost.height, 'label')} of the real data, {absent:.1%} of its "
            f"rows: {_shown(lost['label'].to_list())}. No weight brings them back; `tasksel synth plan` can."
        )
    unused = table.filter((pl.col("train_rows") > 0) & (pl.col("real_share") == 0))
    if unused.height:
        findings.append(
            f"The real data do not have {counted(unused.height, 'label')} of the training data "
            f"({unused['train_rows'].sum():,} rows): {_shown(unused['label'].to_list())}. The weight is 0; "
            "smoothing keeps some."
        )
    if n_effective < SMALL_EFFECTIVE_SHARE * n_rows:
        findings.append(
            f"The weights leave {n_effective:,.0f} of {n_rows:,} rows effective; the largest is "
            f"{heaviest:.3g}. A cap (--cap 5) trades some bias for less noise."
        )
    if cap is not None and heaviest > cap:
        findings.append(
            f"Weights were capped at {cap:g} (the largest was {heaviest:.3g}): labels above it stay rarer in "
            "training than in reality."
        )
    return findings


def _shown(labels: list[str]) -> str:
    more = ", ..." if len(labels) > _LABELS_SHOWN else ""
    return ", ".join(map(repr, labels[:_LABELS_SHOWN])) + more
