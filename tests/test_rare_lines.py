"""Lines that hardly anything leads to, each led to once: what the measurement of coverage found untested."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from pathlib import Path

import polars as pl
import pytest

from tasksel.annotation.answer_files import find_export
from tasksel.annotation.assignment import read_assignment
from tasksel.endpoint_deadline import _DeadlineReader
from tasksel.file_places import refuse_overwriting
from tasksel.job.template import _check_holdout
from tasksel.polars_panics import panics_kept_quiet
from tasksel.pool import load_pool
from tasksel.pool_parquet_footer import _Thrift
from tasksel.providers import Answer
from tasksel.report.run_report import _evaluation_rows
from tasksel.run_folder import emptied_folder, read_json, write_json
from tasksel.run_folder_disk_errors import find_disk_error
from tasksel.synthesis.item_intake import ItemIntake
from tasksel.synthesis.items import ItemCheck
from tasksel.synthesis.records import read_all_records
from tasksel.terminal_job import _duration
from tasksel_core.errors import AnnotationError, ConfigError, ResumeError, SchemaError


def test_an_export_of_another_stage_is_none(tmp_path):
    write_json(tmp_path / "export.json", {"format_version": 1, "stage": "select"})
    assert find_export(tmp_path) is None


@pytest.mark.parametrize("column", ["id", "generation"])
def test_suggestions_that_are_no_text_are_refused(tmp_path, column):
    pool, scores = tmp_path / "pool.jsonl", tmp_path / "scores.parquet"
    pool.write_text('{"id": "a", "prompt": "p"}\n')
    given = pl.DataFrame({"id": ["a"], "generation": ["x"]}).with_columns(pl.lit([1]).alias(column))
    given.write_parquet(scores)
    with pytest.raises(SchemaError, match=rf"column '{column}' is List\(Int64\); text is needed"):
        read_assignment(pool, scores=str(scores))


@pytest.mark.parametrize("left_s", [-1.0, 60.0])
def test_a_reply_that_is_read_after_its_moment_is_late(left_s):
    here, there = socket.socketpair()
    with here, there, here.makefile("rb", buffering=0) as raw:
        there.sendall(b"here")
        reader = _DeadlineReader(raw, here, time.monotonic() + left_s)
        if left_s > 0:
            assert reader.readinto(bytearray(4)) == 4
        else:
            with pytest.raises(TimeoutError, match="takes too long"):
                reader.readinto(bytearray(4))


def test_a_name_with_nul_is_no_place_that_is_written(tmp_path):
    refuse_overwriting([tmp_path / "out.csv"], ["in\0put.csv"])


def test_held_out_prompts_without_answers_are_refused(tmp_path):
    path = tmp_path / "holdout.jsonl"
    path.write_text('{"prompt": "p", "response": "r"}\n{"prompt": "q", "response": null}\n')
    with pytest.raises(AnnotationError, match="the held-out pool, has 1 of 2 rows unanswered"):
        _check_holdout(path)


def test_what_is_printed_beside_no_panic_is_printed(capfd):
    with panics_kept_quiet():
        os.write(2, b"a word of another library\n")
    assert capfd.readouterr().err == "a word of another library\n"


def test_json_whose_objects_have_keys_of_their_own_each_is_refused(tmp_path):
    path = tmp_path / "pool.json"
    path.write_text(json.dumps([{f"key {number}": 1} for number in range(3_200)]))
    with pytest.raises(SchemaError, match="with 3,200 different keys, most of which few rows have"):
        load_pool(path)


def test_objects_with_very_many_keys_are_kept_as_text(tmp_path):
    path = tmp_path / "pool.json"
    rows = [{"prompt": f"p{row}", "x": {f"{row} {key}": 1 for key in range(2_000)}} for row in range(3)]
    path.write_text(json.dumps(rows))
    pool = load_pool(path)
    assert pool.frame["x"].dtype == pl.String
    assert "very many keys are kept as JSON text in: 'x'" in pool.notes[0]


def test_an_encrypted_footer_is_named(tmp_path):
    path = tmp_path / "pool.parquet"
    path.write_bytes(b"PAR1" + bytes(20) + b"PARE")
    with pytest.raises(SchemaError, match="has an encrypted footer"):
        load_pool(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1c" * 200 + b"\0" * 200, "nested too deeply"),
        (b"\x19\xf5\xff\xff\x03\0", "items"),
        (b"\x16" + b"\xff" * 12, "more than 64 bits"),
        (b"\x18\x7f", "bytes"),
        (b"\x1b\0", "type 11"),
    ],
)
def test_a_footer_that_is_none_is_an_error(content, said):
    with pytest.raises(ValueError, match=said):
        _Thrift(content).struct()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_in_the_place_of_json_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(ResumeError, match="is not a regular file; delete it or restore it"):
        read_json(tmp_path / "manifest.json")


def test_a_folder_whose_making_fails_is_gone(tmp_path):
    def make():
        with emptied_folder(tmp_path / "new", tmp_path / "final"):
            (tmp_path / "new" / "half").write_text("x")
            raise ConfigError("no")

    with pytest.raises(ConfigError):
        make()
    assert not list(tmp_path.iterdir())


def test_torch_says_of_a_full_disk_that_a_writer_failed():
    found = find_disk_error(RuntimeError("PytorchStreamWriter failed writing file data/0"), Path("state.pt"))
    assert found is not None
    assert (found.filename, found.errno) == ("state.pt", None)
    assert find_disk_error(OSError(28, "full"), Path("state.pt")) is None


def test_edge_records_of_other_types_are_refused(tmp_path):
    texts = ("id", "plan_id", "task", "prompt", "response", "edge", "item")
    frame = pl.DataFrame({name: ["x"] for name in texts})
    for folder, tone in (("generation", pl.lit([1])), ("edge", pl.lit("calm"))):
        (tmp_path / folder).mkdir()
        frame.with_columns(tone.alias("tone")).write_parquet(tmp_path / folder / "records.parquet")
    with pytest.raises(ResumeError, match="has other types than the records that were generated"):
        read_all_records(tmp_path)


def test_a_chart_that_a_notebook_shows_as_a_picture_is_left_as_it_is(monkeypatch):
    altair = pytest.importorskip("altair", reason="the extra plots is not installed")
    from tasksel.charts import _EscapedInNotebooks

    class Shown(_EscapedInNotebooks, altair.Chart):
        pass

    chart = Shown(pl.DataFrame({"a": [1]})).mark_point().encode(x="a:Q")
    bundle = {"image/png": io.BytesIO().getvalue()}
    monkeypatch.setattr(altair.Chart, "_repr_mimebundle_", lambda *_, **__: bundle)
    assert chart._repr_mimebundle_() is bundle


def test_a_report_of_another_program_is_no_evaluation(tmp_path):
    (tmp_path / "lint").mkdir()
    write_json(tmp_path / "lint" / "report.json", {"errors": 3})
    write_json(tmp_path / "lint" / "manifest.json", {"name": "lint"})
    assert _evaluation_rows(tmp_path) == []


def test_no_item_is_taken_from_what_is_no_reply():
    assert ItemIntake.adopt(None, [], "key", Answer(None, "refused")) is None


def test_a_number_past_what_a_schema_can_be_checked_for_is_a_problem():
    check = ItemCheck({"type": "object", "properties": {"n": {"multipleOf": 0.5}}})
    assert check.find_problem({"n": 10**400}) == "it holds a number or a nesting past what can be checked"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "< 1 s"), (59.0, "59 s"), (90.0, "2 min"), (7_200.0, "2.0 h")]
)
def test_durations_of_stages(seconds, shown):
    assert _duration(seconds) == shown
