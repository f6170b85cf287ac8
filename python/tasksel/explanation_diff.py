"""What another strategy, seed, base, budget or model changes: two selections side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from tasksel.explanation_chance import ChanceOverlap, overlap_by_chance
from tasksel.explanation_correlation import rank_correlation
from tasksel.explanation_inputs import as_saved

if TYPE_CHECKING:
    import os

    from tasksel.selection import Selection
    from tasksel.selection_files import SavedSelection

__all__ = ["SelectionDiff", "diff"]

_DEVIATIONS = 2.0


@dataclass(frozen=True, eq=False)
class SelectionDiff:
    """How two selections differ.

    Parameters
    ----------
    headline : str
        How many prompts they share, and what chance would give.
    n_a, n_b, n_shared : int
        Labels of each, and in both.
    jaccard : float
        Shared labels by labels in either.
    by_chance : ChanceOverlap or None
        What two selections of these sizes share that know nothing of each other; None where they are not from
        one pool.
    by_quotas : ChanceOverlap or None
        The same where each draws its quotas at random inside every task: what they share beyond this comes
        from the same order inside the tasks.
    moved_by_quotas, moved_inside_tasks : int
        Labels of the first that the second lacks: because its task gives fewer there, and because the task
        gives other prompts.
    rank_correlation : float or None
        Spearman's, of the ranks of the shared labels; None under three of them.
    settings : DataFrame
        ``setting``, ``a``, ``b``: those that differ, as text.
    tasks : DataFrame
        One row a task of either: ``task``, ``available``, ``quota_a``, ``quota_b``, ``change``, ``shared``,
        ``confidence_a``, ``confidence_b``, ``log_confidence_change``, ``weight_a``, ``weight_b``; largest
        change of quota first. Null where a selection does not know it.
    came_in, went_out : DataFrame
        ``id``, ``task`` (if there are tasks), ``prompt``, ``rank``: labels of the second alone, and of the
        first alone, in rank order.
    notes : tuple of str
        What a person should know: another pool, another model.
    """

    headline: str
    n_a: int
    n_b: int
    n_shared: int
    jaccard: float
    by_chance: ChanceOverlap | None
    by_quotas: ChanceOverlap | None
    moved_by_quotas: int
    moved_inside_tasks: int
    rank_correlation: float | None
    settings: pl.DataFrame = field(repr=False)
    tasks: pl.DataFrame = field(repr=False)
    came_in: pl.DataFrame = field(repr=False)
    went_out: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as a dictionary that `json.dumps` takes."""
        frames = ("settings", "tasks", "came_in", "went_out")
        chances = ("by_chance", "by_quotas")
        account = {name: value for name, value in vars(self).items() if name not in (*frames, *chances)}
        for name in chances:
            chance = getattr(self, name)
            account[name] = None if chance is None else chance._asdict()
        floats = pl.col(pl.Float64)
        finite = pl.when(floats.is_finite()).then(floats)  # JSON knows no logarithm of zero
        account |= {name: getattr(self, name).with_columns(finite).to_dicts() for name in frames}
        return {**account, "notes": list(self.notes)}


def diff(
    a: str | os.PathLike[str] | Selection | SavedSelection,
    b: str | os.PathLike[str] | Selection | SavedSelection,
) -> SelectionDiff:
    """Compare two selections: which labels they share, and what makes the difference.

    Parameters
    ----------
    a, b : path, Selection or SavedSelection
        Folders that `tasksel select --out` wrote, or what `tasksel.select` returned. Prompts are matched by
        id.

    Returns
    -------
    SelectionDiff

    Raises
    ------
    ConfigError, ResumeError
        One of them is no selection, or its files were changed.

    Examples
    --------
    >>> import polars as pl
    >>> import tasksel
    >>> pool = pl.DataFrame({"task": ["x"] * 8 + ["y"] * 4, "prompt": [f"prompt {row}" for row in range(12)]})
    >>> uniform = tasksel.select(pool, budget=6)
    >>> random = tasksel.select(pool, budget=6, strategy="random")
    >>> found = tasksel.diff(uniform, random)
    >>> found.n_a, found.n_b, found.by_chance.expected
    (6, 6, 3.0)
    >>> found.settings["setting"].to_list()[0]
    'strategy'
    """
    first, second = as_saved(a)[0], as_saved(b)[0]
    is_same_pool = first.manifest["pool"]["sha256"] == second.manifest["pool"]["sha256"]
    shared = first.frame.select("id", "rank").join(second.frame.select("id", "rank"), on="id", suffix="_b")
    n_a, n_b, n_shared = first.frame.height, second.frame.height, shared.height
    tasks = _task_table(first, second, shared)
    went_out = _only_in(first, second)
    moved_by_quotas = -int(tasks["change"].clip(upper_bound=0).sum())
    by_chance = overlap_by_chance(first.figures["pool_rows"], n_a, n_b) if is_same_pool else None
    ranks = rank_correlation(shared["rank"].to_numpy(), shared["rank_b"].to_numpy())
    return SelectionDiff(
        headline=_headline(n_a, n_b, n_shared, by_chance),
        n_a=n_a,
        n_b=n_b,
        n_shared=n_shared,
        jaccard=n_shared / (n_a + n_b - n_shared) if n_a + n_b else 1.0,
        by_chance=by_chance,
        by_quotas=_overlap_by_quotas(tasks) if is_same_pool else None,
        moved_by_quotas=moved_by_quotas,
        moved_inside_tasks=went_out.height - moved_by_quotas,
        rank_correlation=None if math.isnan(ranks.value) else ranks.value,
        settings=_settings(first, second),
        tasks=tasks,
        came_in=_only_in(second, first),
        went_out=went_out,
        notes=tuple(_notes(first, second, is_same_pool=is_same_pool)),
    )


def _task_table(first: SavedSelection, second: SavedSelection, shared: pl.DataFrame) -> pl.DataFrame:
    columns = ("task", "available", "quota", "confidence", "log_confidence", "weight")
    both = first.allocation.select(columns).join(
        second.allocation.select(columns), on="task", how="full", coalesce=True, suffix="_b"
    )
    kept = first.frame.join(shared.select("id"), on="id", how="semi")
    task = pl.lit("(all)")
    if "task" in kept.columns:
        task = pl.col("task").cast(pl.String).fill_null("(no task)")
    n_shared = kept.with_columns(task=task).group_by("task").len("shared").cast({"shared": pl.Int64})
    return (
        both.join(n_shared, on="task", how="left")
        .select(
            "task",
            pl.coalesce("available", "available_b"),
            quota_a=pl.col("quota").fill_null(0),
            quota_b=pl.col("quota_b").fill_null(0),
            shared=pl.col("shared").fill_null(0),
            confidence_a="confidence",
            confidence_b="confidence_b",
            log_confidence_change=pl.col("log_confidence_b") - pl.col("log_confidence"),
            weight_a="weight",
            weight_b="weight_b",
        )
        .with_columns(change=pl.col("quota_b") - pl.col("quota_a"))
        .select(*_TASK_COLUMNS)
        .sort(pl.col("change").abs(), "task", descending=[True, False])
    )


_TASK_COLUMNS = (
    "task",
    "available",
    "quota_a",
    "quota_b",
    "change",
    "shared",
    "confidence_a",
    "confidence_b",
    "log_confidence_change",
    "weight_a",
    "weight_b",
)


def _only_in(one: SavedSelection, other: SavedSelection) -> pl.DataFrame:
    only = one.frame.join(other.frame.select("id"), on="id", how="anti").sort("rank")
    return only.select([name for name in ("id", "task", "prompt", "rank") if name in only.columns])


def _overlap_by_quotas(tasks: pl.DataFrame) -> ChanceOverlap:
    parts = [overlap_by_chance(*row) for row in tasks.select("available", "quota_a", "quota_b").iter_rows()]
    expected = sum(part.expected for part in parts)
    return ChanceOverlap(expected, math.sqrt(sum(part.deviation**2 for part in parts)))


def _settings(first: SavedSelection, second: SavedSelection) -> pl.DataFrame:
    columns = [_flat(each) for each in (first, second)]
    names = list(dict.fromkeys([*columns[0], *columns[1]]))
    rows = [(name, *(each.get(name) for each in columns)) for name in names]
    return pl.DataFrame(
        [row for row in rows if row[1] != row[2]],
        schema=dict.fromkeys(("setting", "a", "b"), pl.String),
        orient="row",
    )


def _flat(saved: SavedSelection) -> dict[str, str]:
    """Return settings and inputs as text, those of a strategy's own one by one."""
    settings = saved.settings
    options = settings.pop("options", {})
    inputs = {
        name: (saved.manifest.get(name) or {}).get("sha256", "none")[:12]
        for name in ("pool", "scores", "embeddings")
    }
    return {name: str(value) for name, value in {**settings, **options, **inputs}.items()}


def _headline(n_a: int, n_b: int, n_shared: int, by_chance: ChanceOverlap | None) -> str:
    size = f"{n_a:,}" if n_a == n_b else f"{n_a:,} and {n_b:,}"
    found = f"The selections of {size} prompts share {n_shared:,}"
    if n_a == n_b == n_shared:
        return f"Both select the same {n_a:,} prompts."
    if by_chance is None:
        return f"{found}."
    distance = n_shared - by_chance.expected
    usual = by_chance.deviation * _DEVIATIONS
    verdict = "about as many as by chance"
    if abs(distance) > usual:
        verdict = "more than by chance" if distance > 0 else "fewer than by chance"
    return f"{found}, {verdict} ({by_chance.expected:.0f} ± {by_chance.deviation:.0f})."


def _notes(first: SavedSelection, second: SavedSelection, *, is_same_pool: bool) -> list[str]:
    notes = []
    if not is_same_pool:
        names = [saved.manifest["pool"]["name"] for saved in (first, second)]
        notes.append(
            f"The pools differ ({names[0]}, {names[1]}): prompts are matched by id, and chance gives no "
            "figure."
        )
    scores = [saved.manifest["scores"] for saved in (first, second)]
    if None not in scores and scores[0]["sha256"] != scores[1]["sha256"]:
        notes.append(
            f"The scores differ ({scores[0]['name']}, {scores[1]['name']}): confidences are of different "
            "models or answers."
        )
    metrics = [saved.settings.get("metric") for saved in (first, second)]
    if None not in metrics and metrics[0] != metrics[1]:
        notes.append(f"Confidences are measured otherwise ({metrics[0]}, {metrics[1]}) and do not compare.")
    smaller, larger = sorted((first.frame["id"], second.frame["id"]), key=len)
    if len(smaller) == len(larger) and smaller.equals(larger):
        notes.append("They are in the same order too.")
    elif larger.head(len(smaller)).equals(smaller):
        notes.append("The larger selection begins with the smaller one.")
    return notes
