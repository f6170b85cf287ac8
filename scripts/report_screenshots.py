"""The screenshots of docs/report: a report of the embedded pool and one of a shipped study, in Chromium.

Run it again with ``python scripts/report_screenshots.py``. It needs the extras ``hf``, ``plots`` and ``test``
and a Chromium on the path or named by ``TASKSEL_CHROMIUM``; scoring the pool takes some seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

import tasksel
from tasksel.study import StudyResult, load_study
from tasksel.study.publication import publish
from tasksel.study.results import CollectedCells
from tasksel.toy_world import make_toy_pool

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT: Final = Path(__file__).parents[1]
STUDY: Final = "budget_curve"
BUDGET: Final = 601
SCREEN, PHONE = (1_000, 900), (360, 780)
MAX_BYTES: Final = 300_000


def make_run(folder: Path) -> Path:
    """Score, embed and select from the embedded pool, as a user would, and write the report."""
    make_toy_pool(0).write_parquet(folder / "pool.parquet")
    pool = folder / "pool.parquet"
    tasksel.score(pool, model="demo", out=folder, max_new_tokens=16)
    tasksel.embed(pool, embed_from="hidden", model="demo", out=folder)
    tasksel.select(
        pool, scores=folder, budget=BUDGET, strategy="weighted-task-diversity", out=folder / "selection"
    )
    return tasksel.write_report(folder)


def make_study(folder: Path) -> Path:
    """Write the report of a shipped study from the cells beside its page; single tasks are not there."""
    cells = pl.read_csv(ROOT / "docs" / "studies" / STUDY / "cells.csv")
    no_tasks = cells.select("phase", "world", "seed", "arm", "budget").clear()
    no_tasks = no_tasks.with_columns(task=pl.lit("", pl.String))
    report = CollectedCells(cells, no_tasks)
    study = load_study(ROOT / "studies" / f"{STUDY}.toml")
    nothing_shared = {"reference": "holdout", "questions": 0, "shared_questions": 0, "unchecked": 0}
    result = StudyResult.compare(
        study,
        tuning=CollectedCells(cells.clear(), no_tasks),
        report=report,
        chosen=None,
        gains={},
        contamination=[{"world": world.name, "seed": 0, **nothing_shared} for world in study.worlds],
        folder=folder,
    )
    publish(result)
    return tasksel.write_report(folder)


def take(browser: Browser, report: Path, out: Path) -> None:
    """Photograph the report of a selection: its beginning, two pictures, the table, and a phone."""
    top = _open(browser, report, SCREEN)
    top.screenshot(path=out / "selection-light.png")
    dark = _open(browser, report, SCREEN, color_scheme="dark")
    _show(dark, "#part-2")
    dark.screenshot(path=out / "confidence-dark.png")
    dark.get_by_label("Search").fill("arithmetic sum")
    dark.get_by_role("button", name="Confidence").click()
    dark.wait_for_timeout(500)
    _show(dark, "#part-6")
    dark.screenshot(path=out / "table-dark.png")
    phone = _open(browser, report, PHONE)
    _show(phone, "#part-3")
    phone.screenshot(path=out / "phone-light.png")


def _open(browser: Browser, report: Path, size: tuple[int, int], **settings: Any) -> Page:
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, **settings)
    page.goto(report.as_uri())
    return page


def _show(page: Page, place: str) -> None:
    page.evaluate("(place) => document.querySelector(place).scrollIntoView()", place)


def main() -> None:
    """Write the pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "report")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("TASKSEL_CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        run, study = Path(folder) / "run", Path(folder) / "study"
        run.mkdir()
        study.mkdir()
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        take(browser, make_run(run), out)
        _open(browser, make_study(study), SCREEN).screenshot(path=out / "study-light.png")
        browser.close()
    for path in sorted(out.glob("*.png")):
        size = path.stat().st_size
        print(f"{path.name}: {size:,} bytes")
        if size > MAX_BYTES:
            raise SystemExit(f"{path.name} is larger than {MAX_BYTES:,} bytes.")


if __name__ == "__main__":
    main()
