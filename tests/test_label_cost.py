"""Budgets in tokens and in money."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasksel
from tasksel.label_cost import LabelPrices, longest_affordable, measure_lengths
from tasksel.selection_files import SelectionInputs, read_selection, replay
from tasksel_core.errors import BudgetError, ConfigError, SchemaError


@pytest.fixture
def pool():
    sizes = {"short": 30, "long": 30}
    tasks = [name for name, size in sizes.items() for _ in range(size)]
    return pl.DataFrame(
        {
            "id": [str(row) for row in range(len(tasks))],
            "task": tasks,
            "prompt": ["word " * (4 if task == "short" else 40) for task in tasks],
            "cost": [1.0 if task == "short" else 4.0 for task in tasks],
            "token_logprobs": [[-0.5] * (2 if task == "short" else 20) for task in tasks],
        }
    )


@given(st.lists(st.floats(0.01, 100), max_size=30), st.floats(0, 500))
def test_what_is_bought_costs_no_more_than_there_is(costs, money):
    n_bought = longest_affordable(np.array(costs), money)
    assert sum(costs[:n_bought]) <= money * (1 + 1e-5)
    assert n_bought == len(costs) or sum(costs[: n_bought + 1]) > money


def test_sums_of_prices_are_not_a_hair_too_dear():
    assert longest_affordable(np.full(10, 0.1), 1.0) == 10


@pytest.mark.parametrize("strategy", ["random", "task-diversity", "least-confident"])
def test_money_buys_the_ranking_from_its_first_prompt_on(pool, strategy):
    bought = tasksel.select(pool, budget_cost=50, strategy=strategy)
    whole = tasksel.select(pool, budget=60, strategy=strategy)
    n_bought = bought.frame.height
    assert bought.rows.tolist() == whole.rows[:n_bought].tolist()
    assert bought.frame["cost"].sum() <= 50 < whole.frame["cost"][: n_bought + 1].sum()
    assert bought.manifest["figures"]["label_cost"] == bought.frame["cost"].sum()
    settings = bought.manifest["settings"]
    assert (settings["budget"], settings["budget_cost"], settings["cost_column"]) == (n_bought, 50.0, "cost")
    assert "Costs are those of the column 'cost'." in bought.notes


def test_tokens_are_those_of_prompt_and_answer(pool):
    bought = tasksel.select(pool, budget_tokens=500, strategy="task-diversity")
    # 5 and 50 tokens by characters, 2 and 20 by the model's own answers
    tokens = bought.frame["task"].replace_strict({"short": 7.0, "long": 70.0}).sum()
    assert bought.manifest["figures"]["label_tokens"] == tokens <= 500
    assert "Tokens of the prompts are estimated: characters / 4." in bought.notes


def test_prices_by_length_make_costs(pool):
    prices = {"per_example": 0.5, "per_1k_prompt_tokens": 10, "per_1k_response_tokens": 100}
    bought = tasksel.select(pool.drop("cost"), budget_cost=30, prices=prices)
    by_task = {"short": 0.5 + 0.05 + 0.2, "long": 0.5 + 0.5 + 2.0}
    cost = bought.frame["task"].replace_strict(by_task).sum()
    assert bought.manifest["figures"]["label_cost"] == pytest.approx(cost)
    assert cost <= 30
    assert bought.manifest["settings"]["prices"]["per_1k_prompt_tokens"] == 10


def test_per_cost_shares_out_the_money(pool):
    plain = tasksel.select(pool, budget_cost=60, strategy="task-diversity", base=0)
    shared = tasksel.select(pool, budget_cost=60, strategy="task-diversity", base=0, per_cost=True)
    money = dict(shared.frame.group_by("task").agg(pl.col("cost").sum()).iter_rows())
    assert money["short"] == pytest.approx(money["long"], abs=4)
    labels = [dict(each.frame["task"].value_counts().iter_rows()) for each in (plain, shared)]
    assert labels[0]["short"] == labels[0]["long"]
    assert labels[1]["short"] == pytest.approx(4 * labels[1]["long"], abs=4)
    assert shared.allocation["weight"].to_list() == pytest.approx([0.2, 0.8])


def test_a_selection_for_money_is_made_anew(pool, tmp_path):
    path = tmp_path / "pool.parquet"
    pool.write_parquet(path)
    made = tasksel.select(path, budget_cost=40, per_cost=True, out=tmp_path / "chosen")
    again = replay(read_selection(tmp_path / "chosen"), SelectionInputs(pool=path))
    assert again.rows.tolist() == made.rows.tolist()


def test_counted_tokens_are_taken_as_they_are():
    frame = pl.DataFrame({"prompt": ["a"], "prompt_tokens": [7], "response_tokens": [3]})
    lengths = measure_lengths(frame)
    assert (lengths.tokens.tolist(), lengths.account) == ([10.0], "Tokens are counted.")


def test_a_response_that_nobody_knows_has_the_mean_length():
    frame = pl.DataFrame({"prompt": ["x" * 4] * 3, "response": ["y" * 8, None, " "]})
    assert measure_lengths(frame, np.array([np.nan, 6.0, np.nan])).response_tokens.tolist() == [2, 6, 4]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, BudgetError, "One budget is wanted, .* and none is given"),
        ({"budget": 3, "budget_cost": 2}, BudgetError, "budget and budget_cost is given"),
        ({"budget_cost": 0}, BudgetError, "budget_cost is 0; allowed: a number above 0"),
        ({"budget_cost": float("nan")}, BudgetError, "budget_cost is nan"),
        ({"budget_tokens": True}, BudgetError, "budget_tokens is True"),
        ({"budget_cost": 0.5}, BudgetError, "buys no label, the cheapest label costs 1"),
        ({"budget_cost": 5, "cost_column": "price"}, SchemaError, "There is no column 'price'; the pool has"),
        ({"budget_cost": 5, "cost_column": "task"}, SchemaError, "Column 'task' is String"),
        ({"budget_cost": 5, "prices": {"per_word": 1}}, ConfigError, "There is no price 'per_word'; allowed"),
        ({"budget_cost": 5, "prices": {"per_example": -1}}, ConfigError, "per_example is -1"),
        (
            {"budget_cost": 5, "cost_column": "cost", "prices": {"per_example": 1}},
            ConfigError,
            "not from both",
        ),
        ({"budget_tokens": 5, "prices": {"per_example": 1}}, ConfigError, "do not go together"),
        ({"budget": 5, "per_cost": True, "strategy": "random"}, ConfigError, "does not allocate over tasks"),
        ({"budget_cost": 5, "rounding": "paper"}, ConfigError, "there is no ranking; allowed: webster"),
    ],
)
def test_mistakes_are_named(pool, settings, error, message):
    with pytest.raises(error, match=message):
        tasksel.select(pool, **settings)


def test_what_costs_nobody_knows_is_asked_for(pool):
    with pytest.raises(ConfigError, match="A budget in money needs what a label costs"):
        tasksel.select(pool.drop("cost"), budget_cost=5)
    with pytest.raises(ConfigError, match="Nothing tells how long the responses will be"):
        tasksel.select(pool.drop("cost", "token_logprobs"), budget_tokens=5)
    costs = pool.with_columns(cost=pl.when(pl.col("id") != "2").then("cost"))
    with pytest.raises(SchemaError, match=r"Column 'cost' is None in row 2"):
        tasksel.select(costs, budget_cost=5)


def test_prices_of_nothing_are_none():
    assert not LabelPrices().are_given
    assert LabelPrices(per_example=0.1).are_given


def test_a_price_for_every_label_asks_for_no_lengths(pool):
    bought = tasksel.select(pool.drop("cost", "token_logprobs"), budget_cost=8.4, prices={"per_example": 0.8})
    assert bought.frame.height == 10
    assert bought.manifest["figures"]["label_cost"] == pytest.approx(8.0)
    assert "label_tokens" not in bought.manifest["figures"]
    assert not [note for note in bought.notes if "Tokens" in note]
    by_prompt = tasksel.select(
        pool.drop("cost", "token_logprobs"), budget_cost=1, prices={"per_1k_prompt_tokens": 10}
    )
    assert by_prompt.manifest["figures"]["label_cost"] <= 1


def test_money_that_does_not_buy_the_first_prompt_says_what_that_costs():
    pool = pl.DataFrame({"id": ["a", "b"], "prompt": ["x", "y"], "task": ["t", "t"], "cost": [7.0, 1.0]})
    with pytest.raises(BudgetError, match=r"The budget of 3 in money .*costs 7\."):
        tasksel.select(pool, budget_cost=3, strategy="k-center", embeddings=np.eye(2, dtype=np.float32))


def test_a_task_that_costs_nothing_has_no_value_per_cost():
    pool = pl.DataFrame({"id": ["a", "b"], "prompt": ["x", "y"], "task": ["s", "t"], "cost": [7.0, 0.0]})
    with pytest.raises(ConfigError, match=r"A task whose labels cost nothing .*leave --per-cost out\."):
        tasksel.select(pool, budget_cost=7, per_cost=True, strategy="task-diversity")
