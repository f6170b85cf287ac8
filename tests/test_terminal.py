import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import tasksel
from tasksel import terminal
from tasksel.demo import DEMO_STRATEGIES, DemoFigures, DemoResult
from tasksel.scoring import ScoreSummary


def shown(width: int = 80, n_tasks: int = 40, **options: object) -> str:
    rows = [(f"family/task number {task} with a long name", task % 7 + 1) for task in range(n_tasks)]
    pool = pl.DataFrame(
        {
            "task": [name for name, size in rows for _ in range(size)],
            "prompt": [f"{name} {row}" for name, size in rows for row in range(size)],
        }
    )
    console = Console(file=io.StringIO(), width=width)
    terminal.print_selection(console, tasksel.select(pool, budget=60, **options), folder="out")
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_selection_fits_the_width_and_keeps_its_figures(width: int) -> None:
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    assert "prompts" in text
    assert "picked" in text
    assert "Selected 60 of" in " ".join(text.split())


def test_a_long_table_names_what_it_leaves_out() -> None:
    lines = shown().splitlines()
    assert sum(line.startswith("family/") for line in lines) == terminal.MAX_TABLE_ROWS
    assert any("26 more tasks" in line for line in lines)


def test_a_short_table_is_whole() -> None:
    text = shown(n_tasks=terminal.MAX_TABLE_ROWS)
    assert "more tasks" not in text


@given(text=st.text())
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    found = terminal.printable(text, max_chars=40)
    assert found.isprintable()
    assert len(found) <= 40
    assert len(found.splitlines()) <= 1


def test_the_demo_tells_each_note_once() -> None:
    pool = pl.DataFrame({"task": ["a", "b"], "prompt": ["same", "same"], "confidence": [0.5, 0.25]})
    vectors = np.eye(2, dtype=np.float32)
    selections = {
        name: tasksel.select(
            pool, budget=1, strategy=name, embeddings=vectors if name == "k-center" else None
        )
        for name in DEMO_STRATEGIES
    }
    trained = {name: DemoFigures(0.5, 0.25) for name in DEMO_STRATEGIES}
    notes = tasksel.load_pool(pool).notes
    summary = ScoreSummary(2, 0, 4, 0, 2, 0, 0.5, None, "demo/run/scores", notes)
    console = Console(file=io.StringIO(), width=80)
    base = DemoFigures(0.125, 0.0625)
    result = DemoResult("pool", 2, 1, summary, selections, Path("demo"), base, trained)
    terminal.print_demo(console, result)
    text = console.file.getvalue()
    assert "Scored 2 prompts: 4 tokens generated. Files in demo/run/scores" in text
    assert notes
    for note in notes:
        assert " ".join(text.split()).count(note) == 1


@pytest.mark.parametrize(
    ("reused", "seconds", "per_s", "expected"),
    [
        (0, 2.0, 1234.5, "Scored 2 prompts: 4 tokens generated in 2 s, 1,234 tokens/s."),
        (0, 0.5, 8.0, "Scored 2 prompts: 4 tokens generated."),
        (2, 90.0, None, "Scored 2 prompts (2 from before): 4 tokens generated."),
    ],
)
def test_a_rate_is_told_where_there_is_one(reused, seconds, per_s, expected) -> None:
    console = Console(file=io.StringIO(), width=200)
    terminal.print_score_summary(console, ScoreSummary(2, reused, 4, 0, 2, 0, seconds, per_s, "run/scores"))
    assert console.file.getvalue() == f"{expected} Files in run/scores\n"


def test_a_bound_on_weights_is_shown_among_the_settings() -> None:
    pool = pl.DataFrame({"task": ["a", "b"], "prompt": ["p", "q"], "confidence": [0.01, 0.5]})
    console = Console(file=io.StringIO(), width=200)
    chosen = tasksel.select(pool, budget=1, strategy="weighted-task-diversity", max_weight_ratio=2.5)
    terminal.print_selection(console, chosen, folder=None)
    assert "alpha 1, max weight ratio 2.5, seed 0" in console.file.getvalue()


def test_tiny_confidences_are_shown_as_powers_of_ten() -> None:
    pool = pl.DataFrame({"task": ["a", "b"], "prompt": ["p", "q"], "log_confidence": [-1500.0, -0.5]})
    console = Console(file=io.StringIO(), width=80)
    chosen = tasksel.select(pool, budget=2, strategy="weighted-task-diversity")
    terminal.print_selection(console, chosen, folder=None)
    assert "1e-651" in console.file.getvalue()
    assert "0.6065" in console.file.getvalue()
