from __future__ import annotations

import errno
import os
import pickle
import random
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tasksel.pool import read_pool, scan_pool
from tasksel_core.errors import SchemaError

ALLOWED = ".parquet, .jsonl, .ndjson, .json, .csv, .tsv"


def refusal(source: object, **options: str) -> str:
    """Return the sentence with which a source is refused, the same one eagerly and lazily."""
    with pytest.raises(SchemaError) as eager:
        read_pool(source, **options)
    with pytest.raises(SchemaError) as lazy:
        scan_pool(source, **options).collect()
    text = str(eager.value)
    assert str(lazy.value) == text
    assert "\n" not in text
    assert len(text) < 800
    assert text.endswith((".", "?"))
    return text


def prompts(path: Path) -> list[str]:
    return read_pool(path)["prompt"].to_list()


def refusal_of_bytes(folder: Path, name: str, raw: bytes | str) -> str:
    path = folder / name
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    text = refusal(path)
    assert name in text
    return text


# --- What is no pool file at all --------------------------------------------------------------------


def test_a_file_that_does_not_exist(tmp_path):
    assert refusal(tmp_path / "none.jsonl") == (
        f"{tmp_path / 'none.jsonl'} does not exist; a pool is a file with one of the suffixes {ALLOWED}."
    )
    assert "does not exist" in refusal("~no-such-user-of-this-machine/pool.csv")


def test_a_name_that_cannot_be_one():
    assert "cannot be a file name" in refusal("x" * 5_000 + ".csv")


def test_a_folder(tmp_path):
    (tmp_path / "pool.parquet").mkdir()
    assert f"is a folder; a pool is one file ({ALLOWED})." in refusal(tmp_path / "pool.parquet")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe(tmp_path):
    os.mkfifo(tmp_path / "pool.jsonl")
    assert "is not a regular file" in refusal(tmp_path / "pool.jsonl")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "pool.jsonl").write_text('{"prompt": "a"}\n')
    (tmp_path / "pool.jsonl").chmod(0)
    assert "cannot be read" in refusal(tmp_path / "pool.jsonl")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pool.xlsx", "has the suffix '.xlsx'"),
        ("pool", "has no suffix"),
        ("pool.jsonl.gz", "has the suffix '.gz' (decompress it first)"),
    ],
)
def test_an_unknown_suffix(tmp_path, name, said):
    assert refusal_of_bytes(tmp_path, name, "x") == f"{name} {said}; a pool has one of {ALLOWED}."


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "ndjson", "json", "csv", "tsv"])
def test_an_empty_file(tmp_path, suffix):
    assert refusal_of_bytes(tmp_path, f"p.{suffix}", b"") == (
        f"p.{suffix} is empty (0 bytes); a pool has at least one row."
    )


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("p.csv", "id,prompt\n"),
        ("p.csv", "id,prompt"),
        ("p.csv", "id,prompt\n\n\n"),
        ("p.csv", "\n\n"),
        ("p.csv", b"\xef\xbb\xbf"),
        ("p.tsv", "id\tprompt\r\n"),
        ("p.jsonl", "\n \r\n\n"),
        ("p.jsonl", b"\xef\xbb\xbf"),
        ("p.json", "[]"),
        ("p.json", ' {"data": []} '),
        ("p.json", "  \n"),
    ],
)
def test_a_file_without_rows(tmp_path, name, raw):
    assert refusal_of_bytes(tmp_path, name, raw) == f"{name} holds no rows; a pool has at least one."


def test_parquet_and_frames_without_rows(tmp_path):
    empty = pl.DataFrame(schema={"prompt": pl.String})
    empty.write_parquet(tmp_path / "p.parquet")
    assert refusal(tmp_path / "p.parquet") == "p.parquet holds no rows; a pool has at least one."
    assert refusal(empty) == "The frame holds no rows; a pool has at least one."
    with pytest.raises(SchemaError, match="holds no rows"):
        read_pool(empty.lazy())


# --- Encoding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": "caf', b'"}\n'),
        ("p.csv", b"prompt\ncaf", b"\n"),
        ("p.json", b'[\n{"prompt": "caf', b'"}]'),
    ],
)
def test_a_file_that_is_not_utf8(tmp_path, name, before, after):
    assert refusal_of_bytes(tmp_path, name, before + b"\xe9" + after) == (
        f"{name} is not UTF-8: byte 0xe9 at offset {len(before)} (line {before.count(10) + 1}); "
        "save it as UTF-8."
    )


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98"])
@pytest.mark.parametrize("at", [0, 5, (1 << 24) - 1, (1 << 24) - 2, 1 << 24])
def test_the_offset_of_a_wrong_byte_is_exact_across_blocks(tmp_path, bad, at):
    # 2-byte characters, so that one of them lies across the end of a block of 1 << 24 bytes.
    raw = b"p\n" + "é".encode() * (1 << 23)
    at += at % 2
    text = refusal_of_bytes(tmp_path, "p.csv", raw[:at] + bad + raw[at:])
    assert f" at offset {at:,} (line {1 if at < 2 else 2}); save" in text


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "UTF-16;"),
        ("utf-32", "UTF-32;"),
        ("utf-16-le", "UTF-16 without a byte order mark;"),
        ("utf-16-be", "UTF-16 without a byte order mark;"),
    ],
)
def test_a_wide_encoding_is_named(tmp_path, suffix, encoding, said):
    raw = '[{"prompt": "a"}]\n'.encode(encoding)
    assert f"is encoded in {said} a pool is UTF-8" in refusal_of_bytes(tmp_path, f"p.{suffix}", raw)


# --- JSON Lines -------------------------------------------------------------------------------------

GOOD = '{"prompt": "a"}\n'


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (GOOD * 2 + '{"prompt": "c', "line 3 ends in the middle of a JSON object; was the file cut short?"),
        (GOOD * 2 + '{"pro\n\n', "line 3 ends in the middle of a JSON object; was the file cut short?"),
        (GOOD + '{"prompt": "b"', "line 2 ends in the middle of a JSON object; was the file cut short?"),
        (GOOD + '{"prompt": "caf\\u00', "line 2 is not valid JSON"),
        (GOOD + "{\n" + GOOD, "line 2 ends in the middle of a JSON object; each line is one whole object."),
        (GOOD + '\n{"prompt": nope}\n', "line 3 is not valid JSON (Expecting value at column 12)"),
        (GOOD + '{"prompt": "a\rb"}\n', "line 2 is not valid JSON (Invalid control character at column 14)"),
        (GOOD + GOOD.strip() * 2, "line 2 is not valid JSON (Extra data at column 16)"),
        (
            GOOD + "{'prompt': 'a'}",
            "line 2 is not valid JSON (Expecting property name enclosed in double quotes",
        ),
        (
            GOOD + '["a"]\n',
            "line 2 holds a list; each line of JSON Lines is one object; a file that is one JSON list",
        ),
        (GOOD + '"a"\n', "line 2 holds a string; each line of JSON Lines is one object."),
        (GOOD + "3\n", "line 2 holds a number;"),
        (GOOD + "null\n", "line 2 holds null;"),
        (GOOD + "true\n", "line 2 holds true or false;"),
        (
            '{\n"prompt": "a"\n}\n',
            "line 1 begins JSON over several lines; use the suffix .json, or one object a line.",
        ),
        ("[\n" + GOOD + "]", "line 1 begins JSON over several lines"),
        (
            '{"prompt": "a", "x": ' + "[" * 9_000 + "]" * 9_000 + "}",
            "line 1 is not valid JSON (nested too deeply)",
        ),
        ('{"prompt": "a", "x": ' + "9" * 9_000 + "}", "line 1 is not valid JSON (Exceeds the limit"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, raw, sentence):
    assert refusal_of_bytes(tmp_path, "p.jsonl", raw).startswith(f"p.jsonl, {sentence}")


def test_a_wrong_line_is_named_in_a_long_file_with_a_byte_order_mark(tmp_path):
    raw = b"\xef\xbb\xbf" + (GOOD * 12_344 + "oops\n" + GOOD).encode()
    assert refusal_of_bytes(tmp_path, "p.jsonl", raw).startswith("p.jsonl, line 12,345 is not valid JSON")


def test_json_lines_cut_anywhere_are_read_to_a_whole_line_or_refused(tmp_path):
    line = '{"prompt": "é a\\n\\ud83d\\ude00", "x": [1, {"y": null}]}\n'.encode()
    path = tmp_path / "p.jsonl"
    for end in range(1, 3 * len(line)):
        path.write_bytes((line * 3)[:end])
        whole = (end + 1) // len(line)  # a last line without its line end is whole
        if whole > 0 and (end + 1) % len(line) in (0, 1):
            assert prompts(path) == ["é a\n😀"] * whole
        else:
            refusal(path)


# --- JSON -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            GOOD,
            ' holds an object; a pool in JSON is a list of objects, or {"data": [such a list]}; one object',
        ),
        ('"a"', " holds a string; a pool in JSON is a list of objects"),
        ('{"data": {"prompt": "a"}}', " holds an object;"),
        ('[{"prompt": "a"}, 3]', ", item 1 (from 0) is a number; a pool in JSON is a list of objects"),
        ('[{"prompt": "a"}, null]', ", item 1 (from 0) is null;"),
        (GOOD * 2, " holds one object after the other, which is JSON Lines; give it the suffix .jsonl."),
        ('[{"prompt": "a"},\n {"pro', " ends in the middle of a value (line 2); was the file cut short?"),
        ('[{"prompt": "a"},\n', " ends in the middle of a value (line 2); was the file cut short?"),
        ('[{"prompt": "a"},\n,]', ", line 2 is not valid JSON (Expecting value at column 1)."),
        ("[" * 200_000, " is not valid JSON (nested too deeply)."),
    ],
)
def test_json_that_is_no_list_of_objects(tmp_path, raw, sentence):
    assert refusal_of_bytes(tmp_path, "p.json", raw).startswith(f"p.json{sentence}")


# --- CSV --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            "id,prompt\n1,a\n2,b,c\n",
            ", line 3 has 3 fields where the header has 2 fields; a text with the separator",
        ),
        ("id,prompt\n1,a\n2\n3,c\n", ", line 3 has 1 field where the header has 2 fields;"),
        ('id,prompt\n1,"a\n\nb"\n2\n', ", line 5 has 1 field where"),
        ("id,prompt,response\n1,a,\n2,b\n", ", line 3 has 2 fields where"),
        ("id,prompt,response\n1,a\rb,\x00\n2,b\n", ", line 3 has 2 fields where"),
        (
            'id,prompt\n1,"a"\n2,"b\n3,c\n',
            ": the record that begins in line 3 is not valid CSV (unexpected end",
        ),
        ('id,prompt\n1,"a" b\n', ": the record that begins in line 2 is not valid CSV ("),
        ("prompt,id,prompt\na,1,b\n", ": column 'prompt' stands twice in the header; names must be unique."),
        ("a,a,a_duplicated_0\n1,2,3\n", ": column 'a' stands twice in the header"),
        ("id,prompt\r1,a\r2,b\r", " ends its lines with CR alone; save it with LF or CRLF line ends."),
    ],
)
def test_a_wrong_line_of_csv_is_named(tmp_path, raw, sentence):
    assert refusal_of_bytes(tmp_path, "p.csv", raw).startswith(f"p.csv{sentence}")


def test_a_semicolon_between_the_columns(tmp_path):
    text = refusal_of_bytes(tmp_path, "p.csv", "id;prompt\n1;a\n")
    assert "found 'id;prompt'" in text
    assert text.endswith("The separator of a .csv is a comma, that of a .tsv a tab.")


# --- Parquet ----------------------------------------------------------------------------------------


@pytest.fixture
def parquet(tmp_path):
    frame = pl.DataFrame({"prompt": [f"prompt {number} " * 9 for number in range(500)], "x": [[1.5]] * 500})
    frame.write_parquet(tmp_path / "whole.parquet")
    return (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_parquet_file_cut_short(tmp_path, parquet, share):
    text = refusal_of_bytes(tmp_path, "p.parquet", parquet[: int(len(parquet) * share)])
    assert text == (
        "p.parquet is a Parquet file that was cut short (its end, which holds the index, is missing); "
        "copy or write it again."
    )


@pytest.mark.parametrize("raw", [b"P", b"PAR", b'{"prompt": "a"}\n', b"PK\x03\x04" * 99])
def test_a_file_that_is_not_parquet(tmp_path, raw):
    assert "is not a Parquet file (it does not begin with PAR1)" in refusal_of_bytes(
        tmp_path, "p.parquet", raw
    )


@pytest.mark.parametrize("raw", [b"PAR1", b"PAR1PAR1", b"PAR1" + b"\xff" * 99 + b"PAR1"])
def test_a_parquet_file_of_nothing_but_its_marks(tmp_path, raw):
    assert "cannot be read as Parquet, it is damaged" in refusal_of_bytes(tmp_path, "p.parquet", raw)


def test_a_damaged_parquet_file_gives_one_sentence_or_a_pool(tmp_path, parquet):
    rng = random.Random(0)
    path = tmp_path / "p.parquet"
    refused = readable = 0
    for _ in range(150):
        raw = bytearray(parquet)
        for _ in range(rng.choice([1, 4, 40])):
            raw[rng.randrange(4, len(raw) - 4)] = rng.randrange(256)
        path.write_bytes(raw)
        try:
            height = read_pool(path).height
        except SchemaError as error:
            refused += len(str(error).splitlines())
        else:
            readable += 1
            assert height > 0
    assert refused + readable == 150
    assert refused > 20


# --- Columns and types ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1, "Int64"),
        (0.5, "Float64"),
        (True, "Boolean"),
        (["a"], "List(String)"),
        ({"a": 1}, "Struct({'a': Int64})"),
        (b"a", "Binary"),
        ([{"rol": "user", "content": "x"}], "List(Struct({'rol': String, 'content': String}))"),
    ],
)
def test_a_prompt_of_a_wrong_type(tmp_path, value, dtype):
    pl.DataFrame({"prompt": [value]}).write_parquet(tmp_path / "p.parquet")
    assert refusal(tmp_path / "p.parquet") == (
        f"p.parquet: column 'prompt' has type {dtype}; "
        "it must be text, or a list of {role, content} messages."
    )


def test_an_instruction_of_a_wrong_type():
    assert refusal(pl.DataFrame({"instruction": [1], "input": ["x"]})) == (
        "<frame>: column 'instruction' has type Int64; it must be text."
    )
    assert "column 'input' has type List(Int64)" in refusal(
        pl.DataFrame({"instruction": ["x"], "input": [[1]]})
    )


@pytest.mark.parametrize("column", ["messages", "conversations"])
@pytest.mark.parametrize(
    "value", ["text", [], ["a"], [{"rol": "a", "content": "b"}], {"role": "a", "content": "b"}]
)
def test_a_conversation_of_a_wrong_type(column, value):
    text = refusal(pl.DataFrame({column: [value]}))
    assert re.match(
        rf"<frame>: column '{column}' has type \S.*; it must be a list of {{role, content}} or", text
    )


def test_a_file_over_which_polars_aborts_ends_with_a_word():
    """Nobody can catch that; a Polars that refuses the file would be better still."""
    code = "import sys; from tasksel.pool import read_pool; read_pool(sys.argv[1])"
    path = Path(__file__).parent / "data" / "aborting.parquet"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"},
    )
    assert ended.returncode != 0
    assert "SchemaError" in ended.stderr or "in scan_parquet" in ended.stderr


def test_a_message_of_a_wrong_type():
    text = refusal(pl.DataFrame({"messages": [[{"role": "user", "content": 3}]]}))
    assert text.startswith(
        "<frame>: 'content' in column 'messages' has type Int64; a message's content is text"
    )


@pytest.mark.parametrize(
    ("name", "raw"), [("a.json", b"\0\0\0\x14\x7f"), ("a.jsonl", b"\0\0\0{\0\0\0}\n"), ("b.jsonl", b"{\0}\0")]
)
def test_no_encoding_is_guessed(tmp_path, name, raw):
    text = refusal_of_bytes(tmp_path, name, raw)
    assert "is not valid JSON" in text or "is encoded in UTF-16" in text
    assert "codec" not in text


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_key_twice_is_found_where_other_rows_lack_it(tmp_path, name):
    rows = ['{"task": "t"}', '{"task": "t", "prompt": "p", "prompt": "q"}', '{"task": "t"}']
    raw = "\n".join(rows) if name.endswith("l") else f"[{', '.join(rows)}]"
    where = "line 2" if name.endswith("l") else "item 1 (from 0)"
    said = f"{name}, {where} has the key 'prompt' twice; each key stands once in a row."
    assert refusal_of_bytes(tmp_path, name, raw) == said


@pytest.mark.parametrize("role", [3, b"user", b"\xff", ["user"]])
def test_a_role_of_a_wrong_type(role):
    text = refusal(pl.DataFrame({"messages": [[{"role": role, "content": "a"}]]}))
    assert text.startswith("<frame>: 'role' in column 'messages' has type ")
    assert text.endswith("; the role of a message is text.")


@pytest.mark.parametrize(
    ("column", "what"), [("id", "an id"), ("task", "a task"), ("response", "a response")]
)
@pytest.mark.parametrize("value", [["a"], {"x": 1}, b"a"])
def test_an_id_task_or_response_of_a_wrong_type(column, what, value):
    text = refusal(pl.DataFrame({"prompt": ["p"], column: [value]}))
    assert text.endswith(f"; {what} must be text, a number or a category.")


def test_a_very_long_type_is_cut():
    text = refusal(pl.DataFrame({"prompt": [{f"field_{number}": 1 for number in range(200)}]}))
    assert "…; it must be text" in text


def test_columns_that_fit_no_shape():
    text = refusal(pl.DataFrame({"question": ["a"], "answer": ["b"]}))
    assert text == (
        "<frame> has no column with prompts: found 'question', 'answer'; allowed are the shapes "
        "prompt-completion (prompt, completion); tasksel (prompt, optional id, task, response); "
        "messages (messages: list of {role, content}); sharegpt (conversations: list of {from, value}); "
        "alpaca (instruction, optional input, output); dolly (instruction, context, response, category)."
    )


@pytest.mark.parametrize("name", ["Prompt", "PROMPT", " prompt", "Messages", "Instruction "])
def test_a_column_that_is_nearly_right_is_pointed_at(name):
    right = name.strip().lower()
    assert refusal(pl.DataFrame({name: ["a"]})).endswith(f"Did you mean {right!r} by {name!r}? Rename it.")


def test_many_columns_are_not_all_listed():
    assert "'column 19' and 80 more;" in refusal(pl.DataFrame({f"column {n}": [n] for n in range(100)}))


def test_rows_without_any_field(tmp_path):
    assert "found no columns" in refusal_of_bytes(tmp_path, "p.jsonl", "{}\n{}\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"task_column": "catgory"},
            "<frame> has no task column 'catgory': found 'prompt', 'category', 'UID'. Did",
        ),
        ({"task_column": "Category"}, "Did you mean 'category'?"),
        (
            {"id_column": "uid"},
            "<frame> has no id column 'uid': found 'prompt', 'category', 'UID'. Did you mean",
        ),
        ({"id_column": "zzz"}, "<frame> has no id column 'zzz': found 'prompt', 'category', 'UID'."),
    ],
)
def test_a_named_column_that_is_missing(options, said):
    assert said in refusal(pl.DataFrame({"prompt": ["a"], "category": ["b"], "UID": [1]}), **options)


def test_repeated_ids_name_the_first_and_what_to_do(tmp_path):
    text = refusal_of_bytes(tmp_path, "p.csv", "id,prompt\nx,a\ny,b\n" + "long" * 99 + ",c\ny,d\n")
    assert text == (
        "p.csv: id 'y' stands in rows 2 and 4; ids must be unique: name another column with --id-column "
        "(id_column), or drop the column and ids are made from the prompts."
    )


def test_refusals_are_value_errors_that_can_be_pickled(tmp_path):
    with pytest.raises(ValueError, match="does not exist") as caught:
        read_pool(tmp_path / "none.csv")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_json_of_any_depth_is_read_or_one_sentence(tmp_path, suffix):
    said, path = set(), tmp_path / f"pool{suffix}"
    limit = sys.getrecursionlimit()
    for depth in range(limit - 120, limit + 10):
        row = '{"prompt": "p", "deep": ' + "[" * depth + "]" * depth + "}"
        path.write_text(row if suffix == ".jsonl" else f"[{row}]")
        try:
            said.add(read_pool(path).height)
        except SchemaError as error:
            said.add(str(error).partition(" is ")[2] or str(error))
    assert all(each == 1 or "nest" in each or "deep" in each for each in said), said


def test_a_disk_that_does_not_give_a_file_back_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "pool.jsonl").write_text('{"prompt": "p"}\n')

    def fail(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("pathlib.Path.open", fail)
    with pytest.raises(SchemaError, match=r"pool\.jsonl cannot be read \(Input/output error\)\.$"):
        read_pool(tmp_path / "pool.jsonl")


def test_what_polars_alone_cannot_read_of_a_csv_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "pool.csv").write_text("prompt\np\n")

    def fail(_):
        raise pl.exceptions.ComputeError("no such thing\n\nand more")

    monkeypatch.setattr("tasksel.pool_csv._csv_facts", fail)
    with pytest.raises(SchemaError, match=r"^pool\.csv cannot be read as CSV \(no such thing\)\.$"):
        read_pool(tmp_path / "pool.csv")
