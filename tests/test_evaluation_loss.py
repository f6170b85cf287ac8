from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from tasksel import EvaluationSettings, evaluate, load_pool, train
from tasksel.causal_model import load_model
from tasksel.evaluation_loss import measure_losses
from tasksel.training_examples import encode_examples
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")

ROWS = pl.DataFrame(
    {
        "id": list("abcdefg"),
        "task": ["sum", "sum", "copy", "copy", "sum", None, "copy"],
        "prompt": ["2 + 3 =", "", "say </s>", "x" * 400, "2 + 2 =", "the lazy dog", "never answered"],
        "response": ["5", "nothing", "</s>", "short", "y" * 400, " sleeps\n", None],
    }
)
MAX_TOKENS = 90
SETTINGS = EvaluationSettings(max_tokens=MAX_TOKENS, device="cpu")


@pytest.fixture(scope="module")
def causal_model(tiny_model_folder):
    return load_model(str(tiny_model_folder), device="cpu")


@pytest.fixture(scope="module")
def adapter(tiny_model_folder, tmp_path_factory):
    labelled = ROWS.drop_nulls("response").drop("task")
    folder = tmp_path_factory.mktemp("trained")
    train(labelled, model=str(tiny_model_folder), out=folder, r=4, learning_rate=3e-2, epochs=3, device="cpu")
    return str(folder)


def naive_losses(causal_model, frame, *, max_tokens=MAX_TOKENS, prompt_template=None):
    """Read each example alone, with all its logits, in float64 from there on."""
    encoded = encode_examples(
        causal_model,
        frame["prompt"].to_list(),
        frame["response"].to_list(),
        prompt_template=prompt_template,
        max_tokens=max_tokens,
    )
    losses = []
    for example in encoded.examples:
        ids = torch.from_numpy(example.token_ids.astype(np.int64))
        with torch.no_grad():
            logits = causal_model.model(ids[None]).logits[0].double()
        logprobs = logits[:-1].log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]
        losses.append(-float(logprobs[-example.response_tokens :].mean()))
    return losses


def losses_of(causal_model, frame=ROWS, **settings):
    return measure_losses(causal_model, load_pool(frame), **{"max_tokens": MAX_TOKENS} | settings)


@pytest.mark.parametrize("batch_tokens", [1, 100, 100_000])
@pytest.mark.parametrize("prompt_template", [None, "Q: {prompt}\nA: "])
def test_losses_are_those_of_reading_each_example_alone(causal_model, batch_tokens, prompt_template):
    found = losses_of(causal_model, batch_tokens=batch_tokens, prompt_template=prompt_template)
    answered = ROWS.drop_nulls("response")
    assert found.columns == ["id", "task", "response_tokens", "loss", "likelihood"]
    assert found["id"].to_list() == answered["id"].to_list()
    assert found["task"].to_list() == ["sum", "sum", "copy", "copy", "sum", "(no task)"]
    expected = naive_losses(causal_model, answered, prompt_template=prompt_template)
    np.testing.assert_allclose(found["loss"], expected, atol=2e-5)
    np.testing.assert_allclose(found["likelihood"], np.exp(-np.array(expected)), atol=2e-5)


def test_the_mean_is_over_the_response_and_its_end(causal_model):
    found = losses_of(causal_model, ROWS.head(1))
    tokens = causal_model.tokenizer("5", add_special_tokens=False)["input_ids"]
    assert found["response_tokens"].item() == len(tokens) + 1
    demo = load_model("demo", device="cpu")
    rows = ROWS.drop_nulls("response")
    np.testing.assert_allclose(losses_of(demo)["loss"], naive_losses(demo, rows), atol=2e-5)


def test_the_order_of_the_rows_moves_no_digit(causal_model):
    shuffled = ROWS.sample(fraction=1.0, shuffle=True, seed=5)
    found = losses_of(causal_model, shuffled)
    assert found["id"].to_list() == shuffled.drop_nulls("response")["id"].to_list()
    assert found.sort("id").equals(losses_of(causal_model).sort("id"))


def test_repeated_rows_have_one_loss(causal_model):
    repeated = pl.concat([ROWS, ROWS.with_columns(pl.col("id") + "-2")])
    found = losses_of(causal_model, repeated)["loss"].to_numpy()
    np.testing.assert_allclose(found[:6], found[6:], atol=1e-6)


def test_prompts_without_an_answer_are_left_out_and_pools_without_any_refused(causal_model):
    blank = ROWS.with_columns(response=pl.lit(" \n"))
    with pytest.raises(SchemaError, match=r"No prompt of <frame> has a response"):
        losses_of(causal_model, blank)
    with pytest.raises(SchemaError, match="no responses to measure; it has id, task, prompt"):
        losses_of(causal_model, ROWS.drop("response"))
    one = losses_of(causal_model, pl.concat([ROWS.head(1), blank.tail(6)]).drop("task"))
    assert one.select("id", "task").rows() == [("a", "(all)")]


def test_a_model_that_overflows_is_named(tiny_model_folder):
    broken = load_model(str(tiny_model_folder), device="cpu")
    with torch.no_grad():
        broken.model.lm_head.weight.fill_(float("inf"))
    with pytest.raises(ConfigError, match=r"6 of 6 responses no finite loss, the first is that of 'a'"):
        losses_of(broken)


# As a suite


def test_the_suite_writes_figures_and_says_what_was_cut(causal_model, tiny_model_folder, tmp_path):
    found = evaluate(
        ROWS, model=str(tiny_model_folder), suites=["loss"], out=tmp_path / "out", settings=SETTINGS
    )["loss"]
    assert found.examples.equals(losses_of(causal_model))
    by_task = found.examples.group_by("task").agg(pl.col("loss", "likelihood").mean())
    assert found.figures["loss"]["macro"]["mean"] == pytest.approx(by_task["loss"].mean())
    assert found.figures["likelihood"]["macro"]["mean"] == pytest.approx(by_task["likelihood"].mean())
    assert found.figures["loss"]["micro"]["mean"] == pytest.approx(found.examples["loss"].mean())
    assert found.tasks["task"].to_list() == by_task.sort("loss")["task"].to_list()
    assert found.notes == (
        "1 of 7 prompts have no response and are left out.",
        "1 of 6 prompts were cut from the left to fit into max_tokens (90) or the model's context.",
        "1 of 6 responses were cut at their end, and only what is left of them was measured.",
    )
    assert pl.read_parquet(tmp_path / "out" / "loss" / "examples.parquet").equals(found.examples)
    tasks = pl.read_csv(tmp_path / "out" / "loss" / "tasks.csv")
    assert tasks.columns == ["task", "examples", "loss", "likelihood"]


def test_the_suite_resumes_and_never_mixes(tiny_model_folder, adapter, tmp_path, monkeypatch):
    monkeypatch.setattr("tasksel.evaluation_loss._PART_ROWS", 2)
    arguments = {
        "model": str(tiny_model_folder),
        "suites": ["loss"],
        "out": tmp_path / "out",
        "settings": SETTINGS,
    }
    first = evaluate(ROWS, **arguments)["loss"]
    parts = sorted((tmp_path / "out" / "loss").glob("part-*"))
    assert len(parts) == 3
    parts[1].unlink()
    again = evaluate(ROWS, **arguments)["loss"]
    assert again.examples.equals(first.examples)
    assert again.notes == first.notes
    others = [
        {"settings": dataclasses.replace(SETTINGS, max_tokens=80)},
        {"settings": dataclasses.replace(SETTINGS, prompt_template="{prompt}:")},
        {"adapter": adapter},
    ]
    for other in others:
        with pytest.raises(ResumeError, match="another model"):
            evaluate(ROWS, **arguments | other)
    with pytest.raises(ResumeError, match="another model"):
        evaluate(ROWS.with_columns(response=pl.lit("z")), **arguments)


def test_an_adapter_lowers_the_loss_on_what_it_has_learned(tiny_model_folder, adapter, tmp_path):
    base, adapted = (
        evaluate(
            ROWS,
            model=str(tiny_model_folder),
            adapter=each,
            suites=["loss"],
            out=tmp_path / str(number),
            settings=SETTINGS,
        )["loss"]
        for number, each in enumerate((None, adapter))
    )
    assert adapted.figures["loss"]["micro"]["mean"] < base.figures["loss"]["micro"]["mean"]
    merged = load_model(str(tiny_model_folder), adapter=adapter, device="cpu")
    expected = naive_losses(merged, ROWS.drop_nulls("response"))
    np.testing.assert_allclose(adapted.examples["loss"], expected, atol=2e-5)


def test_recorded_answers_do_not_take_the_place_of_a_model(tmp_path):
    answers = pl.DataFrame({"id": ["a"], "generation": ["5"]})
    with pytest.raises(ConfigError, match=r"The suite loss needs a model\."):
        evaluate(ROWS, scores=answers, suites=["loss"], out=tmp_path)
    with pytest.raises(ConfigError, match="output folder"):
        evaluate(ROWS, model="demo", suites=["loss"])
    with pytest.raises(ConfigError, match="needs a pool"):
        evaluate(model="demo", suites=["loss"], out=tmp_path)


def test_the_terminal_says_that_low_is_good(tmp_path):
    ROWS.write_parquet(tmp_path / "pool.parquet")
    command = [sys.executable, "-m", "tasksel", "evaluate", str(tmp_path / "pool.parquet")]
    options = ["--suite", "loss", "--model", "demo", "--out", str(tmp_path / "out"), "--max-tokens", "90"]
    environment = {**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1"}

    def run(*more):
        return subprocess.run(
            [*command, *options, *more],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
            timeout=300,
        ).stdout

    shown = run()
    report = json.loads(run("--json"))["suites"][0]
    assert "loss: 6 examples, 3 tasks; a lower loss is better\n  loss: macro" in shown
    assert "  likelihood: macro" in shown
    assert max(map(len, shown.splitlines())) <= 80
    losses = [row["loss"] for row in report["tasks"]]
    assert losses == sorted(losses)
    assert shown.index(report["tasks"][0]["task"]) < shown.index(report["tasks"][-1]["task"])
