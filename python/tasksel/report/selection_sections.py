"""The parts of a page about a selection: what to know, tasks, confidences, concentration, cover, sources."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.allocation_plots import plot_confidence, plot_quotas, plot_weights
from tasksel.html_page import Column, bullets, paragraph, table
from tasksel.html_page_blocks import Sign, details, heading, preformatted, signs, tiles
from tasksel.selection_plots import covering_sentence, plot_covering, plot_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasksel.explanation_signature import Signature
    from tasksel.report.pictures import Pictures
    from tasksel.report.selection_reading import SelectionMaterial

__all__ = ["selection_sections", "sources_blocks", "with_headings"]

MAX_TASK_ROWS: Final = 1_000
MAX_CURVE_ROWS: Final = 12


def selection_sections(
    material: SelectionMaterial, pictures: Pictures, *, prefix: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """Yield title and blocks of each part, in the order of the page.

    Parameters
    ----------
    material : SelectionMaterial
        What the page is about.
    pictures : Pictures
        Draws them.
    prefix : str
        Before the name of each picture's file.
    """
    tasks = material.explanation.tasks
    yield "What to know", [_tiles(material), *_signs(material), _notes(material)]
    yield (
        "Labels by task",
        [
            pictures.draw(f"{prefix}labels", lambda width: plot_quotas(tasks, width=width)),
            details(f"All {tasks.height:,} tasks as a table", _task_table(tasks)),
        ],
    )
    if tasks["log_confidence"].null_count() < tasks.height:
        yield "Confidence", _confidence_blocks(material, pictures, prefix)
    yield (
        "Concentration",
        [
            pictures.draw(f"{prefix}concentration", lambda width: plot_weights(tasks, width=width)),
            details("As a table", _concentration_table(tasks)),
        ],
    )
    yield "What more labels cover", _covering_blocks(material, pictures, prefix)
    yield "Map", _map_blocks(material, pictures, prefix)


def _tiles(material: SelectionMaterial) -> str:
    found = material.explanation.figures
    figures = [
        ("labels", f"{found['selected']:,}"),
        *((title, form.format(found[name])) for name, title, form in _COST_TILES if name in found),
        ("prompts in the pool", f"{found['pool_rows']:,}"),
        ("tasks with labels", f"{found['tasks_picked']:,} of {found['tasks']:,}"),
        ("tasks used up", f"{found['tasks_capped']:,}"),
        ("effective number of tasks, by labels", f"{found['effective_tasks_picked']:.1f}"),
    ]
    if "largest_weight_share" in found:
        figures.append(("weight of the heaviest task", f"{found['largest_weight_share']:.1%}"))
    if "covering_radius" in found:
        figures.append(("covering radius", f"{found['covering_radius']:.3g}"))
    return tiles(figures)


_COST_TILES: Final = (
    ("label_tokens", "tokens of these labels", "{:,.0f}"),
    ("label_cost", "cost of these labels", "{:,.2f}"),
    ("labelled", "labels before", "{:,}"),
    ("set_aside", "prompts set aside", "{:,}"),
)
"""Of a selection that knows what labels cost, or that others went before."""


def _signs(material: SelectionMaterial) -> list[str]:
    found = material.explanation.signatures
    raised = [each for each in found if each.is_raised]
    others = [each for each in found if not each.is_raised]
    measured = sum(each.value is not None for each in others)
    summary = f"{measured:,} signatures of failure that it does not show"
    if measured < len(others):
        summary += f", and {len(others) - measured:,} that could not be measured"
    return [signs(map(_sign, raised)), details(summary, signs(map(_sign, others)))]


def _sign(signature: Signature) -> Sign:
    if signature.value is None:
        return Sign(signature.sentence, f"{signature.name}: not measured", None)
    state = "raised" if signature.is_raised else "not raised"
    numbers = f"{signature.value:.3g}, raised from {signature.threshold:.3g} on"
    if signature.name in _RAISED_BELOW:
        numbers = f"{signature.value:.3g}, raised below {signature.threshold:.3g}"
    return Sign(
        signature.sentence,
        f"{signature.name}: {state} ({numbers})",
        signature.is_raised,
        signature.advice if signature.is_raised else "",
    )


_RAISED_BELOW: Final = frozenset({"few-effective-tasks", "like-random"})


def _notes(material: SelectionMaterial) -> str:
    return bullets(dict.fromkeys([*material.saved.notes, *material.explanation.notes]))


def _small(value: float) -> str:
    return f"{value:.3g}" if value >= 1e-3 or value == 0 else f"{value:.1e}"


_OPTIONAL_COLUMNS: Final = (
    Column("confidence", "Confidence", _small, is_number=True),
    Column("weight", "Weight", "{:.2%}".format, is_number=True),
    Column("answer_tokens", "Answer tokens", "{:,.1f}".format, is_number=True),
    Column("near_duplicates", "Near-duplicates", "{:.0%}".format, is_number=True),
    Column("redundancy", "Redundancy", "{:.2f}".format, is_number=True),
    Column("covering_radius", "Radius", "{:.3g}".format, is_number=True),
)


def _task_table(tasks: pl.DataFrame) -> str:
    ordered = tasks.sort("picked", "weight", "task", descending=[True, True, False], nulls_last=True)
    known = [each for each in _OPTIONAL_COLUMNS if tasks[each.name].null_count() < tasks.height]
    columns = [
        Column("task", "Task", kind="name"),
        Column("available", "Prompts", "{:,}".format, is_number=True),
        Column(
            "picked", "Labels", "{:,}".format, is_number=True, css=lambda row: "short" * bool(row["capped"])
        ),
        *known,
    ]
    caption = "Bold: all prompts of the task get a label." if tasks["capped"].any() else ""
    if tasks.height > MAX_TASK_ROWS:
        caption += f" The {MAX_TASK_ROWS:,} tasks with the most labels; allocation.csv has all."
    return table(ordered.head(MAX_TASK_ROWS).iter_rows(named=True), columns, caption=caption.strip())


def _confidence_blocks(material: SelectionMaterial, pictures: Pictures, prefix: str) -> list[str]:
    tasks = material.explanation.tasks
    quartiles = {name: f"log_confidence_{name}" for name in ("q25", "median", "q75")}
    spread = tasks.select(
        "task",
        **{
            new: pl.col(quartiles[old])
            for old, new in (("q25", "low"), ("median", "median"), ("q75", "high"))
        },
    )
    has_spread = spread["median"].null_count() < spread.height
    columns = [
        Column("task", "Task", kind="name"),
        Column("confidence", "Confidence", _small, is_number=True),
        Column("confidence_q25", "A quarter below", _small, is_number=True),
        Column("confidence_median", "Half below", _small, is_number=True),
        Column("confidence_q75", "Three quarters below", _small, is_number=True),
        Column("scored", "Scored", "{:,}".format, is_number=True),
    ]
    known = [each for each in columns if tasks[each.name].null_count() < tasks.height]
    rows = tasks.sort("log_confidence", "task", nulls_last=True).head(MAX_TASK_ROWS).iter_rows(named=True)
    return [
        pictures.draw(
            f"{prefix}confidence",
            lambda width: plot_confidence(tasks, spread=spread if has_spread else None, width=width),
        ),
        details("As a table", table(rows, known)),
    ]


def _concentration_table(tasks: pl.DataFrame) -> str:
    shares = {name: _cumulated(tasks[name]) for name in ("weight", "picked", "available")}
    rows = [
        {"count": count} | {name: found[count - 1] for name, found in shares.items() if found}
        for count in _doublings(tasks.height)
    ]
    columns = [
        Column("count", "Largest tasks", "{:,}".format, is_number=True),
        *(
            Column(name, title, "{:.1%}".format, is_number=True)
            for name, title in (
                ("weight", "Of the weight"),
                ("picked", "Of the labels"),
                ("available", "Of the pool"),
            )
            if shares[name]
        ),
    ]
    return table(rows, columns)


def _cumulated(values: pl.Series) -> list[float]:
    if values.null_count() or not values.sum():
        return []
    return (values.cast(pl.Float64).sort(descending=True).cum_sum() / values.sum()).to_list()


def _doublings(highest: int) -> list[int]:
    return sorted({*(2**power for power in range(highest.bit_length()) if 2**power <= highest), highest})


def _covering_blocks(material: SelectionMaterial, pictures: Pictures, prefix: str) -> list[str]:
    curve = material.explanation.covering
    if curve is None or curve.is_empty():
        return []
    selected = material.saved.figures["selected"]
    sentence = covering_sentence(curve, selected)
    picture = pictures.draw(f"{prefix}covering", lambda width: plot_covering(curve, selected, width=width))
    step = max(1, curve.height // MAX_CURVE_ROWS)
    wanted = {*range(step, curve.height + 1, step), selected, curve.height}
    rows = curve.filter(pl.col("labels").is_in(sorted(wanted))).iter_rows(named=True)
    columns = [
        Column("labels", "Labels", "{:,}".format, is_number=True),
        Column("radius", "Covering radius", "{:.4g}".format, is_number=True),
    ]
    return [picture or paragraph(f"{sentence}."), details("As a table", table(rows, columns))]


def _map_blocks(material: SelectionMaterial, pictures: Pictures, prefix: str) -> list[str]:
    rows = material.rows
    if rows.embeddings is None or rows.pool is None or len(rows.embeddings) < 3:
        return []
    vectors, picked, seed = rows.embeddings, rows.picked_rows, material.seed
    return [pictures.draw(f"{prefix}map", lambda width: plot_map(vectors, picked, seed=seed, width=width))]


def sources_blocks(material: SelectionMaterial) -> list[str]:
    """Return what the selection was made from: a table, and the manifest as it is."""
    manifest = material.saved.manifest
    rows = [{"what": f"Setting: {name}", "is": _plain(value)} for name, value in manifest["settings"].items()]
    for name in ("pool", "scores", "embeddings", "labelled"):
        if manifest.get(name):
            rows += [
                {"what": f"{name.capitalize()}: {key}", "is": _plain(value)}
                for key, value in manifest[name].items()
            ]
    rows += [{"what": f"Version: {name}", "is": value} for name, value in manifest["versions"].items()]
    rows += [{"what": f"SHA-256: {name}", "is": value} for name, value in manifest["files"].items()]
    text = json.dumps(manifest, ensure_ascii=False, indent=2)
    return [
        table(rows, [Column("what", "", kind="name"), Column("is", "")]),
        details("manifest.json", preformatted(text)),
    ]


def _plain(value: Any) -> str:
    return (
        ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else str(value)
    )


def with_headings(sections: Iterator[tuple[str, list[str]]]) -> list[str]:
    """Return the blocks of all parts, each under a heading of its own."""
    blocks: list[str] = []
    for title, part in sections:
        content = "".join(part)
        if content:
            blocks += [heading(title), content]
    return blocks
