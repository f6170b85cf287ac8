"""What a person types and sees."""

from __future__ import annotations

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from annotation_tools import answer_all
from tasksel.cli_annotate import annotate_app

HOSTILE_ID = "a\x1b[31m\n[bold]"


@pytest.fixture
def pool(tmp_path):
    frame = pl.DataFrame({"id": [HOSTILE_ID, "b", "c", "d"], "prompt": ["=1", "2", "3" * 26_000, "4"]})
    frame.write_parquet(tmp_path / "pool.parquet")
    return tmp_path / "pool.parquet"


@pytest.fixture
def annotate(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        result = CliRunner().invoke(annotate_app, [*map(str, arguments)])
        assert result.exit_code == code, result.output
        assert "\x1b" not in result.output
        return result

    return call


def import_of(annotate, pool, answers, *options, name="back", **more):
    annotate("export", pool, "--to", "jsonl", "--out", name, "-q")
    back = answer_all(pool.parent / name, "jsonl", answers, annotator=more.get("annotator"))
    return annotate("import", back, "--into", "run", "--selection", pool, *options, code=more.get("code", 0))


def test_export_says_what_it_wrote_and_how_answers_come_back(annotate, pool, tmp_path):
    shown = annotate("export", pool, "--to", "csv", "--out", "sheet", "--excel").output
    assert shown.splitlines() == [
        "Wrote 4 prompts (csv) to sheet:",
        "  answers.csv",
        "Back: tasksel annotate import sheet/answers.csv --into RUN",
    ]
    assert (tmp_path / "sheet" / "answers.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_choices_are_named(annotate, pool):
    shown = annotate(
        "export", pool, "--to", "label-studio", "--out", "x", "--choice", "yes", "--choice", "no"
    )
    assert "The answers are choices: yes, no. --free-text lets them be typed." in shown.output
    wrong = annotate("export", pool, "--to", "csv", "--out", "y", "--choice", "a", "--free-text", code=2)
    assert "--choice and --free-text contradict each other" in wrong.output


def test_guidelines_are_read_from_a_file(annotate, pool, tmp_path):
    (tmp_path / "guidelines.md").write_text("Be brief.", encoding="utf-8")
    annotate("export", pool, "--to", "argilla", "--out", "x", "--guidelines", "guidelines.md")
    assert (
        json.loads((tmp_path / "x" / ".argilla" / "settings.json").read_text())["guidelines"] == "Be brief."
    )
    wrong = annotate("export", pool, "--to", "csv", "--out", "y", "--guidelines", "nothing.md", code=2)
    assert "guidelines nothing.md cannot be read" in wrong.output


def test_import_says_what_came_back(annotate, pool):
    shown = import_of(annotate, pool, {"b": "two", HOSTILE_ID: "one"}).output
    assert "back.jsonl (jsonl), 4 rows: 2 answered, 2 open." in shown
    assert "2 prompts did not come back, or are open: 'c', 'd'." in shown
    assert "Added 2 answers." in shown
    assert "Labelled: run/labels/labelled.parquet" in shown
    assert max(map(len, shown.splitlines())) <= 80
    again = import_of(annotate, pool, {"b": "two", HOSTILE_ID: "one"}).output
    assert "Added 0 answers, 2 were there." in again


def test_several_annotators_conflicts_and_adjudication(annotate, pool, tmp_path):
    import_of(annotate, pool, {"b": "x", HOSTILE_ID: "1", "d": "4"}, "--by", "ann")
    shown = import_of(annotate, pool, {"b": "y", "d": "4"}, "--by", "bob").output
    assert "1  answered differently: a person must settle them" in shown
    assert "Answers: ann 3, bob 2." in shown
    assert "Agreement over 2 prompts with several answers: 50% of pairs are equal" in shown
    assert "fill in run/labels/adjudication.csv" in shown
    conflict = import_of(annotate, pool, {HOSTILE_ID: "2\x1b[0m[red]"}, "--by", "ann").output
    assert "1 answer differs from an earlier one of the same annotator" in conflict
    assert '"1" →' in conflict
    sheet = pl.read_csv(tmp_path / "run" / "labels" / "adjudication.csv")
    sheet.with_columns(response=pl.lit("z")).write_csv(tmp_path / "settled.csv")
    settled = annotate("import", "settled.csv", "--into", "run", "--adjudication").output
    assert "To settle" not in settled
    assert "did not come back" not in settled
    trusted = annotate("import", "settled.csv", "--into", "run", "--annotator", "bob", "--dry-run").output
    assert "Nothing was written (--dry-run)." in trusted


def test_status(annotate, pool):
    assert "holds no labels" in annotate("status", "run", code=2).output
    import_of(annotate, pool, {"b": "x"})
    shown = annotate("status", "run").output
    assert "4  prompts asked" in shown
    assert json.loads(annotate("status", "run", "--json").output)["counts"]["labelled"] == 1


def test_json_is_all_that_is_printed(annotate, pool):
    made = json.loads(annotate("export", pool, "--to", "hf", "--out", "x", "--json").output)
    assert made["files"] == ["data/train-00000-of-00001.parquet", "README.md"]
    imported = json.loads(import_of(annotate, pool, {"b": "x", HOSTILE_ID: "1"}, "--json").output)
    assert imported["counts"]["answered"] == 2
    assert imported["labels"]["counts"]["open"] == 2


def test_quiet_prints_nothing(annotate, pool):
    assert import_of(annotate, pool, {"b": "x"}, "-q").output == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "nothing.parquet", "--to", "csv", "--out", "x"], "nothing.parquet does not exist"),
        (["export", "pool.parquet", "--to", "word", "--out", "x"], "to is 'word'; allowed: label-studio"),
        (["import", "nothing.csv", "--into", "run", "--selection", "pool.parquet"], "does not exist"),
        (["import", "http://x", "--into", "run", "--selection", "pool.parquet"], "names no project"),
    ],
)
def test_mistakes_are_one_paragraph(annotate, pool, arguments, message):
    shown = annotate(*arguments, code=2).output
    assert message in " ".join(shown.split())
    assert "Traceback" not in shown
