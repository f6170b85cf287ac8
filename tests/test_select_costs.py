"""Later rounds and what labels cost, on the command line and in a job's file."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import tasksel
from tasksel.cli import app
from tasksel.job.config import parse_job
from tasksel.job.prices import label_prices
from tasksel.label_cost import LabelPrices
from tasksel_core.errors import ConfigError

POOL = '[pool]\npath = "pool.parquet"\n'


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks = ["short"] * 30 + ["long"] * 30
    pl.DataFrame(
        {
            "id": [str(row) for row in range(60)],
            "task": tasks,
            "prompt": [
                f"{row} " + "word " * (4 if task == "short" else 40) for row, task in enumerate(tasks)
            ],
            "response": ["yes" if task == "short" else "yes " * 50 for task in tasks],
            "price": [1.0 if task == "short" else 4.0 for task in tasks],
        }
    ).write_parquet("pool.parquet")
    return tmp_path


def invoke(*arguments, code=0):
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(each) for each in arguments])
    assert done.exit_code == code, done.output + str(done.exception)
    return done


def test_flags_of_costs_say_what_the_parameters_do(world):
    flags = ["--budget-cost", 60, "--cost-per-example", 0.5, "--cost-per-1k-prompt-tokens", 10]
    flags += ["--cost-per-1k-response-tokens", 40, "--per-cost", "--json"]
    account = json.loads(invoke("select", "pool.parquet", *flags).stdout)
    prices = {"per_example": 0.5, "per_1k_prompt_tokens": 10, "per_1k_response_tokens": 40}
    same = tasksel.select("pool.parquet", budget_cost=60, prices=prices, per_cost=True)
    assert account["figures"] == json.loads(json.dumps(same.manifest["figures"]))
    assert account["settings"]["prices"] == prices
    column = invoke("select", "pool.parquet", "--budget-cost", 60, "--cost-column", "price", "--json")
    assert json.loads(column.stdout)["figures"]["label_cost"] <= 60
    tokens = json.loads(invoke("select", "pool.parquet", "--budget-tokens", 900, "--json").stdout)
    assert 0 < tokens["figures"]["label_tokens"] <= 900


def test_a_person_sees_labels_tokens_and_money_and_what_went_before(world):
    invoke("select", "pool.parquet", "--budget", 10, "--out", "first", "--quiet")
    flags = ["--labelled", "first", "--budget-cost", 60, "--cost-per-example", 2]
    shown = invoke("select", "pool.parquet", *flags).output
    assert max(map(len, shown.splitlines())) <= 80
    assert "budget 60 in money (30 labels)" in shown
    assert "Labelled 10 prompts before (selected.parquet)" in shown
    assert "labelled  picked" in shown
    flat = " ".join(shown.split())
    assert "tokens and 60.00 in money." in flat
    tokens = invoke("select", "pool.parquet", "--budget-tokens", 1500).output
    assert "budget 1,500 tokens (" in tokens


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "One budget is wanted"),
        (["--budget", 3, "--budget-cost", 9], "budget and budget_cost is given"),
        (["--budget-cost", 9], "--cost-per-example"),
        (["--budget-tokens", 9, "--cost-per-example", 1], "do not go together"),
        (["--budget-cost", 9, "--cost-column", "pric"], "There is no column 'pric'"),
        (["--budget", 3, "--cost-per-example", -1], "per_example is -1.0"),
        (["--budget-cost", "nan", "--cost-per-example", 1], "budget_cost is nan"),
        (["--budget", 3, "--labelled", "nowhere"], "nowhere"),
        (["--budget", 3, "--labelled", "."], "holds no labels; allowed: a run folder"),
    ],
)
def test_what_cannot_be_is_one_sentence(world, flags, sentence):
    shown = " ".join(invoke("select", "pool.parquet", *flags, code=2).stderr.split())
    assert sentence in shown


def run(text, **options):
    Path("job.toml").write_text(POOL + text)
    return tasksel.run_job("job.toml", **options)


def test_a_job_selects_by_money_at_the_prices_of_its_labels(world):
    result = run("[select]\nbudget_cost = 20.0\n[labels]\ncost_per_example = 2.0\n")
    assert result["select"].figures["label_cost"] == 20
    assert result["labels"].figures["rows"] == 10
    assert all(stage.state == "unchanged" for stage in run(Path("job.toml").read_text()[len(POOL) :]).stages)
    other = run("[select]\nbudget_cost = 20.0\ncost_per_example = 4.0\n")
    assert other["select"].figures["selected"] == 5


def test_a_plan_says_what_a_budget_in_money_is(world):
    pl.read_parquet("pool.parquet").drop("response").write_parquet("pool.parquet")
    text = '[select]\nbudget_cost = 20.0\n[labels]\ncost_per_example = 2.0\ncurrency = "EUR"\n'
    plan = run(text, dry_run=True).plan
    assert (plan.labels.labels, plan.labels.cost) == (None, 20.0)
    assert {stage.work.rows for stage in plan.stages} == {None}
    shown = " ".join(invoke("run", "job.toml", "--dry-run").output.split())
    assert "Labels 20.00 EUR: as many labels as the budget buys." in shown


def test_a_plan_takes_the_prices_of_the_selection(world):
    pl.read_parquet("pool.parquet").drop("response").write_parquet("pool.parquet")
    assert (
        run("[select]\nbudget = 7\ncost_per_example = 3.0\n[labels]\n", dry_run=True).plan.labels.cost == 21
    )


def test_a_job_goes_on_from_labels(world):
    first = run("[select]\nbudget = 12\n")
    text = '[select]\nbudget = 8\nlabelled = "job-run/selection"\n'
    Path("second.toml").write_text(POOL + text)
    second = tasksel.run_job("second.toml")
    assert second["select"].figures["labelled"] == 12
    ids = [
        pl.read_parquet(f"{each}-run/selection/selected.parquet")["id"].to_list()
        for each in ("job", "second")
    ]
    assert not set(ids[0]) & set(ids[1])
    assert {stage.state for stage in tasksel.run_job("second.toml").stages} == {"unchanged"}
    assert first.is_finished
    run("[select]\nbudget = 14\n")
    assert tasksel.run_job("second.toml")["select"].state == "done"


def parsed(**sections):
    return parse_job({"pool": {"path": "a"}, **sections}, name="job", folder=Path())


def test_prices_are_said_once():
    assert label_prices(parsed(select={"budget": 3})) is None
    both = parsed(select={"budget": 3, "cost_per_example": 2.0}, labels={"cost_per_example": 2.0})
    assert label_prices(both) == LabelPrices(2.0)
    tokens = parsed(select={"budget": 3}, labels={"cost_per_1k_tokens": 5.0})
    assert label_prices(tokens) == LabelPrices(0.0, 5.0, 5.0)
    other = parsed(select={"budget": 3, "cost_per_example": 2.0}, labels={"cost_per_example": 3.0})
    with pytest.raises(ConfigError, match=r"\[labels\] and \[select\] say different prices"):
        label_prices(other)


@pytest.mark.parametrize(
    ("select", "sentence"),
    [
        ("budget = 3\nbudget_cost = 4.0", "has budget and budget_cost; one budget is wanted"),
        ("budget_cost = 0.0\ncost_per_example = 1.0", "budget_cost of [select] is 0; a number above 0"),
    ],
)
def test_what_cannot_be_in_a_job(world, select, sentence):
    with pytest.raises(ConfigError) as error:
        run(f"[select]\n{select}\n")
    assert sentence in str(error.value)
