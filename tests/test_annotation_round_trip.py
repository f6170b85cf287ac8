"""Out to every tool and back: the same prompts, the same answers, whatever stands in them."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tasksel
from annotation_tools import FORMATS, answer_all
from tasksel.csv_cells import defused, undefused

HOSTILE = [
    '=HYPERLINK("http://example.org","x")\r\n\x00 and "quotes", commas; semicolons\t',
    "'=1+1",
    "''@SUM(A1)",
    "\t-2",
    "\r",
    "  outer white space  \n",
    "<b>$task</b> {{prompt}} & &amp; ]]>",
    "a\u2028b\u2029c\x85d\ufeff\U0001f980\u202e",
    "../../etc/passwd",
    '{"id": "x"}',
    "x" * 26_000,
    "\x1b[31mred\x1b[0m",
    "NULL",
    "007",
    "",
]
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(HOSTILE)
said = texts.filter(str.strip)


def round_trip(folder, to, prompts, answers):
    pool = folder / "pool.parquet"
    ids = [f"p{number}" for number in range(len(prompts))]
    pl.DataFrame({"id": ids, "task": ["t"] * len(ids), "prompt": prompts}).write_parquet(pool)
    tasksel.export_annotation(pool, to=to, out=folder / "out")
    by_id = dict(zip(ids, answers, strict=True))
    back = answer_all(folder / "out", to, by_id)
    return tasksel.import_labels(back, into=folder / "run", selection=pool), by_id


@pytest.mark.parametrize("to", FORMATS)
@given(pairs=st.lists(st.tuples(texts, said | st.none()), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives(to, pairs, tmp_path):
    folder = tmp_path / to
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    prompts, answers = [prompt for prompt, _ in pairs], [answer for _, answer in pairs]
    summary, by_id = round_trip(folder, to, prompts, answers)
    assert [each for each in summary.problems if each.kind != "missing"] == []
    frame = summary.labels.frame
    assert dict(frame.select("id", "response").iter_rows()) == {
        k: v for k, v in by_id.items() if v is not None
    }
    assert summary.labels.prompts["prompt"].to_list() == prompts


@pytest.mark.parametrize("to", FORMATS)
def test_hostile_texts_survive(to, tmp_path):
    answers = [text if text.strip() else "blank" for text in reversed(HOSTILE)]
    summary, by_id = round_trip(tmp_path, to, HOSTILE, answers)
    assert summary.problems == ()
    assert dict(summary.labels.frame.select("id", "response").iter_rows()) == by_id


@given(texts)
def test_taking_the_apostrophe_away_is_the_way_back(text):
    assert undefused(defused(text)) == text
    assert not defused(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("text", ["plain", "'tis", "it's -1", "1-1", " =x", "''quoted''", ""])
def test_harmless_texts_are_not_touched(text):
    assert defused(text) == text == undefused(text)


def test_other_readers_of_csv_see_the_same_rows(tmp_path):
    """Python's own parser, which a person may well use, agrees on every field."""
    prompts = [text for text in HOSTILE if "\0" not in text]
    pl.DataFrame({"prompt": prompts}).write_parquet(tmp_path / "pool.parquet")
    tasksel.export_annotation(tmp_path / "pool.parquet", to="csv", out=tmp_path / "out", bom=True)
    raw = (tmp_path / "out" / "answers.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [undefused(row["prompt"]) for row in rows] == prompts
    cells = [cell for row in rows for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


@pytest.fixture
def sheet(tmp_path):
    """A sheet of twenty prompts, answered, as rows of a CSV file."""
    prompts = [f"Question {number}, with a comma" for number in range(20)]
    frame = pl.DataFrame({"id": [f"{number:03}" for number in range(20)], "prompt": prompts})
    frame.write_parquet(tmp_path / "pool.parquet")
    tasksel.export_annotation(tmp_path / "pool.parquet", to="csv", out=tmp_path / "out")
    text = (tmp_path / "out" / "answers.csv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for number, row in enumerate(rows):
        row["response"] = f"answer {number}"
    return rows


def write_sheet(path, rows, **options):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), **options)
        writer.writeheader()
        writer.writerows(rows)
    return path


def import_sheet(folder, rows, name="sheet.csv", **options):
    path = write_sheet(folder / name, rows, **options)
    return tasksel.import_labels(path, into=folder / "run", selection=folder / "pool.parquet")


def answers_of(summary):
    return dict(summary.labels.frame.select("id", "response").iter_rows())


def test_order_of_rows_and_further_columns_do_not_matter(sheet, tmp_path):
    expected = {row["id"]: row["response"] for row in sheet}
    random.Random(0).shuffle(sheet)
    changed = [{"checked by": "me", **row, "seconds": "12"} for row in sheet]
    assert answers_of(import_sheet(tmp_path, changed)) == expected


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_a_spreadsheet_may_save_with_another_separator(sheet, separator, tmp_path):
    summary = import_sheet(tmp_path, sheet, delimiter=separator, quoting=csv.QUOTE_MINIMAL)
    assert len(answers_of(summary)) == 20
    assert summary.problems == ()


def test_names_of_columns_may_differ_in_case_and_space(sheet, tmp_path):
    changed = [{f" {name.upper()} ": cell for name, cell in row.items()} for row in sheet]
    assert len(answers_of(import_sheet(tmp_path, changed))) == 20


def test_ids_that_a_spreadsheet_took_for_numbers_are_found_by_the_prompt(sheet, tmp_path):
    changed = [{**row, "id": str(int(row["id"]))} for row in sheet]
    summary = import_sheet(tmp_path, changed)
    assert answers_of(summary) == {row["id"]: row["response"] for row in sheet}
    assert [each.kind for each in summary.problems] == ["recovered"]


def test_a_folder_that_is_handed_back_whole_is_read(sheet, tmp_path):
    write_sheet(tmp_path / "out" / "answers.csv", sheet)
    summary = tasksel.import_labels(
        tmp_path / "out", into=tmp_path / "run", selection=tmp_path / "pool.parquet"
    )
    assert summary.counts["answered"] == 20


def test_a_folder_of_datasets_is_read(tmp_path):
    """As `load_dataset` and `save_to_disk` of Hugging Face's datasets leave them."""
    pool = tmp_path / "pool.parquet"
    pl.DataFrame({"id": ["a", "b"], "prompt": HOSTILE[:2]}).write_parquet(pool)
    tasksel.export_annotation(pool, to="hf", out=tmp_path / "out", title="x: [y]\n---")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert card.startswith("---\nconfigs:\n- config_name: default\n")
    assert card.count("\n---\n") == 1
    frame = pl.read_parquet(tmp_path / "out" / "data" / "*.parquet").with_columns(response=pl.lit("yes"))
    saved = tmp_path / "saved"
    saved.mkdir()
    frame.write_ipc_stream(saved / "data-00000-of-00001.arrow", compat_level=pl.CompatLevel.oldest())
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../../elsewhere.arrow"}]}))
    summary = tasksel.import_labels(saved, into=tmp_path / "run", selection=pool)
    assert summary.counts["answered"] == 2
    assert summary.labels.frame["prompt"].to_list() == HOSTILE[:2]


def test_nothing_is_written_outside_of_the_folders(tmp_path):
    """Names inside files never become paths, whatever they say."""
    before = set(tmp_path.rglob("*"))
    inner = tmp_path / "inner"
    inner.mkdir()
    pool = inner / "pool.parquet"
    pl.DataFrame({"id": ["../../up", "/abs"], "prompt": ["x", "y"]}).write_parquet(pool)
    for to in FORMATS:
        tasksel.export_annotation(pool, to=to, out=inner / to, title="../../title")
        back = answer_all(
            inner / to, to, {"../../up": "1"}, annotator="../../name" if to != "label-studio" else 7
        )
        tasksel.import_labels(back, into=inner / "run", selection=pool)
    assert {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - before} == {"inner"}
    assert {path.name for path in Path(inner / "run" / "labels").iterdir()} >= {"imports", "manifest.json"}
