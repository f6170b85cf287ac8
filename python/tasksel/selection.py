"""Pool, scores and a budget become a selection: which rows to label, in which order, and why those."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tasksel.allocation import Allocation, allocation_table, number_tasks
from tasksel.backends import open_spread
from tasksel.csv_cells import defused_texts
from tasksel.embedding import embeddings_sha256
from tasksel.file_places import refuse_overwriting
from tasksel.findings import effective_number, find_concerns
from tasksel.pool import Pool, load_pool
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    atomic_path,
    file_sha256,
    make_folder,
    write_json,
    write_text,
)
from tasksel.run_folder_leftovers import remove_leftovers
from tasksel.scores import Scores, read_scores
from tasksel.selection_costs import LabelCosts, read_label_costs
from tasksel.selection_inputs import find_named, needed_embeddings, read_confidences
from tasksel.selection_labelled import LabelledRows, read_labelled
from tasksel.strategies import (
    DEFAULT_PICKER,
    DEFAULT_STRATEGY,
    Picker,
    Ranking,
    RankingProblem,
    Strategy,
    WeightOptions,
    fill_options,
    order_within_tasks,
    rank_rest,
)
from tasksel_core import __version__
from tasksel_core.errors import BudgetError, ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tasksel.label_cost import LabelPrices
    from tasksel.pool import PoolSource
    from tasksel.strategies import Spread

__all__ = ["Selection", "select"]

SELECTION_FILES = ("selected.parquet", "selected.jsonl", "allocation.csv")
SELECT_STAGE = "select"
_NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Selection:
    """Which pool rows to label, in order, with the allocation that led there.

    Parameters
    ----------
    rows : ndarray of int64, shape (budget,)
        Pool rows, best first; with the default rounding the first b rows are the selection for budget b.
    frame : DataFrame
        The pool's columns for those rows, and `rank` (1 = label first).
    allocation : DataFrame
        One row a task: `task`, `available`, `confidence` (null if unknown), `weight` (sums to 1; null if
        the strategy weights no tasks), `base`, `quota`, `picked`, `capped` (every prompt of the task is
        picked), `log_confidence`, `scored` (prompts with a confidence).
    manifest : dict
        Inputs' hashes, settings, seed, versions and figures; JSON-compatible, no times, no absolute paths.
    notes : tuple of str
        What a person should know, one sentence or two each.
    """

    rows: NDArray[np.int64]
    frame: pl.DataFrame = field(repr=False)
    allocation: pl.DataFrame = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def by_task(self) -> Allocation:
        """The allocation with its pictures."""
        return Allocation(self.allocation)

    def _repr_html_(self) -> str:
        from tasksel.html_page_card import CardTable, card

        settings, figures = self.manifest["settings"], self.manifest["figures"]
        headline = (
            f"{figures['selected']:,} of {figures['pool_rows']:,} prompts from {figures['tasks_picked']:,} "
            f"of {figures['tasks']:,} tasks by {settings['strategy']}; effective number of tasks "
            f"{figures['effective_tasks_picked']:.1f}."
        )
        names = [name for name in ("rank", "task", "id", "prompt") if name in self.frame.columns]
        return card("Selection", headline, [CardTable(self.frame.select(names))], self.notes)

    def plot_allocation(self, *, width: int = 640) -> Any:
        """Draw the labels of each task beside its prompts; see `tasksel.Allocation.plot_quotas`."""
        return self.by_task.plot_quotas(width=width)

    def plot_weights(self, *, width: int = 640) -> Any:
        """Draw how far labels are concentrated in few tasks; see `tasksel.Allocation.plot_weights`."""
        return self.by_task.plot_weights(width=width)

    def plot_confidence(self, *, width: int = 640) -> Any:
        """Draw how confident the model is in each task; see `tasksel.Allocation.plot_confidence`."""
        return self.by_task.plot_confidence(width=width)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``selected.parquet``, ``selected.jsonl``, ``allocation.csv`` and, last, ``manifest.json``.

        The same selection gives the same bytes. Files of an earlier selection are replaced; its manifest
        is removed first, so that a manifest never describes other files than those beside it.

        Parameters
        ----------
        folder : path
            Created when it does not exist.

        Returns
        -------
        Path
            The folder.
        """
        out = Path(folder)
        if out.exists() and not out.is_dir():
            raise ConfigError(f"{out} is a file; allowed: a folder to write the selection to.")
        make_folder(out)
        remove_leftovers(out)
        (out / MANIFEST_NAME).unlink(missing_ok=True)
        for name, write in (
            ("selected.parquet", pl.DataFrame.write_parquet),
            ("selected.jsonl", _write_jsonl),
        ):
            with atomic_path(out / name) as path:
                write(self.frame, path)
        write_text(out / "allocation.csv", _csv_text(defused_texts(self.allocation)))
        files = {name: file_sha256(out / name) for name in SELECTION_FILES}
        write_json(out / MANIFEST_NAME, {**self.manifest, "files": files})
        return out


def select(
    pool: str | os.PathLike[str] | pl.DataFrame | pl.LazyFrame | Pool,
    *,
    budget: int | None = None,
    budget_tokens: float | None = None,
    budget_cost: float | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    labelled: PoolSource | None = None,
    strategy: str = DEFAULT_STRATEGY,
    within: str = DEFAULT_PICKER,
    base: int | None = None,
    alpha: float = 1.0,
    max_weight_ratio: float | None = None,
    metric: str | None = None,
    task_mean: str = "arithmetic",
    rounding: str = "webster",
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    embeddings: str | os.PathLike[str] | NDArray[Any] | None = None,
    cost_column: str | None = None,
    prices: LabelPrices | Mapping[str, float] | None = None,
    per_cost: bool = False,
    task_column: str | None = None,
    id_column: str | None = None,
    backend: str = "local",
    ray_address: str | None = None,
    n_workers: int | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Selection:
    """Choose which prompts of a pool to have labelled.

    Parameters
    ----------
    pool : path, DataFrame, LazyFrame or Pool
        See `tasksel.read_pool` for the shapes it may have.
    budget : int, optional
        How many prompts to choose, at least 1; more than there are chooses all of them. One of the three
        budgets is wanted.
    budget_tokens : float, optional
        How many tokens of prompts and responses to spend: as many prompts are chosen, from the first of the
        ranking on, as it buys.
    budget_cost : float, optional
        How much money to spend, in the unit of the costs.
    scores : path or DataFrame, optional
        Run folder of `tasksel score`, or a file with `token_logprobs` or `confidence`; without it such
        columns of the pool itself are used.
    labelled : path, DataFrame, LazyFrame or Pool, optional
        What has labels already: a run folder that labels were imported into, or prompts with the pool's
        ids and a response. None of it is chosen again; allocations count it, so that two rounds give each
        task what one round would have, and orders that cover embeddings start from it.
    strategy : str
        One of `tasksel.strategy_names()`.
    within : str
        One of `tasksel.picker_names()`: which rows of a task come first, under a strategy that allocates
        over tasks.
    base : int, optional
        Rows that every task gets before weights count; default 5, and 0 for ``size-proportional``.
    alpha : float
        Exponent of the inverse confidence: 1 is the paper's rule, 0 is uniform.
    max_weight_ratio : float, optional
        Ceiling on the largest task weight over the smallest.
    metric : {"product", "length-normalized", "min-token", "entropy", "margin", "min-margin"}, optional
        Confidence of one example; by default the strategy's own if it is defined with one, else
        ``product``. A picker that is defined with one uses that in any case.
    task_mean : {"arithmetic", "geometric"}
        Mean of the example confidences of a task.
    rounding : {"webster", "largest-remainder", "paper"}
        How shares become integers; only ``webster`` makes the selection a ranking.
    options : mapping of str to number, optional
        Options that the strategy or picker has of its own, by name.
    seed : int
        Seed of every random choice.
    embeddings : column name, path or ndarray of shape (n_rows, n_dimensions), optional
        Vectors of the prompts, for strategies and pickers that need them: a list column of the pool, a
        ``.npy`` file, which may be larger than memory in float32, or a ``.parquet`` file (``file.parquet``
        or ``file.parquet:column``), joined by ``id`` if it has one.
    cost_column : str, optional
        Column of the pool with what each label costs; by default ``cost``, where there are no prices.
    prices : LabelPrices or mapping of str to float, optional
        What a label costs by its lengths: ``per_example``, ``per_1k_prompt_tokens``,
        ``per_1k_response_tokens``.
    per_cost : bool
        Let each task's share of the money, not of the labels, follow its weight.
    task_column, id_column : str, optional
        Columns of the pool to use as task and id.
    backend : {"local", "ray"}
        Where k-center with ``partitions`` and the order within tasks are worked out; the picks are the same.
    ray_address : str, optional
        Of a running cluster, such as ``auto`` or ``HEAD:6379``; without it one is started here.
    n_workers : int, optional
        Calls at a time under Ray.
    out : path, optional
        Folder to write the selection to.

    Returns
    -------
    Selection

    Raises
    ------
    BudgetError
        `budget` or `base` is out of range.
    ConfigError
        A setting is not allowed, or the strategy needs an input that is missing.
    SchemaError
        The pool, scores or embeddings cannot be read or do not fit together.
    UnknownStrategyError
        There is no strategy of that name.

    References
    ----------
    Arabelly, Nemade, Nowak & Zhang (2025), "Improving Task Diversity in Label Efficient Supervised
    Finetuning of LLMs", arXiv 2507.21482.

    Examples
    --------
    >>> import polars as pl
    >>> pool = pl.DataFrame({"task": ["sum", "sum", "sum", "rhyme"], "prompt": ["1+1", "2+2", "3+3", "cat"]})
    >>> select(pool, budget=2, strategy="task-diversity").frame["task"].to_list()
    ['rhyme', 'sum']
    """
    if budget is not None:
        _check_budget(budget)
    find_named(strategy, within, options, metric)  # told before a large pool is read
    _check_inputs_stay((pool, scores, embeddings, labelled), out)
    loaded = load_pool(pool, task_column=task_column, id_column=id_column)
    costs = read_label_costs(
        loaded.frame,
        scores,
        budget=budget,
        budget_tokens=budget_tokens,
        budget_cost=budget_cost,
        cost_column=cost_column,
        prices=prices,
        per_cost=per_cost,
    )
    with open_spread(backend, address=ray_address, n_workers=n_workers) as spread:
        chosen = select_rows(
            loaded.frame,
            budget=budget,
            scores=None
            if scores is None
            else lambda metric: read_scores(scores, loaded.frame["id"], metric=metric),
            strategy=strategy,
            within=within,
            base=base,
            alpha=alpha,
            max_weight_ratio=max_weight_ratio,
            metric=metric,
            task_mean=task_mean,
            rounding=rounding,
            options=options,
            seed=seed,
            embeddings=embeddings,
            labelled=None if labelled is None else read_labelled(labelled, loaded.frame["id"]),
            costs=costs,
            spread=spread,
        )
    notes = (*loaded.notes, *chosen.notes)
    selection = Selection(
        rows=chosen.rows,
        frame=chosen.frame,
        allocation=chosen.allocation,
        manifest=_manifest(loaded, chosen, notes),
        notes=notes,
    )
    if out is not None:
        selection.save(out)
    return selection


@dataclass(frozen=True)
class RowSelection:
    """A selection of the rows of any frame, without files: what `select` and the Polars namespace share.

    Parameters
    ----------
    rows, frame, allocation, notes
        As in `Selection`.
    scores : Scores, optional
        The confidences used.
    embeddings : ndarray of float32, shape (n_rows, n_dimensions), optional
        The vectors used.
    labelled : LabelledRows, optional
        What had labels before.
    settings, figures : dict
        For the manifest.
    """

    rows: NDArray[np.int64]
    frame: pl.DataFrame
    allocation: pl.DataFrame
    notes: tuple[str, ...]
    scores: Scores | None
    embeddings: NDArray[np.float32] | None
    labelled: LabelledRows | None
    settings: dict[str, Any]
    figures: dict[str, Any]


def select_rows(
    frame: pl.DataFrame,
    *,
    budget: int | None,
    scores: Callable[[str], Scores] | None = None,
    strategy: str = DEFAULT_STRATEGY,
    within: str = DEFAULT_PICKER,
    base: int | None = None,
    alpha: float = 1.0,
    max_weight_ratio: float | None = None,
    metric: str | None = None,
    task_mean: str = "arithmetic",
    rounding: str = "webster",
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    embeddings: str | os.PathLike[str] | NDArray[Any] | None = None,
    labelled: LabelledRows | None = None,
    costs: LabelCosts | None = None,
    task_column: str = "task",
    spread: Spread | None = None,
) -> RowSelection:
    """Choose rows of a frame that is already in memory; parameters and errors as in `select`.

    Parameters
    ----------
    budget : int, optional
        None where `costs` have an amount to spend.
    scores : callable, optional
        Reads the confidence of each row of `frame` by the metric whose name it is given; without it the
        frame's own columns are used if the strategy or picker needs them.
    labelled : LabelledRows, optional
        Rows that have labels already.
    costs : LabelCosts, optional
        What labels cost.
    spread : Spread, optional
        Calls functions on other machines.
    """
    chosen, picker, own_options = find_named(strategy, within, options, metric)
    if budget is not None:
        _check_budget(budget)
    _check_seed(seed)
    _check_costs(costs, chosen, rounding)
    metric, read = read_confidences(chosen, picker, metric, frame, scores)
    task_names, task = number_tasks(
        frame, task_column, required="tasks" in chosen.needs, strategy=chosen.name
    )
    log_confidences = {name: each.log_confidence for name, each in read.items()}
    problem = RankingProblem(
        task=task,
        n_tasks=len(task_names),
        budget=frame.height,
        seed=seed,
        options=WeightOptions(
            base=_base_of(chosen, base),
            alpha=alpha,
            max_ratio=max_weight_ratio,
            task_mean=task_mean,
            rounding=rounding,
        ),
        log_confidence=log_confidences.get(metric),
        embeddings=needed_embeddings(chosen, picker, frame, embeddings),
        confidences=log_confidences,
        own_options=fill_options(chosen.options, own_options),
        spread=spread,
        labelled_rows=_NO_ROWS if labelled is None else labelled.rows,
        set_aside_rows=_NO_ROWS if labelled is None else labelled.set_aside_rows,
        task_costs=costs.task_costs(task, len(task_names)) if costs is not None and costs.per_cost else None,
    )
    rest = problem.rest_rows
    if not len(rest):
        raise BudgetError("Every prompt of the pool has a label already: nothing is left to select.")
    wanted = costs.most_prompts(rest) if budget is None and costs is not None else int(budget or 0)
    problem = replace(problem, budget=min(wanted, len(rest)))
    ranking = order_within_tasks(problem, rank_rest(chosen, problem), picker, own_options=own_options)
    if budget is None and costs is not None:
        ranking = ranking.first(costs.cut(ranking))
        wanted = len(ranking.rows)
    allocation = allocation_table(problem, ranking, task_names, weighted=chosen.base is not None)
    figures = _figures(problem, ranking, allocation)
    if costs is not None:
        figures |= costs.figures(ranking.rows)
    concerns = find_concerns(
        chosen,
        picker,
        problem,
        ranking,
        allocation,
        figures,
        budget=wanted,
        scores_given=scores is not None,
        embeddings_given=embeddings is not None,
    )
    notes = [note for each in read.values() for note in each.notes]
    notes += [] if labelled is None else labelled.notes
    notes += [costs.note] if costs is not None and costs.note else []
    return RowSelection(
        rows=ranking.rows,
        frame=_selected_frame(frame, ranking.rows),
        allocation=allocation,
        notes=tuple(dict.fromkeys([*notes, *concerns])),
        scores=read.get(metric),
        embeddings=problem.embeddings,
        labelled=labelled,
        settings=_settings(chosen, picker, problem, read, own_options, budget=wanted) | _cost_settings(costs),
        figures=figures,
    )


def _check_budget(budget: Any) -> None:
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)):
        raise BudgetError(f"budget is {budget!r}; allowed: a whole number of prompts, at least 1.")
    if budget < 1:
        raise BudgetError(f"budget is {budget}; allowed: at least 1 prompt.")


def _check_costs(costs: LabelCosts | None, strategy: Strategy, rounding: str) -> None:
    if costs is None:
        return
    if costs.per_cost and strategy.base is None:
        raise ConfigError(
            f"--per-cost (per_cost=) shares the money out over tasks, and {strategy.name} does not allocate "
            "over tasks."
        )
    if costs.amount is not None and strategy.base is not None and rounding != "webster":
        raise ConfigError(
            f"A budget in {'tokens' if costs.unit == 'tokens' else 'money'} buys a ranking from its first "
            f"prompt on, and with rounding {rounding!r} there is no ranking; allowed: webster."
        )


def _cost_settings(costs: LabelCosts | None) -> dict[str, Any]:
    if costs is None:
        return {}
    amount = {} if costs.amount is None else {f"budget_{costs.unit}": costs.amount}
    return {**amount, **costs.settings, "per_cost": costs.per_cost}


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ConfigError(f"seed is {seed!r}; allowed: a whole number from 0 to 2**63 - 1.")


def _check_inputs_stay(inputs: tuple[Any, ...], out: str | os.PathLike[str] | None) -> None:
    """Refuse an output folder in which a file that is read would be replaced."""
    if out is not None:
        refuse_overwriting((Path(out) / name for name in (*SELECTION_FILES, MANIFEST_NAME)), inputs)


def _base_of(strategy: Strategy, base: int | None) -> int:
    if base is None:
        return strategy.base or 0
    if isinstance(base, bool) or not isinstance(base, (int, np.integer)) or base < 0:
        raise BudgetError(f"base is {base!r}; allowed: a whole number of prompts a task, at least 0.")
    return int(base)


def _selected_frame(frame: pl.DataFrame, rows: NDArray[np.int64]) -> pl.DataFrame:
    if "rank" in frame.columns:
        frame = frame.rename({"rank": "pool_rank"})
    rank = pl.Series("rank", np.arange(1, len(rows) + 1))
    return frame[rows].with_columns(rank)


def _figures(problem: RankingProblem, ranking: Ranking, allocation: pl.DataFrame) -> dict[str, Any]:
    """Return the figures of the manifest, the terminal and the findings, rounded to nothing."""
    picked = allocation["picked"].to_numpy()
    n_labelled, n_set_aside = len(problem.labelled_rows), len(problem.set_aside_rows)
    figures: dict[str, Any] = {
        "selected": len(ranking.rows),
        "pool_rows": len(problem.task),
        **({"labelled": n_labelled} if n_labelled else {}),
        **({"set_aside": n_set_aside} if n_set_aside else {}),
        "tasks": problem.n_tasks,
        "tasks_picked": int(np.count_nonzero(picked)),
        "tasks_capped": int(allocation["capped"].sum()),
        "effective_tasks_picked": effective_number(picked),
    }
    if ranking.log_weights is not None:
        weights = np.exp(ranking.log_weights)
        figures["effective_tasks_weight"] = effective_number(weights)
        figures["largest_weight_share"] = float(weights.max())
    if ranking.radii is not None and len(ranking.radii):
        figures["covering_radius"] = float(ranking.radii[-1])
    if ranking.gains is not None:
        figures["objective"] = float(ranking.gains.sum())
    return figures


def _settings(
    strategy: Strategy,
    picker: Picker,
    problem: RankingProblem,
    scores: Mapping[str, Scores],
    own_options: Mapping[str, Any],
    *,
    budget: int,
) -> dict[str, Any]:
    settings: dict[str, Any] = {"strategy": strategy.name, "budget": budget, "seed": int(problem.seed)}
    if strategy.base is not None:
        settings |= {"within": picker.name, **asdict(problem.options)}
    if strategy.options or picker.options:
        settings["options"] = {
            **fill_options(picker.options, own_options),
            **fill_options(strategy.options, own_options),
        }
    if scores:
        settings["metric"] = next(iter(scores.values())).metric
    if "confidence" in picker.needs:
        settings["within_metric"] = list(scores.values())[-1].metric
    return settings


def _manifest(pool: Pool, chosen: RowSelection, notes: tuple[str, ...]) -> dict[str, Any]:
    scores, vectors = chosen.scores, chosen.embeddings
    read = {"name": pool.name, "sha256": pool.sha256, "shape": pool.shape, "rows": pool.frame.height}
    return {
        "format_version": FORMAT_VERSION,
        "stage": SELECT_STAGE,
        "pool": {**read, **pool.named_columns},
        "scores": None
        if scores is None
        else {"name": scores.name, "sha256": scores.sha256, "counts": scores.counts},
        "embeddings": None
        if vectors is None
        else {"dimensions": vectors.shape[1], "sha256": embeddings_sha256(vectors)},
        **({} if chosen.labelled is None else {"labelled": chosen.labelled.account(pool.frame["id"])}),
        "settings": chosen.settings,
        "figures": chosen.figures,
        "notes": list(notes),
        "versions": {"tasksel": __version__, "numpy": np.__version__, "polars": pl.__version__},
    }


def _write_jsonl(frame: pl.DataFrame, path: Path) -> None:
    """Write one JSON object a line; bytes, which JSON cannot hold, become base64 text."""
    if not any(_holds_bytes(dtype) for dtype in frame.dtypes):
        frame.write_ndjson(path)
        return
    # The ndjson writer of polars 2.1 panics on bytes, also inside lists and structs.
    with path.open("w", encoding="utf-8") as file:
        for row in frame.iter_rows(named=True):
            file.write(json.dumps(row, ensure_ascii=False, default=_json_value) + "\n")


def _holds_bytes(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(_holds_bytes(member.dtype) for member in dtype.fields)  # type: ignore[arg-type]
    if isinstance(dtype, (pl.List, pl.Array)):
        return _holds_bytes(dtype.inner)  # type: ignore[arg-type]
    return isinstance(dtype, (pl.Binary, pl.Object))


def _json_value(value: Any) -> str:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)


def _csv_text(table: pl.DataFrame) -> str:
    """Write as RFC 4180 says: polars leaves a lone carriage return bare, Python 3.10's csv refuses NUL."""
    lines = [table.columns, *table.iter_rows()]
    return "".join(",".join(map(_csv_cell, line)) + "\n" for line in lines)


def _csv_cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
