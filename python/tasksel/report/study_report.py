"""The page about a study: what was found, curves with bands, pairs, and the tables behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.evaluation_figures import LOWER_IS_BETTER
from tasksel.html_page import Column, Page, bullets, paragraph, table
from tasksel.html_page_blocks import details, heading
from tasksel.study.cells import ALL_LABELS, NO_LABELS
from tasksel.study.page import budget_of_arm, format_budget, order_of_arm, state_findings
from tasksel.study.pictures import list_pictures
from tasksel.study.verdicts import VERDICTS, difference_phrase, judged_pairs
from tasksel.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasksel.report.pictures import Pictures
    from tasksel.study.results import StudyResult

__all__ = ["study_page"]

MAX_ROWS: Final = 2_000
MAX_FINDINGS: Final = 8
"""Sentences that a person reads; more become a table."""


def study_page(result: StudyResult, pictures: Pictures) -> Page:
    """Put the page of a study together.

    Parameters
    ----------
    result : StudyResult
        What was found.
    pictures : Pictures
        Draws them.
    """
    study = result.study
    findings = [_unmarked(sentence) for sentence in state_findings(result)]
    in_short = [bullets(findings)] if len(findings) <= MAX_FINDINGS else _verdict_blocks(result, findings)
    page = Page(study.title or f"Study: {study.name}", study.question or _scope(result))
    drawn = {name: (description, make) for name, description, make in list_pictures(result)}

    def picture(name: str) -> str:
        description, make = drawn[name]
        return pictures.draw(name, _of_one_width(make), label=description, is_fixed=True)

    page.add(
        "In short",
        *in_short,
        paragraph(_unmarked(VERDICTS), soft=True),
        paragraph(_scope(result), soft=True) if study.question else "",
        pictures.missing_note(),
    )
    page.add("Curves", picture("scores"), *_arm_tables(result))
    page.add("Pair by pair", picture("differences"), *_difference_tables(result))
    page.add("Labels for the same figure", picture("efficiency"), _efficiency_table(result))
    page.add("Gain by task", *(picture(name) for name in drawn if name.startswith("gains-")))
    page.add("How the candidate was chosen", *_tuning_blocks(result))
    page.add("Set-up", *_setup_blocks(result))
    return page


def _of_one_width(make: Callable[[], Any]) -> Callable[[int], Any]:
    return lambda _: make()


def _unmarked(sentence: str) -> str:
    return sentence.replace("**", "").replace("*", "")


def _scope(result: StudyResult) -> str:
    cells = result.shown.cells
    worlds, seeds = cells["world"].n_unique(), cells.select("world", "seed").n_unique()
    arms = cells.filter(~pl.col("arm").is_in([NO_LABELS, ALL_LABELS]))["arm"].n_unique()
    return (
        f"{arms:,} arms in {counted(worlds, 'world')} over {seeds:,} draws, judged by "
        f"macro {result.study.primary}; {cells['training'].n_unique():,} trainings."
    )


def _verdict_blocks(result: StudyResult, findings: list[str]) -> list[str]:
    """Return the verdicts as a table of arms by budgets, and the sentences for those who open them."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    budgets: dict[str, None] = {}
    for pair in judged_pairs(result.differences, result.study.primary, result.study.baselines):
        key, budget = (pair["arm"], pair["baseline"]), format_budget(pair["budget"])
        row = rows.setdefault(key, {"arm": pair["arm"], "baseline": pair["baseline"]})
        row[budget] = f"{_SHORT[pair['verdict']]} ({pair['difference']:+.3f})"
        budgets[budget] = None
    columns = [
        Column("arm", "Arm", kind="name"),
        Column("baseline", "Against", kind="name"),
        *(Column(name, name, css=_verdict_class(name), kind="name") for name in budgets),
    ]
    caption = f"Mean difference in macro {result.study.primary} at each budget; above zero the arm is better."
    ordered = sorted(
        rows.values(), key=lambda row: (result.study.baselines.index(row["baseline"]), row["arm"])
    )
    return [table(ordered, columns, caption=caption), details("In sentences", bullets(findings))]


_SHORT: Final = {
    "chose the same labels as": "same labels",
    "is not distinguishable from": "undecided",
    "beats": "beats it",
    "is ahead of": "ahead",
    "loses to": "loses",
    "is behind": "behind",
}


def _verdict_class(budget: str) -> Callable[[dict[str, Any]], str]:
    def css(row: dict[str, Any]) -> str:
        verdict = row.get(budget, "").partition(" (")[0]
        return {"beats it": "passed", "ahead": "passed", "loses": "failed", "behind": "failed"}.get(
            verdict, ""
        )

    return css


def _arm_tables(result: StudyResult) -> list[str]:
    blocks = []
    for metric in result.study.metrics:
        direction = "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
        rows = sorted(
            result.arms.filter(pl.col("metric") == metric).iter_rows(named=True),
            key=lambda row: (row["world"], order_of_arm(row)),
        )
        shown = [
            {
                **row,
                "budget": budget_of_arm(row),
                "macro": _with_interval(row, "macro"),
                "micro": _with_interval(row, "micro"),
            }
            for row in rows
        ]
        columns = [
            Column("world", "World", kind="name"),
            Column("budget", "Budget", kind="name"),
            Column("arm", "Arm", kind="name"),
            Column("labels", "Labels", "{:,.0f}".format, is_number=True),
            Column("seeds", "Seeds", is_number=True),
            Column("macro", "Macro", is_number=True),
            Column("micro", "Micro", is_number=True),
        ]
        caption = (
            "Mean over the seeds with a 95 % bootstrap interval. Macro counts every task the same; micro "
            "weighs the tasks by their share of the pool."
        )
        blocks.append(details(f"{metric} ({direction}) as a table", table(shown, columns, caption=caption)))
    return blocks


def _with_interval(row: dict[str, Any], kind: str) -> str:
    low, high = row[f"{kind}_low"], row[f"{kind}_high"]
    return f"{row[kind]:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _difference_tables(result: StudyResult) -> list[str]:
    blocks = []
    for (metric, kind), group in result.differences.group_by("metric", "kind", maintain_order=True):
        rows = [
            {
                **row,
                "budget": format_budget(row["budget"]),
                "difference": difference_phrase(row),
                "counts": f"{row['better']} / {row['worse']} / {row['tied']}",
            }
            for row in group.head(MAX_ROWS).iter_rows(named=True)
        ]
        columns = [
            Column("world", "World", kind="name"),
            Column("budget", "Budget", kind="name"),
            Column("arm", "Arm", kind="name"),
            Column("baseline", "Against", kind="name"),
            Column("difference", "Difference", is_number=True),
            Column("counts", "Better / worse / tied", is_number=True),
            Column("p_value", "p", "{:.3g}".format, is_number=True),
        ]
        caption = (
            "Two arms of a pair have pool, holdout and training seed in common. Above zero the arm is "
            "better. The interval is a 95 % bootstrap over pairs, p that of the exact two-sided sign test."
        )
        blocks.append(details(f"{kind} {metric} as a table", table(rows, columns, caption=caption)))
    return blocks


def _efficiency_table(result: StudyResult) -> str:
    primary = result.efficiency.filter(pl.col("metric") == result.study.primary)
    if primary.is_empty():
        return ""
    rows = [
        {**row, "budget": format_budget(row["budget"]), "ratio": _ratio(row), "needed": _needed(row)}
        for row in primary.iter_rows(named=True)
    ]
    columns = [
        Column("world", "World", kind="name"),
        Column("baseline", "Baseline", kind="name"),
        Column("arm", "Arm", kind="name"),
        Column("budget", "Budget", kind="name"),
        Column("labels", "Labels", "{:,.0f}".format, is_number=True),
        Column("needed", "Baseline needs", is_number=True),
        Column("ratio", "Ratio", is_number=True),
    ]
    caption = (
        f"How many labels the baseline needs for the arm's macro {result.study.primary}, read off its own "
        "curve; the ratio is above 1 where the arm saves labels. Beyond the baseline's budgets nothing is "
        "known: an end of an interval that is one of them is a bound."
    )
    return details("As a table", table(rows, columns, caption=caption))


def _needed(row: dict[str, Any]) -> str | None:
    if row["low"] is None:
        return None
    found = "" if row["needed"] is None else f"{row['needed']:,.0f} "
    return f"{found}[{row['low']:,.0f}, {row['high']:,.0f}]"


def _ratio(row: dict[str, Any]) -> str:
    found = "beyond its budgets" if row["ratio"] is None else f"{row['ratio']:.2f}"
    return f"{found} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"


def _tuning_blocks(result: StudyResult) -> list[str]:
    if result.chosen is None:
        return []
    primary = result.study.primary
    means = (
        result.tuning.cells.filter(pl.col("metric") == primary)
        .group_by("arm", maintain_order=True)
        .agg(pl.col("macro").mean(), cells=pl.len())
    )
    sentence = (
        f"By mean macro {primary} on the tuning seeds, none of which is in the report: {result.chosen}. The "
        "other candidates were not run on the report's seeds."
    )
    columns = [
        Column("arm", "Arm", kind="name"),
        Column("macro", "Mean", "{:.4f}".format, is_number=True),
        Column("cells", "Cells", is_number=True),
    ]
    return [paragraph(sentence), table(means.iter_rows(named=True), columns)]


def _setup_blocks(result: StudyResult) -> list[str]:
    study = result.study
    worlds = [
        {
            "world": world.name,
            "kind": world.kind,
            "model": world.model,
            "report": ", ".join(map(str, world.report)) or None,
            "tune": ", ".join(map(str, world.tune)) or None,
            "training": ", ".join(f"{name} {value}" for name, value in study.training_of(world).items()),
        }
        for world in study.worlds
    ]
    columns = [
        Column("world", "World", kind="name"),
        Column("kind", "Kind", kind="name"),
        Column("model", "Model", kind="name"),
        Column("report", "Report seeds"),
        Column("tune", "Tuning seeds"),
        Column("training", "Training"),
    ]
    shared = result.contamination.group_by("world", "reference", maintain_order=True).agg(
        pl.col("questions", "shared_questions", "unchecked").sum(), draws=pl.len()
    )
    kinds = [
        Column("world", "World", kind="name"),
        Column("reference", "Questions of", kind="name"),
        Column("draws", "Draws", is_number=True),
        Column("questions", "Questions", "{:,}".format, is_number=True),
        Column("shared_questions", "Shared with the pool", "{:,}".format, is_number=True),
        Column("unchecked", "Too short to tell", "{:,}".format, is_number=True),
    ]
    return [
        table(worlds, columns),
        heading("Contamination"),
        table(
            shared.iter_rows(named=True),
            kinds,
            caption="Questions that share a run of 13 words with the pool of their draw.",
        ),
    ]
