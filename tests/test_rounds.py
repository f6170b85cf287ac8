"""Rounds that run: what each takes, who answers, what waits, what is done again."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import tasksel
from tasksel.annotation import import_labels
from tasksel.cli import app
from tasksel.run_folder import read_json
from tasksel.selection_files import find_inputs, read_selection, replay
from tasksel.toy_world import make_toy_holdout, make_toy_pool
from tasksel_core.errors import AnnotationError, BudgetError, ConfigError, ResumeError

BARE = '[pool]\npath = "pool.parquet"\n'


@pytest.fixture
def world(tmp_path):
    pool = make_toy_pool(0, n_tasks=6, largest=25)
    vectors = np.random.default_rng(0).standard_normal((pool.height, 4), dtype=np.float32)
    pool = pool.with_columns(
        vector=pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32)),
        confidence=pl.Series(np.random.default_rng(1).random(pool.height)),
    )
    pool.write_parquet(tmp_path / "pool.parquet")
    pool.drop("response").write_parquet(tmp_path / "unanswered.parquet")
    return tmp_path


def run(folder, text, **options):
    path = folder / "job.toml"
    path.write_text(text)
    return tasksel.run_rounds(path, **options)


def selected(folder, number, name="job-run"):
    return pl.read_parquet(folder / name / "rounds" / f"{number:02d}" / "selection" / "selected.parquet")


def labelled(folder, number, name="job-run"):
    return pl.read_parquet(folder / name / "rounds" / f"{number:02d}" / "labelled" / "labelled.parquet")


def written(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "job-run" / "rounds").rglob("*.parquet")}


# --- What rounds take ----------------------------------------------------------------------------------


SELECTS = {
    "task-diversity": ("", False),
    "size-proportional": ("", False),
    "weighted-task-diversity": ("base = 2\n", False),
    "k-center": ('embeddings = "vector"\n', True),
    "facility-location": ('embeddings = "vector"\n', True),
    "least-confident": ("", True),
    "task-diversity, k-center": ('within = "k-center"\nembeddings = "vector"\n', True),
    "task-diversity, least-confident": ('within = "least-confident"\n', True),
}
"""Settings, and whether the prompts are the same too: what is drawn at random in a task is drawn anew."""


@pytest.mark.parametrize("name", SELECTS)
def test_rounds_take_what_one_selection_of_all_labels_would(world, name):
    settings, takes_the_same = SELECTS[name]
    settings = f'[select]\nstrategy = "{name.split(",")[0]}"\n{settings}'
    result = run(world, f"{BARE}{settings}[rounds]\nsizes = [7, 12, 15]\n")
    assert result.table["labels"].to_list() == [7, 19, 34]
    (world / "once.toml").write_text(f"{BARE}{settings}budget = 34\n")
    tasksel.run_job(world / "once.toml")
    once, taken = read_selection(world / "once-run" / "selection").frame, labelled(world, 3)
    assert taken["id"].n_unique() == 34
    counts = [dict(frame["task"].value_counts().iter_rows()) for frame in (taken, once)]
    assert counts[0] == counts[1]
    assert (set(taken["id"]) == set(once["id"])) is takes_the_same


def test_each_round_stands_in_a_folder_that_other_verbs_read(world):
    run(world, f"{BARE}[select]\nbudget = 20\ncost_per_example = 0.5\n[report]\n[rounds]\nn = 2\n")
    second = world / "job-run" / "rounds" / "02"
    saved = read_selection(second / "selection")
    assert saved.manifest["labelled"]["rows"] == 10
    inputs = find_inputs(saved.folder)
    assert replay(saved, inputs).frame["id"].to_list() == saved.frame["id"].to_list()
    page = (world / "job-run" / "report.html").read_text()
    assert all(
        each in page
        for each in ("labels before", "cost of these labels", "What each round bought", "Selection round 02")
    )
    manifest = read_json(world / "job-run" / "manifest.json")
    assert manifest["stopped"] == "all 2 rounds are done"
    assert {"rounds.csv", "rounds.json", "rounds/01/round.json"} <= set(manifest["files"])
    assert str(world) not in json.dumps(manifest)
    table = pl.read_csv(world / "job-run" / "rounds.csv")
    assert table["labels"].to_list() == [10, 20]
    assert read_json(world / "job-run" / "rounds.json")["rounds"][1]["new_labels"] == 10


def test_finished_rounds_are_not_repeated_and_a_change_redoes_what_depends_on_it(world):
    text = f"{BARE}[select]\nbudget = 30\n[rounds]\nn = 3\n"
    first = run(world, text)
    manifest = (world / "job-run" / "manifest.json").read_bytes()
    before = written(world)
    again = run(world, text)
    assert again.table.equals(first.table)
    assert written(world) == before
    assert (world / "job-run" / "manifest.json").read_bytes() == manifest
    changed = run(world, f"{BARE}[select]\n[rounds]\nsizes = [10, 10, 12]\n")
    assert changed.table["labels"].to_list() == [10, 20, 32]
    after = written(world)
    assert all(after[path] == time for path, time in before.items() if "/03/" not in str(path))
    fewer = run(world, f"{BARE}[select]\n[rounds]\nsizes = [10, 10]\n")
    assert fewer.notes[-1] == "rounds/03 is of a round that does not count with these settings."
    back = run(world, text)
    assert back.table.equals(first.table)
    assert any("kept in earlier/select/" in note for note in back.notes)


def test_a_damaged_file_is_made_again(world):
    text = f"{BARE}[select]\nbudget = 30\n[rounds]\nn = 3\n"
    first = run(world, text)
    rounds = world / "job-run" / "rounds"
    before = {path: path.read_bytes() for path in rounds.rglob("*.parquet")}
    (rounds / "01" / "labelled" / "labelled.parquet").write_bytes(b"PAR1")
    (rounds / "02" / "labelled" / "prompts.parquet").unlink()
    (rounds / "02" / "selection" / "selected.parquet").write_bytes(b"")
    (rounds / "03" / "round.json").unlink()
    assert run(world, text).table.equals(first.table)
    assert {path: path.read_bytes() for path in rounds.rglob("*.parquet")} == before


def test_prices_change_the_account_alone(world):
    text = f"{BARE}[select]\nbudget = 20\n[rounds]\nn = 2\n"
    free = run(world, text)
    assert free.cost is None
    before = written(world)
    paid = run(world, text + '[labels]\ncost_per_example = 0.25\ncurrency = "EUR"\n')
    assert paid.cost == 5.0
    assert written(world) == before
    assert paid.headline.endswith("5.00 EUR.")


# --- When they end -------------------------------------------------------------------------------------


def test_a_pool_that_is_used_up_ends_them(world):
    result = run(world, f"{BARE}[select]\n[rounds]\nsizes = 60\nn = 5\n")
    height = pl.read_parquet(world / "pool.parquet").height
    assert result.labels == height
    assert result.stopped == "the pool is used up: annotators have seen every prompt"


def test_a_radius_that_is_reached_ends_them(world):
    text = f'{BARE}[select]\nstrategy = "k-center"\nembeddings = "vector"\n[rounds]\nsizes = 10\nn = 6\n'
    radii = run(world, text).table["radius"].to_list()
    assert radii == sorted(radii, reverse=True)
    kept = read_selection(world / "job-run" / "rounds" / "04" / "selection").figures["covering_radius"]
    assert radii[3] == pytest.approx(kept)
    stopped = run(world, f"{text}stop_radius = {radii[2]}\n")
    assert len(stopped.rounds) == 3
    assert stopped.stopped.startswith("the covering radius is")


def test_a_limit_in_money_wants_to_know_what_a_label_costs(world):
    with pytest.raises(ConfigError, match=r"max_cost of \[rounds\] needs what a label costs"):
        run(world, f"{BARE}[select]\n[rounds]\nsizes = 5\nn = 9\nmax_cost = 39\n")
    assert not (world / "job-run").exists()


def test_money_ends_them(world):
    prices = "[labels]\ncost_per_example = 2.0\n"
    result = run(world, f"{BARE}[select]\n[rounds]\nsizes = 5\nn = 9\nmax_cost = 39\n{prices}")
    assert (result.labels, result.cost) == (15, 30.0)
    assert result.stopped == "another round would cost about 10.00 in money, 30.00 of 39 are spent"


def test_a_budget_in_money_leaves_what_is_left_to_the_next_round(world):
    pool = pl.read_parquet(world / "pool.parquet")
    pool.with_columns(cost=pl.Series(np.random.default_rng(3).uniform(1, 4, pool.height))).write_parquet(
        world / "pool.parquet"
    )
    result = run(world, f"{BARE}[select]\nbudget_cost = 60.0\n[rounds]\nn = 3\n")
    spent = result.table["cost"].cum_sum().to_list()
    assert all(total <= goal for total, goal in zip(spent, (20, 40, 60), strict=True))
    assert spent[-1] > 56


def test_money_that_buys_no_other_label_ends_them(world):
    pool = pl.read_parquet(world / "pool.parquet")
    pool.with_columns(cost=pl.lit(3.0)).write_parquet(world / "pool.parquet")
    text = f"{BARE}[select]\nbudget_cost = 10.0\n[rounds]\nshare = [0.9, 0.1]\n"
    plan = run(world, text, dry_run=True).plan
    assert [each.cost for each in plan.rounds] == [9.0, 1.0]
    result = run(world, text)
    assert (result.labels, result.cost) == (3, 9.0)
    assert result.stopped.startswith("the budget is used up (")
    assert result.stopped.endswith("buys no label, the cheapest label costs 3)")
    with pytest.raises(BudgetError, match="buys no label, the cheapest label costs 3"):
        run(world, text.replace("10.0", "2.0"))


def test_a_label_costs_what_its_column_says_at_the_mean(world):
    pool = pl.read_parquet(world / "pool.parquet")
    costs = np.arange(pool.height, dtype=np.float64)
    pool.with_columns(cost=pl.Series(costs)).write_parquet(world / "pool.parquet")
    plan = run(world, f"{BARE}[select]\nbudget = 20\n[rounds]\nn = 2\n", dry_run=True).plan
    assert [each.cost for each in plan.rounds] == [pytest.approx(10 * costs.mean())] * 2


# --- Who answers ---------------------------------------------------------------------------------------


def answers_of(world, number, *, leave_out=(), statuses=None):
    frame = selected(world, number).select("id", "prompt")
    truth = pl.read_parquet(world / "pool.parquet").select("id", "response")
    rows = frame.join(truth, on="id", maintain_order="left").filter(~pl.col("id").is_in(leave_out))
    path = world / f"answers-{number}.jsonl"
    if statuses:
        rows = rows.with_columns(status=pl.col("id").replace_strict(statuses, default="answered"))
    rows.write_ndjson(path)
    return path


PEOPLE = BARE.replace("pool.parquet", "unanswered.parquet") + "[select]\nbudget = 18\n[rounds]\nn = 3\n"


def bring(world, number, **options):
    folder = world / "job-run"
    return import_labels(
        answers_of(world, number, **options),
        into=folder,
        selection=folder / "rounds" / f"{number:02d}" / "selection",
        annotator="ann",
    )


def test_people_are_waited_for_round_by_round(world):
    waiting = run(world, PEOPLE)
    assert waiting.stopped is None
    assert "Round 1 waits for 6 of the 6 prompts of" in waiting.waiting
    assert not (world / "job-run" / "manifest.json").exists()
    assert selected(world, 1).height == 6
    first = selected(world, 1)["id"].to_list()
    bring(world, 1, leave_out=first[:1])
    assert "Round 1 waits for 1 of the 6 prompts" in run(world, PEOPLE).waiting
    bring(world, 1)
    second = run(world, PEOPLE)
    assert "Round 2 waits for 6" in second.waiting
    assert second.table["labels"].to_list() == [6]
    ids = selected(world, 2)["id"].to_list()
    assert not set(ids) & set(first)
    bring(world, 2, statuses={ids[0]: "rejected", ids[1]: "skipped"})
    third = run(world, PEOPLE)
    assert third.table["labels"].to_list() == [6, 10]
    assert third.table["set_aside"].to_list() == [0, 2]
    assert not set(selected(world, 3)["id"]) & {*first, *ids}
    bring(world, 3)
    done = run(world, PEOPLE)
    assert done.stopped == "all 3 rounds are done"
    assert done.labels == 16
    assert labelled(world, 3)["response"].null_count() == 0


def test_a_late_answer_joins_the_round_that_is_open_and_a_corrected_one_its_own(world):
    run(world, PEOPLE)
    ids = selected(world, 1)["id"].to_list()
    bring(world, 1, statuses={ids[0]: "skipped"})
    run(world, PEOPLE)
    second = selected(world, 2)["id"].to_list()
    bring(world, 1)  # the one who skipped has thought of something
    late = import_labels(
        answers_of(world, 1),
        into=world / "job-run",
        annotator="ann",
        on_conflict="replace",
        selection=world / "job-run" / "rounds" / "01" / "selection",
    )
    assert late.labels.counts["skipped"] == 0
    waiting = run(world, PEOPLE)
    assert "Round 2 waits for 6" in waiting.waiting
    assert selected(world, 2)["id"].to_list() == second
    assert labelled(world, 1).height == 5
    bring(world, 2)
    run(world, PEOPLE)
    assert labelled(world, 2).height == 12
    assert ids[0] in labelled(world, 2)["id"]


def test_a_selection_goes_on_from_the_labels_of_a_run(world):
    """`tasksel select --labelled RUN`: what was skipped is not chosen again and not counted."""
    run(world, PEOPLE)
    ids = selected(world, 1)["id"].to_list()
    bring(world, 1, statuses={ids[0]: "skipped", ids[1]: "rejected"})
    chosen = tasksel.select(world / "pool.parquet", budget=30, labelled=world / "job-run")
    assert chosen.manifest["labelled"]["rows"] == chosen.allocation["labelled"].sum() == 4
    assert chosen.manifest["figures"]["set_aside"] == 2
    assert not set(chosen.frame["id"]) & set(ids)
    file = world / "job-run" / "labels" / "labelled.parquet"
    again = tasksel.select(world / "pool.parquet", budget=30, labelled=file)
    assert again.manifest["labelled"] == chosen.manifest["labelled"]
    assert any("2 prompts were shown to annotators without" in note for note in chosen.notes)


def test_where_all_was_passed_over_there_is_nothing_to_train_on(world):
    run(world, PEOPLE)
    ids = selected(world, 1)["id"].to_list()
    bring(world, 1, statuses=dict.fromkeys(ids, "rejected"))
    with pytest.raises(AnnotationError, match="None of the 6 prompts of round 1 has an answer"):
        run(world, PEOPLE)
    chosen = tasksel.select(world / "pool.parquet", budget=200, labelled=world / "job-run")
    assert chosen.manifest["labelled"] | {"sha256": ""} == {
        "name": "labelled.parquet",
        "rows": 0,
        "set_aside": 6,
        "sha256": "",
    }
    assert not set(chosen.frame["id"]) & set(ids)


def test_labels_that_are_not_as_they_were_written_are_refused(world):
    run(world, PEOPLE)
    bring(world, 1)
    prompts = world / "job-run" / "labels" / "prompts.parquet"
    pl.read_parquet(prompts).head(2).write_parquet(prompts)
    with pytest.raises(ResumeError, match=r"prompts.parquet is missing or not as it was written"):
        tasksel.select(world / "pool.parquet", budget=3, labelled=world / "job-run")
    with pytest.raises(ResumeError, match=r"prompts.parquet"):
        run(world, PEOPLE)


def test_tasks_that_are_looked_for_are_found_once_for_all_rounds(world):
    pool = pl.read_parquet(world / "pool.parquet").drop("task")
    pool.write_parquet(world / "pool.parquet")
    text = f'{BARE}[tasks]\nembeddings = "vector"\nn_tasks = 3\ntemplates = false\nmin_size = 1\n'
    result = run(world, f"{text}[select]\n[rounds]\nsizes = [6, 6]\n")
    assert result.labels == 12
    assert labelled(world, 2)["task"].n_unique() == 3
    before = written(world)
    run(world, f"{text}[select]\n[rounds]\nsizes = [6, 6]\n")
    assert written(world) == before


def test_a_pool_of_one_prompt_and_hostile_texts(world):
    hostile = ["\x1b[31m [bold]" + "x" * 26_000, "=cmd()", "\u202e\r\n\0", "a"]
    frame = pl.DataFrame(
        {"task": ["a\n[red]", "b", "b", "b"], "prompt": hostile, "response": ["1", "2", "3", "4"]}
    )
    frame.write_parquet(world / "pool.parquet")
    assert run(world, f"{BARE}[select]\n[rounds]\nsizes = [1, 1, 5]\n").labels == 4
    frame.head(1).write_parquet(world / "pool.parquet")
    single = run(world, f"{BARE}[select]\n[rounds]\nsizes = [3, 3]\n", out=world / "one")
    assert (single.labels, len(single.rounds)) == (1, 1)


def test_a_file_of_answers_may_grow(world):
    text = PEOPLE.replace("budget = 18", "budget = 12").replace("n = 3", "n = 2")
    text += '[labels]\npath = "answers.jsonl"\n'
    assert "lacks 6 of the answers to the 6 prompts" in run(world, text).waiting
    first = answers_of(world, 1)
    shutil.copy(first, world / "answers.jsonl")
    assert "Round 2 lacks 6 of the answers" in run(world, text).waiting
    second = answers_of(world, 2, leave_out=selected(world, 2)["id"].to_list()[:1])
    (world / "answers.jsonl").write_bytes(first.read_bytes() + second.read_bytes())
    assert "Round 2 lacks 1 of the answers" in run(world, text).waiting
    allowed = run(world, text.replace("[labels]\n", "[labels]\nallow_missing = true\n"))
    assert allowed.labels == 11
    assert allowed.table["set_aside"].to_list() == [0, 1]


def test_a_pool_without_any_answer_is_waited_for(world):
    text = PEOPLE.replace("n = 3", 'n = 2\nannotator = "pool"')
    waiting = run(world, text).waiting
    assert waiting.endswith(
        "add them to the pool, or set allow_missing = true in [labels], and run the same command again."
    )
    waiting = run(world, text + "[labels]\nallow_missing = true\n").waiting
    assert waiting.endswith("add them to the pool and run the same command again.")


def test_a_round_in_which_all_was_passed_over_costs_nothing(world):
    text = PEOPLE + '[labels]\ncost_per_example = 2.0\ncurrency = "EUR"\n'
    run(world, text)
    bring(world, 1)
    run(world, text)
    bring(world, 2, statuses=dict.fromkeys(selected(world, 2)["id"].to_list(), "skipped"))
    result = run(world, text)
    assert [(each.new_labels, each.tokens > 0, each.cost) for each in result.rounds] == [
        (6, True, 12.0),
        (0, False, 0.0),
    ]
    assert result.rounds[1].currency == "EUR"


def test_a_teacher_whose_cap_is_too_low_is_waited_for(world):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    result = run(world, PEOPLE + '[teacher]\nmodel = "demo"\nmax_tokens = 4\nmax_requests = 2\n')
    assert "The teacher has not answered 6 of the 6 prompts of round 1: raise its caps" in result.waiting


def test_a_teacher_answers_each_round_in_a_folder_of_its_own(world):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    text = PEOPLE.replace("n = 3", "n = 2").replace("budget = 18", "budget = 8")
    text += '[teacher]\nmodel = "demo"\nmax_tokens = 4\nkeep_truncated = true\nkeep_refusals = true\n'
    told = []
    result = run(world, text, progress=lambda what, _: lambda done, *_: told.append((what, done)))
    assert result.stopped == "all 2 rounds are done"
    assert ("Round 1: Asking the teacher", 4) in told
    assert result.labels + result.rounds[-1].set_aside == 8
    rounds = world / "job-run" / "rounds"
    counts = read_json(rounds / "01" / "teacher" / "teacher" / "manifest.json")["counts"]
    assert result.rounds[0].tokens == counts["input_tokens"] + counts["output_tokens"] > 0
    replies = rounds / "01" / "teacher" / "teacher" / "replies.jsonl"
    before = replies.stat().st_mtime_ns
    assert run(world, text).table.equals(result.table)
    assert replies.stat().st_mtime_ns == before
    run(world, text.replace("max_tokens = 4", "max_tokens = 5"))
    assert list((rounds / "01" / "earlier" / "teacher").glob("*/teacher/replies.jsonl"))


def test_what_a_person_sees(world):
    (world / "job.toml").write_text(f"{BARE}[select]\nbudget = 20\n[rounds]\nn = 2\n")
    runner = CliRunner(env={"COLUMNS": "80"})
    done = runner.invoke(app, ["rounds", str(world / "job.toml")])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["round", "new", "labels", "tokens"]
    assert "2 of 2 rounds: 20 labels," in done.output
    assert "Stopped all 2 rounds are done." in done.output
    account = json.loads(runner.invoke(app, ["rounds", str(world / "job.toml"), "--json"]).output)
    assert [each["labels"] for each in account["rounds"]] == [10, 20]
    assert account["stopped"] == "all 2 rounds are done"
    (world / "job.toml").write_text(PEOPLE)
    waiting = runner.invoke(app, ["rounds", str(world / "job.toml"), "--out", str(world / "other")])
    assert waiting.exit_code == 3
    assert "Next Round 1 waits for 6" in " ".join(waiting.output.split())
    wrong = runner.invoke(app, ["rounds", str(world / "nowhere.toml")])
    assert wrong.exit_code == 2


def test_a_dry_run_says_what_rounds_would_buy_and_writes_nothing(world):
    (world / "job.toml").write_text(f"{BARE}[select]\nbudget = 20\ncost_per_example = 0.5\n[rounds]\nn = 2\n")
    runner = CliRunner(env={"COLUMNS": "80"})
    done = runner.invoke(app, ["rounds", str(world / "job.toml"), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "Labels from the responses of the pool" in done.output
    planned = json.loads(
        runner.invoke(app, ["rounds", str(world / "job.toml"), "--dry-run", "--json"]).output
    )
    assert [(each["new_labels"], each["cost"]) for each in planned["plan"]["rounds"]] == [(10, 5.0)] * 2
    assert not (world / "job-run").exists()
    run(world, (world / "job.toml").read_text())
    assert "there" in runner.invoke(app, ["rounds", str(world / "job.toml"), "--dry-run"]).output
    plan = run(
        world,
        PEOPLE.replace("budget = 18", "budget_cost = 9.0") + "[labels]\ncost_per_example = 1.0\n",
        dry_run=True,
    )
    assert [(each.new_labels, each.tokens, each.cost) for each in plan.plan.rounds] == [(None, None, 3.0)] * 3
    assert plan.plan.annotator == "people"
    beyond = run(world, f"{BARE}[select]\n[rounds]\nsizes = [40, 40]\n", dry_run=True).to_dict()["plan"]
    height = pl.read_parquet(world / "pool.parquet").height
    assert [each["new_labels"] for each in beyond["rounds"]] == [40, height - 40]


# --- With models ---------------------------------------------------------------------------------------


TRAINED = """
model = "demo"
[pool]
path = "pool.parquet"
[score]
max_new_tokens = 3
[select]
budget = 24
strategy = "weighted-task-diversity"
[train]
r = 4
epochs = 1
batch_size = 12
[evaluate]
pool = "holdout.parquet"
max_new_tokens = 3
[rounds]
n = 2
scores = "trained"
"""


def test_models_between_rounds_are_evaluated_and_may_tell_the_next(world):
    pytest.importorskip("peft", reason="the extra hf is not installed")
    pool = make_toy_pool(0, n_tasks=3, largest=14)
    pool.write_parquet(world / "pool.parquet")
    tasks = pool["task"].unique().implode()
    make_toy_holdout(0, n_per_task=2).filter(pl.col("task").is_in(tasks)).write_parquet(
        world / "holdout.parquet"
    )
    result = run(world, TRAINED)
    assert result.table["round"].to_list() == [0, 1, 2]
    assert result.table["figure"].null_count() == 0
    assert result.table["gain"].null_count() == 1
    rounds = world / "job-run" / "rounds"
    assert read_json(rounds / "02" / "training" / "manifest.json")
    assert not (rounds / "01" / "scores").exists()
    assert (rounds / "02" / "scores" / "manifest.json").is_file()
    assert "adapter" in (rounds / "02" / "scores" / "settings.json").read_text()
    before = written(world)
    flat = run(world, TRAINED + "flat_after = 1\nmin_gain = 2.0\n")
    assert "the last round gained" in flat.stopped
    assert len(flat.rounds) == 2
    assert written(world) == before
    with pytest.raises(ConfigError, match="no figure bleu"):
        run(world, TRAINED + 'metric = "bleu"\n')
    again = run(world, TRAINED)
    assert again.table.equals(result.table)
