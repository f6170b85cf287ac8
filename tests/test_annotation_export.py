from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import polars as pl
import pytest
from rich.console import Console

import tasksel
from annotation_tools import FORMATS
from tasksel.annotation.closed_sets import check_choices, find_choices
from tasksel.annotation.label_studio_config import labelling_config, shown_guidelines
from tasksel.terminal_annotation import print_annotation_export
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

POOL = pl.DataFrame(
    {
        "id": ["a", "b", "c", "d", "e", "f"],
        "task": ["x", "x", "y", "y", "<t>", "<t>"],
        "prompt": ["one", "two\r\n", "=three", 'fo"ur', "$five", "\x00six"],
    }
)
SCORES = pl.DataFrame(
    {
        "id": ["a", "c", "d", "elsewhere"],
        "generation": ["an answer\n", "=cmd", " ", "x"],
        "token_logprobs": [[-1.0, -3.0], [], [-0.5], [-0.1]],
    }
)


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.parquet"
    POOL.write_parquet(path)
    return path


@pytest.fixture
def export(pool, tmp_path):
    def make(to="jsonl", source=pool, **options):
        made = tasksel.export_annotation(source, to=to, out=tmp_path / "out", **options)
        return made, tmp_path / "out"

    return make


def rows_of(folder, to):
    """Give id, rank, prompt, suggestion and its score, as each tool reads them."""
    if to == "label-studio":
        tasks = json.loads((folder / "tasks.json").read_text("ascii"))
        for task in tasks:
            data, (prediction, *_) = task["data"], [*task.get("predictions", []), {}]
            text = prediction["result"][0]["value"]["text"][0] if prediction else None
            yield data["id"], data["rank"], data["prompt"], text, prediction.get("score")
    elif to == "argilla":
        for record in json.loads((folder / "records.json").read_text("ascii")):
            suggestion = record["suggestions"].get("response", {})
            told = suggestion.get("value"), suggestion.get("score")
            yield record["id"], record["metadata"]["rank"], record["fields"]["prompt"], *told
    else:
        frame = {
            "jsonl": lambda: pl.read_ndjson(folder / "answers.jsonl"),
            "csv": lambda: pl.read_csv(folder / "answers.csv", schema_overrides={"id": pl.String}),
            "hf": lambda: pl.read_parquet(folder / "data" / "*.parquet"),
        }[to]()
        yield from frame.select("id", "rank", "prompt", "suggestion", "suggestion_confidence").iter_rows()


@pytest.mark.parametrize("to", ["csv", "hf"])
def test_an_export_that_was_answered_is_not_replaced(export, to):
    made, folder = export(to)
    assert export(to)[0] == made
    answers = folder / made.files[0]
    answers.write_bytes(answers.read_bytes() + b"an answer")
    with pytest.raises(ConfigError, match="has changed since it was exported, so it may hold answers"):
        export(to)
    assert answers.read_bytes().endswith(b"an answer")


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_has_id_rank_prompt_and_suggestion(export, to):
    summary, folder = export(to, scores=SCORES)
    rows = list(rows_of(folder, to))
    assert [row[0] for row in rows] == POOL["id"].to_list()
    assert [row[1] for row in rows] == [1, 2, 3, 4, 5, 6]
    if to != "csv":
        assert [row[2] for row in rows] == POOL["prompt"].to_list()
    assert rows[0][3] == "an answer\n"
    assert float(rows[0][4]) == pytest.approx(0.1353352832)  # the geometric mean of exp(-1) and exp(-3)
    assert [row[3] or None for row in rows[4:]] == [None, None]
    assert (summary.rows, summary.to, summary.suggestions) == (6, to, 3)


@pytest.mark.parametrize("to", FORMATS)
def test_the_record_says_what_was_asked(export, to):
    summary, folder = export(to)
    record = json.loads((folder / "export.json").read_text("utf-8"))
    assert list(record["prompts"]) == POOL["id"].to_list()
    assert record["prompts"]["a"] == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert set(record["files"]) == set(summary.files)
    assert str(folder) not in (folder / "export.json").read_text("utf-8")


def test_equal_exports_are_equal_bytes(pool, tmp_path):
    for name in ("one", "two"):
        for to in FORMATS:
            tasksel.export_annotation(pool, to=to, out=tmp_path / name / to, scores=SCORES)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert all(
        (tmp_path / "one" / each).read_bytes() == (tmp_path / "two" / each).read_bytes() for each in files
    )


def test_a_selection_is_exported_in_its_order(pool, tmp_path):
    selection = tasksel.select(pool, budget=4, strategy="task-diversity", base=0)
    selection.save(tmp_path / "selection")
    summary = tasksel.export_annotation(tmp_path / "selection", to="jsonl", out=tmp_path / "out")
    rows = pl.read_ndjson(tmp_path / "out" / "answers.jsonl")
    assert rows["id"].to_list() == selection.frame["id"].to_list()
    assert summary.rows == 4
    (tmp_path / "selection" / "selected.parquet").write_bytes(b"x")
    with pytest.raises(ResumeError, match=r"selected\.parquet is not as it was written"):
        tasksel.export_annotation(tmp_path / "selection", to="jsonl", out=tmp_path / "out")


def test_a_pool_without_tasks_has_none_in_its_files(tmp_path):
    pl.DataFrame({"prompt": ["p", "q"]}).write_parquet(tmp_path / "pool.parquet")
    for to in FORMATS:
        tasksel.export_annotation(tmp_path / "pool.parquet", to=to, out=tmp_path / to)
    assert "task" not in pl.read_ndjson(tmp_path / "jsonl" / "answers.jsonl").columns
    assert "$task" not in (tmp_path / "label-studio" / "labelling_config.xml").read_text("utf-8")


def test_priority_falls_with_the_rank(export):
    _, folder = export("label-studio")
    tasks = json.loads((folder / "tasks.json").read_text("ascii"))
    priorities = [task["data"]["priority"] for task in tasks]
    assert priorities == sorted(priorities, reverse=True)
    assert priorities[0] == 1.0
    assert len(set(priorities)) == 6


def test_the_labelling_interface_is_xml_and_holds_no_text_of_the_pool(export):
    _, folder = export("label-studio", title="</View>")
    root = ET.fromstring((folder / "labelling_config.xml").read_text("utf-8"))
    assert [(tag.tag, tag.get("name")) for tag in root.iter() if tag.get("name")] == [
        ("Text", "prompt"),
        ("TextArea", "response"),
        ("Choices", "verdict"),
        ("TextArea", "note"),
    ]
    assert root.find(".//Text").get("value") == "$prompt"


HOSTILE_CHOICES = ['"/><Text name="x" value="$id"/>', "a & b", "<b>", "it's", "{{x}}"]


def test_hostile_choices_stay_values(export):
    _, folder = export("label-studio", choices=HOSTILE_CHOICES)
    root = ET.fromstring((folder / "labelling_config.xml").read_text("utf-8"))
    choices = root.find("Choices[@name='response']")
    assert [each.get("value") for each in choices] == HOSTILE_CHOICES
    assert len(root.findall(".//Text")) == 1


def test_the_pools_own_answers_become_choices_and_are_not_shown(tmp_path):
    frame = pl.DataFrame({"prompt": [f"p{n}" for n in range(9)], "response": ["yes", "no", "maybe"] * 3})
    frame.write_parquet(tmp_path / "pool.parquet")
    generations = pl.DataFrame(
        {"id": tasksel.read_pool(frame)["id"], "generation": ["yes\n", "sure", "no"] * 3}
    )
    summary = tasksel.export_annotation(
        tmp_path / "pool.parquet", to="label-studio", out=tmp_path / "out", scores=generations
    )
    assert summary.choices == ("maybe", "no", "yes")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text("ascii"))
    assert all("response" not in task["data"] for task in tasks)
    suggested = [[each["result"][0]["value"] for each in task.get("predictions", [])] for task in tasks[:3]]
    assert suggested == [[{"choices": ["yes"]}], [], [{"choices": ["no"]}]]
    typed = tasksel.export_annotation(tmp_path / "pool.parquet", to="csv", out=tmp_path / "csv", choices=())
    assert typed.choices == ()
    assert "maybe" not in (tmp_path / "csv" / "answers.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("responses", "choices"),
    [
        (["a", "b"] * 3, ("a", "b")),
        (["a", "b", "a"], ()),
        (["a"] * 9, ()),
        (["$a", "b"] * 9, ()),
        ([" a", "b"] * 9, ()),
        (["a\nb", "b"] * 9, ()),
        (["a\x00", "b"] * 9, ()),
        ([str(number) for number in range(13)] * 9, ()),
        ([None, "", "  "], ()),
    ],
)
def test_choices_are_found_only_in_small_closed_sets(responses, choices):
    assert find_choices(pl.Series(responses, dtype=pl.String)) == choices


@pytest.mark.parametrize(
    "choices", [["one"], ["a", "a"], ["a", ""], ["a", "$b"], ["a", "b\x00"], ["a", "x" * 61]]
)
def test_choices_that_no_button_can_carry_are_refused(choices):
    with pytest.raises(ConfigError, match="choice"):
        check_choices(choices)


def test_guidelines_are_text(export):
    _, folder = export("argilla", guidelines="# Be brief\n<script>")
    settings = json.loads((folder / ".argilla" / "settings.json").read_text("utf-8"))
    assert settings["guidelines"] == "# Be brief\n<script>"
    assert shown_guidelines("a\nb\n\n\n<i>") == "<p>a<br>b</p><p>&lt;i&gt;</p>"
    with pytest.raises(ConfigError, match="guidelines have 100,001 characters"):
        export("argilla", guidelines="x" * 100_001)


def test_argilla_gets_settings_with_choices(export):
    _, folder = export("argilla", choices=["a", "b"], title="Ünï / code")
    settings = json.loads((folder / ".argilla" / "settings.json").read_text("utf-8"))
    by_name = {question["name"]: question for question in settings["questions"]}
    assert [option["value"] for option in by_name["response"]["settings"]["options"]] == ["a", "b"]
    assert by_name["response"]["required"] is True
    assert json.loads((folder / ".argilla" / "dataset.json").read_text("utf-8"))["name"] == "n-code"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "labelstudio"}, r"to is 'labelstudio'; allowed: label-studio.*Did you mean 'label-studio'"),
        ({"to": "csv", "url": "http://localhost"}, "url is for label-studio alone"),
        ({"to": "label-studio", "url": "ftp://x"}, "must begin with http"),
        ({"to": "label-studio", "url": "http://me:secret@x"}, "without user or password"),
        ({"to": "label-studio", "url": "http://x:99999"}, "must begin with http"),
    ],
)
def test_wrong_options_are_named(export, options, message):
    with pytest.raises(ConfigError, match=message) as raised:
        export(**options)
    assert "secret" not in str(raised.value)


def test_a_url_without_a_key_is_refused(export, monkeypatch):
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="no key in LABEL_STUDIO_API_KEY"):
        export("label-studio", url="http://127.0.0.1:9")


def test_a_file_in_place_of_the_folder_is_refused(pool, tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        tasksel.export_annotation(pool, to="csv", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (SCORES.drop("generation"), "suggestions need id and generation"),
        (SCORES.filter(pl.col("id") == "elsewhere"), "share no id"),
    ],
)
def test_scores_that_suggest_nothing_are_refused(export, scores, message):
    with pytest.raises(SchemaError, match=message):
        export("csv", scores=scores)


def test_scores_in_a_file_suggest_as_a_frame_does(export, tmp_path):
    SCORES.write_parquet(tmp_path / "scores.parquet")
    _, folder = export(scores=tmp_path / "scores.parquet")
    suggested = pl.read_ndjson(folder / "answers.jsonl").filter(pl.col("suggestion").is_not_null())
    assert suggested["id"].to_list() == ["a", "c", "d"]
    _, folder = export(scores=SCORES)
    again = pl.read_ndjson(folder / "answers.jsonl").filter(pl.col("suggestion").is_not_null())
    assert again.equals(suggested)


def test_scores_without_logprobs_suggest_without_a_score(export):
    _, folder = export("label-studio", scores=SCORES.drop("token_logprobs"))
    (first, *_) = json.loads((folder / "tasks.json").read_text("ascii"))
    assert "score" not in first["predictions"][0]


def test_nul_is_told_of_where_a_database_may_refuse_it(export):
    assert ["NUL" in note for note in export("label-studio")[0].notes] == [True]
    assert export("csv")[0].notes == ()


def test_no_choices_means_a_text_area():
    assert "<TextArea" in labelling_config(has_tasks=False)
    assert ET.fromstring(labelling_config(has_tasks=True)).find("Header").get("value") == "$task"


def test_a_task_without_responses_is_not_answered_by_the_choices_of_another():
    responses, tasks = pl.Series(["yes", "no"] * 4), pl.Series(["classify"] * 8)
    assert find_choices(responses, tasks) == ("no", "yes")
    more = pl.concat([responses, pl.Series([None, " "], dtype=pl.String)])
    assert find_choices(more, pl.concat([tasks, pl.Series(["write", "write"])])) == ()
    assert find_choices(more, pl.concat([tasks, tasks.head(2)])) == ("no", "yes")


@pytest.mark.parametrize(("present", "there"), [(0, ""), (2, ", 2 were there")])
def test_what_was_uploaded_is_said_with_its_place(export, present, there):
    summary = replace(export()[0], project="http://localhost:8080/projects/3", uploaded=1234, present=present)
    console = Console(file=io.StringIO(), width=200)
    print_annotation_export(console, summary)
    said = console.file.getvalue()
    assert f"Uploaded 1,234 tasks{there}: http://localhost:8080/projects/3" in said
    assert "Back: tasksel annotate import http://localhost:8080/projects/3 --into RUN" in said
