from __future__ import annotations

import json
import os
import subprocess
import sys

import polars as pl
import pytest
from typer.testing import CliRunner

from tasksel import EvaluationSettings, evaluate, score
from tasksel.causal_model import load_model
from tasksel.causal_model_adapter import quiet_peft
from tasksel.cli import app
from tasksel.endpoint import Endpoint
from tasksel.evaluation import _judge_notes
from tasksel.judge import JudgeSettings
from tasksel.run_folder import file_sha256
from tasksel_core.errors import ConfigError, MissingExtraError, ResumeError, SchemaError

IDS = ["1", "2", "3", "4"]
POOL = pl.DataFrame(
    {
        "id": IDS,
        "task": ["a", "a", "a", "b"],
        "prompt": ["p", "q", "r", "s"],
        "response": ["x", "y", None, "the cat"],
        "references": [None, ["why"], None, ["a dog"]],
    }
)
ANSWERS = pl.DataFrame({"id": IDS, "generation": ["x\n", "why", "?", "cat"]})
SETTINGS = EvaluationSettings(max_new_tokens=6, mmlu_shots=1, bbh_shots=1, device="cpu")


def run_tasksel(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tasksel", "evaluate", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        check=False,
        timeout=300,
    )


@pytest.fixture
def benchmarks(tmp_path):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    questions = pl.DataFrame(
        {
            "id": [f"q{row}" for row in range(6)],
            "task": ["law"] * 4 + ["art"] * 2,
            "prompt": [f"Question {row}?" for row in range(6)],
            "choices": [["w", "x", "y", "z"]] * 6,
            "answer": pl.Series([0, 1, 2, 3, 0, 1], dtype=pl.Int8),
        }
    )
    questions.write_parquet(folder / "mmlu_test.parquet")
    questions.with_columns(pl.col("id") + "-dev").write_parquet(folder / "mmlu_dev.parquet")
    POOL.drop_nulls("response").with_columns(task=pl.lit("t")).write_parquet(folder / "bbh.parquet")
    return folder


# Recorded answers


def test_recorded_answers_are_matched_with_every_reference():
    found = evaluate(POOL, scores=ANSWERS)["exact"]
    assert found.examples["exact_match"].to_list() == [True, True, False]
    assert found.examples["token_f1"].to_list() == [1.0, 1.0, 1.0]
    assert found.figures["exact_match"]["macro"]["mean"] == 0.5
    assert found.figures["exact_match"]["micro"]["mean"] == pytest.approx(2 / 3)
    assert found.notes == ("1 of 4 prompts have no reference and are left out.",)


def test_a_pool_without_tasks_is_one_task():
    found = evaluate(POOL.drop("task"), scores=ANSWERS)["exact"]
    assert found.tasks["task"].to_list() == ["(all)"]


def test_answers_may_come_in_any_order():
    assert evaluate(POOL, scores=ANSWERS.reverse()).suites[0].to_dict() == (
        evaluate(POOL, scores=ANSWERS).suites[0].to_dict()
    )


def test_missing_and_repeated_answers_and_responses_are_refused():
    with pytest.raises(SchemaError, match="1 of 3 prompts have no answer"):
        evaluate(POOL, scores=ANSWERS.tail(3))
    with pytest.raises(SchemaError, match="several answers"):
        evaluate(POOL, scores=pl.concat([ANSWERS, ANSWERS]))
    with pytest.raises(SchemaError, match="lack generation"):
        evaluate(POOL, scores=ANSWERS.drop("generation"))
    with pytest.raises(SchemaError, match=r"Column 'generation' .* type List\(Int64\); text is wanted"):
        evaluate(POOL, scores=ANSWERS.with_columns(generation=pl.lit([1])))
    with pytest.raises(SchemaError, match=r"Column 'id' .* type Binary; text is wanted"):
        evaluate(POOL, scores=ANSWERS.with_columns(pl.col("id").cast(pl.Binary)))
    with pytest.raises(SchemaError, match="no responses"):
        evaluate(POOL.drop("response"), scores=ANSWERS)
    with pytest.raises(SchemaError, match="No prompt"):
        evaluate(POOL.filter(id="3"), scores=ANSWERS)


def test_what_a_suite_needs_is_said_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match=r"'exakt'.*exact, loss, mmlu, bbh, winrate"):
        evaluate(POOL, suites=["exakt"])
    with pytest.raises(ConfigError, match="needs a pool"):
        evaluate()
    with pytest.raises(ConfigError, match="needs a model or scores"):
        evaluate(POOL)
    with pytest.raises(ConfigError, match="output folder"):
        evaluate(POOL, model="demo")
    with pytest.raises(ConfigError, match="folder of benchmarks"):
        evaluate(suites=["mmlu"], model="demo", out=tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        evaluate(suites=["bbh"], model="demo", out=tmp_path, benchmarks=tmp_path)
    with pytest.raises(ConfigError, match="verdicts"):
        evaluate(suites=["winrate"])
    with pytest.raises(ConfigError, match="No suite"):
        evaluate(POOL, suites=[])
    judged = {
        "suites": ["winrate"],
        "judge": JudgeSettings("m"),
        "endpoint": Endpoint("http://localhost:1/v1"),
    }
    with pytest.raises(ConfigError, match="A judge's replies are kept and need an output folder"):
        evaluate(POOL, model="demo", **judged)
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_and_the_manifest_speaks_of_them(tmp_path):
    found = evaluate(POOL, scores=ANSWERS, out=tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert report["suites"][0]["figures"] == found["exact"].figures
    assert manifest["report_sha256"] == file_sha256(tmp_path / "out" / "report.json")
    assert pl.read_csv(tmp_path / "out" / "exact" / "tasks.csv").height == 2
    assert pl.read_parquet(tmp_path / "out" / "exact" / "examples.parquet").height == 3
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.json")}
    evaluate(POOL, scores=ANSWERS, out=tmp_path / "out")
    assert {path: path.read_bytes() for path in before} == before


# A model answers


def test_a_model_and_its_recorded_scores_have_the_same_figures(tiny_model_folder, tmp_path):
    model = str(tiny_model_folder)
    asked = evaluate(POOL, model=model, out=tmp_path / "out", settings=SETTINGS)["exact"]
    score(POOL, model=model, out=tmp_path / "run", max_new_tokens=6, device="cpu")
    recorded = evaluate(POOL, scores=tmp_path / "run")["exact"]
    assert recorded.examples.equals(asked.examples)
    assert recorded.figures == asked.figures


def test_all_suites_resume_without_loading_the_model(tiny_model_folder, benchmarks, tmp_path, monkeypatch):
    arguments = {
        "model": str(tiny_model_folder),
        "suites": ["exact", "mmlu", "bbh"],
        "benchmarks": benchmarks,
        "out": tmp_path / "out",
        "settings": SETTINGS,
    }
    first = evaluate(POOL, **arguments)
    assert first["mmlu"].examples.height == 6
    assert first["mmlu"].tasks["task"].sort().to_list() == ["art", "law"]
    assert first["bbh"].examples.height == 2

    def refuse(*_, **__):
        raise AssertionError("the model was loaded again")

    monkeypatch.setattr("tasksel.evaluation.load_model", refuse)
    monkeypatch.setattr("tasksel.engines.hf.load_model", refuse)
    again = evaluate(POOL, **arguments)
    assert [each.to_dict() for each in again.suites] == [each.to_dict() for each in first.suites]


def test_an_adapter_is_another_model(tiny_model_folder, benchmarks, tmp_path):
    peft = pytest.importorskip("peft", reason="the extra hf is not installed")
    torch = pytest.importorskip("torch", reason="the extra hf is not installed")
    with quiet_peft():
        config = peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
        adapted = peft.get_peft_model(load_model(str(tiny_model_folder), device="cpu").model, config)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.normal_(0.0, 0.3, generator=generator)
        adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    arguments = {
        "model": str(tiny_model_folder),
        "suites": ["mmlu"],
        "benchmarks": benchmarks,
        "settings": SETTINGS,
    }
    base = evaluate(**arguments, out=tmp_path / "base")["mmlu"]
    other = evaluate(**arguments, adapter=str(tmp_path / "adapter"), out=tmp_path / "other")["mmlu"]
    assert not base.examples["choice_logprobs"].equals(other.examples["choice_logprobs"])
    with pytest.raises(ResumeError, match="another model"):
        evaluate(**arguments, adapter=str(tmp_path / "adapter"), out=tmp_path / "base")


# Win rates and the harness


def test_verdicts_that_come_late_in_a_file_of_unjudged_ones_count(tmp_path):
    verdicts = pl.DataFrame(
        {
            "prompt_id": [str(number) for number in range(300)],
            "generator": "g",
            "preference": [None] * 250 + [2.0] * 50,
        }
    )
    verdicts.write_ndjson(tmp_path / "run[1].jsonl")
    verdicts.write_csv(tmp_path / "verdicts.csv")
    for name in ("run[1].jsonl", "verdicts.csv"):
        (row,) = evaluate(suites=["winrate"], verdicts=tmp_path / name)["winrate"].tasks.to_dicts()
        assert (row["win_rate"], row["n_unjudged"]) == (100.0, 250)


def test_win_rates_come_from_recorded_verdicts(tmp_path):
    verdicts = pl.DataFrame({"prompt_id": ["a", "b", "c"], "generator": "g", "preference": [1.9, 1.2, None]})
    verdicts.write_ndjson(tmp_path / "verdicts.jsonl")
    found = evaluate(suites=["winrate"], verdicts=tmp_path / "verdicts.jsonl")["winrate"]
    assert found.tasks["win_rate"].to_list() == pytest.approx([55.0])
    assert found.notes == ("1 answers have no verdict and are left out.",)
    assert evaluate(suites=["winrate"], verdicts=verdicts)["winrate"].tasks.equals(found.tasks)
    command = ["evaluate", "--suite", "winrate", "--verdicts", str(tmp_path / "verdicts.jsonl")]
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "winrate: 1 rows" in shown.output
    (figures,) = [line.split() for line in shown.output.splitlines() if line.startswith("g ")]
    assert figures == ["g", "55.00", "35.00", "-", "1", "0", "2"]
    with pytest.raises(SchemaError, match="no file"):
        evaluate(suites=["winrate"], verdicts=tmp_path / "none.jsonl")


def test_pairs_without_a_verdict_and_with_a_preferred_place_are_told():
    replies = {
        "pairs": 9,
        "unjudged_pairs": 3,
        "flipped_pairs": 2,
        "refusal": 1,
        "unparsable": 4,
        "rejected": 0,
    }
    assert _judge_notes(replies) == [
        "3 of 9 pairs have no verdict and are left out (1 refusal, 4 unparsable, 0 rejected).",
        "In 2 of 9 pairs the judge preferred a place, not an answer.",
    ]
    assert _judge_notes(dict.fromkeys(replies, 0)) == []


def test_prompts_that_are_cut_are_told(tiny_model_folder, tmp_path):
    pool = POOL.drop_nulls("response").with_columns(prompt=pl.lit("long " * 200))
    found = evaluate(pool, model=str(tiny_model_folder), out=tmp_path, settings=SETTINGS)["exact"]
    n = pool.height
    assert f"{n} of {n} prompts were cut to fit the context." in found.notes


def test_the_harness_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtraError, match=r"tasksel\[eval\]"):
        evaluate(suites=["lm-eval:arc_easy"], model="demo", out=tmp_path)


# The command line


def test_the_verb_prints_a_table_that_fits_and_one_json_object(tmp_path):
    POOL.write_parquet(tmp_path / "pool.parquet")
    ANSWERS.write_parquet(tmp_path / "answers.parquet")
    arguments = [tmp_path / "pool.parquet", "--scores", tmp_path / "answers.parquet"]
    shown = run_tasksel(*arguments)
    assert shown.returncode == 0, shown.stderr
    assert "exact: 3 examples, 2 tasks" in shown.stdout
    assert "macro 0.5000" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    as_json = json.loads(run_tasksel(*arguments, "--json").stdout)
    assert as_json["suites"][0]["figures"]["exact_match"]["macro"]["mean"] == 0.5
    quiet = run_tasksel(*arguments, "--quiet", "--out", tmp_path / "out")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    wrong = run_tasksel(*arguments, "--suite", "mmlu")
    assert wrong.returncode == 2
    assert "folder of benchmarks" in wrong.stderr
    assert "Traceback" not in wrong.stderr
