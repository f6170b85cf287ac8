"""Whole studies, small: what is compared, what is shared, what survives a kill."""

import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tasksel.cli import app
from tasksel.report.study_report import _tuning_blocks
from tasksel.study import CONTROL_ARMS, load_study, read_study, run_study
from tasksel.study.cells import ALL_LABELS, NO_LABELS
from tasksel.study.pictures import draw_pictures
from tasksel.study.publication import plain_config
from tasksel.study.result_plots import worlds_with_gains
from tasksel.terminal_study import print_study
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

SMALL = """
title = "A small study"
budgets = [24]
[training]
full = true
learning_rate = 1e-3
epochs = 1
batch_size = 8
[[worlds]]
name = "toy"
kind = "toy"
report = [0, 1]
n_tasks = 5
largest = 16
holdout_per_task = 2
[[arms]]
name = "weighted-task-diversity"
"""
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def write_study(tmp_path):
    def write(text=SMALL, name="small.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


FINISHED = SMALL + 'base = 2\n\n[[arms]]\nname = "k-center"\n'


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that ran once, for tests that only read it."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.toml").write_text(FINISHED, encoding="utf-8")
    return run_study(folder / "small.toml", out=folder / "out", jobs=1)


@pytest.fixture
def begun(finished, tmp_path):
    """A folder with the draws and trainings of the finished study, for tests whose studies share some."""
    for part in ("worlds", "trainings"):
        shutil.copytree(finished.folder / part, tmp_path / "out" / part)
    return tmp_path / "out"


def test_every_arm_runs_on_every_draw_and_the_controls_without_being_named(finished):
    cells = finished.report.cells
    arms = {*CONTROL_ARMS, "weighted-task-diversity", "k-center", NO_LABELS}
    assert set(zip(cells["arm"], cells["seed"], strict=True)) == {
        (arm, seed) for arm in arms for seed in (0, 1)
    }
    assert set(cells.filter(pl.col("arm") != NO_LABELS)["labels"]) == {24}
    assert cells["macro"].is_between(0, 1).all()


def test_macro_counts_tasks_the_same_and_micro_by_their_share_of_the_pool(finished):
    cell = finished.report.cells.row(0, named=True)
    tasks = finished.report.tasks.filter(
        pl.col("arm") == cell["arm"], pl.col("seed") == cell["seed"], pl.col("budget") == cell["budget"]
    )
    assert tasks.height == 5
    assert tasks["labels"].sum() == cell["labels"]
    assert tasks["pool_share"].sum() == pytest.approx(1)
    assert cell["macro"] == pytest.approx(tasks["exact_match"].mean())
    assert cell["micro"] == pytest.approx((tasks["exact_match"] * tasks["pool_share"]).sum())


def test_the_same_labels_are_trained_once(finished, begun, write_study):
    before = {path.name for path in (begun / "trainings").iterdir()}
    # Base 10 takes all that five tasks of so few prompts have, whatever the weights are.
    text = SMALL + "base = 10\n" + '[[arms]]\nname = "uniform"\nstrategy = "task-diversity"\nbase = 10\n'
    result = run_study(write_study(text), out=begun, jobs=1)
    keys = result.report.cells.filter(pl.col("arm").is_in(["weighted-task-diversity", "uniform"]))
    assert keys.group_by("seed").agg(pl.col("training").n_unique())["training"].to_list() == [1, 1]
    row = result.differences.filter(
        pl.col("arm") == "weighted-task-diversity", pl.col("baseline") == "task-diversity"
    ).row(0, named=True)
    assert row["pairs"] == 2
    trained = {path.name for path in (begun / "trainings").iterdir()} - before
    assert trained == set(result.report.cells["training"]) - set(finished.report.cells["training"])


def test_a_finished_study_is_read_again_and_gives_the_same_files(finished):
    folder = finished.folder
    names = ("report.md", "cells.csv", "differences.csv", "arms.csv", "efficiency.csv", "tasks.parquet")
    before = {name: (folder / name).read_bytes() for name in names}
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("trainings/*/result.json")}
    run_study(folder.parent / "small.toml", out=folder, jobs=1)
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert {path: path.stat().st_mtime_ns for path in folder.glob("trainings/*/result.json")} == stamps


def test_models_are_not_kept(finished):
    assert not list(finished.folder.rglob("*.safetensors"))


def test_the_page_names_every_arm_and_says_what_was_found(finished):
    page = (finished.folder / "report.md").read_text(encoding="utf-8")
    for arm in (*CONTROL_ARMS, "weighted-task-diversity", "k-center", NO_LABELS):
        assert f"| {arm} |" in page
    assert "**weighted-task-diversity**" in page
    assert "p = " in page


def test_a_grown_study_uses_what_is_finished(finished, write_study, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished.folder, out)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("trainings/*/result.json")}
    assert kept
    grown = FINISHED.replace("budgets = [24]", "budgets = [24, 0.4]").replace(
        "report = [0, 1]", "report = [0, 1, 2]"
    )
    second = run_study(write_study(grown), out=out, jobs=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    first = finished
    assert second.report.cells.height > first.report.cells.height
    columns = ["arm", "seed", "macro", "training"]
    same = second.report.cells.filter(pl.col("budget").is_in([0.0, 24.0]), pl.col("seed") < 2).select(columns)
    assert same.sort(columns).equals(first.report.cells.select(columns).sort(columns))


def test_studies_that_name_the_same_store_share_what_they_have_in_common(begun, write_study, tmp_path):
    store = begun
    first = run_study(write_study(), out=tmp_path / "first", store=store, jobs=1)
    kept = {path: path.stat().st_mtime_ns for path in store.glob("trainings/*/result.json")}
    other = SMALL + "alpha = 0.5\n"
    second = run_study(write_study(other, "other.toml"), out=tmp_path / "second", store=store, jobs=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    shared = set(first.report.cells["training"]) & set(second.report.cells["training"])
    assert len(shared) >= 8  # the three controls and the base model on two draws
    assert not (tmp_path / "second" / "trainings").exists()
    assert (tmp_path / "first" / "report.md").exists()


def test_a_changed_world_is_refused(begun, write_study):
    with pytest.raises(ResumeError, match=r"pool\.parquet is not what world 'toy' draws with seed 0"):
        run_study(write_study(SMALL.replace("largest = 16", "largest = 17")), out=begun, jobs=1)


def test_two_processes_find_what_one_finds(finished, tmp_path):
    result = run_study(finished.folder.parent / "small.toml", out=tmp_path / "out", jobs=2)
    columns = ["arm", "seed", "budget", "metric", "macro", "micro", "training"]
    assert (
        result.report.cells.select(columns)
        .sort(columns)
        .equals(finished.report.cells.select(columns).sort(columns))
    )


@pytest.mark.integration
def test_a_killed_study_goes_on_and_finds_the_same(finished, tmp_path):
    study = finished.folder.parent / "small.toml"
    command = [
        sys.executable,
        "-m",
        "tasksel",
        "study",
        str(study),
        "--out",
        str(tmp_path / "out"),
        "-j",
        "1",
    ]
    for wait_s in (4.0, 7.0):
        process = subprocess.Popen(
            command, env=ONE_THREAD, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, env=ONE_THREAD, check=True, capture_output=True)
    for name in ("report.md", "cells.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (finished.folder / name).read_bytes()


def test_ctrl_c_stops_workers_and_says_how_to_go_on(write_study, tmp_path):
    text = SMALL.replace("epochs = 1", "epochs = 400")
    out = str(tmp_path / "out")
    command = [sys.executable, "-m", "tasksel", "study", str(write_study(text)), "--out", out, "-j", "2"]
    process = subprocess.Popen(
        command,
        env=ONE_THREAD,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        # A shell that runs the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out" / "trainings").rglob("training")) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped. Run the same command again to continue." in error.decode()
    assert "Traceback" not in error.decode()


def test_tuning_chooses_on_seeds_that_the_report_does_not_have(begun, write_study):
    text = (
        SMALL.replace("report = [0, 1]", "report = [0]\ntune = [5]")
        + """
[[arms]]
name = "tempered"
strategy = "weighted-task-diversity"
alpha = 0.5
base = 0
[[arms]]
name = "inverted"
strategy = "weighted-task-diversity"
order = "inverted"
base = 0
[tuning]
candidates = ["tempered", "inverted"]
"""
    )
    result = run_study(write_study(text), out=begun, jobs=1)
    assert result.chosen in ("tempered", "inverted")
    other = {"tempered", "inverted"} - {result.chosen}
    reported = set(result.report.cells["arm"])
    assert result.chosen in reported
    assert not other & reported
    assert set(result.tuning.cells["seed"]) == {5}
    assert "How the candidate was chosen" in (begun / "report.md").read_text(encoding="utf-8")
    told, candidates = _tuning_blocks(result)
    assert f"on the tuning seeds, none of which is in the report: {result.chosen}." in told
    assert all(name in candidates for name in ("tempered", "inverted"))
    console = Console(file=io.StringIO(), width=80)
    print_study(console, replace(result, study=replace(result.study, title="What is \x1b[31masked")))
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "What is \\x1b[31masked"
    assert f"Chosen on the tuning seeds: {result.chosen}" in lines
    again = CliRunner().invoke(app, ["study", str(write_study(text)), "--out", str(begun), "--json"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["chosen"] == result.chosen


def test_rounds_are_scored_by_the_model_trained_in_between(begun, write_study):
    text = (
        SMALL.replace("report = [0, 1]", "report = [0]")
        + """
[[arms]]
name = "two rounds"
rounds = [
  { strategy = "task-diversity", share = 0.4, base = 1 },
  { strategy = "weighted-task-diversity", scores = "trained", base = 1 },
]
[[arms]]
name = "errors"
rounds = [
  { strategy = "task-diversity", share = 0.5, base = 1 },
  { strategy = "weighted-task-diversity", signal = "remaining-error", offset = 0.2, max_share_ratio = 3 },
]
[[arms]]
name = "losses"
rounds = [
  { strategy = "task-diversity", share = 0.5, base = 1 },
  { strategy = "weighted-task-diversity", signal = "loss", shrinkage = 4, base = 1 },
]
"""
    )
    result = run_study(write_study(text), out=begun, jobs=1)
    labels = dict(zip(result.report.cells["arm"], result.report.cells["labels"], strict=True))
    assert labels["two rounds"] == labels["errors"] == labels["losses"] == 24
    answered = list((begun / "trainings").glob("*/answers"))
    assert len(answered) == 3  # the first round of one arm, and two halves of the other's


def test_a_world_made_of_a_file(write_study, tmp_path):
    rows = [
        {"task": task, "prompt": f"{task} {number}?", "response": str(number)}
        for task in ("sum", "echo", "next")
        for number in range(12)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "mine.parquet")
    text = SMALL.replace('kind = "toy"', 'kind = "file"\npath = "mine.parquet"').replace("n_tasks = 5\n", "")
    text = text.replace("largest = 16", "largest = 9\nsmallest = 2").replace(
        "budgets = [24]", "budgets = [6]"
    )
    text = text.replace("budgets = [6]", 'budgets = [6]\nmetrics = ["loss", "exact_match"]')
    result = run_study(write_study(text), out=tmp_path / "out", jobs=1)
    pool = pl.read_parquet(tmp_path / "out/worlds/toy/seed-0/pool.parquet")
    holdout = pl.read_parquet(tmp_path / "out/worlds/toy/seed-0/holdout.parquet")
    assert not set(pool["prompt"]) & set(holdout["prompt"])
    assert sorted(pool["task"].value_counts()["count"]) == [2, 4, 9]
    assert holdout["task"].value_counts()["count"].to_list() == [2, 2, 2]
    loss = result.arms.filter(pl.col("metric") == "loss")
    assert loss["macro"].min() > 0


def test_all_labels_the_ceiling_and_other_cuts_of_the_tasks(write_study, tmp_path):
    text = (
        SMALL.replace("budgets = [24]", "all_labels = true\nbudgets = [12, 24]").replace(
            "report = [0, 1]", "report = [0]"
        )
        + """
[oracle]
doses = [0, 4]
runs = 2
seed = 500
[[arms]]
name = "oracle"
oracle = true
[[arms]]
name = "merged"
strategy = "task-diversity"
tasks = "merged"
n_tasks = 2
[[arms]]
name = "split"
strategy = "task-diversity"
tasks = "split"
n_tasks = 10
[[arms]]
name = "clusters"
strategy = "task-diversity"
tasks = "clusters"
n_tasks = 4
[[arms]]
name = "noisy"
strategy = "task-diversity"
label_noise = 0.5
"""
    )
    text = text.replace("n_tasks = 5\n", "", 1).replace(
        "largest = 16", "largest = 4\nsmallest = 4\nexponent = 0.0"
    )
    result = run_study(write_study(text), out=tmp_path / "out", jobs=1)
    assert ALL_LABELS in set(result.report.cells["arm"])
    assert len(result.gains["toy"]["curves"]) == 57
    assert {"oracle", "merged", "split", "clusters", "noisy"} <= set(result.report.cells["arm"])
    assert json.loads(json.dumps(result.to_dict()))["study"] == "small"
    assert set(result.efficiency["baseline"]) == {"random", "task-diversity"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "toy"', 'kind = "moon"', "kind of world 'toy' is 'moon'; allowed are 'toy'"),
        ("report = [0, 1]", "report = [0, 0]", "different whole numbers"),
        ("report = [0, 1]", "report = [0]\ntune = [0]", "seed 0 stands in tune and in report"),
        ("report = [0, 1]", "report = [0]\ntune = [7]", "no \\[tuning\\] that uses them"),
        ("report = [0, 1]", "", "has no seeds"),
        ("budgets = [24]", "budgets = [1.5]", "A budget is 1.5; a share of the pool"),
        ("budgets = [24]", "budget = [24]", "Unknown key 'budget' in the study; allowed are"),
        ("epochs = 1", "epoch = 1", "unknown setting 'epoch'; allowed are .*epochs"),
        ("epochs = 1", "epochs = 0", "epochs is 0"),
        ('name = "weighted-task-diversity"', 'name = "weighted"', "There is no strategy 'weighted'"),
        ('name = "toy"', 'name = "a/b"', "cannot be a folder's"),
        ('kind = "toy"', 'model = "models/none"', "there is no model in"),
        ('kind = "toy"', 'kind = "file"', "kind 'file' has a path"),
        (
            'name = "weighted-task-diversity"',
            'name = "oracle"\noracle = true',
            "needs the section \\[oracle\\]",
        ),
        ("budgets = [24]", 'budgets = [24]\nmetrics = ["bleu"]', "metric is 'bleu'"),
        ("budgets = [24]", 'budgets = [24]\nbaselines = ["none"]', "There is no arm 'none'"),
        (
            "holdout_per_task = 2",
            "holdout_per_task = 0",
            "holdout_per_task is 0; a whole number of at least 1",
        ),
        (
            "n_tasks = 5",
            "n_tasks = 5\nmax_new_tokens = 0",
            "max_new_tokens is 0; a whole number of at least 1",
        ),
        ("[[arms]]", "[oracle]\ndoses = [3]\n[[arms]]", "doses is \\[3\\]; at least two rising"),
        ("[[arms]]", "[oracle]\ndoses = [0, 3, 3]\n[[arms]]", "at least two rising whole numbers"),
        ("[[arms]]", "[oracle]\nruns = 2\n[[arms]]", "runs is 2; at least one a dose is wanted"),
        ("[[arms]]", "[oracle]\nseed = 0\n[[arms]]", "seed 0 is one of those that gains are measured on"),
        ("[[arms]]", '[tuning]\ncandidates = ["random"]\n[[arms]]', "needs a world with tune = "),
        ("[[worlds]]", "[tuning]\ncandidates = []\n[[worlds]]\ntune = [7]", "has no candidates"),
        ("budgets = [24]", 'budgets = [24]\nmetrics = ["mmlu"]', "needs benchmarks = a folder"),
        (
            "[[arms]]",
            '[[arms]]\nname = "random"\n[[arms]]\nname = "random"\n[[arms]]',
            "two arms named 'random'",
        ),
        (
            "budgets = [24]",
            'budgets = [24]\nbenchmarks = "."\nmetrics = ["mmlu"]\n[oracle]\n',
            "Gains are measured task by task, which the metric 'mmlu' is not",
        ),
        ("budgets = [24]", 'budgets = [24]\nname = "x"', "Unknown key 'name'"),
        ('name = "toy"', "", r"\[\[worlds\]\] lacks 'name'"),
        (
            "[[arms]]",
            '[[worlds]]\nname = "again"\ntune = [1]\n[tuning]\ncandidates = ["random"]\n[[arms]]',
            "World 'again': seed 1 is also a tuning or report seed of another world with the same model",
        ),
        ('diversity"', 'diversity"\nlabel_noise = 1.0', "label_noise is 1.0; 0 to below 1 is wanted"),
        ('diversity"', 'diversity"\nrounds = []', "arm 'weighted-task-diversity' has no rounds"),
        (
            "[[arms]]",
            "[oracle]\ndoses = [0, 1]\nruns = 2\n[[arms]]\noracle = true\n",
            "its seeds have different",
        ),
        ('diversity"', 'diversity"\nn_tasks = 3', "n_tasks goes with tasks = "),
        ('diversity"', 'diversity"\nper_task = 2', "every round but the last has a share or per_task"),
        ('diversity"', 'diversity"\nper_task = 0', "per_task is 0; a whole number of at least 1"),
        ('diversity"', 'diversity"\nshare = 1.5', "share is 1.5; a number above 0 and below 1"),
        ('diversity"', 'diversity"\nscores = "trained"', "the first round has no labels yet"),
        (
            'diversity"',
            'diversity"\nscores = "trained"\nsignal = "loss"',
            "signal 'loss' is the base model's",
        ),
        ('"weighted-task-diversity"', '"random"\norder = "inverted"', "change the weights of weighted-task"),
        (
            'diversity"',
            'diversity"\n[[arms.rounds]]\nshare = 0.6\n[[arms.rounds]]\nshare = 0.6\n[[arms.rounds]]',
            "the shares of its rounds leave nothing for the last",
        ),
        ('diversity"', 'diversity"\nsignal = "loss"\n[[arms.rounds]]', "'signal' belongs into one of them"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(write_study, tmp_path, old, new, message):
    from tasksel_core.errors import TaskselError

    with pytest.raises(TaskselError, match=message):
        run_study(write_study(SMALL.replace(old, new)), out=tmp_path / "out", jobs=1)
    assert not (tmp_path / "out" / "trainings").exists()


@pytest.mark.parametrize("jobs", [0, True, 1.5])
def test_jobs_are_a_whole_number(write_study, tmp_path, jobs):
    with pytest.raises(ConfigError, match=f"jobs is {jobs}; a whole number of at least 1 is wanted"):
        run_study(write_study(), out=tmp_path / "out", jobs=jobs)


def test_a_study_without_worlds_is_a_sentence(write_study):
    with pytest.raises(ConfigError, match=r"Study 'small' has no \[\[worlds\]\]"):
        load_study(write_study("budgets = [24]"))


def test_a_result_that_was_changed_is_not_read(finished, tmp_path):
    out = shutil.copytree(finished.folder, tmp_path / "out")
    assert read_study(out).report.cells.equals(finished.report.cells)
    with (out / "cells.csv").open("a") as cells:
        cells.write("\n")
    with pytest.raises(
        ResumeError, match=r"cells\.csv is not as it was written; run the same `tasksel study`"
    ):
        read_study(out)


def test_places_of_this_machine_are_not_published(write_study, tmp_path):
    text = SMALL.replace(
        'kind = "toy"', f'kind = "file"\npath = "{tmp_path}/mine.parquet"\nmodel = "models/a"'
    )
    (world,) = plain_config(load_study(write_study(text)))["worlds"]
    assert (world["path"], world["model"]) == ("mine.parquet", "models/a")


def test_what_cannot_be_drawn_is_no_picture(finished, tmp_path, monkeypatch):
    pytest.importorskip("altair", reason="the extra plots is not installed")
    result = dataclasses.replace(finished, folder=tmp_path)
    one_seed = dataclasses.replace(result, differences=finished.differences.with_columns(low=None))
    with pytest.raises(SchemaError, match="There are no differences to draw: an interval needs two pairs"):
        one_seed.plot_differences()
    unscored = finished.report.tasks.drop("confidence")
    assert worlds_with_gains(unscored, "exact_match") == []
    assert worlds_with_gains(finished.report.tasks, "exact_match") == ["toy"]
    monkeypatch.setitem(sys.modules, "altair", None)
    assert draw_pictures(result) == []


def test_a_file_that_is_no_toml_or_not_there(write_study, tmp_path):
    with pytest.raises(ConfigError, match="is not TOML"):
        load_study(write_study("a = ["))
    with pytest.raises(ConfigError, match=r"cannot be read: No such file"):
        load_study(tmp_path / "none.toml")
