"""The report of a synthetic run: the plan against what was written, gates, coverage, cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.html_page import Column, Page, bullets, heat_table, paragraph, table
from tasksel.json_shapes import AN_OBJECT, NUMBER, NUMBER_OR_NULL, TEXT_OR_NULL
from tasksel.run_folder import MANIFEST_NAME, read_json, read_versioned
from tasksel.run_folder_frames import check_columns, read_frame
from tasksel.synthesis.config_file import CONFIG_NAME, EXAMPLES_NAME, PLAN_FOLDER, read_planned_config
from tasksel.synthesis.records import GENERATION_FOLDER, RECORDS_NAME, read_all_records
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["SynthesisFiles", "read_synthesis_files", "synthesis_page"]

MAX_EXAMPLES: Final = 100
"""Records that are shown; the plan's order mixes the strata."""
MAX_HEAT_COLUMNS: Final = 30
_EXAMPLE_CHARS: Final = 600
_UNKNOWN_COST: Final = "unknown, since the configuration has no price"


@dataclass(frozen=True)
class SynthesisFiles:
    """What stands in a run folder; None and empty frames for what is not there yet.

    Attributes
    ----------
    name : str
        Of the run.
    config : dict
        The checked configuration.
    cells, margins, examples : DataFrame
        The plan.
    plan, generation, validation : dict
        Manifests and results; empty where the step was not taken.
    records : DataFrame
        What was written, edge cases that were made by mutation included.
    dimensions : DataFrame
        Requested and realised counts, from validation.
    """

    name: str
    config: dict[str, Any]
    cells: pl.DataFrame
    margins: pl.DataFrame
    examples: pl.DataFrame
    plan: dict[str, Any]
    generation: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    records: pl.DataFrame = field(default_factory=pl.DataFrame)
    dimensions: pl.DataFrame = field(default_factory=pl.DataFrame)


def read_synthesis_files(run: Path) -> SynthesisFiles:
    """Read what `tasksel synth` has put into a run folder so far.

    Raises
    ------
    ResumeError
        There is no finished plan in it, or a file cannot be read.
    """
    plan = run / PLAN_FOLDER
    if not (plan / MANIFEST_NAME).exists():
        raise ResumeError(
            f"{run} holds no finished plan; `tasksel synth plan CONFIG.toml --out {run}` makes one."
        )
    config = read_planned_config(run)  # refuses what is no configuration
    levels = dict.fromkeys(config.strata.levels, str)
    records, path = pl.DataFrame(), run / GENERATION_FOLDER / RECORDS_NAME
    if path.exists():
        records = read_all_records(run)
        named = [*levels, *(each.name for each in config.dimensions)]
        check_columns(records, {f"{name}?": TEXT_OR_NULL for name in named}, path)
    dimensions = run / "validation" / "dimensions.parquet"
    written = read_json(plan / CONFIG_NAME)
    return SynthesisFiles(
        name=str(written.get("name", run.name)),
        config=written,
        cells=_read_frame(plan / "cells.parquet", {"stratum": str, "planned": int, **levels}),
        margins=_read_frame(plan / "margins.parquet", _MARGINS),
        examples=_read_frame(plan / EXAMPLES_NAME, {"plan_id": str}),
        plan=_read_if_there(plan / MANIFEST_NAME, _PLAN),
        generation=_read_if_there(run / GENERATION_FOLDER / MANIFEST_NAME, _GENERATION),
        validation=_read_validation(run / "validation"),
        records=records,
        dimensions=_read_frame(dimensions, _REALISED) if dimensions.exists() else pl.DataFrame(),
    )


_PLAN: Final = {"settings": dict, "findings?": list, "plan_sha256?": TEXT_OR_NULL}
_GENERATION: Final = {
    "settings": {"model": str, "provider": str},
    "tier": int,
    "replies": int,
    "input_tokens": int,
    "output_tokens": int,
    "is_estimate": bool,
    "cost": NUMBER_OR_NULL,
    "currency": TEXT_OR_NULL,
    "repairs": {...: int},
    "rejects": {...: int},
    "steps": {...: int},
}
_GATE: Final = {
    "name": str,
    "outcome": str,
    "at_least": bool,
    "threshold": NUMBER_OR_NULL,
    "value": NUMBER_OR_NULL,
    "interval": ([NUMBER], None),
    "meaning": TEXT_OR_NULL,
    "reason": TEXT_OR_NULL,
    "proof": ({"sentence?": TEXT_OR_NULL}, None),
}
_VALIDATION: Final = {"gates?": [_GATE], "findings?": list}


def _read_if_there(path: Path, shape: Any) -> dict[str, Any]:
    return read_versioned(path, shape) if path.exists() else {}


def _read_validation(folder: Path) -> dict[str, Any]:
    _read_if_there(folder / MANIFEST_NAME, AN_OBJECT)  # says in which version the results are written
    path = folder / "results.json"
    return read_json(path, _VALIDATION) if path.exists() else {}


_MARGINS: Final = {"dimension": str, "value": TEXT_OR_NULL, "asked": NUMBER, "planned": int}
_REALISED: Final = {"dimension": str, "value": str, "realised": NUMBER_OR_NULL}


def _read_frame(path: Path, shape: Mapping[str, Any]) -> pl.DataFrame:
    """Read a table; its columns of tiers are counts, too."""
    frame = read_frame(path, shape)
    check_columns(frame, {name: int for name in frame.columns if name.startswith("tier_")}, path)
    return frame


def synthesis_page(files: SynthesisFiles, *, coverage_blocks: Sequence[str] = ()) -> Page:
    """Put the page of a synthetic run together.

    Parameters
    ----------
    files : SynthesisFiles
        From `read_synthesis_files`.
    coverage_blocks : sequence of str
        HTML of the section on coverage, where embeddings were given.
    """
    page = Page(f"Synthetic data: {files.name}", _lead(files))
    findings = [*files.plan.get("findings", ()), *files.validation.get("findings", ())]
    page.add("What to know", bullets(_finding_text(each) for each in findings))
    page.add("Plan and what was written", *_heat_blocks(files))
    page.add("Dimensions and edge cases", _margin_table(files))
    page.add("Gates", *_gate_blocks(files))
    page.add("Coverage", *coverage_blocks)
    page.add("Requests and cost", *_cost_blocks(files))
    page.add("Examples", _example_table(files))
    page.add("Made from", _sources_table(files))
    return page


def _finding_text(finding: Any) -> str:
    return str(finding.get("text", finding)) if isinstance(finding, dict) else str(finding)


def _written_by(files: SynthesisFiles, column: str) -> dict[str | None, int]:
    if column not in files.records.columns:
        return {}
    counts = files.records[column].value_counts()
    return dict(zip(counts[column].to_list(), counts["count"].to_list(), strict=True))


def _reached(files: SynthesisFiles) -> tuple[int, str]:
    """Return the tier that was generated, or the whole, and the column with what it asks for."""
    tier = files.generation.get("tier", files.examples.height)
    column = f"tier_{tier}"
    return (tier, column) if column in files.cells.columns else (files.examples.height, "planned")


def _lead(files: SynthesisFiles) -> str:
    planned = files.examples.height
    if files.records.is_empty():
        return f"{planned:,} examples are planned in {files.cells.height:,} strata; nothing is written yet."
    tier, column = _reached(files)
    of_tier = f"the first {tier:,}" if tier < planned else f"{planned:,}"
    by_stratum = _written_by(files, "task")
    short = sum(
        by_stratum.get(name, 0) < count for name, count in files.cells.select("stratum", column).rows()
    )
    strata = f"{short:,} of {files.cells.height:,} strata are short" if short else "no stratum is short"
    rest = f"; {planned:,} are planned in all" if tier < planned else ""
    return (
        f"{files.records.height:,} of {of_tier} planned examples are written and {strata}"
        f"{_verdict(files.validation.get('gates', []))}{rest}."
    )


def _verdict(gates: Sequence[dict[str, Any]]) -> str:
    failed = sum(_gate_state(gate) == "failed" for gate in gates)
    if not gates:
        return "; nothing is validated yet"
    return f"; {failed} of {len(gates)} gates failed" if failed else "; no gate failed"


def _heat_blocks(files: SynthesisFiles) -> list[str]:
    levels = list(files.config["strata"]["levels"])
    tier, asked = _reached(files)
    written = _written_by(files, "task")
    columns = files.cells[levels[-1]].unique(maintain_order=True).to_list()
    is_grid = len(levels) > 1 and len(columns) <= MAX_HEAT_COLUMNS
    row_levels = levels[:-1] if is_grid else levels
    grid: dict[str, dict[str, tuple[int, int]]] = {}
    for cell in files.cells.iter_rows(named=True):
        row = " / ".join(str(cell[level]) for level in row_levels)
        column = str(cell[levels[-1]]) if is_grid else _ONLY_COLUMN
        grid.setdefault(row, {})[column] = (written.get(cell["stratum"], 0), cell[asked])
    heads = [str(name) for name in columns] if is_grid else [_ONLY_COLUMN]
    caption = (
        f"Written of planned examples in each stratum, of the first {tier:,}; the fuller the colour, the "
        "nearer to the plan."
    )
    corner = " / ".join(row_levels) + (f" × {levels[-1]}" if is_grid else "")
    return [
        heat_table(
            [[_share(row.get(head)) for head in heads] for row in grid.values()],
            [[_count_text(row.get(head)) for head in heads] for row in grid.values()],
            rows=list(grid),
            columns=heads,
            corner=corner,
            caption=caption,
        )
    ]


_ONLY_COLUMN: Final = "written / planned"


def _share(counts: tuple[int, int] | None) -> float | None:
    return None if counts is None or not counts[1] else counts[0] / counts[1]


def _count_text(counts: tuple[int, int] | None) -> str:
    if counts is None or counts == (0, 0):
        return "\N{EN DASH}"
    return f"{counts[0]:,} / {counts[1]:,}"


def _margin_table(files: SynthesisFiles) -> str:
    realised = _realised_counts(files)
    rows = []
    tier, asked_of = _reached(files)
    for row in files.margins.iter_rows(named=True):
        written = _written_by(files, row["dimension"]).get(row["value"], 0)
        key = (row["dimension"], row["value"])
        value = "ordinary" if row["value"] is None else row["value"]
        rows.append({**row, "value": value, "written": written, "realised": realised.get(key)})
    columns = [
        Column("dimension", "Dimension"),
        Column("value", "Value"),
        Column("asked", "Asked", lambda value: f"{value:,.1f}", is_number=True),
        Column("planned", "Planned", "{:,}".format, is_number=True),
        *(
            [Column(asked_of, f"First {tier:,}", "{:,}".format, is_number=True)]
            if asked_of != "planned"
            else []
        ),
        Column("written", "Written", "{:,}".format, is_number=True, css=_is_short(asked_of)),
    ]
    if realised:
        columns.append(Column("realised", "Realised", "{:,.0f}".format, is_number=True))
    caption = "Realised is what a checker found in the texts, where one is configured." if realised else ""
    return table(rows, columns, caption=caption)


def _is_short(asked_of: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: "short" if row["written"] < row[asked_of] else ""


def _realised_counts(files: SynthesisFiles) -> dict[tuple[str, str], float]:
    wanted = {"dimension", "value", "realised"}
    if not wanted <= set(files.dimensions.columns):
        return {}
    found = files.dimensions.filter(pl.col("realised").is_not_null())
    return {(row["dimension"], row["value"]): row["realised"] for row in found.iter_rows(named=True)}


def _gate_state(gate: dict[str, Any]) -> str:
    return str(gate["outcome"])


def _gate_blocks(files: SynthesisFiles) -> list[str]:
    gates = files.validation.get("gates", [])
    if not gates:
        return [paragraph("Not validated yet: `tasksel synth validate` measures the gates.", soft=True)]
    rows = [
        {
            **gate,
            "interval": _interval_text(gate),
            "wanted": f"at {'least' if gate['at_least'] else 'most'} {_figure_text(gate['threshold'])}",
            "note": gate["reason"] or (gate["proof"] or {}).get("sentence"),
        }
        for gate in gates
    ]
    columns = [
        Column("name", "Gate"),
        Column("outcome", "Outcome", css=_outcome_class),
        Column("value", "Value", _figure_text, is_number=True),
        Column("interval", "95 % interval", is_number=True),
        Column("wanted", "Wanted"),
        Column("meaning", "What it is"),
        Column("note", "What so many rows can prove"),
    ]
    return [table(rows, columns)]


def _outcome_class(row: dict[str, Any]) -> str:
    return {"passed": "passed", "failed": "failed"}.get(row["outcome"], "unmeasured")


def _figure_text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _interval_text(gate: dict[str, Any]) -> str | None:
    return None if gate["interval"] is None else " to ".join(f"{end:.3f}" for end in gate["interval"])


def _cost_blocks(files: SynthesisFiles) -> list[str]:
    made = files.generation
    if not made:
        return []
    about = "about " if made["is_estimate"] else ""
    cost = _UNKNOWN_COST if made["cost"] is None else f"{made['cost']:,.4f} {made['currency']}"
    rows = [
        {"what": "Model", "figure": f"{made['settings']['model']} ({made['settings']['provider']})"},
        {"what": "Requests answered", "figure": f"{made['replies']:,}"},
        {"what": "Tokens read", "figure": f"{about}{made['input_tokens']:,}"},
        {"what": "Tokens written", "figure": f"{about}{made['output_tokens']:,}"},
        {"what": "Cost", "figure": cost},
    ]
    for kind, title in (
        ("repairs", "Replies mended"),
        ("rejects", "Items given up"),
        ("steps", "Further steps"),
    ):
        counts = ", ".join(f"{name}: {count:,}" for name, count in made[kind].items())
        rows.append({"what": title, "figure": counts or "none"})
    return [table(rows, [Column("what", ""), Column("figure", "")])]


def _example_table(files: SynthesisFiles) -> str:
    if files.records.is_empty():
        return ""
    shown = files.records.head(MAX_EXAMPLES)
    columns = [
        Column("plan_id", "Example"),
        Column("task", "Stratum"),
        Column("edge", "Edge case"),
        Column("prompt", "Prompt"),
        Column("response", "Response"),
    ]
    caption = f"The first {shown.height:,} of {files.records.height:,} in the order of the plan."
    present = [each for each in columns if each.name in shown.columns]
    return table(shown.iter_rows(named=True), present, caption=caption, max_chars=_EXAMPLE_CHARS)


def _sources_table(files: SynthesisFiles) -> str:
    rows = [{"what": "Plan, SHA-256", "figure": files.plan.get("plan_sha256")}]
    rows += [{"what": f"Plan: {name}", "figure": value} for name, value in files.plan["settings"].items()]
    settings = files.generation.get("settings", {})
    rows += [{"what": f"Generation: {name}", "figure": value} for name, value in settings.items()]
    return table(rows, [Column("what", ""), Column("figure", "")])
