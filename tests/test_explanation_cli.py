"""The verbs ``explain`` and ``diff``: what is printed, exit codes, JSON, mistakes in one sentence."""

import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

import tasksel
from tasksel.cli import app
from tasksel.terminal_explanation import _covering_line, print_diff, print_example, print_explanation

runner = CliRunner()
HOSTILE = "task \x1b[31mred\x1b[0m \u202e <script>alert(1)</script> " + "long " * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a pool with a hostile task, vectors, and three selections beside them."""
    place = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    sizes = np.geomspace(8, 80, 20).astype(int)
    names = [HOSTILE, *(f"task-{number}" for number in range(19))]
    tasks = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    prompts = [f"{rng.integers(10**9)} [bold]x[/bold] \x1b]0;owned\x07\n{row}" for row in range(len(tasks))]
    pool = pl.DataFrame({"task": tasks, "prompt": prompts}).with_columns(
        id=pl.Series([f"row-{row}" for row in range(len(tasks))]),
        token_logprobs=pl.Series([[-0.1 - 0.1 * rng.random()] * rng.integers(2, 5) for _ in tasks]),
    )
    pool.write_parquet(place / "pool.parquet")
    np.save(place / "embeddings.npy", rng.standard_normal((pool.height, 8)).astype(np.float32))
    for name, settings in {
        "uniform": {},
        "weighted": {"strategy": "weighted-task-diversity"},
        "random": {"strategy": "random"},
    }.items():
        tasksel.select(place / "pool.parquet", budget=120, out=place / name, **settings)
    return place


def run(*arguments, columns="80"):
    return runner.invoke(app, [str(each) for each in arguments], env={"COLUMNS": columns})


def test_explain_prints_tasks_signatures_and_what_more_labels_buy(folder):
    result = run("explain", folder / "weighted")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in result.stdout
    assert lines[0].startswith("Selected 120 of 629 prompts by weighted-task-diversity.")
    for name in ("cap-dominated: not raised", "like-random: not raised", "few-effective-tasks"):
        assert name in result.stdout
    assert "Covering radius" in result.stdout
    assert "6 more tasks between those shown" in result.stdout


def test_json_is_one_object(folder):
    account = json.loads(run("explain", folder / "weighted", "--json").stdout)
    assert account["selection"].endswith("weighted")
    assert len(account["signatures"]) == 6
    assert len(account["tasks"]) == 20
    assert account["failed"] == []
    account = json.loads(run("diff", folder / "uniform", folder / "weighted", "--json").stdout)
    assert account["n_shared"] <= 120
    assert account["settings"][0]["setting"] == "strategy"
    account = json.loads(run("explain", folder / "weighted", "--example", "row-3", "--json").stdout)
    assert account["examples"][0]["id"] == "row-3"


def test_signatures_fail_where_asked_to(folder):
    assert run("explain", folder / "random").exit_code == 0
    assert run("explain", folder / "random", "--fail-on", "any", "--quiet").exit_code == 3
    assert run("explain", folder / "random", "--fail-on", "cap-dominated,like-random").exit_code == 3
    assert run("explain", folder / "random", "--fail-on", "cap-dominated").exit_code == 0


def test_a_signature_that_was_not_measured_fails_where_it_is_named(folder, tmp_path):
    pool = pl.read_parquet(folder / "pool.parquet").drop("token_logprobs")
    pool.write_parquet(tmp_path / "prompts.parquet")
    tasksel.select(tmp_path / "prompts.parquet", budget=120, out=tmp_path / "chosen")
    assert run("explain", tmp_path / "chosen", "--fail-on", "confidence-is-length").exit_code == 3
    assert run("explain", tmp_path / "chosen", "--fail-on", "any").exit_code == 0


def test_mistakes_are_one_sentence(folder):
    for arguments, words in {
        ("explain", folder / "none"): "holds no finished selection",
        ("explain", folder / "uniform", "--fail-on", "like-randon"): "Did you mean 'like-random'?",
        ("explain", folder / "uniform", "--fail-on", ","): "names no signature",
        ("explain", folder / "uniform", "--example", "row-9999"): "Did you mean 'row-",
        ("explain", folder / "uniform", "--example", "row-1", "--fail-on", "any"): "leave out --example",
        ("explain", folder / "uniform", "--pool", folder / "none.parquet"): "none.parquet",
        ("diff", folder / "uniform", folder): "holds no finished selection",
    }.items():
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr.replace("\n", " "), result.stderr
        assert result.stdout == ""


def test_several_examples_are_explained(folder):
    result = run("explain", folder / "weighted", "--example", "row-3", "--example", "row-600")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.count("ordered at random") == 2
    assert "\x07" not in result.stdout


def test_diff_prints_settings_changes_and_prompts(folder):
    result = run("diff", folder / "uniform", folder / "random")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    for words in ("Jaccard", "setting", "strategy", "change", "Only in A, the first 5 of", "Only in B"):
        assert words in result.stdout
    same = run("diff", folder / "uniform", folder / "uniform").stdout
    assert "Both select the same 120 prompts." in same
    assert "Only in A" not in same


def test_quiet_prints_nothing(folder):
    assert run("explain", folder / "uniform", "--quiet").output == ""
    assert run("explain", folder / "uniform", "--example", "row-1", "--quiet").output == ""
    assert run("diff", folder / "uniform", folder / "random", "--quiet").output == ""


@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_that_a_stranger_wrote_steers_the_terminal(folder, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    selections = [folder / "uniform", folder / "weighted"]
    print_explanation(console, tasksel.explain(selections[1]))
    print_diff(console, tasksel.diff(*selections))
    print_example(console, tasksel.explain_example(selections[0], "row-0"))
    text = console.file.getvalue()
    for mark in ("\x1b[31m", "\x07", "\u202e"):
        assert mark not in text
    assert "[bold]x[/bold]" in text


def test_labels_for_the_whole_pool_leave_nothing_to_go_on_with():
    line = _covering_line(pl.DataFrame({"radius": [2.0, 0.5]}), {"selected": 2})
    assert line == "Covering radius 0.5 after 2 labels."
