import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tasksel.demo import DEMO_STRATEGIES, run_demo
from tasksel.toy_world import make_toy_pool
from tasksel_core.errors import SchemaError

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    make_toy_pool(0).sample(80, seed=1).write_ndjson(path)
    return path


def test_random_and_the_method_side_by_side(pool: Path, tmp_path: Path) -> None:
    result = run_demo(tmp_path / "demo", pool=pool, budget=20)
    assert list(result.selections) == list(DEMO_STRATEGIES)
    for name, selection in result.selections.items():
        assert selection.frame.height == 20
        assert pl.read_parquet(tmp_path / "demo" / name / "selected.parquet").equals(selection.frame)
    content = json.loads(json.dumps(result.to_dict()))
    assert [entry["strategy"] for entry in content["strategies"]] == list(DEMO_STRATEGIES)
    assert content["scores"]["rows"] == 80
    assert content["base"] is None  # without held-out prompts nothing is trained


def test_a_second_call_reuses_the_scores_and_selects_the_same(pool: Path, tmp_path: Path) -> None:
    first = run_demo(tmp_path / "demo", pool=pool)
    second = run_demo(tmp_path / "demo", pool=pool)
    assert second.scores.rows_reused == 80
    for name in DEMO_STRATEGIES:
        assert first.selections[name].frame.equals(second.selections[name].frame)


def test_any_text_survives_the_embedded_model(tmp_path: Path) -> None:
    hostile = ["", "\x00\x1b[31m\r\n", "\U0001f600 ﷽ e\u0301", "word " * 5200, "<s></s><pad>", "a"]
    frame = pl.DataFrame({"task": ["x", "y"] * 3, "prompt": hostile})
    frame.write_parquet(tmp_path / "hostile.parquet")
    result = run_demo(tmp_path / "demo", pool=tmp_path / "hostile.parquet", budget=6)
    assert result.scores.rows == 6
    assert result.scores.truncated_rows == 1
    assert sorted(result.selections["random"].frame["prompt"]) == sorted(hostile)


def test_a_pool_without_tasks_is_told_how_to_name_them(tmp_path: Path) -> None:
    pl.DataFrame({"prompt": ["a"], "topic": ["x"]}).write_parquet(tmp_path / "pool.parquet")
    with pytest.raises(SchemaError, match="--task-column"):
        run_demo(tmp_path / "demo", pool=tmp_path / "pool.parquet")
    result = run_demo(tmp_path / "demo", pool=tmp_path / "pool.parquet", task_column="topic")
    assert result.budget == 1


def test_the_embedded_default_through_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tasksel", "demo", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=ONE_THREAD, check=False, timeout=570
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    by_name = {entry["strategy"]: entry for entry in content["strategies"]}
    assert content["pool"]["rows"] > 2500
    assert by_name["random"]["selected"] == by_name["weighted-task-diversity"]["selected"]
    assert (
        by_name["weighted-task-diversity"]["effective_tasks_picked"]
        > 2 * by_name["random"]["effective_tasks_picked"]
    )
    for entry in [*by_name.values(), content["base"]]:
        assert 0.3 < entry["macro_exact_match"] < 0.8
        assert 0.3 < entry["micro_exact_match"] < 0.8
    assert all(entry["budget"] == content["budget"] for entry in by_name.values())
    assert by_name["task-diversity"]["macro_exact_match"] > content["base"]["macro_exact_match"]
    made = {path.name for path in (tmp_path / "tasksel-demo").iterdir()}
    files = {"pool.parquet", "holdout.parquet", "embeddings.npy", "embeddings.sha256"}
    assert made == {"run", "base", *DEMO_STRATEGIES, *files}


def test_a_terminal_shows_a_bar_and_a_table(pool: Path, tmp_path: Path) -> None:
    """A pseudo-terminal stands for the person: a bar while scoring, then a table within the width."""
    screen, keyboard = pty.openpty()
    command = [sys.executable, "-m", "tasksel", "demo", "--pool", str(pool), "--out", str(tmp_path / "demo")]
    with subprocess.Popen(
        command, stdout=keyboard, stderr=keyboard, env={**ONE_THREAD, "TERM": "xterm"}
    ) as run:
        os.close(keyboard)
        shown = b""
        while block := _read(screen):
            shown += block
        assert run.wait() == 0, shown.decode()
    os.close(screen)
    text = shown.decode()
    assert "Scoring" in text
    assert "\x1b[" in text
    assert "weighted-" in text


def _read(screen: int) -> bytes:
    """Read what is there; a closed pseudo-terminal is an error on Linux, the end elsewhere."""
    try:
        return os.read(screen, 1 << 16)
    except OSError:
        return b""
