"""A real Label Studio: 200 prompts of Dolly up, answered over its API, down again, and trained on.

Needs an environment with Label Studio, which `scripts/label_studio_environment.py` makes and `make
test-integration` uses; it is named by TASKSEL_LABEL_STUDIO_PYTHON. The server runs on the loopback, with a
folder of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import urllib.request
from pathlib import Path

import polars as pl
import pytest

import docs_pages
import tasksel
from annotation_tools import chosen, entered
from label_studio_server import log_in, running_label_studio

PYTHON = os.environ.get("TASKSEL_LABEL_STUDIO_PYTHON")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(PYTHON is None, reason="TASKSEL_LABEL_STUDIO_PYTHON names no environment"),
]
PAGE = docs_pages.DOCS / "annotation" / "README.md"
DATA = Path(__file__).parents[1] / "data"
DOLLY = Path(__file__).parents[3] / "shared" / "data" / "dolly.parquet"
HOSTILE = [
    '=HYPERLINK("x")\r\n\x00\t',
    "<script>alert(1)</script> $id {{task}}",
    "http://127.0.0.1/x.png",
    "s3://bucket/key",
    "\u202e\u2028\U0001f980",
    "x" * 26_000,
    " ",
]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with running_label_studio(Path(PYTHON), tmp_path_factory.mktemp("label-studio")) as running:
        yield running


@pytest.fixture(params=["legacy", "personal"])
def key(studio, monkeypatch, request):
    """The two kinds of token that there are."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    token = studio.key if request.param == "legacy" else personal_token(studio)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
    return token


_TOKENS = {}


def personal_token(studio):
    if studio.url not in _TOKENS:  # a user has one at a time
        _TOKENS[studio.url] = studio.call("api/token/", {})["token"]
    return _TOKENS[studio.url]


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    """A run folder with 200 selected prompts of Dolly, or the whole excerpt where it is not at hand."""
    run = tmp_path_factory.mktemp("run")
    pool = DOLLY if DOLLY.is_file() else DATA / "dolly_raw_excerpt.jsonl"
    n = min(200, tasksel.read_pool(pool).height)
    chosen_rows = tasksel.select(pool, budget=n, strategy="task-diversity")
    chosen_rows.save(run / "selection")
    return run


def tasks_of(studio, project):
    total, page, tasks = 1, 1, []
    while len(tasks) < total:
        reply = studio.call(f"api/tasks?project={project}&page={page}&page_size=100")
        tasks += reply["tasks"]
        total, page = reply["total"], page + 1
    return tasks


def number_of(made):
    return int(made.project.rpartition("/")[2])


def post_annotation(studio, task, *result, **more):
    return studio.call(f"api/tasks/{task['id']}/annotations/", {"result": list(result), **more})


def test_two_hundred_prompts_there_and_back_and_trained_on(
    studio, monkeypatch, selection, tmp_path, tiny_model_folder
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", personal_token(studio))
    print(f"\nready after {studio.ready_s:.1f} s, {studio.memory_mb():.0f} MB")
    frame = pl.read_parquet(selection / "selection" / "selected.parquet")
    scores = frame.select("id", generation=pl.format("Suggestion for {}", "id")).with_columns(
        token_logprobs=pl.lit([-0.5, -0.7])
    )
    made = tasksel.export_annotation(
        selection / "selection",
        to="label-studio",
        out=tmp_path / "handout",
        scores=scores,
        title="Dolly",
        guidelines="Answer in full sentences.",
        url=studio.url,
    )
    assert made.uploaded == frame.height
    tasks = tasks_of(studio, number_of(made))
    assert [task["data"]["id"] for task in tasks] == frame["id"].to_list()
    assert [task["data"]["prompt"] for task in tasks] == frame["prompt"].to_list()
    expected = {}
    for position, task in enumerate(tasks):
        identifier = task["data"]["id"]
        if position % 50 == 7:
            post_annotation(studio, task, was_cancelled=True)
        elif position % 50 == 9:
            post_annotation(studio, task, chosen("rejected"), entered("broken", "note"))
        elif position % 50 != 11:
            expected[identifier] = f'Answer {position}: =1+1\r\n"quoted" \x00'
            post_annotation(studio, task, entered(expected[identifier]))
    done = tasksel.import_labels(made.project, into=selection)
    labels = done.labels
    assert dict(labels.frame.select("id", "response").iter_rows()) == expected
    assert (
        len(labels.skipped_ids) == len(labels.rejected_ids) == len(labels.open_ids) == -(-frame.height // 50)
    )
    trained = tasksel.train(
        labels.folder / "labelled.parquet",
        model=str(tiny_model_folder),
        out=tmp_path / "trained",
        epochs=1,
        max_tokens=128,
        device="cpu",
    )
    assert trained.examples == len(expected)


def test_the_same_upload_again_adds_nothing(studio, key, selection, tmp_path):
    for _ in range(2):
        made = tasksel.export_annotation(
            selection / "selection", to="label-studio", out=tmp_path / "out", title="Again", url=studio.url
        )
    assert made.uploaded == 0
    assert len(tasks_of(studio, number_of(made))) == made.rows
    assert key not in (tmp_path / "out" / "upload.json").read_text()


def test_hostile_texts_and_choices_survive(studio, key, tmp_path):
    pool = pl.DataFrame({"id": [f"p{n}" for n in range(len(HOSTILE))], "task": "a&<b>", "prompt": HOSTILE})
    pool.write_parquet(tmp_path / "pool.parquet")
    made = tasksel.export_annotation(
        tmp_path / "pool.parquet", to="label-studio", out=tmp_path / "out", url=studio.url, title=key[:9]
    )
    tasks = tasks_of(studio, number_of(made))
    assert [task["data"]["prompt"] for task in tasks] == HOSTILE
    for task in tasks:
        post_annotation(studio, task, entered(task["data"]["prompt"] or "x"))
    done = tasksel.import_labels(made.project, into=tmp_path / "run", selection=tmp_path / "pool.parquet")
    assert done.labels.frame["response"].to_list() == HOSTILE[:-1]
    assert done.counts["empty"] == 1
    # What the server exports as a file says the same, so that it adds nothing.
    path = f"api/projects/{number_of(made)}/export?exportType=JSON&download_all_tasks=true"
    headers = {"Authorization": f"Token {studio.key}"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{studio.url}/{path}", headers=headers)) as reply:
        (tmp_path / "project.json").write_bytes(reply.read())
    again = tasksel.import_labels(tmp_path / "project.json", into=tmp_path / "run")
    assert (again.format, again.added, again.repeated) == ("label-studio", 0, len(HOSTILE))


def test_the_data_manager_sorts_by_priority_and_takes_choices(studio, key, tmp_path):
    pool = pl.DataFrame({"id": list("abcde"), "prompt": list("vwxyz"), "rank": [5, 4, 3, 2, 1]})
    pool.write_parquet(tmp_path / "pool.parquet")
    choices = ['a "<b>"', "it's & so"]
    made = tasksel.export_annotation(
        tmp_path / "pool.parquet",
        to="label-studio",
        out=tmp_path / "out",
        url=studio.url,
        title="Choices " + key[:9],
        choices=choices,
    )
    project = number_of(made)
    (view,) = studio.call(f"api/dm/views/?project={project}")
    sorted_tasks = studio.call(f"api/tasks?view={view['id']}&page=1&page_size=10")["tasks"]
    assert [task["data"]["id"] for task in sorted_tasks] == ["e", "d", "c", "b", "a"]
    for task, choice in zip(sorted_tasks, choices, strict=False):
        post_annotation(studio, task, chosen(choice, "response"))
    done = tasksel.import_labels(made.project, into=tmp_path / "run", selection=tmp_path / "pool.parquet")
    assert dict(done.labels.frame.select("id", "response").iter_rows()) == {"e": choices[0], "d": choices[1]}
    parsed = studio.call(f"api/projects/{project}/")["parsed_label_config"]
    assert parsed["response"]["labels"] == choices


def test_refusals_of_the_real_server_are_sentences(studio, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pl.DataFrame({"prompt": ["x"]}).write_parquet(tmp_path / "pool.parquet")
    asked = {"into": tmp_path / "run", "selection": tmp_path / "pool.parquet"}
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    with pytest.raises(tasksel.errors.ProviderError, match="refuses the key"):
        tasksel.import_labels(f"{studio.url}/projects/1", **asked)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio.key)
    with pytest.raises(tasksel.errors.AnnotationError, match="has no project 999"):
        tasksel.import_labels(f"{studio.url}/projects/999", **asked)


def test_what_a_person_types_in_the_browser_comes_back(studio, monkeypatch, tmp_path):
    """Prompts are seen as text with their white space, and an answer of two lines arrives as such."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio.key)
    prompt = "<img src=x onerror=\"document.title='stolen'\"> $id {{id}}\n    indented  twice"
    pool = pl.DataFrame({"id": ["a", "b"], "task": "<i>$id", "prompt": [prompt, "second"]})
    pool.write_parquet(tmp_path / "pool.parquet")
    made = tasksel.export_annotation(
        tmp_path / "pool.parquet", to="label-studio", out=tmp_path / "out", url=studio.url, title="Browser"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        log_in(page, studio)
        page.goto(f"{made.project}/data")
        page.get_by_text("Label All Tasks").first.click()
        reject = page.get_by_text("This prompt cannot be used").first
        reject.wait_for()
        lines = [page.get_by_text(part).first.inner_text() for part in ("onerror", "indented")]
        assert [line.rstrip("\n") for line in lines] == prompt.split("\n")
        assert page.title() != "stolen"
        page.locator("textarea").first.click()
        page.keyboard.type("First line\nsecond line")
        with page.expect_response(lambda reply: "/annotations" in reply.url and reply.ok):
            page.get_by_role("button", name="Submit").first.click()
        page.get_by_text("second", exact=True).first.wait_for()
        reject.click()
        with page.expect_response(lambda reply: "/annotations" in reply.url and reply.ok):
            page.get_by_role("button", name="Submit").first.click()
        browser.close()
    done = tasksel.import_labels(made.project, into=tmp_path / "run", selection=tmp_path / "pool.parquet")
    assert dict(done.labels.frame.select("id", "response").iter_rows()) == {"a": "First line\nsecond line"}
    assert done.labels.rejected_ids == ("b",)


def test_the_page_runs_with_a_server(studio, monkeypatch, tmp_path):
    """All blocks of docs/annotation but those for Argilla, with this server in place of that of the page."""
    pytest.importorskip("torch", reason="the extra hf is not installed")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio.key)
    monkeypatch.chdir(tmp_path)
    names, project = {}, None
    for block in docs_pages.read_blocks(PAGE):
        if block.mark == "not run" and "Label Studio" not in block.value:
            continue
        code = block.code.replace("http://localhost:8080/projects/1", project or "")
        code = code.replace("http://localhost:8080", studio.url)
        if block.language == "python":
            docs_pages.run_python(code, names, "the page")
        elif block.language == "sh" and not code.startswith("export "):
            printed = docs_pages.run_shell(code, "the page")
            project = next(iter(re.findall(r"http\S+/projects/\d+", printed)), project)
    assert project is not None
    assert tasksel.read_labels("run").counts["labelled"] == 11
