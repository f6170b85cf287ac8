"""Reports of selections, runs and studies: what they say, how large they are, what they refuse."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import itertools
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import tasksel
from hostile_texts import HOSTILE
from report_runs import make_pool, make_run
from tasksel.cli import app
from tasksel.html_page_blocks import Sign, details, signs, tiles
from tasksel.html_page_search import PLAIN_ROWS, RecordColumn, record_table, search_script
from tasksel.report import write_report
from tasksel.report.pictures import Pictures
from tasksel.report.run_report import _evaluated, _rounds_blocks
from tasksel.report.selected_examples import examples_block
from tasksel.report.selection_reading import read_material
from tasksel.report.selection_report import MAX_BYTES
from tasksel.report.study_report import _efficiency_table, _needed
from tasksel.rounds.gains import Figure
from tasksel.rounds.record import RoundRecord
from tasksel.rounds.result import RoundsResult
from tasksel.run_folder import FORMAT_VERSION, write_json
from tasksel.study import load_study, read_study
from tasksel.study.config_file import parse_study
from tasksel.study.publication import plain_config, publish
from tasksel.study.results import CollectedCells, StudyResult
from tasksel_core.errors import ConfigError, MissingExtraError, ResumeError, SchemaError

ROOT = Path(__file__).parents[1]
has_plots = pytest.mark.usefixtures("plots")


@pytest.fixture(scope="module")
def plots():
    pytest.importorskip("vl_convert", reason="the extra plots is not installed")


class Tags(html.parser.HTMLParser):
    """Reads a page as a browser does: what stands in a script is text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.scripts = [], [], []
        self._in_script = False
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.text += data

    def records(self):
        return [json.loads(text) for attrs, text in self.scripts if attrs.get("type") == "application/json"]


def read(path):
    return Tags(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with one selection, of a pool in which hostile prompts stand."""
    folder = tmp_path_factory.mktemp("run")
    return make_run(folder, make_pool(300, prompts=HOSTILE), budget=280)


@pytest.fixture(scope="module")
def page(run, plots):
    """The report of that selection."""
    return read(write_report(run / "selection", scores=run / "scored.parquet"))


def test_a_selection_is_told_and_drawn(page):
    assert "Selected 280 of 300 prompts by weighted-task-diversity." in page.text
    for part in (
        "What to know",
        "Labels by task",
        "Confidence",
        "Concentration",
        "What more labels cover",
        "Map",
    ):
        assert part in page.text
    assert page.tags.count("svg") == 2 * 5  # each for a screen and for a phone
    assert "The next 20 labels would bring the covering radius" in page.text
    assert page.tags.count("h1") == 1


def test_headings_come_in_order(page):
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_one_script_is_ours_and_allowed_by_its_hash(page):
    runnable = [text for attributes, text in page.scripts if "type" not in attributes]
    assert runnable == [search_script()]
    digest = base64.b64encode(hashlib.sha256(runnable[0].encode()).digest()).decode()
    policy = next(value for _, value in page.attributes if value and "default-src" in value)
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    )
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval",
        "fetch",
        "Function(",
    ):
        assert word not in runnable[0]


def test_hostile_prompts_are_data_and_text(page):
    assert not {"img", "iframe", "object", "link", "b"} & set(page.tags)
    assert page.tags.count("style") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not [value for name, value in page.attributes if name in {"href", "src"} and value[0] != "#"]
    prompts = next(column for column in page.records()[0]["columns"] if column["title"] == "Prompt")["values"]
    assert HOSTILE[0] in prompts
    assert "a␀b␛[31mred[U+202E]txt[U+2028]" in prompts
    assert max(map(len, prompts)) <= 1_000


def test_records_are_whole_and_tasks_are_written_once(page):
    columns = {column["title"]: column for column in page.records()[0]["columns"]}
    assert list(columns) == ["Rank", "Prompt", "Task", "Confidence", "Id"]
    assert columns["Rank"]["values"] == list(range(1, 281))
    assert len(columns["Task"]["words"]) == 6
    assert set(columns["Task"]["values"]) == set(range(6))
    assert all(0 < value <= 1 for value in columns["Confidence"]["values"])
    assert len(re.findall(r"id-\d{5}", page.text)) == PLAIN_ROWS  # for readers without scripts, and on paper


def test_a_run_with_one_selection_gives_the_same_bytes_again(run, page, tmp_path):
    path = write_report(run, tmp_path / "run.html", scores=run / "scored.parquet")
    assert path.read_bytes() == (run / "selection" / "report.html").read_bytes()


def test_a_selection_alone_is_reported_with_what_it_has(run, tmp_path, plots):
    alone = tmp_path / "alone" / "there"
    alone.parent.mkdir()
    alone.mkdir()
    for path in (run / "selection").iterdir():
        if path.suffix != ".html":
            (alone / path.name).write_bytes(path.read_bytes())
    text = read(write_report(alone)).text
    assert "name it with --pool" in text
    assert "Map" not in text
    assert "Labels by task" in text


def test_several_selections_stand_beside_each_other(tmp_path, plots):
    run = make_run(tmp_path / "run", make_pool(90), budget=30, names=("selections/one", "selections/two"))
    (run / "evaluations" / "one").mkdir(parents=True)
    (run / "evaluations" / "one" / "manifest.json").write_text('{"format_version": 1}')
    figures = {"macro": {"mean": 0.5, "low": 0.4, "high": 0.6}, "micro": {"mean": 0.25}}
    figures["micro"] |= {"low": None, "high": None}
    suite = {"suite": "exact", "figures": {"exact_match": figures}, "tasks": [], "notes": []}
    suites = {"suites": [suite]}
    (run / "evaluations" / "one" / "report.json").write_text(json.dumps(suites))
    page = read(write_report(run, plots=run / "plots"))
    assert "2 selections: one, two" in page.text
    assert "Prompts that two selections have in common" in page.text
    assert "0.500 [0.400, 0.600]" in page.text
    assert len(page.records()) == 2
    drawn = sorted(path.name for path in (run / "plots").iterdir())
    assert "one-labels.svg" in drawn
    assert "two-map.svg" in drawn


@pytest.mark.parametrize("n_rows", [10_000])
def test_ten_thousand_selected_rows_fit_in_two_megabytes(tmp_path, n_rows, plots):
    long = [
        '漢字 <&> \\ " ' * 2_600
    ] * 300  # 26,000 characters, of which many are escaped or take three bytes
    pool = make_pool(n_rows + 500, prompts=long, n_tasks=400)
    prose = pl.Series([f"{text} " + "字とかな" * 30 for text in pool["prompt"]])  # three bytes a character
    pool = pool.with_columns(prompt=prose)
    run = make_run(tmp_path / "run", pool, budget=n_rows)
    path = write_report(run, scores=run / "scored.parquet")
    size = path.stat().st_size
    assert 0.9 * MAX_BYTES < size <= MAX_BYTES
    page = read(path)
    found = re.search(r"([\d,]+) texts are longer than (\d+) characters", page.text)
    assert found
    assert int(found[2]) >= 40
    columns = page.records()[0]["columns"]
    assert {len(column["values"]) for column in columns} == {n_rows}


def test_where_not_all_rows_fit_the_first_are_shown(run):
    material = read_material(run / "selection")
    block = examples_block(material, max_bytes=95_000)
    assert "The first 1" in block
    assert "of 280 in the order in which to label them." in block
    columns = json.loads(re.search(r"<script type=application/json>(.*)</script>", block, re.DOTALL)[1])[
        "columns"
    ]
    assert len({len(column["values"]) for column in columns}) == 1
    assert PLAIN_ROWS <= len(columns[0]["values"]) < 280


def test_one_row_and_no_score_make_a_page(tmp_path, plots):
    pool = pl.DataFrame({"prompt": ["one"], "task": [None]}, schema_overrides={"task": pl.String})
    tasksel.select(pool, budget=1, out=tmp_path / "chosen")
    page = read(write_report(tmp_path / "chosen"))
    assert "Selected 1 of 1 prompt" in page.text
    assert "Rank" in page.text


def test_strange_columns_of_the_pool_do_no_harm(tmp_path, plots):
    pool = pl.DataFrame(
        {
            "id": ["a", "b"],
            "task": ["x" * 26_000, "\n"],
            "prompt": ["", "\r\n"],
            "response": [None, "\x00"],
            "n": [b"\x00", b""],
        }
    )
    tasksel.select(pool, budget=2, strategy="random", out=tmp_path / "chosen")
    page = read(write_report(tmp_path / "chosen"))
    assert len(page.text) < 400_000


# Without the extra


@pytest.mark.parametrize("library", ["altair", "vl_convert"])
def test_without_the_extra_the_page_has_no_pictures_and_says_why(run, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    page = read(write_report(run / "selection", tmp_path / "plain.html"))
    assert "svg" not in page.tags
    assert page.text.count("This page has no pictures. Drawing plots needs an optional dependency: pip") == 1
    assert "All 6 tasks as a table" in page.text
    assert page.records()
    with pytest.raises(MissingExtraError, match="plots"):
        write_report(run / "selection", tmp_path / "plain.html", plots=tmp_path / "plots")


# What is refused


def test_other_folders_are_refused_with_what_is_allowed(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="allowed: a folder of `tasksel select --out`"):
            write_report(folder)
    (tmp_path / "cells.csv").write_text("")
    (tmp_path / "report.md").write_text("")
    with pytest.raises(ConfigError, match="run the same `tasksel study` again"):
        write_report(tmp_path)


def test_what_does_not_belong_to_a_selection_is_refused(run, tmp_path):
    with pytest.raises(
        ConfigError, match="real is given and belongs to the report of a synthetic run; this is"
    ):
        write_report(run / "selection", real=make_pool(3))
    with pytest.raises(ConfigError, match="'pdf'; allowed are html, png, svg"):
        write_report(run / "selection", tmp_path / "x.html", plot_format="pdf")
    with pytest.raises(ConfigError, match="is a folder; allowed: a file"):
        write_report(run / "selection", tmp_path)
    with pytest.raises(SchemaError, match="is not the pool"):
        write_report(run / "selection", tmp_path / "x.html", pool=make_pool(3))
    assert not (tmp_path / "x.html").exists()


def test_a_changed_selection_is_refused(run, tmp_path):
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in (run / "selection").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "allocation.csv").write_text("task\n")
    with pytest.raises(ResumeError, match="not as it was written"):
        write_report(folder)


# The verb


def test_the_verb_writes_page_and_plots(run, tmp_path, plots):
    arguments = ["report", str(run / "selection"), "--out", str(tmp_path / "a.html"), "--json"]
    said = CliRunner().invoke(app, [*arguments, "--plots", str(tmp_path / "plots"), "--plot-format", "png"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.output)
    assert found["bytes"] == (tmp_path / "a.html").stat().st_size
    names = ["labels", "confidence", "concentration", "covering", "map"]
    assert found["plots"] == [str(tmp_path / "plots" / f"{name}.png") for name in names]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in found["plots"])


def test_the_verb_says_in_a_sentence_what_is_wrong(tmp_path):
    said = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert said.exit_code == 2
    assert "holds nothing that a report is made of" in " ".join(said.output.split())


# Studies


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of the repository, from its cells, with tasks made up."""
    folder = tmp_path_factory.mktemp("study")
    config = load_study(ROOT / "studies" / "budget_curve.toml")
    cells = pl.read_csv(ROOT / "docs" / "studies" / "budget_curve" / "cells.csv")
    places = cells.select("phase", "world", "seed", "arm", "budget").unique(maintain_order=True)
    tasks = places.join(pl.DataFrame({"task": ["<b>", "rhyme"]}), how="cross").with_columns(
        labels=pl.lit(5),
        confidence=pl.col("task").str.len_chars() / 10,
        pool_share=pl.lit(0.5),
        exact_match=pl.col("seed") / 10,
    )
    shown = CollectedCells(cells, tasks)
    result = StudyResult.compare(
        config,
        tuning=CollectedCells(cells.clear(), tasks.clear()),
        report=shown,
        chosen=None,
        gains={},
        contamination=[
            {
                "world": "toy",
                "seed": 0,
                "reference": "holdout",
                "questions": 100,
                "shared_questions": 1,
                "unchecked": 3,
                "sharing_pool_rows": 2,
            }
        ],
        folder=folder,
    )
    publish(result)
    return result


def test_a_study_is_read_back_as_it_was(study):
    found = read_study(study.folder)
    for name in ("arms", "differences", "efficiency", "contamination"):
        assert getattr(found, name).equals(getattr(study, name)), name
    assert found.report.tasks.equals(study.report.tasks)
    assert (found.study.title, found.study.arms, found.chosen) == (study.study.title, study.study.arms, None)


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_what_a_study_asked_is_kept_as_its_file_says_it(path):
    study = load_study(path)
    kept = json.loads(json.dumps(plain_config(study)))
    found = parse_study(kept, name=study.name, folder=study.folder)
    assert found == study


def test_a_study_is_told_and_drawn_without_a_script(study, tmp_path, plots):
    path = write_report(study.folder, tmp_path / "study.html", plots=tmp_path / "plots")
    page = read(path)
    assert study.study.title in page.text
    assert "task-diversity is ahead of random at 5 %" in page.text
    assert "script" not in page.tags
    assert page.tags.count("svg") == 4
    assert {each.stem for each in (tmp_path / "plots").iterdir()} == {
        "scores",
        "differences",
        "efficiency",
        "gains-toy",
    }
    assert path.stat().st_size < 1_000_000


def test_what_a_study_does_not_know_is_left_out(study):
    assert _efficiency_table(replace(study, efficiency=study.efficiency.clear())) == ""
    assert _needed({"low": None, "high": None, "needed": None}) is None
    assert _needed({"low": 10.0, "high": 20.0, "needed": None}) == "[10, 20]"


def test_a_picture_of_nothing_is_none_and_a_file_is_no_folder_for_plots(tmp_path, plots):
    def nothing(width):
        raise SchemaError("nothing to draw")

    assert Pictures(folder=tmp_path / "plots").draw("name", nothing) == ""
    assert not (tmp_path / "plots").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is a file; allowed: a folder to write the plots to"):
        Pictures(folder=tmp_path / "file").draw("name", lambda width: None)


def test_rounds_have_a_row_each_with_the_interval_of_their_figure(tmp_path):
    figure = Figure("exact", "exact_match", "macro", 0.5, 0.25, 0.75)
    rounds = (RoundRecord(0, 0, 0, 0, 0.0, None, None), RoundRecord(1, 10, 10, 0, 100.0, 4.0, figure))
    result = RoundsResult(tmp_path, rounds, 2, stopped="all is said")
    write_json(tmp_path / "rounds.json", {"format_version": FORMAT_VERSION, **result.to_dict()})
    shown, ended = _rounds_blocks(tmp_path)
    assert "0.500 [0.250, 0.750]" in shown
    assert "The figure is exact_match, macro, with its 95 % interval." in shown
    assert "It stopped: all is said." in ended
    assert _evaluated(("rounds", "02", "evaluation")) == "round 02"


def test_a_study_that_was_changed_or_is_not_finished_is_refused(study, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for path in study.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "cells.csv").write_text("world\n")
    with pytest.raises(ResumeError, match=r"cells\.csv is not as it was written"):
        write_report(folder)
    (folder / "study.json").unlink()
    with pytest.raises(ConfigError, match="holds no finished study"):
        read_study(folder)


# The table of records


def test_records_end_no_element_and_have_no_number_that_json_lacks():
    columns = [
        RecordColumn("text", ["</script><!--", None, "a"]),
        RecordColumn("number", [1, float("nan"), 2.5], is_number=True),
    ]
    block = record_table(columns, label="three rows")
    inner = re.search(r"<script type=application/json>(.*)</script>", block, flags=re.DOTALL)[1]
    assert "<" not in inner
    content = json.loads(inner)
    assert content["columns"][0]["values"] == ["</script><!--", None, "a"]
    assert content["columns"][1]["values"] == [1, None, 2.5]
    assert record_table([], label="nothing")


# Signs of failure


def test_a_raised_sign_has_advice_and_the_others_stand_behind_them():
    found = signs(
        [Sign("<b>92 %", "caps: raised", True, "Take --alpha 0.5."), Sign("None.", "length: clear", False)]
    )
    tags = Tags(found)
    assert ("class", "raised") in tags.attributes
    assert ("class", "clear") in tags.attributes
    assert "b" not in tags.tags
    assert "<span class=flag>--alpha 0.5</span>" in found
    assert signs([]) == details("nothing") == tiles([]) == ""


# Notebooks


@pytest.mark.parametrize("kind", ["selection", "allocation", "study"])
def test_what_a_notebook_shows_is_small_and_harmless(run, study, kind):
    selection = tasksel.select(run / "pool.parquet", budget=280, strategy="task-diversity")
    shown = {"selection": selection, "allocation": selection.by_task, "study": study}[kind]
    text = shown._repr_html_()
    tags = Tags(text)
    assert set(tags.tags) <= {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert {name for name, _ in tags.attributes} <= {"style"}
    assert "position" not in text
    assert len(text) < 25_000


def test_plots_are_methods_of_what_they_show(run, study, plots):
    selection = tasksel.select(run / "pool.parquet", budget=20, scores=run / "scored.parquet")
    for chart in (
        selection.plot_allocation(),
        selection.plot_weights(),
        selection.plot_confidence(),
        selection.by_task.plot_quotas(),
        study.plot_scores_by_budget(),
        study.plot_differences(),
        study.plot_label_efficiency(),
        study.plot_gains_by_confidence("toy"),
    ):
        assert chart.to_dict()["title"]
    with pytest.raises(SchemaError, match="no gains"):
        study.plot_gains_by_confidence("nowhere")


def test_coverage_has_a_card_and_plots(plots):
    rng = np.random.default_rng(0)
    centers = np.repeat(np.eye(4, 8), 15, axis=0) * 20
    real = (centers + rng.normal(size=(60, 8))).astype(np.float32)
    found = tasksel.coverage(real, real[:30], real_tasks=["<script>"] * 60)
    text = found._repr_html_()
    assert "<script" not in text
    assert "Coverage-equivalent" in text
    assert found.plot_gaps().to_dict()["title"]
    assert found.plot_calibration(width=320).to_dict()["title"]


def test_what_few_ask_for_is_imported_when_it_is_asked_for():
    assert tasksel.StudyResult is StudyResult
    assert tasksel.write_report is write_report
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tasksel.nothing  # noqa: B018 - the access itself
