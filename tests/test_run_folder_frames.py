from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tasksel.json_shapes import NUMBER, NUMBER_OR_NULL, TEXT_OR_NULL
from tasksel.run_folder_frames import check_columns, read_frame, stack_frames, write_frame
from tasksel_core.errors import ResumeError, SchemaError

PATH = Path("run/rows.parquet")


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pl.Series(["a", "b"]), str),
        (pl.Series(["a", "b"], dtype=pl.Categorical), str),
        (pl.Series(["a", None]), TEXT_OR_NULL),
        (pl.Series([None, None]), TEXT_OR_NULL),
        (pl.Series([1, 2], dtype=pl.UInt8), int),
        (pl.Series([1, 2]), NUMBER),
        (pl.Series([1.5, None], dtype=pl.Float32), NUMBER_OR_NULL),
        (pl.Series([True, False]), bool),
        (pl.Series([True, False]), (NUMBER, bool)),
        (pl.Series([["a"], []]), [str]),
        (pl.Series([[1.0], []]), [NUMBER]),
        (pl.Series([[], []]), [NUMBER]),
        (pl.Series([], dtype=pl.String), str),
    ],
)
def test_columns_that_are_as_they_should_be(column, kind):
    check_columns(pl.DataFrame({"c": column, "unknown": [None] * len(column)}), {"c": kind}, PATH)


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [
        (pl.Series([1]), str, "column 'c' is of type Int64, where text stands"),
        (pl.Series(["a", None]), str, "column 'c' has nulls, where text stands"),
        (pl.Series([None]), int, "column 'c' has nulls, where a whole number stands"),
        (pl.Series([b"a"]), TEXT_OR_NULL, "column 'c' is of type Binary, where text or null stands"),
        (pl.Series([1.0]), int, "column 'c' is of type Float64, where a whole number stands"),
        (pl.Series([True]), NUMBER, "column 'c' is of type Boolean, where a number stands"),
        (pl.Series([1]), bool, "column 'c' is of type Int64, where true or false stands"),
        (pl.Series([[1]]), [str], "column 'c' is of type List(Int64), where a list stands"),
        (pl.Series(["a"]), [str], "column 'c' is of type String, where a list stands"),
    ],
)
def test_columns_that_are_otherwise_are_refused_by_name(column, kind, said):
    with pytest.raises(ResumeError) as raised:
        check_columns(pl.DataFrame({"c": column}), {"c": kind}, PATH)
    expected = f"run/rows.parquet is not as tasksel wrote it: {said}; restore it, or make it anew."
    assert str(raised.value) == expected
    check_columns(pl.DataFrame({"other": [1]}), {"c?": kind}, PATH)
    with pytest.raises(ResumeError, match="column 'c' is missing"):
        check_columns(pl.DataFrame({"other": [1]}), {"c": kind}, PATH)


def test_a_frame_is_read_with_its_texts_as_texts(tmp_path):
    path = tmp_path / "rows.parquet"
    write_frame(path, pl.DataFrame({"id": ["a"], "task": [None], "other": [None]}))
    shape = {"id": str, "task": TEXT_OR_NULL, "gone?": TEXT_OR_NULL}
    assert read_frame(path, shape).schema == {"id": pl.String, "task": pl.String, "other": pl.Null}


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"PAR1 PAR1", b"x" * 100])
def test_a_frame_that_cannot_be_read(tmp_path, raw):
    path = tmp_path / "rows.parquet"
    path.write_bytes(raw)
    with pytest.raises(ResumeError, match=r"rows\.parquet cannot be read \(.+\); restore it"):
        read_frame(path, {"id": str})


def test_frames_that_have_grown_apart_are_stacked():
    before, after = pl.DataFrame({"id": ["a"], "n": [1]}), pl.DataFrame({"id": ["b"], "n": [0.5], "m": ["x"]})
    stacked = stack_frames(before, after, "in what was asked before")
    assert stacked.to_dict(as_series=False) == {"id": ["a", "b"], "n": [1.0, 0.5], "m": [None, "x"]}


def test_columns_that_do_not_go_together_are_named():
    before, after = pl.DataFrame({"id": ["a"], "n": [1]}), pl.DataFrame({"id": ["b"], "n": [[1]]})
    with pytest.raises(SchemaError) as raised:
        stack_frames(before, after, "in what was asked before")
    assert str(raised.value) == (
        "Column 'n' is of type List(Int64), and in what was asked before of type Int64; no type holds both. "
        "Leave the column out of the pool, or choose another run folder."
    )


def test_no_more_than_what_is_wanted_is_read(tmp_path):
    path = tmp_path / "rows.parquet"
    write_frame(path, pl.DataFrame({"id": ["a"], "prompt": ["p"]}))
    assert read_frame(path, {"id": str}, is_all=True).columns == ["id"]
    with pytest.raises(ResumeError, match=r"rows\.parquet cannot be read \(.*task"):
        read_frame(path, {"task": str}, is_all=True)
