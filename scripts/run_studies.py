"""Run shipped studies and put their pages into docs/studies.

    python scripts/run_studies.py default base --store studies/store
    python scripts/run_studies.py --list
    python scripts/run_studies.py --index

Without names all studies run whose models are there; those that need models say how to make them
(studies/README.md). What is finished in the store is used again, so that a page can be made anew in seconds.
``--index`` alone renews the tables of docs/studies/README.md from the cells of the pages.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from tasksel.study import load_study, run_study
from tasksel.study.comparisons import ALL_WORLDS, compare_arms
from tasksel.study.page import format_budget
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "studies"
PAGES = ROOT / "docs" / "studies"
KEPT = ("*.svg", "cells.csv")
"""Beside the page: its pictures, and the figure of every cell."""
INDEX = PAGES / "README.md"
INDEX_MARK = "<!-- made by scripts/run_studies.py --index -->\n"
UNIFORM = "task-diversity"


def publish_page(name: str, *, store: Path, jobs: int | None) -> Path:
    """Run one study and copy its page, pictures and cells into its folder of docs/studies."""
    result = run_study(STUDIES / f"{name}.toml", out=store / "studies" / name, store=store, jobs=jobs)
    page = PAGES / name
    shutil.rmtree(page, ignore_errors=True)
    page.mkdir(parents=True)
    text = (result.folder / "report.md").read_text(encoding="utf-8")
    note = (
        f"Made by `python scripts/run_studies.py {name}` from [{name}.toml](../../../studies/{name}.toml).\n"
    )
    (page / "README.md").write_text(f"{text}\n{note}", encoding="utf-8")
    for pattern in KEPT:
        for path in sorted(result.folder.glob(pattern)):
            shutil.copyfile(path, page / path.name)
    return page


def render_index() -> str:
    """Return the tables of all pages: each arm against uniform, by the metric that decides."""
    parts = []
    for name in find_studies():
        cells_path = PAGES / name / "cells.csv"
        if cells_path.exists():
            parts.append("\n".join(index_lines(name, pl.read_csv(cells_path))))
    return "\n\n".join(parts) + "\n"


def index_lines(name: str, cells: pl.DataFrame) -> Iterator[str]:
    """Yield the heading and table of one study; pairs of all its worlds together."""
    study = load_study(STUDIES / f"{name}.toml")
    phase = "report" if "report" in cells["phase"] else "tune"
    shown = cells.filter((pl.col("phase") == phase) & (pl.col("metric") == study.primary))
    found = compare_arms(shown, [UNIFORM])
    worlds = found["world"].unique().to_list()
    found = found.filter(pl.col("world") == (ALL_WORLDS if ALL_WORLDS in worlds else worlds[0]))
    yield f"### [{study.title}]({name}/README.md)"
    yield ""
    where = "over all worlds" if ALL_WORLDS in worlds else worlds[0]
    yield f"Macro {study.primary} against uniform, {where}:"
    yield ""
    yield "| arm | budget | difference | better / worse / tied | p |"
    yield "| --- | --- | --- | --- | --- |"
    for row in found.sort("budget", maintain_order=True).iter_rows(named=True):
        interval = "" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        counts = f"{row['better']} / {row['worse']} / {row['tied']}"
        difference, p_value = f"{row['difference']:+.3f}{interval}", f"{row['p_value']:.2g}"
        yield f"| {row['arm']} | {format_budget(row['budget'])} | {difference} | {counts} | {p_value} |"


def write_index() -> None:
    """Put the tables into docs/studies/README.md, below what is written there by hand."""
    head = INDEX.read_text(encoding="utf-8").partition(INDEX_MARK)[0]
    INDEX.write_text(head + INDEX_MARK + "\n" + render_index(), encoding="utf-8")


def find_studies() -> list[str]:
    """Return the names of the shipped studies."""
    return sorted(path.stem for path in STUDIES.glob("*.toml"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the studies named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="studies; default: all")
    parser.add_argument("--store", type=Path, default=STUDIES / "store", help="folder for all that is made")
    parser.add_argument("--jobs", type=int, help="processes side by side; default: one a core")
    parser.add_argument("--list", action="store_true", help="list the studies and end")
    parser.add_argument("--index", action="store_true", help="renew docs/studies/README.md and end")
    options = parser.parse_args(arguments)
    if options.list:
        for name in find_studies():
            print(f"{name:20s} {load_study(STUDIES / f'{name}.toml').title}")
        return 0
    if options.index:
        write_index()
        return 0
    done = [
        try_to_publish(name, store=options.store, jobs=options.jobs)
        for name in options.names or find_studies()
    ]
    write_index()
    return 0 if all(done) else 1


def try_to_publish(name: str, *, store: Path, jobs: int | None) -> bool:
    """Publish a study, or say why not and go on with the next."""
    try:
        print(publish_page(name, store=store, jobs=jobs).relative_to(ROOT), flush=True)
    except TaskselError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
