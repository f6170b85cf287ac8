from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("torch", reason="the extra hf is not installed")
pytest.importorskip("transformers", reason="the extra hf is not installed")

import make_text_world
from make_text_world import WorldRule
from small_models import train_byte_bpe

SHARED = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="module")
def tokenizer():
    """Tokenizer without merges: a token is a byte."""
    return train_byte_bpe([""], vocabulary_size=258, context_tokens=64)


def _examples(*rows):
    return pl.DataFrame(rows, schema=["id", "task", "prompt", "response", "license"], orient="row")


def test_a_prompt_of_both_files_counts_once_and_ends_with_a_line_break(tmp_path):
    rows = pl.DataFrame(
        {
            "id": ["1", "2"],
            "task": "t",
            "prompt": ["p", "q"],
            "response": [" a ", "b"],
            "instance_license": "MIT",
        }
    )
    first, second = make_text_world.WORLD_FILES
    rows.write_parquet(tmp_path / first)
    rows.reverse().with_columns(response=pl.lit("other")).write_parquet(tmp_path / second)
    examples = make_text_world.read_examples(tmp_path)
    assert examples.rows() == [("1", "t", "p\n", "a", "MIT"), ("2", "t", "q\n", "b", "MIT")]


def test_the_limits_are_those_of_the_tokenizer(tokenizer):
    rule = WorldRule(max_prompt_tokens=4, max_response_tokens=2)
    examples = _examples(
        ("fits", "t", "abc\n", "xy", ""),
        ("long prompt", "t", "abcd\n", "xy", ""),
        ("long response", "t", "abc\n", "xyz", ""),
        ("two bytes a sign", "t", "ä\n", "éé", ""),
        ("no response", "t", "abc\n", "", ""),
    )
    assert make_text_world.find_usable(examples, tokenizer, rule)["id"].to_list() == ["fits"]


def test_small_tasks_are_left_out_and_large_ones_stay_whole():
    rows = [(f"{task}{n}", task, "p", "r", "") for task, size in (("b", 3), ("a", 2)) for n in range(size)]
    world = make_text_world.keep_large_tasks(_examples(*rows[::-1]), WorldRule(min_examples=3))
    assert world["id"].to_list() == ["b0", "b1", "b2"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data are not beside this checkout")
def test_the_world_of_an_excerpt_of_the_real_files_keeps_the_rule(tmp_path, tokenizer, capsys):
    for name in make_text_world.WORLD_FILES:
        pl.read_parquet(SHARED / name).gather_every(20).write_parquet(tmp_path / name)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    out = tmp_path / "world.parquet"
    limits = ["--max-prompt-tokens", "600", "--max-response-tokens", "40", "--min-examples", "5"]
    folders = ["--data", str(tmp_path), "--tokenizer", str(tmp_path / "tokenizer"), "--out", str(out)]
    make_text_world.main([*folders, *limits])
    world = pl.read_parquet(out)
    assert world.columns == ["id", "task", "prompt", "response", "license"]
    assert world["id"].is_unique().all()
    assert world["prompt"].is_unique().all()
    assert world["prompt"].str.ends_with("\nOutput:\n").all()
    assert world["prompt"].str.len_bytes().max() <= 600
    assert 0 < world["response"].str.len_bytes().min() < world["response"].str.len_bytes().max() <= 40
    assert world.group_by("task").len()["len"].min() >= 5
    assert capsys.readouterr().out.startswith(f"{len(world):,} examples of {world['task'].n_unique()} tasks")


def test_a_rule_that_leaves_nothing_is_said(tmp_path, tokenizer):
    rows = pl.DataFrame({"id": ["1"], "task": "t", "prompt": "p", "response": "a", "instance_license": "MIT"})
    for name in make_text_world.WORLD_FILES:
        rows.write_parquet(tmp_path / name)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    folders = [
        "--data",
        str(tmp_path),
        "--tokenizer",
        str(tmp_path / "tokenizer"),
        "--out",
        str(tmp_path / "w"),
    ]
    with pytest.raises(SystemExit, match="No task has 40 usable examples"):
        make_text_world.main(folders)
