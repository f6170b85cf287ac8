from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasksel import pool_ids
from tasksel.pool import load_pool, read_pool, scan_pool
from tasksel_core.errors import ConfigError, SchemaError

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[1].parent / "shared" / "data"

HOSTILE_TEXTS = [
    "plain",
    "",
    " white \t space ",
    "line\nline",
    "windows\r\nline",
    "old mac\rline",
    "ends with CR\r",
    "\rstarts with CR",
    "\x00NUL\x00",
    "bell\x07 escape\x1b[31m delete\x7f",
    "line separator\u2028 paragraph\u2029 next line\x85 file separator\x1c",
    "astral 😀 \U0001d518 🏴‍☠️",
    "combining e\u0301, right to left \u202eabc, zero width \u200b, BOM \ufeff",
    '"quoted" \'and\' """more"""',
    'comma, and "quote"',
    '"',
    "back\\slash \\n \\u0041 \\ud800",
    "{} {0} %s $x",
    "007",
    "1e3",
    "NaN",
    "null",
    "true",
    "2024-01-01",
    "x" * 26_253,
]


def user(content: str | None) -> dict[str, str | None]:
    return {"role": "user", "content": content}


def assistant(content: str | None) -> dict[str, str | None]:
    return {"role": "assistant", "content": content}


def system(content: str | None) -> dict[str, str | None]:
    return {"role": "system", "content": content}


def write(frame: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix in {".jsonl", ".ndjson"}:
        frame.write_ndjson(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(frame.to_dicts(), ensure_ascii=False), encoding="utf-8")
    else:
        frame.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path


def prompts(source: object) -> list[str]:
    return read_pool(source)["prompt"].to_list()


# --- Shapes -----------------------------------------------------------------------------------------


def test_own_shape_keeps_every_other_column_to_the_end_and_in_order():
    frame = pl.DataFrame(
        {"cost": [0.5], "response": ["r"], "tags": [["x", "y"]], "prompt": ["p"], "task": ["t"], "id": ["i"]}
    )
    pool = load_pool(frame)
    assert pool.shape == "tasksel"
    assert pool.frame.columns == ["id", "task", "prompt", "response", "cost", "tags"]
    assert pool.frame.row(0) == ("i", "t", "p", "r", 0.5, ["x", "y"])


def test_canonical_columns_are_absent_where_the_pool_has_none():
    assert read_pool(pl.DataFrame({"prompt": ["p"]})).columns == ["id", "prompt"]


@pytest.mark.parametrize(
    ("columns", "shape", "prompt", "response"),
    [
        ({"prompt": ["p"]}, "tasksel", "p", None),
        ({"prompt": ["p"], "completion": ["c"]}, "prompt-completion", "p", "c"),
        ({"prompt": ["p"], "completion": ["c"], "response": ["r"]}, "tasksel", "p", "r"),
        ({"messages": [[user("p"), assistant("r")]]}, "messages", "p", "r"),
        (
            {"conversations": [[{"from": "human", "value": "p"}, {"from": "gpt", "value": "r"}]]},
            "sharegpt",
            "p",
            "r",
        ),
        ({"conversations": [[user("p"), assistant("r")]]}, "sharegpt", "p", "r"),
        ({"instruction": ["p"], "input": ["x"], "output": ["r"]}, "alpaca", "p\n\nx", "r"),
        ({"instruction": ["p"], "input": [""], "output": ["r"]}, "alpaca", "p", "r"),
        ({"instruction": ["p"]}, "alpaca", "p", None),
        ({"instruction": ["p"], "input": ["x"]}, "alpaca", "p\n\nx", None),
        (
            {"instruction": ["p"], "context": ["x"], "response": ["r"], "category": ["c"]},
            "dolly",
            "p\n\nx",
            "r",
        ),
        ({"instruction": ["p"], "context": ["x"], "category": ["c"]}, "dolly", "p\n\nx", None),
        ({"instruction": ["p"], "context": ["x"], "output": ["r"]}, "alpaca", "p\n\nx", "r"),
        ({"instruction": ["p"], "response": ["r"]}, "dolly", "p", "r"),
    ],
)
def test_shapes_are_recognised_by_their_columns(columns, shape, prompt, response):
    pool = load_pool(pl.DataFrame(columns))
    row = pool.frame.row(0, named=True)
    assert (pool.shape, row["prompt"], row.get("response")) == (shape, prompt, response)
    assert set(columns) <= set(pool.frame.columns)


@pytest.mark.parametrize("other", ["messages", "conversations", "instruction"])
def test_a_prompt_column_goes_before_any_other_shape(other):
    frame = pl.DataFrame({other: ["not what it seems"], "prompt": ["p"]})
    assert load_pool(frame).shape == "tasksel"


def test_dolly_categories_are_tasks_unless_there_are_tasks():
    frame = pl.DataFrame({"instruction": ["i"], "context": [""], "response": ["r"], "category": ["c"]})
    assert read_pool(frame)["task"].to_list() == ["c"]
    assert read_pool(frame.with_columns(task=pl.lit("t")))["task"].to_list() == ["t"]


@pytest.mark.parametrize(
    ("instruction", "context", "prompt"),
    [
        ("i", "c", "i\n\nc"),
        ("i", "", "i"),
        ("i", None, "i"),
        ("", "c", "c"),
        (None, "c", "c"),
        (None, None, ""),
        (" i \n", " ", " i \n\n\n "),
    ],
)
def test_instruction_and_context_stand_apart_by_a_blank_line(instruction, context, prompt):
    schema = {"instruction": pl.String, "context": pl.String}
    assert prompts(pl.DataFrame({"instruction": [instruction], "context": [context]}, schema=schema)) == [
        prompt
    ]


@pytest.mark.parametrize(
    ("messages", "prompt", "response"),
    [
        ([user("u"), assistant("a")], "u", "a"),
        ([user("u")], "u", None),
        ([system("s"), user("u"), assistant("a")], "System: s\n\nUser: u", "a"),
        ([user("u"), assistant("a"), user("v")], "User: u\n\nAssistant: a\n\nUser: v", None),
        ([user("u"), assistant("a"), user("v"), assistant("b")], "User: u\n\nAssistant: a\n\nUser: v", "b"),
        ([assistant("a")], "", "a"),
        ([], "", None),
        (None, "", None),
        ([user(None)], "", None),
        ([user("u"), assistant(None)], "u", None),
        ([system("s"), user(None)], "System: s\n\nUser: ", None),
        ([{"role": None, "content": "x"}, user("u")], "Unknown: x\n\nUser: u", None),
        ([{"role": "tool", "content": "x"}], "Tool: x", None),
    ],
)
def test_messages_before_the_final_answer_are_the_prompt(messages, prompt, response):
    dtype = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
    frame = pl.DataFrame({"messages": pl.Series([messages], dtype=dtype)})
    row = read_pool(frame).row(0, named=True)
    assert (row["prompt"], row["response"]) == (prompt, response)
    assert row["messages"] == messages


def test_sharegpt_roles_read_like_those_of_messages():
    turns = [("system", "s"), ("human", "h"), ("gpt", "g"), ("Human", "i"), ("gpt", "last")]
    frame = pl.DataFrame({"conversations": [[{"from": who, "value": text} for who, text in turns]]})
    row = read_pool(frame).row(0, named=True)
    assert row["prompt"] == "System: s\n\nUser: h\n\nAssistant: g\n\nUser: i"
    assert row["response"] == "last"


def test_messages_without_a_text_in_any_part_are_empty():
    part = pl.Struct({"role": pl.String, "content": pl.List(pl.Struct({"text": pl.String}))})
    given = [[{"role": "user", "content": [{"text": None}]}, None], [None, {"role": "GPT", "content": []}]]
    frame = pl.DataFrame({"prompt": [*given, [], [None]]}, schema={"prompt": pl.List(part)})
    prompts = load_pool(frame).frame["prompt"].to_list()
    assert prompts == ["User: \n\nUnknown: ", "Unknown: \n\nAssistant: ", "", "Unknown: "]


@pytest.mark.parametrize("text", [1, 1.5, True, {"a": 1}, [1]], ids=str)
def test_parts_whose_text_is_none_are_refused(text):
    frame = pl.DataFrame({"prompt": [[{"role": "user", "content": [{"text": text}]}]]})
    with pytest.raises(SchemaError, match="a list of parts with a field 'text' of text"):
        load_pool(frame)


def test_texts_of_message_parts_are_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "image", "text": None}, {"type": "text", "text": "b"}]
    frame = pl.DataFrame({"messages": [[{"role": "user", "content": parts}]]})
    assert prompts(frame) == ["a\nb"]


def test_conversational_prompt_and_completion_keep_the_messages():
    frame = pl.DataFrame(
        {"prompt": [[system("s"), user("u")], [user("v")]], "completion": [[assistant("a")]] * 2}
    )
    pool = load_pool(frame)
    assert pool.shape == "prompt-completion"
    assert pool.frame["prompt"].to_list() == ["System: s\n\nUser: u", "v"]
    assert pool.frame["response"].to_list() == ["a", "a"]
    assert pool.frame["original_prompt"].to_list() == frame["prompt"].to_list()
    assert any("original_prompt" in note for note in pool.notes)


def test_a_column_of_a_canonical_name_and_another_meaning_is_kept_under_a_clear_name():
    frame = pl.DataFrame({"messages": [[user("u")]], "response": ["mine"], "original_response": ["taken"]})
    row = read_pool(frame).row(0, named=True)
    assert (row["response"], row["original_response"], row["original_response_"]) == (None, "taken", "mine")


def test_column_names_that_polars_reads_as_patterns_are_taken_literally():
    frame = pl.DataFrame({"prompt": ["p"], "^p.*$": [1], "*": [2], "": [3]})
    assert read_pool(frame, task_column="^p.*$", id_column="*").row(0) == ("2", "1", "p", 1, 2, 3)


# --- Ids and tasks ----------------------------------------------------------------------------------


def test_missing_ids_are_hashes_of_the_prompt_and_repeats_are_counted():
    ids = read_pool(pl.DataFrame({"prompt": ["a", "b", "a", "a"]}))["id"].to_list()
    stem = hashlib.sha256(b"a").hexdigest()[:16]
    assert ids == [stem, hashlib.sha256(b"b").hexdigest()[:16], f"{stem}-2", f"{stem}-3"]


def test_hashed_ids_do_not_change_when_the_answers_come_in_or_the_rows_move():
    before = pl.DataFrame({"prompt": ["a", "b", "c"]})
    after = pl.DataFrame({"prompt": ["c", "a", "b"], "response": ["x", "y", "z"], "task": ["t", "t", "u"]})
    ids = dict(read_pool(before).select("prompt", "id").iter_rows())
    assert dict(read_pool(after).select("prompt", "id").iter_rows()) == ids


def test_null_and_empty_ids_are_filled_around_the_given_ones():
    stem = hashlib.sha256(b"a").hexdigest()[:16]
    frame = pl.DataFrame({"id": [None, "x", "", stem, f"{stem}-3", None], "prompt": ["a"] * 6})
    assert read_pool(frame)["id"].to_list() == [f"{stem}-2", "x", f"{stem}-4", stem, f"{stem}-3", f"{stem}-5"]
    assert "3 rows have no id; content hashes of the prompts are used there." in load_pool(frame).notes


def naive_ids(prompts, given):
    """Number the hashes row by row, with a table of all of them."""
    taken, counts, ids = {each for each in given if each}, {}, []
    for prompt, identifier in zip(prompts, given, strict=True):
        stem = hashlib.sha256(prompt.encode()).hexdigest()[:16]
        if not identifier:
            count = counts.get(stem, 0) + 1
            while (identifier := stem if count == 1 else f"{stem}-{count}") in taken:
                count += 1
            counts[stem] = count
        ids.append(identifier)
    return ids


MADE_IDS = [hashlib.sha256(b"a").hexdigest()[:16] + end for end in ("", "-2", "-3", "-x", "-5")]


@given(data=st.data(), prompts=st.lists(st.sampled_from("abé"), min_size=1))
def test_ids_are_filled_as_row_by_row_and_whatever_the_blocks(data, prompts):
    own = data.draw(st.lists(st.sampled_from(["x", *MADE_IDS]), max_size=len(prompts), unique=True))
    missing = data.draw(st.lists(st.sampled_from([None, ""]), min_size=len(prompts), max_size=len(prompts)))
    ids = data.draw(st.permutations([*own, *missing][: len(prompts)]))
    frame = pl.DataFrame({"id": ids, "prompt": prompts}, schema={"id": pl.String, "prompt": pl.String})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_ids, "_BLOCK_ROWS", 3)
        assert read_pool(frame)["id"].to_list() == naive_ids(prompts, ids)
        assert read_pool(frame.drop("id"))["id"].to_list() == naive_ids(prompts, [None] * len(prompts))


def test_the_hash_of_columns_stands_for_years_and_whatever_the_blocks(monkeypatch):
    frame = pl.DataFrame({"prompt": ["ab", "", None, "é"], "task": ["t"] * 4})
    for rows in (1, 3, 65_536):
        monkeypatch.setattr(pool_ids, "_BLOCK_ROWS", rows)
        assert pool_ids.columns_sha256(frame, ("id", "task", "prompt")) == (
            "d85460dc35b2e941a5a5fe7f4cb063eaf18633e9a192601322a295109ed96ad6"
        )


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Int128, pl.Categorical, pl.String])
def test_ids_become_text(dtype):
    frame = pl.DataFrame({"id": pl.Series(["3", "1", "2"]).cast(dtype), "prompt": ["a", "b", "c"]})
    assert read_pool(frame)["id"].to_list() == ["3", "1", "2"]


@pytest.mark.parametrize("lazy", [False, True])
def test_repeated_ids_are_refused_with_their_rows(lazy):
    frame = pl.DataFrame({"id": [4, 5, 6, 5, 4, 4], "prompt": ["p"] * 6})
    message = r"id '4' stands in rows 1 and 5, and 1 more ids repeat; .* --id-column"
    with pytest.raises(SchemaError, match=message):
        scan_pool(frame).collect() if lazy else read_pool(frame)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pl.Series([1, 2]), ["1", "2"]),
        (pl.Series([True, False]), ["true", "false"]),
        (pl.Series(["x", "y"], dtype=pl.Categorical), ["x", "y"]),
        (pl.Series(["x", "y"], dtype=pl.Enum(["y", "x"])), ["x", "y"]),
        (pl.Series([1.0, float("nan")]), ["1.0", "(no task)"]),
        (pl.Series([None, None]), ["(no task)", "(no task)"]),
        (pl.Series(["", "x"]), ["(no task)", "x"]),
        (pl.Series([dt.date(2024, 1, 2), None]), ["2024-01-02", "(no task)"]),
    ],
)
def test_tasks_become_text(values, names):
    frame = pl.DataFrame({"prompt": ["a", "b"], "task": values})
    assert read_pool(frame)["task"].to_list() == names
    assert read_pool(frame).schema["task"] == pl.String


def test_named_columns_take_the_place_of_those_of_the_shape():
    frame = pl.DataFrame(
        {"id": [1, 2], "task": ["t", "t"], "prompt": ["a", "b"], "uid": [8, 9], "label": ["x", None]}
    )
    pool = load_pool(frame, task_column="label", id_column="uid")
    assert pool.frame.columns == ["id", "task", "prompt", "original_id", "original_task", "uid", "label"]
    assert pool.frame["id"].to_list() == ["8", "9"]
    assert pool.frame["task"].to_list() == ["x", "(no task)"]
    assert pool.frame["original_id"].to_list() == [1, 2]
    assert pool.frame["label"].to_list() == ["x", None]


def test_one_column_can_be_both_id_and_task():
    frame = pl.DataFrame({"prompt": ["a", "b"], "task": ["x", "y"]})
    assert read_pool(frame, id_column="task").rows() == [("x", "x", "a"), ("y", "y", "b")]


# --- Notes, hash, kinds of source -------------------------------------------------------------------


def test_an_ordinary_pool_needs_no_note():
    frame = pl.DataFrame({"id": list("abcd"), "task": ["t", "t", "u", "u"], "prompt": ["1", "2", "3", "4"]})
    assert load_pool(frame).notes == ()


def test_notes_name_what_real_data_does():
    frame = pl.DataFrame(
        {
            "id": [str(number) for number in range(9)],
            "task": ["QA", "qa", "qa", None, "long", "long", "u", "u", "QA"],
            "prompt": [
                "same",
                "same",
                "same",
                None,
                "",
                "x" * 20_001,
                "a\x00b",
                "tab\tand\r\nline",
                "bell\x07",
            ],
            "response": ["1", "2", "2", "x", "y", "z", "a", "b", None],
        }
    )
    assert load_pool(frame).notes == (
        "1 row has no task; '(no task)' is used there.",
        "1 task has a single row.",
        "Tasks whose names differ only in case are kept apart: 'QA' / 'qa'.",
        "2 prompts are empty (1 of them null) and can still be selected.",
        "3 rows repeat the prompt of an earlier row, 2 of them with another response.",
        "1 prompt is longer than 20,000 characters (the longest has 20,001).",
        "2 prompts hold control characters (NUL in 1); they are kept as they are.",
    )


def test_a_pool_is_returned_as_it_is():
    pool = load_pool(pl.DataFrame({"prompt": ["a"]}))
    assert load_pool(pool) is pool
    assert read_pool(pool) is pool.frame
    assert scan_pool(pool).collect().equals(pool.frame)
    with pytest.raises(ConfigError, match="read already"):
        load_pool(pool, task_column="prompt")


def test_a_frame_and_a_lazy_frame_give_the_same_pool():
    frame = pl.DataFrame({"prompt": ["a", "a"], "x": [1, 2]})
    eager, lazy = load_pool(frame), load_pool(frame.lazy())
    assert lazy.frame.equals(eager.frame)
    assert (lazy.shape, lazy.name, lazy.sha256, lazy.notes) == (
        eager.shape,
        "<frame>",
        eager.sha256,
        eager.notes,
    )


def test_pools_compare_by_identity_and_can_be_keys():
    pool, other = load_pool(pl.DataFrame({"prompt": ["a"]})), load_pool(pl.DataFrame({"prompt": ["a"]}))
    assert pool == pool
    assert pool != other
    assert len({pool, other}) == 2


@pytest.mark.parametrize("source", [None, 3, b"pool.csv", ["a"], {"prompt": ["a"]}])
def test_another_kind_of_source_is_refused(source):
    with pytest.raises(ConfigError, match="allowed are a path, a polars DataFrame or LazyFrame, and a Pool"):
        load_pool(source)


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_bytes(b'{"prompt": "a"}\n')
    pool = load_pool(path)
    assert pool.name == "pool.jsonl"
    assert pool.sha256 == hashlib.sha256(b'{"prompt": "a"}\n').hexdigest()


def test_the_hash_of_a_frame_is_that_of_its_content():
    frame = pl.DataFrame(
        {"prompt": [str(number) for number in range(100)], "n": range(100), "l": [["x"]] * 100}
    )
    hashed = load_pool(frame).sha256
    chunked = pl.concat([frame[:7], frame[7:]], rechunk=False)
    filtered = pl.concat([frame, frame]).with_row_index().filter(pl.col("index") < 100).drop("index")
    assert load_pool(chunked).sha256 == load_pool(filtered).sha256 == hashed
    assert load_pool(frame.reverse()).sha256 != hashed
    assert load_pool(frame.with_columns(pl.col("n").cast(pl.Int32))).sha256 != hashed
    assert load_pool(frame.rename({"n": "m"})).sha256 != hashed


def test_the_hash_of_a_frame_stands_for_years():
    frame = pl.DataFrame({"prompt": ["a\x00é😀", "b"], "cost": [0.1, None], "blob": [b"\xff", b""]})
    assert load_pool(frame).sha256 == "7487d6eaac06bba0e195189992373e6e58731c9f8009d32ef311481b736a345a"


def test_a_frame_with_python_objects_is_read():
    frame = pl.DataFrame({"prompt": ["a"], "what": pl.Series([object()], dtype=pl.Object)})
    assert load_pool(frame).sha256 == load_pool(frame.clone()).sha256


# --- Formats ----------------------------------------------------------------------------------------

ALL_SUFFIXES = ["parquet", "jsonl", "ndjson", "json", "csv", "tsv", "JSONL", "Csv"]


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_hostile_texts_survive_every_format(tmp_path, suffix):
    frame = pl.DataFrame(
        {"id": [f"row {n}" for n in range(len(HOSTILE_TEXTS))], "prompt": HOSTILE_TEXTS}
    ).with_columns(task=pl.lit("Tâche 😀"), response=pl.col("prompt").reverse(), n=pl.int_range(pl.len()))
    path = write(frame, tmp_path / f"pool.{suffix.lower()}").rename(tmp_path / f"pool.{suffix}")
    assert read_pool(path).equals(frame.select("id", "task", "prompt", "response", "n"))
    assert scan_pool(path).collect().equals(read_pool(path))


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_ascii_escapes_read_like_the_characters(tmp_path, suffix):
    rows = [{"prompt": text} for text in HOSTILE_TEXTS]
    path = tmp_path / f"pool.{suffix}"
    path.write_text(
        json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)), encoding="ascii"
    )
    assert prompts(path) == HOSTILE_TEXTS


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "json", "parquet"])
@pytest.mark.parametrize("name", ["a[1]*", "what?", "spaces and, commas", "{a,b}", "Zürich 😀"])
def test_any_file_name_is_taken_literally(tmp_path, suffix, name):
    (tmp_path / f"a1x.{suffix}").write_bytes(b"decoy")
    path = write(pl.DataFrame({"prompt": ["p"]}), tmp_path / f"{name}.{suffix}")
    assert prompts(path) == prompts(str(path)) == ["p"]
    assert scan_pool(path).collect()["prompt"].to_list() == ["p"]


def test_a_folder_that_looks_like_a_partition_adds_no_column(tmp_path):
    (tmp_path / "split=train").mkdir()
    path = write(pl.DataFrame({"prompt": ["p"]}), tmp_path / "split=train" / "pool.parquet")
    assert read_pool(path).columns == ["id", "prompt"]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_a_byte_order_mark_is_no_text(tmp_path, suffix):
    path = write(pl.DataFrame({"prompt": ["p"]}), tmp_path / f"pool.{suffix}")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert scan_pool(path).collect().equals(read_pool(path))
    assert prompts(path) == ["p"]


def test_blank_lines_and_crlf_in_json_lines_do_not_matter(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_bytes(b'\r\n{"prompt": "a"}\r\n\r\n  \n{"prompt": "b"}')
    assert prompts(path) == ["a", "b"]


def test_a_field_that_comes_late_is_kept(tmp_path):
    path = tmp_path / "pool.jsonl"
    lines = [json.dumps({"prompt": str(number)}) for number in range(5_000)]
    path.write_text("\n".join([*lines, '{"prompt": "last", "late": {"x": [1]}}']))
    frame = read_pool(path)
    assert frame["late"].to_list() == [None] * 5_000 + [{"x": [1]}]
    assert scan_pool(path).collect().equals(frame)


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_fields_of_objects_are_in_the_order_in_which_they_come_first(tmp_path, suffix):
    calls = [
        {"call": {"tool": "t", "rank": [0.5], "at": {"y": 1, "x": 1}}},
        {"call": {"rank": [1.0], "at": {"x": 2, "y": 2}, "tool": "u"}},
    ]
    rows = [{"prompt": str(number), "calls": calls} for number in range(1_000)]
    rows.append({"prompt": "last", "calls": [{"call": {"late": 1, "early": 2}}]})
    path = tmp_path / f"pool.{suffix}"
    path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    at = pl.Struct({"y": pl.Int64, "x": pl.Int64})
    fields = {"tool": pl.String, "rank": pl.List(pl.Float64), "at": at, "early": pl.Int64, "late": pl.Int64}
    for _ in range(10):  # Polars draws an order each time
        frame = read_pool(path)
        assert list(frame.schema["calls"].inner.fields[0].dtype.to_schema().items()) == list(fields.items())
        assert scan_pool(path).collect().equals(frame)
    call = frame["calls"][0].to_list()[1]["call"]
    assert call == {"tool": "u", "rank": [1.0], "at": {"y": 2, "x": 2}, "early": None, "late": None}


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_a_field_of_mixed_types_is_kept_as_text(tmp_path, suffix):
    rows = [{"prompt": "a", "m": 1.5}, {"prompt": "b", "m": True}, {"prompt": "c", "m": {"x": [1, "é"]}}]
    rows += [{"prompt": "d", "m": "text"}, {"prompt": "e"}]
    path = tmp_path / f"pool.{suffix}"
    path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    pool = load_pool(path)
    assert [None if text is None else text.replace(" ", "") for text in pool.frame["m"].to_list()] == [
        "1.5",
        "true",
        '{"x":[1,"é"]}',
        "text",
        None,
    ]
    assert scan_pool(path).collect().equals(pool.frame)


def test_what_polars_cannot_type_is_named_in_a_note(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text(
        '{"prompt": "a", "m": 1.5, "big": 1}\n{"prompt": "b", "m": true, "big": ' + "9" * 60 + "}\n"
    )
    pool = load_pool(path)
    assert (
        "Values of mixed types, deep nesting or very many keys are kept as JSON text in: 'm', 'big'."
        in pool.notes
    )
    assert pool.frame["big"].to_list() == ["1", "9" * 60]


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
@pytest.mark.parametrize("levels", [99, 100, 101, 300])
def test_deep_nesting_is_kept(tmp_path, suffix, levels):
    row = '{"prompt": "[[[[", "x": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"
    path = tmp_path / f"pool.{suffix}"
    path.write_text(row if suffix == "jsonl" else f"[{row}]")
    frame = read_pool(path)
    assert prompts(path) == ["[[[["]
    assert (frame.schema["x"] == pl.String) == (levels > 100)
    assert scan_pool(path).collect().equals(frame)


def test_not_a_number_in_json_lines_is_read(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text(
        '{"prompt": "a", "cost": NaN}\n{"prompt": "b", "cost": 2}\n{"prompt": "c", "cost": -Infinity}\n'
    )
    costs = read_pool(path)["cost"]
    assert costs.dtype == pl.Float64
    assert costs.is_nan().to_list() == [True, False, False]
    assert costs.to_list()[1:] == [2.0, float("-inf")]


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_half_surrogate_pairs_become_replacement_characters_with_a_note(tmp_path, suffix):
    path = tmp_path / f"pool.{suffix}"
    text = r"\ud800 \udfff \ud83d\ude00 \\ud800 \\\ud800 \ud800\ud83d\ude00 \uD83D\uDE00 \\ud83d\ude00"
    row = f'{{"prompt": "{text}"}}'
    path.write_text(row if suffix == "jsonl" else f"[{row}]")
    pool = load_pool(path)
    assert prompts(path) == ["\ufffd \ufffd 😀 \\ud800 \\\ufffd \ufffd😀 😀 \\ud83d\ufffd"]
    assert pool.notes[0].startswith("5 unpaired surrogates were replaced by U+FFFD")
    assert scan_pool(path).collect().equals(pool.frame)


def test_json_may_hold_its_rows_under_data(tmp_path):
    path = tmp_path / "pool.json"
    path.write_text(json.dumps({"version": 1, "data": [{"prompt": "a"}, {"prompt": "b"}]}))
    assert prompts(path) == ["a", "b"]


def test_csv_columns_become_numbers_only_where_that_loses_nothing(tmp_path):
    path = tmp_path / "pool.csv"
    path.write_text(
        "id,prompt,task,n,cost,ok,zip,nothing,long,mixed\n"
        "001,12,7,1,0.5,true,00501,,12345678901234567890,1\n"
        "002,-3,8,-20,1e3,false,10001,,1,x\n"
        "003,1.50,9,,NaN,,2,,2,\n"
    )
    frame = read_pool(path)
    assert frame.schema == {
        "id": pl.String,
        "task": pl.String,
        "prompt": pl.String,
        "n": pl.Int64,
        "cost": pl.Float64,
        "ok": pl.Boolean,
        "zip": pl.String,
        "nothing": pl.String,
        "long": pl.String,
        "mixed": pl.String,
    }
    assert frame["id"].to_list() == ["001", "002", "003"]
    assert frame["prompt"].to_list() == ["12", "-3", "1.50"]
    assert frame["n"].to_list() == [1, -20, None]
    assert frame["ok"].to_list() == [True, False, None]
    assert frame["zip"].to_list() == ["00501", "10001", "2"]
    assert frame["long"][0] == "12345678901234567890"
    assert scan_pool(path).collect().equals(frame)


def test_a_csv_column_named_as_task_or_id_keeps_its_digits(tmp_path):
    path = tmp_path / "pool.csv"
    path.write_text("prompt,uid,kind\na,007,01\nb,008,02\n")
    frame = read_pool(path, id_column="uid", task_column="kind")
    assert frame.rows() == [("007", "01", "a", "007", "01"), ("008", "02", "b", "008", "02")]


def test_csv_quotes_line_ends_and_blank_lines(tmp_path):
    path = tmp_path / "pool.csv"
    path.write_bytes(
        b'id,prompt\r\n1,"a\nb\r\nc\rd ""e"""\r\n\r\n2,unquoted "quote"\r\n3,""\r\n4,\r\n,,\r\n'[:-4]
    )
    assert prompts(path) == ['a\nb\r\nc\rd "e"', 'unquoted "quote"', "", ""]


def test_a_csv_with_very_long_fields_is_read(tmp_path):
    path = write(pl.DataFrame({"prompt": ["x" * 300_000], "response": [None]}), tmp_path / "pool.csv")
    assert read_pool(path)["prompt"].str.len_chars().to_list() == [300_000]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_a_lazy_pool_gives_the_rows_of_the_eager_one_under_any_plan(tmp_path, suffix):
    rng = random.Random(0)
    frame = pl.DataFrame({"prompt": [rng.choice("abcdef") for _ in range(500)], "n": range(500)})
    path = write(frame.with_columns(task=pl.col("n") % 7), tmp_path / f"pool.{suffix}")
    eager, lazy = read_pool(path), scan_pool(path)
    for engine in ("in-memory", "streaming"):
        assert lazy.collect(engine=engine).equals(eager)
        assert (
            lazy.filter(pl.col("task") == "3")
            .collect(engine=engine)
            .equals(eager.filter(pl.col("task") == "3"))
        )
        assert lazy.tail(5).collect(engine=engine).equals(eager.tail(5))
        assert (
            lazy.select("id", "n")
            .slice(100, 9)
            .collect(engine=engine)
            .equals(eager.select("id", "n")[100:109])
        )


def test_scanning_does_not_read_the_columns_that_are_not_asked_for(tmp_path):
    frame = pl.DataFrame({"prompt": ["a"] * 10, "wide": ["w"] * 10})
    path = write(frame, tmp_path / "pool.parquet")
    assert "PROJECT 1/2 COLUMNS" in scan_pool(path).select("prompt").explain()


texts = st.text(max_size=30)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(min_size=1, max_size=8),
            "task": st.text(min_size=1, max_size=5),
            "prompt": texts,
            "response": st.none() | texts,
            "n": st.none() | st.integers(-(10**9), 10**9),
        }
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row["id"],
)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json", "csv", "tsv"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows)
def test_round_trip_through_every_format(tmp_path, suffix, rows):
    schema = {"id": pl.String, "task": pl.String, "prompt": pl.String, "response": pl.String, "n": pl.Int64}
    pool = read_pool(pl.DataFrame(rows, schema=schema))
    again = read_pool(write(pool, tmp_path / f"pool.{suffix}"))
    assert again.select(pool.columns[:4]).equals(pool.select(pool.columns[:4]))
    assert again["n"].cast(pl.Int64).to_list() == pool["n"].to_list()
    assert scan_pool(tmp_path / f"pool.{suffix}").collect().equals(again)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json", "csv"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(texts, min_size=1, max_size=8))
def test_hashed_ids_are_the_same_from_every_format(tmp_path, suffix, values):
    frame = pl.DataFrame({"prompt": values})
    path = write(frame, tmp_path / f"pool.{suffix}")
    assert read_pool(path).equals(read_pool(frame))
    assert read_pool(path)["id"].n_unique() == len(values)


# --- Real pools -------------------------------------------------------------------------------------


def test_dolly_excerpt_of_real_rows():
    pool = load_pool(DATA / "dolly_raw_excerpt.jsonl")
    assert pool.shape == "dolly"
    assert (pool.frame.height, pool.frame["task"].n_unique()) == (13, 8)
    assert pool.frame.columns == ["id", "task", "prompt", "response", "instruction", "context", "category"]
    assert pool.frame["context"].str.contains("\n").any()
    assert "2 rows repeat the prompt of an earlier row, 2 of them with another response." in pool.notes


def test_natural_instructions_excerpt_of_real_rows():
    pool = load_pool(DATA / "ni_skewed_excerpt.parquet")
    assert pool.shape == "tasksel"
    assert sorted(pool.frame["task"].value_counts()["count"].to_list()) == [1, 2, 3, 5]
    assert pool.frame.schema["references"] == pl.List(pl.String)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "n_rows", "n_tasks"),
    [
        ("dolly.parquet", 15_011, 8),
        ("dolly_raw.jsonl", 15_011, 8),
        ("ni_sample.parquet", 8_880, 148),
        ("ni_skewed.parquet", 41_464, 148),
        ("t0_sample.parquet", 20_884, 105),
        ("bbh.parquet", 6_511, 27),
        ("mmlu_test.parquet", 14_042, 57),
        ("mmlu_dev.parquet", 285, 57),
        ("alpaca_eval.parquet", 805, 5),
        ("mt_bench.parquet", 80, 8),
    ],
)
def test_shared_pools_have_the_rows_and_tasks_that_their_readme_states(name, n_rows, n_tasks):
    frame = read_pool(SHARED / name)
    assert (frame.height, frame["task"].n_unique()) == (n_rows, n_tasks)
    assert frame["id"].n_unique() == n_rows
    assert scan_pool(SHARED / name).collect().equals(frame)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data are not beside this checkout")
@pytest.mark.parametrize(
    "name", ["llm_confidence.parquet", "alpaca_eval_judge.parquet", "alpaca_eval2_leaderboard.csv"]
)
def test_shared_files_without_prompts_are_no_pools(name):
    with pytest.raises(SchemaError, match=r"has no column with prompts: found .*; allowed are the shapes"):
        read_pool(SHARED / name)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data are not beside this checkout")
def test_raw_dolly_gives_the_prompts_of_the_joined_dolly():
    raw, joined = read_pool(SHARED / "dolly_raw.jsonl"), read_pool(SHARED / "dolly.parquet")
    columns = ["id", "task", "response"]
    assert raw.select(columns).equals(joined.select(columns))
    assert raw["prompt"].equals(joined["prompt"])


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("name", ["x^2", "x\x01", "xڀ"])
def test_a_header_that_begins_as_compressed_files_do_is_text(tmp_path, name, eager):
    path = tmp_path / "pool.csv"
    path.write_text(f"{name},prompt\n1,p\n2,q\n", encoding="utf-8")
    frame = load_pool(path).frame if eager else scan_pool(path).collect()
    assert frame.select("prompt", name).to_dict(as_series=False) == {"prompt": ["p", "q"], name: [1, 2]}


def test_a_line_that_begins_as_compressed_files_do_is_no_json(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text('x^{"prompt": "p"}\n', encoding="utf-8")
    with pytest.raises(SchemaError, match=r"pool\.jsonl, line 1 is not valid JSON"):
        load_pool(path)
