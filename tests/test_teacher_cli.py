"""`tasksel annotate teacher` as people and programs see it, and against a real server with a real model."""

from __future__ import annotations

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from scripted_provider import KEY, completion
from tasksel.cli import app
from tasksel.spending_caps import Spent, Usage
from tasksel.terminal import ScoreProgress
from tasksel.terminal_teacher import money, show_spending
from token_server import running_server, served  # noqa: F401 - fixtures


@pytest.fixture
def run_verb(tmp_path, monkeypatch):
    """Give the function that runs the verb on a pool of ten prompts, 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")
    pool = tmp_path / "pool.parquet"
    pl.DataFrame({"task": "t", "prompt": [f"Prompt number {n}" for n in range(10)]}).write_parquet(pool)

    def run(*arguments):
        command = ["annotate", "teacher", str(pool), "--into", str(tmp_path / "run"), *arguments]
        return CliRunner().invoke(app, command)

    return run


@pytest.fixture
def at(server):
    """Give the options that lead to the scripted server."""
    server.play = lambda asked: (200, completion("Answer " + asked.body["messages"][-1]["content"][-1]))
    return ["--endpoint", server.url, "--model", "scripted"]


def fits(text):
    return max(map(len, text.splitlines())) <= 80


def test_what_a_person_sees(server, run_verb, at):
    def play(asked):
        number = asked.body["messages"][-1]["content"][-1]
        bodies = {
            "1": completion("I can't help with that."),
            "2": completion("Half", finish="length"),
            "3": completion("<think>Hm.</think> Three"),
        }
        return 200, bodies.get(number, completion(f"Answer {number}"))

    server.play = play
    result = run_verb(*at, "--input-price", "0.5", "--output-price", "2")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert fits(result.stdout)
    for part in (
        "scripted answered 8 of 10 prompts",
        "8 answered",
        "1 set aside: refusal",
        "1 set aside: truncated",
        "tokens 1,000 read, 400 written; cost 0.0013 USD",
        "Labels 8 in",
        "--keep-truncated takes them as they are",
        "Reasoning in <think> was left out of labels: 1.",
    ):
        assert part in text, part


def test_what_a_person_is_told_of_odd_answers(server, run_verb, at, tmp_path):
    pool = pl.read_parquet(tmp_path / "pool.parquet")
    pl.concat([pool, pool.head(1)]).write_parquet(tmp_path / "pool.parquet")

    def play(asked):
        number = asked.body["messages"][-1]["content"][-1]
        if number == "1":
            return 400, "too long"
        if number == "2":
            return 500, "broken"
        return 200, completion(f"Answer {number}", finish="length" if number == "3" else "stop", usage=None)

    server.play = play
    said = " ".join(run_verb(*at, "--keep-truncated").stdout.split())
    for part in (
        "no answer (1 request: status 500 on 5 attempts); the same command asks them again.",
        "Prompts that repeat another word for word share its answer: 1.",
        "Labels that are cut at the longest answer (--keep-truncated): 1.",
        "The provider did not report all tokens; those are estimated at four bytes a token.",
    ):
        assert part in said, said


def test_a_single_prompt_has_no_two_answers_to_compare(server, run_verb, at):
    count = []

    def play(asked):
        count.append(1)
        return (200, completion("I can't help with that.")) if len(count) > 1 else (200, completion("Yes"))

    server.play = play
    said = " ".join(run_verb(*at, "--samples", "2", "--max-requests", "2", "-j", "1").stdout.split())
    assert "2 a prompt; no prompt has two answers to compare" in said


def test_a_dry_run_goes_by_what_replies_took(server, run_verb, at):
    priced = [*at, "--input-price", "1", "--output-price", "4"]
    run_verb(*priced, "--max-requests", "6", "-j", "1")
    said = " ".join(run_verb(*priced, "--dry-run").stdout.split())
    for part in ("at most", "each as long as max_tokens allows", "with the longest answers", "spent before"):
        assert part in said, said
    unpriced = " ".join(run_verb(*at, "--dry-run").stdout.split())
    assert "cost unknown give --input-price and --output-price a million tokens" in unpriced


def test_a_cap_ends_with_three_and_says_how_to_go_on(run_verb, at):
    result = run_verb(*at, "--max-requests", "4", "-j", "1")
    assert result.exit_code == 3
    text = " ".join(result.stdout.split())
    assert "6 not answered yet" in text
    assert (
        "the cap max_requests (4) is reached. What was answered is kept; the same command continues." in text
    )
    assert "Cost is unknown without --input-price and --output-price." in text
    assert run_verb(*at, "--quiet").exit_code == 0


def test_json_is_one_object_and_quiet_is_nothing(run_verb, at):
    plan = json.loads(run_verb(*at, "--dry-run", "--json").stdout)
    assert (plan["requests"], plan["cost"]) == (10, None)
    summary = json.loads(run_verb(*at, "--json", "--samples", "3").stdout)
    assert (summary["answered"], summary["is_finished"], summary["agreement"]["unanimous"]) == (10, True, 10)
    quiet = run_verb(*at, "--quiet", "--samples", "3")
    assert (quiet.exit_code, quiet.stdout) == (0, "")
    shown = run_verb(*at, "--samples", "3")
    assert "3 a prompt; 100% of the answers agree with the chosen one" in " ".join(shown.stdout.split())


def test_a_dry_run_in_eighty_columns(server, run_verb, at):
    result = run_verb(
        *at, "--dry-run", "--input-price", "1", "--output-price", "4", "--system", "Be\x1b[31m brief."
    )
    assert (result.exit_code, server.seen) == (0, [])
    assert fits(result.stdout)
    text = " ".join(result.stdout.split())
    for part in (
        "10 requests for 10 prompts",
        "tokens to read",
        "four bytes a token",
        "0.0410 USD",
        "Nothing was sent.",
    ):
        assert part in text, part
    assert "Be\\x1b[31m brief." in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "gpt"], "Where the model 'gpt' is, is not said"),
        (["--model", "m", "--provider", "azure"], "allowed are 'openai', 'anthropic', 'hf'"),
        (["--model", "m", "--endpoint", f"https://h/v1?key={KEY}"], "keys come from the environment"),
        (["--model", "demo", "--max-cost", "1"], "max_cost wants input_price"),
        (["--model", "demo", "--folder", "a/b"], "a name of letters"),
        (["--model", "./gone", "--provider", "hf"], "gone"),
    ],
)
def test_a_mistake_is_one_sentence_and_two(run_verb, arguments, sentence):
    result = run_verb(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert KEY not in result.output


def test_a_wrong_key_is_told_without_it(server, run_verb, at):
    server.play = lambda _: (401, f"no such key: {KEY}")
    result = run_verb(*at)
    assert result.exit_code == 2
    assert "status 401" in " ".join(result.stderr.split())
    assert KEY not in result.output


def test_progress_shows_the_running_cost(capsys, monkeypatch):
    monkeypatch.setattr("tasksel.terminal.PIPE_INTERVAL_S", 0.0)
    with ScoreProgress("Asking", "replies") as progress:
        show = show_spending(progress)
        show(0, 10, 0, Spent(0, Usage(0, 0), 0.0, "EUR"))
        show(5, 10, 700, Spent(5, Usage(500, 200), 0.25, "EUR"))
    told = capsys.readouterr().err
    assert "Asking: 5 of 10 replies, 700 tokens, 0.2500 EUR" in told
    assert "s left" in told


def test_amounts():
    assert [money(each, "USD") for each in (0, 0.00004, 12.3456, 1234.5)] == [
        *("0.00 USD", "0.0000 USD", "12.35 USD", "1,234.50 USD")
    ]


def test_a_real_server_labels_and_a_model_learns(served, run_verb, tmp_path, save_tiny_model):  # noqa: F811
    """The whole way: a tiny model behind a real server labels the prompts, another tiny model learns them."""
    pytest.importorskip("peft", reason="the extra hf is not installed")
    from tasksel import train

    command = ["--endpoint", served.url("vllm"), "--model", "chatty", "--max-tokens", "8", "--keep-truncated"]
    result = run_verb(*command, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["asked"], summary["unanswered"], summary["is_estimate"]) == (10, 0, False)
    assert served.told()["requests"] == 10
    labelled = tmp_path / "run" / "labels" / "labelled.parquet"
    frame = pl.read_parquet(labelled)
    assert frame.height == summary["answered"] > 0
    assert frame["response"].str.strip_chars().str.len_chars().min() > 0

    trained = train(
        labelled,
        model=str(save_tiny_model(tmp_path / "student", seed=2)),
        out=tmp_path / "run",
        r=2,
        batch_size=4,
        epochs=1,
        max_tokens=64,
        device="cpu",
    )
    assert trained.examples == frame.height
    again = run_verb(*command, "--json")
    assert json.loads(again.stdout)["sent"] == 0
