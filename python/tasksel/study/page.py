"""A study's page in Markdown: what was asked, what was found, and everything that was compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from tasksel.evaluation_figures import LOWER_IS_BETTER
from tasksel.study.cells import ALL_LABELS, NO_LABELS
from tasksel.study.verdicts import VERDICTS, difference_phrase, format_budget, state_verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasksel.study.results import StudyResult

__all__ = ["budget_of_arm", "format_budget", "order_of_arm", "render_page", "state_findings"]


def render_page(result: StudyResult, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the report of a study; equal figures give equal bytes.

    Parameters
    ----------
    result : StudyResult
        Everything that was found.
    pictures : sequence of (str, str)
        File name and description of each picture beside the page.
    """
    study = result.study
    lines = [f"# {study.title or study.name}", ""]
    lines += [study.question, ""] if study.question else []
    lines += ["## In short", "", *(f"- {sentence}" for sentence in state_findings(result)), "", VERDICTS, ""]
    for name, description in pictures:
        lines += [f"![{description}]({name})", ""]
    lines += list(_render_arms(result))
    lines += list(_render_differences(result))
    lines += list(_render_efficiency(result))
    lines += list(_render_tuning(result))
    lines += list(_render_setup(result))
    return "\n".join(lines)


def state_findings(result: StudyResult) -> list[str]:
    """Return one sentence for each arm and baseline: what the pairs of the primary metric say."""
    return state_verdicts(result.differences, result.study.primary, result.study.baselines)


def _render_arms(result: StudyResult) -> Iterator[str]:
    yield "## Figures"
    yield ""
    yield (
        "Mean over the seeds with a 95 % bootstrap interval. *Macro* counts every task the same; *micro* "
        "weighs the tasks by their share of the pool."
    )
    for metric in result.study.metrics:
        direction = "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
        for (world,), group in result.arms.filter(pl.col("metric") == metric).group_by(
            "world", maintain_order=True
        ):
            yield ""
            yield f"### {world}: {metric} ({direction})"
            yield ""
            rows = sorted(group.iter_rows(named=True), key=order_of_arm)
            yield from _table(
                ("budget", "arm", "labels", "seeds", "macro", "micro"),
                (
                    (
                        budget_of_arm(row),
                        row["arm"],
                        f"{row['labels']:,.0f}",
                        str(row["seeds"]),
                        _with_interval(row, "macro"),
                        _with_interval(row, "micro"),
                    )
                    for row in rows
                ),
            )
    yield ""


def order_of_arm(row: dict[str, Any]) -> float:
    """Return a key that puts the base model first, all labels last, and the rest in order of labels."""
    return {NO_LABELS: 0.0, ALL_LABELS: float("inf")}.get(row["arm"], float(row["labels"]))


def budget_of_arm(row: dict[str, Any]) -> str:
    """Write the budget of a row of `StudyResult.arms`."""
    return {NO_LABELS: "none", ALL_LABELS: "all"}.get(row["arm"], format_budget(row["budget"]))


def _with_interval(row: dict[str, Any], kind: str) -> str:
    low, high = row[f"{kind}_low"], row[f"{kind}_high"]
    return f"{row[kind]:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _render_differences(result: StudyResult) -> Iterator[str]:
    yield "## Differences, pair by pair"
    yield ""
    yield (
        "Two arms of a pair have pool, holdout and training seed in common. Above zero the arm is better. "
        "The interval is a 95 % bootstrap over pairs, p that of the exact two-sided sign test."
    )
    for (metric, kind), group in result.differences.group_by("metric", "kind", maintain_order=True):
        yield ""
        yield f"### {kind} {metric}"
        yield ""
        yield from _table(
            ("world", "budget", "arm", "against", "difference", "better / worse / tied", "p"),
            (
                (
                    row["world"],
                    format_budget(row["budget"]),
                    row["arm"],
                    row["baseline"],
                    difference_phrase(row),
                    f"{row['better']} / {row['worse']} / {row['tied']}",
                    f"{row['p_value']:.3g}",
                )
                for row in group.iter_rows(named=True)
            ),
        )
    yield ""


def _render_efficiency(result: StudyResult) -> Iterator[str]:
    primary = result.efficiency.filter(pl.col("metric") == result.study.primary)
    if primary.is_empty():
        return
    yield "## Labels for the same figure"
    yield ""
    yield (
        f"How many labels the baseline needs for the arm's macro {result.study.primary}, read off its own "
        "curve; the ratio is above 1 where the arm saves labels. Beyond the baseline's smallest and largest "
        "budget nothing is known: an end of an interval that is one of them is a bound."
    )
    yield ""
    yield from _table(
        ("world", "baseline", "arm", "budget", "labels", "baseline needs", "ratio"),
        (
            (
                row["world"],
                row["baseline"],
                row["arm"],
                format_budget(row["budget"]),
                _count(row["labels"]),
                _needed(row),
                _ratio(row),
            )
            for row in primary.iter_rows(named=True)
        ),
    )
    yield ""


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _needed(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return ""
    found = "" if row["needed"] is None else f"{_count(row['needed'])} "
    return f"{found}[{_count(row['low'])}, {_count(row['high'])}]"


def _ratio(row: dict[str, Any]) -> str:
    found = "beyond its budgets" if row["ratio"] is None else f"{row['ratio']:.2f}"
    return f"{found} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"


def _render_tuning(result: StudyResult) -> Iterator[str]:
    if result.chosen is None:
        return
    primary = result.study.primary
    means = (
        result.tuning.cells.filter(pl.col("metric") == primary)
        .group_by("arm", maintain_order=True)
        .agg(pl.col("macro").mean(), pl.len())
    )
    yield "## How the candidate was chosen"
    yield ""
    yield (
        f"By mean macro {primary} on the tuning seeds, none of which is in the report: **{result.chosen}**. "
        "The other candidates were not run on the report's seeds."
    )
    yield ""
    yield from _table(
        ("arm", "mean", "cells"),
        ((row["arm"], f"{row['macro']:.4f}", str(row["len"])) for row in means.iter_rows(named=True)),
    )
    yield ""


def _render_setup(result: StudyResult) -> Iterator[str]:
    study = result.study
    yield "## Set-up"
    yield ""
    for world in study.worlds:
        settings = ", ".join(f"{name} {value}" for name, value in study.training_of(world).items())
        seeds = f"report seeds {_listed(world.report)}" if world.report else "no report seeds"
        tuned = f", tuning seeds {_listed(world.tune)}" if world.tune else ""
        yield f"- World *{world.name}* ({world.kind}): {seeds}{tuned}; training: {settings or 'defaults'}."
    shared = result.contamination.group_by("world", "reference", maintain_order=True).agg(
        pl.col("questions", "shared_questions", "unchecked").sum(), pl.len().alias("draws")
    )
    for row in shared.iter_rows(named=True):
        yield (
            f"- Contamination of *{row['world']}*: {row['shared_questions']:,} of {row['questions']:,} "
            f"questions of {row['reference']} share a run of 13 words (of their own length, if shorter) with "
            f"the pool of their draw, over {row['draws']} draws; {row['unchecked']:,} have too few words to "
            "tell."
        )
    yield (
        f"- {result.report.cells['training'].n_unique() if result.report.cells.height else 0} different "
        f"trainings for the report; arms that chose the same labels share one."
    )
    yield ""


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
