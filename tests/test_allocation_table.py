"""How a selection spreads over tasks: their numbers, the table of one row a task, its sentence and card."""

import re

import numpy as np
import polars as pl
import pytest

from tasksel.allocation import ALLOCATION_SCHEMA, Allocation, allocation_table, number_tasks
from tasksel.html_page_card import CardTable, card
from tasksel.strategies import Ranking, RankingProblem, WeightOptions
from tasksel_core.errors import SchemaError


def test_tasks_are_numbered_in_the_order_of_their_names():
    frame = pl.DataFrame({"kind": ["b", None, "a", "b", "B"]})
    names, task = number_tasks(frame, "kind", required=True, strategy="task-diversity")
    assert names == ["(no task)", "B", "a", "b"]
    assert (task.tolist(), task.dtype) == ([3, 0, 2, 3, 1], np.int64)
    names, task = number_tasks(pl.DataFrame({"task": [9, 10]}), "task", required=False, strategy="random")
    assert (names, task.tolist()) == (["10", "9"], [1, 0])


def test_without_the_column_all_is_one_task_or_the_sentence_says_what_to_do():
    frame = pl.DataFrame({"id": ["p", "q"], "prompt": ["a", "b"]})
    names, task = number_tasks(frame, "task", required=False, strategy="random")
    assert (names, task.tolist(), task.dtype) == (["(all)"], [0, 0], np.int64)
    sentence = (
        "There is no column 'task', and task-diversity needs tasks; the pool has id, prompt. Name the column "
        "with --task-column (task_column=), or use random, k-center or least-confident."
    )
    with pytest.raises(SchemaError, match=f"^{re.escape(sentence)}$"):
        number_tasks(frame, "task", required=True, strategy="task-diversity")


def test_the_table_tells_of_each_task_what_there_is_and_what_it_gives():
    """The first task has its base already, the fourth is all shown, the fifth has no prompt at all."""
    problem = RankingProblem(
        task=np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 3]),
        n_tasks=5,
        budget=4,
        options=WeightOptions(base=2),
        log_confidence=np.log([0.5, 0.25, np.nan, 0.75, np.nan, np.nan, 1.0, 0.25, 0.25, 0.25]),
        labelled_rows=np.array([0, 1]),
        set_aside_rows=np.array([9]),
    )
    ranking = Ranking(np.array([2, 4, 5, 6]), log_weights=np.log([0.4, 0.2, 0.2, 0.1, 0.1]))
    table = allocation_table(problem, ranking, list("abcde"), weighted=True)
    assert table.schema == pl.Schema({**ALLOCATION_SCHEMA, "labelled": pl.Int64()})
    confidence = [0.5, None, 0.5, 0.25, None]
    assert table.drop("confidence", "weight", "log_confidence").to_dict(as_series=False) == {
        "task": ["a", "b", "c", "d", "e"],
        "available": [2, 2, 3, 0, 0],
        "base": [0, 2, 2, 0, 0],
        "quota": [1, 2, 1, 0, 0],
        "picked": [1, 2, 1, 0, 0],
        "capped": [False, True, False, True, True],
        "scored": [3, 0, 3, 1, 0],
        "labelled": [2, 0, 0, 0, 0],
    }
    assert table["confidence"].to_list() == pytest.approx(confidence)
    assert table["log_confidence"].exp().to_list() == pytest.approx(confidence)
    assert table["weight"].to_list() == pytest.approx([0.4, 0.2, 0.2, 0.1, 0.1])


def test_the_table_of_a_strategy_without_weights_and_scores_has_nulls_and_no_base():
    problem = RankingProblem(task=np.array([0, 1, 1]), n_tasks=3, budget=1)
    table = allocation_table(problem, Ranking(np.array([2])), list("abc"), weighted=False)
    assert table.schema == ALLOCATION_SCHEMA
    assert table.rows() == [
        ("a", 1, None, None, 0, 0, 0, False, None, 0),
        ("b", 2, None, None, 0, 1, 1, False, None, 0),
        ("c", 0, None, None, 0, 0, 0, True, None, 0),
    ]


def test_a_table_of_no_tasks_has_its_columns_too():
    nothing = np.array([], dtype=np.int64)
    problem = RankingProblem(task=nothing, n_tasks=0, budget=0)
    assert allocation_table(problem, Ranking(nothing), [], weighted=True).schema == ALLOCATION_SCHEMA


@pytest.mark.parametrize(
    ("picked", "available", "sentence"),
    [
        ([1, 4, 0], [30, 4, 9], "5 labels for 2 of 3 tasks; 1 task is used up."),
        ([1], [2], "1 label for 1 of 1 task; 0 tasks are used up."),
        ([1] * 1200, [1] * 1200, "1,200 labels for 1,200 of 1,200 tasks; 1,200 tasks are used up."),
    ],
)
def test_an_allocation_is_said_in_a_sentence(picked, available, sentence):
    assert Allocation(pl.DataFrame({"picked": picked, "available": available})).headline() == sentence


def test_a_notebook_shows_the_heaviest_tasks_first_and_no_empty_column():
    table = pl.DataFrame(
        {
            "task": ["b", "a", "c"],
            "available": [5, 6, 7],
            "confidence": [None, 0.5, None],
            "weight": pl.Series([None] * 3, dtype=pl.Float64),
            "picked": [1, 1, 4],
            "scored": [0, 1, 0],
        }
    )
    shown = Allocation(table)
    heaviest = pl.DataFrame(
        {
            "task": ["c", "a", "b"],
            "available": [7, 6, 5],
            "confidence": [None, 0.5, None],
            "picked": [4, 1, 1],
        }
    )
    assert shown._repr_html_() == card("Allocation", shown.headline(), [CardTable(heaviest)])


@pytest.mark.parametrize("name", ["plot_quotas", "plot_weights", "plot_confidence"])
def test_a_picture_is_drawn_of_the_table_as_wide_as_asked(name, monkeypatch):
    monkeypatch.setattr(f"tasksel.allocation_plots.{name}", lambda table, *, width: (table, width))
    allocation = Allocation(pl.DataFrame({"task": ["a"]}))
    assert getattr(allocation, name)() == (allocation.table, 640)
    assert getattr(allocation, name)(width=300) == (allocation.table, 300)
