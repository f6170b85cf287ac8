from __future__ import annotations

import sys

import polars as pl
import pytest

import bench_memory
from bench_memory import Workload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")


@pytest.mark.parametrize("has_ids", [False, True])
def test_a_pool_is_the_same_whatever_its_length_and_repeats_some_prompts(has_ids):
    whole = pl.concat(bench_memory.pool_blocks(250_000, has_ids=has_ids))
    assert whole.columns == ["prompt", "task", *["id"] * has_ids]
    assert whole[:100_000].equals(next(bench_memory.pool_blocks(200_000, has_ids=has_ids)))
    assert 40 < whole["prompt"].str.len_chars().mean() < 80
    assert 0.03 < 1 - whole["prompt"].n_unique() / whole.height < 0.07
    assert whole["task"].n_unique() == bench_memory.N_TASKS
    assert not has_ids or whole["id"].is_unique().all()


def test_the_table_has_a_line_for_each_stage_and_number_of_rows(tmp_path, capsys):
    bench_memory.main(["--rows", "300,600", "--shard-rows", "128", "--folder", str(tmp_path), "--ids"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [
        [f"| {stage}, with ids", rows] for stage in bench_memory.STAGES for rows in ("300", "600")
    ]
    assert len(list((Workload(tmp_path, 300, has_ids=True).run / "scores").glob("part-*"))) == 3


def test_a_pool_costs_little_more_memory_than_its_texts(tmp_path):
    growth = bench_memory.measure_growth(
        "read_pool", (20_000, 220_000), tmp_path, has_ids=False, shard_rows=4_096
    )
    small, large = (found["added_bytes"] for _, found in growth)
    # Prompt, task and id have 61, 22 and 16 bytes, and 16 more each to stand in a column: 147. Measured are
    # 195 with the hashes that ids are made from, and 330 if these are kept as Python's strings.
    assert (large - small) / 200_000 < 270
