"""The report in a real browser: no request, no error, search and order, keyboard, hostile prompts, paper."""

from __future__ import annotations

import os
import shutil
import time
from types import SimpleNamespace

import pytest

from hostile_texts import HOSTILE
from report_runs import make_pool, make_run
from tasksel.report import write_report

pytestmark = pytest.mark.integration
N_ROWS = 600
PHONE, SCREEN = 360, 1100
RANK, PROMPT, TASK, CONFIDENCE, ID = range(1, 6)
"""Columns of the table."""


def find_chromium():
    named = os.environ.get("TASKSEL_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium on the path, and TASKSEL_CHROMIUM names none")
    with playwright.sync_playwright() as started:
        # As root, which a container has, Chromium refuses to start with its sandbox.
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of a selection with hostile prompts and hostile names of tasks in it."""
    pytest.importorskip("vl_convert", reason="the extra plots is not installed")
    pool = make_pool(N_ROWS + 50, prompts=[*HOSTILE, "needle in a haystack", "another Needle"])
    run = make_run(tmp_path_factory.mktemp("run"), pool, budget=N_ROWS)
    return write_report(run, scores=run / "scored.parquet")


@pytest.fixture
def visit(browser, report):
    """Open the report as a reader would; what the browser complains of and asks for is kept."""
    contexts = []

    def open_page(*, width=SCREEN, **settings):
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        heard = SimpleNamespace(messages=[], requests=[], dialogs=[])
        page.on("console", lambda message: heard.messages.append(message.text))
        page.on("pageerror", lambda error: heard.messages.append(str(error)))
        page.on("request", lambda request: heard.requests.append(request.url))
        page.on("dialog", lambda dialog: heard.dialogs.append(dialog.message))
        page.goto(report.as_uri())
        return page, heard

    yield open_page
    for context in contexts:
        context.close()


def live_cells(page, column):
    return page.locator(f".live tbody tr td:nth-child({column})").all_inner_texts()


def wait_until(page, is_so):
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, (page.locator(".count").inner_text(), live_cells(page, PROMPT)[:2])
        page.wait_for_timeout(20)


def search(page, text, is_found):
    """Type a search and wait until the table shows what is looked for."""
    page.get_by_label("Search").fill(text)
    wait_until(page, is_found)


def has_count(page, said):
    return lambda: page.locator(".count").inner_text() == said


def test_nothing_is_asked_for_and_nothing_goes_wrong(visit, report):
    page, heard = visit()
    assert heard.requests == [report.as_uri()]
    assert heard.messages == []
    assert page.title() == f"Selection: weighted-task-diversity, {N_ROWS} labels"
    assert page.locator("html").get_attribute("lang") == "en"


def test_the_search_narrows_the_table_over_all_columns(visit):
    page, _ = visit()
    assert len(live_cells(page, RANK)) == 25
    search(page, "NEEDLE hay", has_count(page, "1 of 600 rows"))
    assert live_cells(page, PROMPT) == ["needle in a haystack"]
    search(page, "id-00012", lambda: live_cells(page, ID) == ["id-00012"])
    search(page, "task <3>", lambda: set(live_cells(page, TASK)) == {"task <3>"})
    search(page, "no such text", has_count(page, "0 of 600 rows"))
    assert live_cells(page, RANK) == []
    search(page, "", has_count(page, "600 rows"))
    assert live_cells(page, RANK)[0] == "1"


def test_a_click_on_a_header_orders_and_another_turns_it_round(visit):
    page, _ = visit()
    page.get_by_role("button", name="Confidence").click()
    rising = [float(text) for text in live_cells(page, CONFIDENCE)]
    assert rising == sorted(rising)
    header = page.get_by_role("columnheader", name="Confidence")
    assert header.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Confidence").click()
    falling = [float(text) for text in live_cells(page, CONFIDENCE)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] >= rising[-1]
    page.get_by_role("button", name="Rank").click()
    assert live_cells(page, RANK) == [str(rank) for rank in range(1, 26)]
    assert header.get_attribute("aria-sort") is None


def test_the_keyboard_alone_is_enough(visit):
    page, _ = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    page.get_by_label("Search").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.type("needle")
    wait_until(page, has_count(page, "2 of 600 rows"))
    search(page, "", has_count(page, "600 rows"))
    page.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    assert live_cells(page, RANK)[0] == "26"
    page.get_by_role("button", name="Previous").focus()
    page.keyboard.press("Space")
    assert live_cells(page, RANK)[0] == "1"
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None


def test_hostile_prompts_do_nothing(visit):
    page, heard = visit()
    page.get_by_label("Rows at a time").select_option("500")
    for prompt in HOSTILE[:8]:
        search(
            page,
            prompt,
            lambda prompt=prompt: prompt in live_cells(page, PROMPT) and len(live_cells(page, PROMPT)) < 4,
        )
    search(page, "", has_count(page, "600 rows"))
    for button in page.locator(".live td button").all():
        button.click()
    longest = max(live_cells(page, PROMPT), key=len)
    assert len(longest) >= 1_000
    page.wait_for_timeout(200)
    assert page.title().startswith("Selection:")
    assert heard.dialogs == []
    assert heard.messages == []
    assert len(heard.requests) == 1
    assert page.locator("main script:not([type='application/json']), main iframe, main img").count() == 0


def test_the_policy_stops_a_script_even_where_escaping_failed(visit):
    page, heard = visit()
    page.evaluate(
        """() => {
          const place = document.createElement("div");
          place.innerHTML = "<img src=x onerror=\\"document.title = 'owned'\\">";
          document.body.append(place);
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.title().startswith("Selection:")
    assert any("Content Security Policy" in message for message in heard.messages)


@pytest.mark.parametrize("width", [PHONE, SCREEN])
def test_the_page_never_scrolls_sideways(visit, width):
    page, _ = visit(width=width)
    for summary in page.locator("summary").all():
        summary.click()
    page.get_by_label("Rows at a time").select_option("500")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    is_phone = width == PHONE
    assert page.locator(".plot.narrow").first.is_visible() == is_phone
    assert page.locator(".plot.broad").first.is_visible() != is_phone
    clipped = page.evaluate(
        """() => [...document.querySelectorAll("figure .plot svg")]
          .filter((svg) => svg.getClientRects().length)
          .flatMap((svg) => [...svg.querySelectorAll("text")].map((text) => text.getBoundingClientRect()))
          .filter((box) => box.left < 0 || box.right > innerWidth).length"""
    )
    assert clipped == 0


def test_light_and_dark_follow_the_reader(visit):
    grounds, marks = [], []
    for scheme in ("light", "dark"):
        page, _ = visit(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        marks.append(page.evaluate("getComputedStyle(document.querySelector('.plot circle')).fill"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 24, 29)"]
    assert marks == ["rgb(0, 114, 178)", "rgb(79, 168, 224)"]


def test_paper_has_the_first_hundred_and_no_controls(visit, tmp_path):
    page, _ = visit(color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.get_by_label("Search").is_visible()
    assert page.locator(".plain tbody tr").count() == 100
    assert page.locator(".plain").is_visible()
    assert not page.locator(".live").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    path = tmp_path / "report.pdf"
    page.pdf(path=str(path))
    assert path.read_bytes().startswith(b"%PDF")


def test_without_scripts_the_first_hundred_stand_there(visit):
    page, _ = visit(java_script_enabled=False)
    assert page.locator(".plain tbody tr").count() == 100
    assert page.locator(".plain").is_visible()
    assert not page.locator(".tools").is_visible()


def test_ten_thousand_rows_are_searched_and_ordered_at_once(browser, tmp_path):
    from tasksel.html_page import Page
    from tasksel.html_page_search import RecordColumn, record_table, search_script

    n_rows = 10_000
    columns = [
        RecordColumn("Rank", list(range(1, n_rows + 1)), is_number=True),
        RecordColumn("Prompt", [f"prompt {row} {'word ' * 30}" for row in range(n_rows)], kind="text"),
    ]
    page = Page("Many", "rows")
    page.add("All", record_table(columns, label="many rows"))
    page.allow(search_script())
    path = tmp_path / "many.html"
    path.write_text(page.to_html(), encoding="utf-8")
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(path.as_uri())
    start = time.monotonic()
    opened.get_by_label("Search").fill("prompt 9999")
    wait_until(opened, has_count(opened, "1 of 10,000 rows"))
    opened.get_by_label("Search").fill("")
    wait_until(opened, has_count(opened, "10,000 rows"))
    opened.get_by_role("button", name="Prompt").click()
    assert opened.locator(".live tbody tr").count() == 25
    print(f"search, all again and order took {time.monotonic() - start:.2f} s")
    context.close()
