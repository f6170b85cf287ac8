"""The page about a run folder: its selections beside each other, what they bought, and each of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.evaluation_results import REPORT_SHAPE
from tasksel.html_page import Column, Page, heat_table, paragraph, table
from tasksel.html_page_search import search_script
from tasksel.json_shapes import NUMBER_OR_NULL, TEXT_OR_NULL, check_shape
from tasksel.report.selected_examples import examples_block
from tasksel.report.selection_reading import read_material
from tasksel.report.selection_report import MARGIN_BYTES, MAX_BYTES, selection_page
from tasksel.report.selection_sections import selection_sections, sources_blocks, with_headings
from tasksel.run_folder import MANIFEST_NAME, read_json, read_versioned
from tasksel.selection import SELECT_STAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasksel.report.pictures import Pictures
    from tasksel.report.selection_reading import SelectionMaterial

__all__ = ["find_selections", "run_page"]

_EVALUATION_NAME: Final = "report.json"
_BASE_NAMES: Final = ("base", "evaluation_base")
ROUNDS_FOLDER: Final = "rounds"
ROUNDS_NAME: Final = "rounds.json"
"""What `tasksel rounds` writes about its rounds."""
_DEPTHS: Final = ("*", "*/*", f"{ROUNDS_FOLDER}/*/*")
"""Where selections and evaluations stand in a run folder."""


def find_selections(run: Path) -> dict[str, Path]:
    """Return the folders of selections in a run folder, by name, in the order of the names."""
    places = [path for depth in _DEPTHS for path in sorted(run.glob(f"{depth}/{MANIFEST_NAME}"))]
    folders = [path.parent for path in places if read_json(path).get("stage") == SELECT_STAGE]
    names = [_name_of(folder.relative_to(run).parts) for folder in folders]
    return {
        name if names.count(name) == 1 else folder.relative_to(run).as_posix(): folder
        for name, folder in zip(names, folders, strict=True)
    }


def _name_of(parts: Sequence[str]) -> str:
    """Name a selection by its folder; of rounds, whose folders have one name, by the round."""
    return f"round {parts[1]}" if parts[0] == ROUNDS_FOLDER else parts[-1]


def run_page(run: Path, pictures: Pictures, given: Mapping[str, Any], *, seed: int = 0) -> Page:
    """Put the page of a run folder together.

    Parameters
    ----------
    run : Path
        The folder.
    pictures : Pictures
        Draws them.
    given : dict
        ``pool``, ``scores`` and ``embeddings`` as the caller named them.
    seed : int
        Of all that is drawn at random.
    """
    materials = {
        name: read_material(folder, **given, seed=seed) for name, folder in find_selections(run).items()
    }
    evaluations = _evaluation_rows(run)
    bought = _evaluation_table(evaluations)
    if len(materials) == 1:
        page = selection_page(next(iter(materials.values())), pictures, taken=len(bought.encode()))
        page.add("What each round bought", *_rounds_blocks(run))
        page.add("What the labels bought", bought)
        return page
    page = Page(f"Run: {run.resolve().name}", _lead(materials))
    beside = [_figures_table(materials), _overlap_table(materials), pictures.missing_note()]
    page.add("What each round bought", *_rounds_blocks(run))
    page.add("Selections beside each other", *beside)
    page.add("What the labels bought", bought)
    parts = {
        name: with_headings(selection_sections(material, pictures, prefix=f"{name}-"))
        for name, material in materials.items()
    }
    sources = {name: "".join(sources_blocks(material)) for name, material in materials.items()}
    taken = len(page.to_html().encode()) + len(search_script().encode())
    taken += sum(len("".join([*blocks, sources[name]]).encode()) for name, blocks in parts.items())
    room = max(0, MAX_BYTES - MARGIN_BYTES - taken) // len(materials)
    for name, material in materials.items():
        examples = [("Selected prompts", [examples_block(material, max_bytes=room)])]
        last = with_headings(iter([*examples, ("Made from", [sources[name]])]))
        page.add(f"Selection {name}", *parts[name], *last)
    page.allow(search_script())
    return page


def _lead(materials: Mapping[str, SelectionMaterial]) -> str:
    raised = sum(bool(material.explanation.raised) for material in materials.values())
    which = f"{raised} of them show{'s' if raised == 1 else ''} a signature of failure"
    return f"{len(materials)} selections: {', '.join(materials)}; {which if raised else _NONE_RAISED}."


_NONE_RAISED: Final = "none shows a signature of failure"


def _figures_table(materials: Mapping[str, SelectionMaterial]) -> str:
    rows = [
        {
            "name": name,
            **material.explanation.figures,
            "strategy": material.saved.settings["strategy"],
            "raised": ", ".join(each.name for each in material.explanation.raised) or "none",
        }
        for name, material in materials.items()
    ]
    columns = [
        Column("name", "Selection", kind="name"),
        Column("strategy", "Strategy", kind="name"),
        Column("selected", "Labels", "{:,}".format, is_number=True),
        Column("tasks_picked", "Tasks", "{:,}".format, is_number=True),
        Column("tasks_capped", "Used up", "{:,}".format, is_number=True),
        Column("effective_tasks_picked", "Effective tasks", "{:.1f}".format, is_number=True),
        Column("covering_radius", "Covering radius", "{:.3g}".format, is_number=True),
        Column("raised", "Signatures raised", kind="name"),
    ]
    known = [each for each in columns if any(row.get(each.name) is not None for row in rows)]
    return table(rows, known)


def _overlap_table(materials: Mapping[str, SelectionMaterial]) -> str:
    ids = {name: set(material.saved.frame["id"]) for name, material in materials.items()}
    shared = [[len(one & other) for other in ids.values()] for one in ids.values()]
    names = list(materials)
    return heat_table(
        [[count / max(1, len(ids[name])) for count in row] for name, row in zip(names, shared, strict=True)],
        [[f"{count:,}" for count in row] for row in shared],
        rows=names,
        columns=names,
        caption="Prompts that two selections have in common; the fuller the colour, the more of the row's.",
        marks_short=False,
    )


def _evaluation_rows(run: Path) -> list[dict[str, Any]]:
    """Read the figures of every evaluation in the folder: that of the base model first."""
    rows = []
    for path in [path for depth in _DEPTHS for path in sorted(run.glob(f"{depth}/{_EVALUATION_NAME}"))]:
        if not (path.parent / MANIFEST_NAME).is_file():
            continue
        name = _evaluated(path.parent.relative_to(run).parts)
        content = read_json(path)
        if not content.get("suites"):  # the file is of another program
            continue
        read_versioned(path.parent / MANIFEST_NAME)
        check_shape(content, REPORT_SHAPE, path)
        for suite in content["suites"]:
            rows += [{"name": name, "metric": metric, **each} for metric, each in suite["figures"].items()]
    return sorted(rows, key=lambda row: (row["metric"], row["name"] != "base model"))


_ROUND: Final = {
    "round": int,
    "new_labels": int,
    "labels": int,
    "set_aside": int,
    "tokens": NUMBER_OR_NULL,
    "cost": NUMBER_OR_NULL,
    "metric": TEXT_OR_NULL,
    "figure": NUMBER_OR_NULL,
    "figure_low": NUMBER_OR_NULL,
    "figure_high": NUMBER_OR_NULL,
    "gain": NUMBER_OR_NULL,
    "gain_per_100_labels": NUMBER_OR_NULL,
    "gain_per_cost": NUMBER_OR_NULL,
    "radius": NUMBER_OR_NULL,
}


def _evaluated(parts: Sequence[str]) -> str:
    if parts[-1] in _BASE_NAMES:
        return "base model"
    if parts[0] == ROUNDS_FOLDER:
        return _name_of(parts)
    return next((part for part in parts if part not in ("evaluation", "evaluations")), "trained")


def _evaluation_table(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    kinds = ("macro", "micro")
    shown = [{**row, **{kind: _with_interval(row[kind]) for kind in kinds if kind in row}} for row in rows]
    columns = [
        Column("metric", "Metric", kind="name"),
        Column("name", "Trained on", kind="name"),
        Column("macro", "Macro", is_number=True),
        Column("micro", "Micro", is_number=True),
    ]
    caption = (
        "Of the evaluations in this folder, with 95 % intervals over the questions. Macro counts every task "
        "the same; micro every question. One pool says little: `tasksel study` repeats this over pools."
    )
    return table(shown, columns, caption=caption)


def _with_interval(figure: dict[str, Any]) -> str:
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['mean']:.3f}"
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _rounds_blocks(run: Path) -> list[str]:
    """Return what rounds came to: a row each, and why they ended."""
    if not (run / ROUNDS_NAME).is_file():
        return []
    found = read_versioned(run / ROUNDS_NAME, {"rounds": [_ROUND], "stopped": TEXT_OR_NULL})
    rows = [
        {**row, "shown": _with_interval(_figure_of(row))} if row["figure"] is not None else row
        for row in found["rounds"]
    ]
    columns = [
        Column("round", "Round", "{:,}".format, is_number=True),
        Column("new_labels", "New", "{:,}".format, is_number=True),
        Column("labels", "Labels", "{:,}".format, is_number=True),
        Column("set_aside", "Set aside", "{:,}".format, is_number=True),
        Column("tokens", "Tokens", "{:,.0f}".format, is_number=True),
        Column("cost", "Money", "{:,.2f}".format, is_number=True),
        Column("shown", "Figure", is_number=True),
        Column("gain", "Gain", "{:+.3f}".format, is_number=True),
        Column("gain_per_100_labels", "per 100 labels", "{:+.3f}".format, is_number=True),
        Column("gain_per_cost", "per unit of money", "{:+.4f}".format, is_number=True),
        Column("radius", "Covering radius", "{:.3g}".format, is_number=True),
    ]
    if not any(row["set_aside"] for row in rows):
        columns = [each for each in columns if each.name != "set_aside"]
    known = [each for each in columns if any(row.get(each.name) is not None for row in rows)]
    metrics = {row["metric"] for row in rows} - {None}
    caption = f"The figure is {', '.join(sorted(metrics))}, with its 95 % interval." if metrics else ""
    ended = found["stopped"] and f"It stopped: {found['stopped']}."
    return [table(rows, known, caption=caption), paragraph(ended or "It has not ended.")]


def _figure_of(row: dict[str, Any]) -> dict[str, Any]:
    return {"mean": row["figure"], "low": row["figure_low"], "high": row["figure_high"]}
