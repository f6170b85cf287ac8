"""What a job says before it does it, what it writes of itself, and both verbs in a terminal."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

import tasksel
from tasksel.cli import app
from tasksel.job import load_job
from tasksel.job.config import parse_job
from tasksel.job.context import JobContext
from tasksel.job.rates import MEASURED, measure_embedding, measure_scoring, measure_training
from tasksel.job.sections import SECTIONS, SHARED_KEYS
from tasksel.job.stages_evaluation import EvaluateStage
from tasksel.job.survey import survey_pool
from tasksel.job.template import JobTemplate
from tasksel.terminal_job import print_plan
from tasksel.toml_file import read_toml
from tasksel_core.errors import MissingExtraError, SchemaError
from test_job import LOOP, SELECT, write_world

needs_models = pytest.mark.skipif(
    not all(map(__import__("importlib").util.find_spec, ("torch", "transformers", "peft"))),
    reason="the extra hf is not installed",
)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_world(tmp_path)


def plan(text, **options):
    Path("job.toml").write_text(text)
    return tasksel.run_job("job.toml", dry_run=True, **options).plan


def invoke(*arguments):
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(each) for each in arguments])


def planned(found):
    return {stage.name: stage.state for stage in found.stages}


@needs_models
def test_a_plan_says_rows_tokens_and_time_and_writes_nothing(world):
    before = sorted(world.rglob("*"))
    found = plan(LOOP)
    assert sorted(world.rglob("*")) == sorted([*before, world / "job.toml"])
    assert set(planned(found).values()) == {"to do"}
    score, train = found.stages[0].work, next(each.work for each in found.stages if each.name == "train")
    assert score.rows == found.pool["rows"]
    assert score.new_tokens == 4 * score.rows
    assert score.prompt_tokens > score.rows
    assert "counted with the model's tokenizer" in score.tokens_basis
    assert score.seconds > 0
    assert train.seconds > 0
    assert "measured on" in train.time_basis
    assert found.untimed == ()
    assert found.seconds >= score.seconds + train.seconds


def test_time_is_unknown_where_it_was_not_measured(world):
    found = plan(LOOP, measure=False)
    assert found.seconds is None
    assert set(found.untimed) == {"score", "train", "evaluate_base", "evaluate"}


def test_a_model_that_is_not_here_is_not_fetched(world, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = LOOP.replace('"demo"', '"nobody/has-this-model"')
    found = plan(text[: text.index("[train]")])
    assert found.seconds is None
    assert found.stages[0].work.time_basis == "unknown: the model is not on this machine"
    assert "from characters" in found.stages[0].work.tokens_basis


def test_a_server_is_not_asked(world):
    engine = 'engine = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
    found = plan(f'model = "m"\n[pool]\npath = "pool.parquet"\n[score]\n{engine}[select]\nbudget = 5\n')
    assert "a dry run asks no server" in found.stages[0].work.time_basis


def test_a_plan_times_the_vectors_that_a_search_for_tasks_needs(world, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "tasksel.job.work.measure_embedding", lambda frame, keys: (asked.append(keys), (0.5, "told"))[1]
    )
    text = SELECT + "[tasks]\n"
    work = plan(text).stages[0].work
    assert (work.rows, work.seconds, work.time_basis) == (60, 30.0, "told")
    assert plan(text + 'embedding_model = "owner/name"\n').seconds == 30.0
    assert asked == [{}, {"model": "owner/name"}]
    pl.read_parquet("pool.parquet").with_columns(vector=pl.lit([0.0, 1.0])).write_parquet("pool.parquet")
    assert plan(text + 'embeddings = "vector"\n').stages[0].work.time_basis == ""


def test_a_plan_times_the_suite_exact_alone(world):
    text = LOOP.replace('pool = "holdout.parquet"', 'pool = "holdout.parquet"\nsuite = ["loss"]')
    work = next(each.work for each in plan(text, measure=False).stages if each.name == "evaluate")
    assert (work.rows, work.seconds) == (12, None)
    assert work.time_basis == "not measured: that is done for the suite exact alone"


def test_a_report_has_no_rows_of_its_own(world):
    report = plan(SELECT + "[report]\n").stages[-1]
    assert (report.name, report.state) == ("report", "to do")
    assert (report.work.rows, report.work.seconds, report.work.time_basis) == (None, None, "")


def test_files_of_an_evaluation_are_among_what_it_is_made_from(world):
    benchmarks = 'pool = "holdout.parquet"\nsuite = ["bbh"]\nbenchmarks = "."\nverdicts = "verdicts.jsonl"'
    Path("job.toml").write_text(LOOP.replace('pool = "holdout.parquet"', benchmarks))
    Path("bbh.parquet").write_bytes(b"one")
    Path("verdicts.jsonl").write_bytes(b"")

    def inputs():
        return EvaluateStage("").describe(JobContext(load_job("job.toml"))).inputs

    before = inputs()
    Path("bbh.parquet").write_bytes(b"two")
    assert {name for name, value in inputs().items() if value != before[name]} == {"bbh.parquet"}
    assert {"held-out pool", "training", "verdicts.jsonl"} < before.keys()


@needs_models
def test_embedding_is_measured_where_the_model_is_here(world):
    pool = pl.read_parquet("pool.parquet")
    seconds, basis = measure_embedding(pool, {"embed_from": "hidden", "model": "demo"})
    assert (seconds > 0, basis) == (True, MEASURED)


@pytest.mark.parametrize(
    ("keys", "basis"),
    [
        ({"backend": "ray"}, "not measured: a dry run starts no cluster"),
        ({"embed_from": "vectors.npy"}, "not measured: the vectors are there already"),
        ({}, "unknown: the model is not on this machine"),
        ({"model": "nobody/has-this-model"}, "unknown: the model is not on this machine"),
        ({"embed_from": "hidden", "model": "./none"}, "unknown: the model is not on this machine"),
        ({"embed_from": "hidden", "model": "."}, "unknown: the model is not on this machine"),
    ],
)
def test_embedding_is_not_measured_with_what_is_not_here(world, monkeypatch, keys, basis):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("tasksel.sentence_embedding_folder.MINILM_PACKAGE", "no-such-package")
    assert measure_embedding(pl.read_parquet("pool.parquet"), keys) == (None, basis)


def test_the_installed_sentence_model_is_measured(world, monkeypatch):
    found = SimpleNamespace(rows_per_s=4.0)
    monkeypatch.setattr("tasksel.job.rates.embed", lambda frame, **settings: found)
    pool = pl.read_parquet("pool.parquet")
    assert measure_embedding(pool, {}) == (0.25, MEASURED)
    found.rows_per_s = None
    assert measure_embedding(pool, {}) == (None, "unknown: the trial was too short to be measured")


def test_training_is_measured_where_there_are_a_model_and_answers(world, monkeypatch):
    monkeypatch.setattr("tasksel.job.rates._MAX_COPIED_BYTES", -1)
    pool, keys = pl.read_parquet("pool.parquet"), {"model": "demo"}
    assert measure_training(pool, {"model": "./none"})[1] == "unknown: the model is not on this machine"
    few = pool.with_columns(response=pl.when(pl.int_range(pl.len()) < 2).then("response"))
    assert measure_training(few, keys)[1] == "unknown: there are no answers to train on yet"
    full = measure_training(pool, {**keys, "full": True})
    assert full == (None, "not measured: full finetuning would write a copy of the model")


@pytest.mark.parametrize(
    ("error", "basis"),
    [
        (
            MissingExtraError("Training", "hf"),
            'unknown: Training needs an optional dependency: pip install "ta',
        ),
        (OSError("No space left"), "unknown: a trial failed (No space left)"),
        (SchemaError("No."), "unknown: a trial failed (No.)"),
        (None, "unknown: the trial was too short to be measured"),
    ],
)
def test_a_trial_that_fails_is_told_of_and_no_failure_of_the_plan(world, monkeypatch, error, basis):
    def trial(*_, **__):
        if error is not None:
            raise error
        return SimpleNamespace(tokens=0, tokens_per_s=None)

    monkeypatch.setattr("tasksel.job.rates.train", trial)
    monkeypatch.setattr("tasksel.job.rates.score", trial)
    pool = pl.read_parquet("pool.parquet")
    for measure in (measure_training, measure_scoring):
        seconds, told = measure(pool, {"model": "demo"})
        assert seconds is None
        assert told.startswith(basis)


def test_a_plan_knows_what_is_done_and_what_a_change_would_redo(world):
    text = SELECT + "[labels]\n"
    Path("job.toml").write_text(text)
    tasksel.run_job("job.toml")
    assert planned(plan(text)) == {"select": "finished", "labels": "finished"}
    changed = plan(text.replace("budget = 10", "budget = 11"))
    assert planned(changed) == {"select": "again", "labels": "again"}
    assert changed.stages[0].reasons == ("budget 10 → 11",)
    assert changed.stages[1].reasons == ("follows select",)
    tasksel.run_job("job.toml")
    Path("job.toml").write_text(text)
    assert planned(plan(text)) == {"select": "kept", "labels": "again"}
    assert planned(plan(text, until="select")) == {"select": "kept", "labels": "left out"}


def test_a_plan_says_what_it_cannot_use(world):
    text = SELECT.replace("pool.parquet", "unanswered.parquet") + "[labels]\ncost_per_example = 1.0\n"
    tasksel.select("unanswered.parquet", budget=10, strategy="random").save("job-run/selection")
    found = plan(text).stages[0]
    assert (found.state, found.reasons) == ("again", ("not made by this job",))
    tasksel.run_job("job.toml")
    Path("job-run/labels.jsonl").write_text("")
    assert planned(plan(text.replace("budget = 10", "budget = 9"))) == {"select": "again", "labels": "to do"}
    Path("job-run/labels.jsonl").unlink()
    with Path("job-run/selection/selected.parquet").open("ab") as damaged:
        damaged.write(b" ")
    found = plan(text)
    assert (found.labels.labels, found.labels.cost) == (10, 10.0)
    Path("job-run/stages/select.json").write_text("{")
    found = plan(text).stages[0]
    assert found.state == "again"
    assert "select.json" in found.reasons[0]


def test_a_plan_foresees_that_answers_will_be_missing(world):
    text = SELECT.replace("pool.parquet", "unanswered.parquet") + '[train]\nmodel = "demo"\n'
    found = plan(text, measure=False)
    assert planned(found) == {"select": "to do", "labels": "waiting", "train": "waiting"}
    assert "job-run/labels.jsonl" in found.stages[1].reasons[0]


def printed(found):
    console = Console(file=io.StringIO(), width=300)
    print_plan(console, found, config="job.toml", folder="job-run")
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("keys", "cost", "basis"),
    [
        ("", None, "unknown: neither cost_per_example nor cost_per_1k_tokens stands in [labels]"),
        ("cost_per_example = 0.5", 5.0, "by cost_per_example"),
        ("cost_per_1k_tokens = 2", None, "unknown: how long answers are is not known before [score] has run"),
    ],
)
def test_labels_cost_what_the_file_says_and_are_not_guessed(world, keys, cost, basis):
    text = f'{SELECT.replace("pool.parquet", "unanswered.parquet")}[labels]\ncurrency = "EUR"\n{keys}\n'
    found = plan(text)
    labels = found.labels
    assert (labels.labels, labels.cost, labels.currency, labels.basis) == (10, cost, "EUR", basis)
    said = f"Labels 10 labels, cost {basis}." if cost is None else f"Labels 10 labels, 5.00 EUR ({basis})."
    assert said in printed(found)


@needs_models
def test_labels_by_tokens_take_the_answers_that_were_measured(world):
    text = LOOP[: LOOP.index("[train]")].replace("pool.parquet", "unanswered.parquet")
    Path("job.toml").write_text(text)
    scored = tasksel.run_job("job.toml")["score"].figures
    labels = plan(f"{text}[labels]\ncost_per_1k_tokens = 1000.0\n").labels
    selected = pl.read_parquet("job-run/selection/selected.parquet")
    answers = scored["tokens"] / scored["rows"] * selected.height
    assert labels.cost == labels.tokens > answers
    assert "answers as long as the model's own" in labels.basis


def test_answers_that_are_there_cost_nothing(world):
    text = SELECT + "[labels]\ncost_per_example = 1.0\n"
    assert plan(text).labels.answered
    tasksel.run_job("job.toml")
    assert "nothing is left to do." in printed(plan(text))


def test_several_selections_share_labels(world):
    names = ("random", "task-diversity")
    text = '[pool]\npath = "unanswered.parquet"\n[labels]\ncost_per_example = 1.0\n' + "".join(
        f'[[select]]\nname = "{name}"\nbudget = 8\nstrategy = "{name}"\n' for name in names
    )
    before = plan(text).labels
    assert (before.labels, before.is_upper_bound) == (16, True)
    tasksel.run_job("job.toml", until="select")
    chosen = [set(pl.read_parquet(f"job-run/selections/{name}/selected.parquet")["id"]) for name in names]
    after = plan(text).labels
    assert (after.labels, after.is_upper_bound) == (len(chosen[0] | chosen[1]), False)


def test_the_verb_prints_a_plan_that_fits(world):
    Path("job.toml").write_text(LOOP)
    done = invoke("run", "job.toml", "--dry-run", "--no-measure")
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    assert "Nothing was written." in done.output
    assert re.search(r"score +to do", done.output)
    content = json.loads(invoke("run", "job.toml", "--dry-run", "--no-measure", "--json").stdout)
    assert content["plan"]["untimed"] == ["score", "train", "evaluate_base", "evaluate"]
    assert invoke("run", "job.toml", "--dry-run", "--no-measure", "--quiet").output == ""


def test_the_verb_waits_with_exit_code_3_and_goes_on(world):
    Path("job.toml").write_text(SELECT.replace("pool.parquet", "unanswered.parquet") + "[labels]\n")
    done = invoke("run", "job.toml")
    assert done.exit_code == 3
    assert "Next Have the 10 prompts" in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    selected = pl.read_ndjson("job-run/selection/selected.jsonl")
    selected.select("id", response=pl.lit("yes")).write_ndjson("job-run/labels.jsonl")
    done = invoke("run", "job.toml", "--json")
    assert done.exit_code == 0
    content = json.loads(done.stdout)
    assert content["finished"]
    assert [stage["state"] for stage in content["stages"]] == ["unchanged", "done"]


def test_a_mistake_in_the_file_is_one_sentence_and_exit_code_2(world):
    Path("job.toml").write_text("[pol]\n")
    done = invoke("run", "job.toml")
    assert done.exit_code == 2
    assert "job.toml: Unknown key 'pol' in the file" in " ".join(done.stderr.split())


@needs_models
def test_the_file_that_init_writes_runs_to_the_end(world):
    done = invoke(
        "init", "pool.parquet", "--holdout", "holdout.parquet", "--strategy", "weighted-task-diversity"
    )
    assert done.exit_code == 0, done.output
    text = Path("job.toml").read_text()
    Path("job.toml").write_text(text.replace("epochs = 8", "epochs = 1").replace("budget = 6", "budget = 7"))
    done = invoke("run", "job.toml")
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    assert Path("job-run/manifest.json").is_file()
    assert "7 of 60 prompts" in done.output


def test_init_explains_every_key_once_with_its_default(world):
    assert invoke("init", "pool.parquet", "--out", "x.toml", "--quiet").output == ""
    text = Path("x.toml").read_text()
    parts = dict(zip(["", *SECTIONS], re.split(r"^#?\[\w+\]$", text, flags=re.MULTILINE), strict=True))
    for section, keys in (("", SHARED_KEYS), *((name, each.keys) for name, each in SECTIONS.items())):
        assert re.findall(r"^#?(\w+) = ", parts[section], flags=re.MULTILINE) == list(keys), section
    assert max(map(len, text.splitlines())) <= 100
    assert "Who answers: hf (transformers, in this process)" in text
    assert "#max_new_tokens = 256" in text
    job = load_job("x.toml")
    assert job.selections[0].settings == {"budget": 6, "strategy": "task-diversity"}


def test_every_default_that_init_shows_is_allowed(world):
    """Take the # away from every key whose line holds a default."""
    invoke("init", "pool.parquet", "--out", "x.toml", "--quiet")
    text = Path("x.toml").read_text()
    shown = re.sub(r"^#(\[\w+\]|\w+ = (?!\"\"|\{\}|0$|0\.0$|\[\]).*)$", r"\1", text, flags=re.MULTILINE)
    assert shown.count("\n#") < text.count("\n#") - 40
    Path("all.toml").write_text(shown)
    job = parse_job(read_toml(Path("all.toml"), "job"), name="all", folder=world)
    assert set(job.sections) == set(SECTIONS) - {"select"}


def test_init_infers_what_can_be_seen(world):
    frame = pl.read_parquet("pool.parquet").head(30).drop("response")
    vectors = frame.with_columns(vector=pl.lit([0.0, 1.0]), confidence=pl.lit(0.5)).rename({"task": "kind"})
    vectors.write_parquet("vectors.parquet")
    done = invoke("init", "vectors.parquet", "--task-column", "kind", "--strategy", "k-center", "--json")
    content = json.loads(done.stdout)
    assert content["set"]["pool"] == {"path": "vectors.parquet", "task_column": "kind"}
    assert content["set"]["select"] == {"budget": 3, "strategy": "k-center", "embeddings": "vector"}
    assert "score" not in content["set"]
    assert "embed" not in content["set"]
    assert any("confidence of a model in confidence" in each for each in content["found"])
    assert tasksel.run_job("job.toml", until="select")["select"].figures["selected"] == 3


def test_init_switches_on_what_a_bare_pool_lacks(world):
    pl.DataFrame({"prompt": ["a", "b"], "vector": [[0.0], [1.0]]}).write_parquet("bare.parquet")
    content = json.loads(invoke("init", "bare.parquet", "--json").stdout)
    assert content["set"]["tasks"] == {"embeddings": "vector"}
    assert "# The pool has no task column, so its tasks are found." in Path("job.toml").read_text()
    pl.DataFrame({"prompt": ["a", "b"]}).write_parquet("bare.parquet")
    content = json.loads(invoke("init", "bare.parquet", "--strategy", "k-center", "--force", "--json").stdout)
    assert content["set"]["tasks"] == content["set"]["embed"] == {}
    assert "embeddings" not in content["set"]["select"]


@pytest.mark.parametrize(
    ("vectors", "found"),
    [
        (pl.Series([[0.5, 1.0], [0.0, 1.0]], dtype=pl.Array(pl.Float32, 2)), ("vector",)),
        (pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)), ()),
        (pl.Series([[0.5], [0.0, 1.0]]), ()),
        (pl.Series([[0.5], None]), ()),
        (pl.Series([[], []], dtype=pl.List(pl.Float64)), ()),
    ],
)
def test_vectors_of_a_pool_are_columns_of_equally_many_numbers(vectors, found):
    pool = pl.DataFrame({"prompt": ["a", "b"], "vector": vectors})
    assert survey_pool(pool).embedding_columns == found


def test_what_a_template_says_is_read_back(tmp_path):
    values = {
        "score": {"engine_option": {"a b": 1, "c": 'x"', "d": True}, "max_new_tokens": 3},
        "evaluate": {"suite": ["exact", "loss"]},
    }
    path = tmp_path / "x.toml"
    path.write_text(JobTemplate(values=values).render({}, path.name))
    assert read_toml(path, "job") == values


def test_init_does_not_overwrite_and_takes_only_toml(world):
    Path("job.toml").write_text("mine")
    done = invoke("init", "pool.parquet")
    assert done.exit_code == 2
    assert "job.toml exists; --force" in " ".join(done.stderr.split())
    assert Path("job.toml").read_text() == "mine"
    assert invoke("init", "pool.parquet", "--force").exit_code == 0
    assert invoke("init", "--out", "job.yaml").exit_code == 2
    assert "Did you mean 'random'" in " ".join(
        invoke("init", "--strategy", "radnom", "--force").stderr.split()
    )


def test_init_without_a_pool_writes_a_file_to_be_filled(world):
    assert invoke("init", "--out", "blank.toml").exit_code == 0
    assert load_job("blank.toml").selections[0].settings["budget"] == 100


def test_hostile_names_stay_text_in_the_file(world):
    name = 'p"oo\\l \x1b[31m.parquet'
    Path("pool.parquet").rename(name)
    assert invoke("init", name, "--model", 'a"\nb = 1').exit_code == 0
    assert load_job("job.toml")["pool"]["path"] == name
    assert read_toml(Path("job.toml"), "job")["model"] == 'a"\nb = 1'
    assert "\x1b" not in Path("job.toml").read_text()


@needs_models
def test_a_stopped_job_says_so_and_its_plan_counts_what_is_left(world, monkeypatch):
    text = LOOP[: LOOP.index("[train]")].replace("shard_rows = 32", "shard_rows = 8\nbatch_tokens = 64")
    Path("job.toml").write_text(text)

    def stop(done, *_):
        if done >= 16:
            raise KeyboardInterrupt

    monkeypatch.setattr("tasksel.terminal.StageProgress.__call__", lambda self, label, unit: stop)
    done = invoke("run", "job.toml")
    assert done.exit_code == 130
    assert "Stopped. Run the same command again to continue." in done.stderr
    monkeypatch.undo()
    monkeypatch.chdir(world)
    score = plan(text, measure=False).stages[0]
    assert score.state == "goes on"
    assert 0 < score.work.rows <= 60 - 16
    assert tasksel.run_job("job.toml")["score"].figures["rows_reused"] >= 16


@needs_models
@pytest.mark.integration
def test_a_job_that_is_killed_goes_on(world):
    """Kill -9 in the middle of the training; the end has the bytes of a job that was left alone."""
    text = LOOP.replace("shard_rows = 32", "shard_rows = 4").replace(
        "epochs = 1", "epochs = 6\ncheckpoint_every_s = 0"
    )
    Path("job.toml").write_text(text)
    alone = tasksel.run_job("job.toml", "alone")
    assert alone.is_finished
    command = [sys.executable, "-m", "tasksel", "run", "job.toml", "--out", "killed", "--quiet"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and not any(Path("killed").glob("training/checkpoint-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    result = tasksel.run_job("job.toml", "killed")
    assert result.is_finished
    assert result["score"].state == "unchanged"
    assert 0 < result["train"].figures["steps_reused"] < result["train"].figures["steps"]
    assert result["evaluate"].figures == alone["evaluate"].figures
    for name in ("selection/selected.parquet", "labelled/labelled.parquet", "training/loss.csv"):
        assert Path("killed", name).read_bytes() == Path("alone", name).read_bytes()


@pytest.mark.parametrize("more", [[], ["--quiet"], ["--model", "demo"]], ids=["asked", "quiet", "said"])
def test_a_terminal_is_asked_for_the_model_alone(world, monkeypatch, more):
    monkeypatch.setattr("tasksel.cli_init.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    runner = CliRunner(env={"COLUMNS": "80"})
    done = runner.invoke(app, ["init", "pool.parquet", *more], input="./my-model\n")
    assert done.exit_code == 0, done.output
    is_asked = not more
    assert ("Base model (a folder, a name on the hub, or demo) [demo]:" in done.output) == is_asked
    assert ('"./my-model"' in Path("job.toml").read_text()) == is_asked
