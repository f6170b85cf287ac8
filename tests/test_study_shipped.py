"""The shipped studies: each can be read, has a page, and the paper's run end to end with a tiny model."""

import sys
from pathlib import Path

import polars as pl
import pytest

from tasksel.study import CONTROL_ARMS, load_study, run_study
from tasksel.toy_world import make_toy_pool

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "studies").glob("*.toml"))
FOR_LARGE_MODELS = ("paper_flan", "paper_dolly")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_study_can_be_read(path):
    study = load_study(path)
    assert study.title
    assert study.question
    assert {arm.name for arm in study.arms} >= set(CONTROL_ARMS)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_study_has_a_page_with_its_result(path):
    if path.stem in FOR_LARGE_MODELS:
        pytest.skip("needs a GPU and LLaMA-2-7B")
    folder = ROOT / "docs" / "studies" / path.stem
    page = (folder / "README.md").read_text(encoding="utf-8")
    study = load_study(path)
    assert page.startswith(f"# {study.title}\n")
    for picture in folder.glob("*.svg"):
        assert f"]({picture.name})" in page
    assert f"({path.stem}/README.md)" in (ROOT / "docs" / "studies" / "README.md").read_text(encoding="utf-8")
    cells = pl.read_csv(folder / "cells.csv")
    assert set(cells["world"]) == {world.name for world in study.worlds}


def test_the_overview_has_the_figures_of_the_pages():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import run_studies
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    text = run_studies.INDEX.read_text(encoding="utf-8")
    assert text.partition(run_studies.INDEX_MARK)[2].strip() == run_studies.render_index().strip()


def write_benchmarks(folder):
    folder.mkdir()
    rows = range(12)
    questions = pl.DataFrame(
        {
            "id": [f"q{row}" for row in rows],
            "task": ["algebra" if row % 2 else "history" for row in rows],
            "prompt": [f"{row} + 1?" for row in rows],
            "response": ["A"] * 12,
            "choices": [[str(row + more) for more in (1, 2, 3, 4)] for row in rows],
            "answer": [0] * 12,
        }
    )
    for name in ("mmlu_test", "mmlu_dev"):
        questions.write_parquet(folder / f"{name}.parquet")
    bbh = make_toy_pool(1, n_tasks=2, largest=8, smallest=8)
    bbh.write_parquet(folder / "bbh.parquet")


@pytest.mark.parametrize("name", FOR_LARGE_MODELS)
def test_the_papers_set_up_runs_with_a_tiny_model(name, tmp_path):
    write_benchmarks(tmp_path / "paper")
    data = "flan_v2" if name == "paper_flan" else "dolly"
    make_toy_pool(0, n_tasks=3, largest=30, smallest=30).write_parquet(tmp_path / "paper" / f"{data}.parquet")
    text = (ROOT / "studies" / f"{name}.toml").read_text(encoding="utf-8")
    budgets = next(line for line in text.splitlines() if line.startswith("budgets"))
    smaller = text.replace(budgets, "budgets = [9]").replace("report = [0, 1, 2]", "report = [0]")
    smaller = smaller.replace("max_new_tokens = 512", "max_new_tokens = 8")
    (tmp_path / f"{name}.toml").write_text(smaller, encoding="utf-8")
    result = run_study(tmp_path / f"{name}.toml", out=tmp_path / "out", model="demo", jobs=1)
    assert set(result.arms["metric"]) == {"loss", "rouge_l", "mmlu", "bbh"}
    assert result.arms.filter(pl.col("metric") == "mmlu")["macro"].is_between(0, 1).all()
    assert {"mmlu_test.parquet", "bbh.parquet", "holdout.parquet"} == set(result.contamination["reference"])
