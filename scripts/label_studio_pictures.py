"""Take the pictures of docs/annotation: a real Label Studio with the project of that page.

    python scripts/label_studio_environment.py FOLDER
    python scripts/label_studio_pictures.py FOLDER/bin/python

Needs the extras hf and test, and a Chromium of the system or of playwright.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

import tasksel
from label_studio_server import LabelStudio, log_in, running_label_studio
from tasksel.toy_world import make_toy_pool

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = Path(__file__).parents[1] / "docs" / "annotation"
SIZE = {"width": 1280, "height": 720}
SLOW_MS = 120_000
"""A development server that loads its programs for the first time."""


def hand_out(studio: LabelStudio, folder: Path) -> str:
    """Make the project of the page, with two answers in it; return its address."""
    pool = make_toy_pool(0, n_tasks=6, largest=16, smallest=6).drop("response")
    tasksel.score(pool, model="demo", out=folder / "run", max_new_tokens=16)
    tasksel.select(pool, budget=12, out=folder / "run" / "selection")
    os.environ["LABEL_STUDIO_API_KEY"] = studio.key
    os.environ["NO_PROXY"] = "127.0.0.1"
    made = tasksel.export_annotation(
        folder / "run" / "selection",
        to="label-studio",
        out=folder / "handout",
        scores=folder / "run",
        title="First round",
        url=studio.url,
    )
    project = made.project or ""
    tasks = studio.call(f"api/tasks?project={project.rpartition('/')[2]}&page=1&page_size=2")["tasks"]
    for task in tasks:
        value = {"text": ["An answer"]}
        result = [{"from_name": "response", "to_name": "prompt", "type": "textarea", "value": value}]
        studio.call(f"api/tasks/{task['id']}/annotations/", {"result": result})
    return project


def take_pictures(page: Page, project: str, folder: Path) -> None:
    """Take the data manager and the labelling screen of the third task."""
    page.goto(f"{project}/data")
    page.get_by_text("Which word does not belong?").first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=folder / "data_manager.png")
    page.get_by_text("Label All Tasks").first.click()
    page.get_by_text("This prompt cannot be used").first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=folder / "labelling.png")


def main() -> None:
    """Start the server, take the pictures, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", type=Path)
    parser.add_argument("--out", type=Path, default=PICTURES)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_label_studio(given.python, Path(folder) / "server") as studio,
        sync_playwright() as playwright,
    ):
        project = hand_out(studio, Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(SLOW_MS)
        log_in(page, studio)
        take_pictures(page, project, given.out)
        browser.close()


if __name__ == "__main__":
    main()
