"""A job from its file to its figures, and only as much of it as is not done."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tasksel
from tasksel.job.labels import label_selection, read_labels
from tasksel.job.ledger import Ledger, StageRecord
from tasksel.run_folder import read_json, write_json
from tasksel.selection_files import find_inputs, read_selection, replay
from tasksel.toy_world import make_toy_holdout, make_toy_pool
from tasksel_core.errors import AnnotationError, ConfigError, ResumeError

LOOP = """
model = "demo"
[pool]
path = "pool.parquet"
[score]
max_new_tokens = 4
shard_rows = 32
[select]
budget = 40
strategy = "weighted-task-diversity"
[train]
full = true
epochs = 1
batch_size = 20
learning_rate = 3e-4
[evaluate]
pool = "holdout.parquet"
max_new_tokens = 4
"""
SELECT = '[pool]\npath = "pool.parquet"\n[select]\nbudget = 10\n'


def write_world(folder: Path) -> Path:
    pool = make_toy_pool(0, n_tasks=6, largest=25)
    pool.write_parquet(folder / "pool.parquet")
    pool.drop("response").write_parquet(folder / "unanswered.parquet")
    tasks = pool["task"].unique().implode()
    make_toy_holdout(0, n_per_task=2).filter(pl.col("task").is_in(tasks)).write_parquet(
        folder / "holdout.parquet"
    )
    return folder


@pytest.fixture
def world(tmp_path):
    return write_world(tmp_path)


@pytest.fixture(scope="module")
def looped(tmp_path_factory):
    """Run the whole loop once."""
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    folder = write_world(tmp_path_factory.mktemp("job"))
    (folder / "job.toml").write_text(LOOP)
    return folder, tasksel.run_job(folder / "job.toml")


def run(folder, text, **options):
    path = folder / "job.toml"
    path.write_text(text)
    return tasksel.run_job(path, **options)


def states(result):
    return {stage.name: stage.state for stage in result.stages}


def test_the_whole_loop_runs_from_one_file(looped):
    folder, result = looped
    assert set(states(result).values()) == {"done"}
    assert list(states(result)) == [
        "score",
        "select",
        "labels",
        "train",
        "evaluate_base",
        "evaluate",
    ]
    assert result.is_finished
    assert result.waiting is None
    assert result["select"].figures["selected"] == 40
    assert result["labels"].figures == {"rows": 40, "missing": 0}
    assert "macro" in result["evaluate"].figures["exact"]["exact_match"]
    for stage in result.stages:
        assert (folder / "job-run" / stage.folder / "manifest.json").is_file()
    manifest = read_json(folder / "job-run" / "manifest.json")
    assert list(manifest["stages"]) == list(states(result))
    assert str(folder) not in (folder / "job-run" / "job.json").read_text()


def test_a_selection_of_a_job_finds_what_it_was_made_from(looped):
    folder, _ = looped
    saved = read_selection(folder / "job-run" / "selection")
    inputs = find_inputs(saved.folder)
    assert Path(inputs.pool).resolve() == (folder / "pool.parquet").resolve()
    assert replay(saved, inputs).frame["id"].to_list() == saved.frame["id"].to_list()


def test_a_finished_job_is_not_repeated_from_wherever_it_is_called(looped, monkeypatch):
    folder, _ = looped
    manifest = (folder / "job-run" / "manifest.json").read_bytes()
    written = {path: path.stat().st_mtime_ns for path in (folder / "job-run").rglob("*.parquet")}
    monkeypatch.chdir(folder)
    again = tasksel.run_job("job.toml")
    assert set(states(again).values()) == {"unchanged"}
    assert (folder / "job-run" / "manifest.json").read_bytes() == manifest
    assert {path: path.stat().st_mtime_ns for path in (folder / "job-run").rglob("*.parquet")} == written
    assert again["evaluate"].figures == tasksel.run_job(folder / "job.toml")["evaluate"].figures


def test_a_change_redoes_only_what_depends_on_it_and_keeps_what_was_there(looped):
    folder, first = looped
    changed = run(folder, LOOP.replace("epochs = 1", "epochs = 2"))
    redone = {name for name, state in states(changed).items() if state == "done"}
    assert redone == {"train", "evaluate"}
    assert changed["train"].figures["steps"] == 4
    assert "kept in earlier/train/" in changed["train"].notes[0]
    back = run(folder, LOOP)
    assert set(states(back).values()) == {"unchanged"}
    assert back["evaluate"].figures == first["evaluate"].figures


def test_what_only_says_how_fast_changes_nothing(looped):
    folder, _ = looped
    text = LOOP.replace("epochs = 1", "epochs = 1\ndevice_batch_tokens = 512\ncheckpoint_every_s = 60")
    assert set(states(run(folder, text)).values()) == {"unchanged"}


def test_a_damaged_file_is_made_again(looped):
    folder, _ = looped
    (folder / "job-run" / "selection" / "selected.jsonl").write_text("")
    (folder / "job-run" / "labelled" / "labelled.parquet").unlink()
    with (folder / "job-run" / "evaluation" / "report.json").open("a") as report:
        report.write(" ")
    redone = {name for name, state in states(run(folder, LOOP)).items() if state == "done"}
    assert redone == {"select", "labels", "evaluate"}


def test_an_evaluation_does_not_stand_beside_a_selection_that_it_is_not_of(looped):
    """It goes aside while the labels of the new selection are waited for, and comes back with the old one."""
    folder, first = looped
    run(folder, LOOP)
    text = LOOP.replace("budget = 40", "budget = 39") + '[labels]\npath = "answers.jsonl"\n'
    assert states(run(folder, text))["evaluate"] == "waiting"
    for name in ("labelled", "training", "evaluation"):
        assert not (folder / "job-run" / name).exists()
    assert (
        states(run(folder, LOOP.replace("budget = 40", "budget = 38"), until="select"))["train"] == "left out"
    )
    back = run(folder, LOOP)
    assert set(states(back).values()) == {"unchanged"}
    assert back["evaluate"].figures == first["evaluate"].figures


def test_a_model_that_has_changed_under_its_name_is_for_a_person_to_decide(world, tiny_model_folder):
    model = shutil.copytree(tiny_model_folder, world / "model")
    text = LOOP[: LOOP.index("[train]")].replace('"demo"', '"model"')
    run(world, text)
    config = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**config, "num_beams": 1}, indent=1))
    with pytest.raises(ResumeError, match="cannot be mixed with those asked for: model"):
        run(world, text)
    shutil.rmtree(world / "job-run" / "scores")
    assert states(run(world, text))["score"] == "done"


def test_scores_of_another_making_are_put_aside(world):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    tasksel.score(world / "pool.parquet", model="demo", out=world / "job-run", max_new_tokens=2)
    text = LOOP[: LOOP.index("[train]")]
    result = run(world, text)
    assert result["score"].state == "done"
    assert "kept in earlier/score/" in result["score"].notes[0]


def test_without_answers_the_job_ends_after_the_selection(world):
    text = SELECT.replace("pool.parquet", "unanswered.parquet") + '[train]\nmodel = "demo"\n'
    waiting = run(world, text)
    assert states(waiting) == {"select": "done", "labels": "waiting", "train": "waiting"}
    assert not waiting.is_finished
    selected = world / "job-run" / "selection" / "selected.jsonl"
    assert waiting.waiting == (
        f"Have the 10 prompts of {selected} answered, write each answer into response, save the rows as "
        f"{world / 'job-run' / 'labels.jsonl'}, and run the same command again."
    )
    assert not (world / "job-run" / "manifest.json").exists()


def labelled_rows(world, name="labels.jsonl"):
    selected = pl.read_ndjson(world / "job-run" / "selection" / "selected.jsonl")
    answers = pl.read_parquet(world / "pool.parquet").select("id", "response")
    return selected.select("id", "prompt").join(answers, on="id", maintain_order="left")


def test_answers_in_a_file_let_the_job_go_on(world):
    text = SELECT.replace("pool.parquet", "unanswered.parquet") + "[labels]\n"
    run(world, text)
    rows = labelled_rows(world)
    rows.head(7).write_ndjson(world / "job-run" / "labels.jsonl")
    partly = run(world, text)
    assert "lacks the answers to 3 of the 10 prompts" in partly.waiting
    assert run(world, text + "allow_missing = true\n")["labels"].figures == {"rows": 7, "missing": 3}
    rows.write_ndjson(world / "job-run" / "labels.jsonl")
    assert run(world, text)["labels"].figures == {"rows": 10, "missing": 0}
    assert states(run(world, text)) == {"select": "unchanged", "labels": "unchanged"}


def test_answers_that_were_imported_into_the_run_folder_are_found(world):
    text = SELECT.replace("pool.parquet", "unanswered.parquet") + "[labels]\n"
    run(world, text)
    (world / "job-run" / "labels").mkdir()
    labelled_rows(world).write_parquet(world / "job-run" / "labels" / "labelled.parquet")
    assert run(world, text)["labels"].figures == {"rows": 10, "missing": 0}


def test_a_named_file_that_is_not_there_is_waited_for_even_where_the_pool_has_answers(world):
    text = SELECT + '[labels]\npath = "answers.csv"\n'
    assert "answers.csv" in run(world, text).waiting
    labelled_rows(world).drop("prompt").write_csv(world / "answers.csv")
    assert run(world, text)["labels"].figures["rows"] == 10


def test_several_selections_stand_side_by_side(world):
    text = '[pool]\npath = "pool.parquet"\n[labels]\n' + "".join(
        f'[[select]]\nname = "{name}"\nbudget = {budget}\nstrategy = "{name}"\n'
        for name, budget in (("random", 5), ("task-diversity", 8))
    )
    result = run(world, text)
    assert list(states(result)) == [
        "select/random",
        "select/task-diversity",
        "labels/random",
        "labels/task-diversity",
    ]
    assert read_selection(world / "job-run" / "selections" / "random").figures["selected"] == 5
    inputs = find_inputs(world / "job-run" / "selections" / "random")
    assert Path(inputs.pool).resolve() == (world / "pool.parquet").resolve()
    assert pl.read_parquet(world / "job-run" / "labelled" / "task-diversity" / "labelled.parquet").height == 8


def test_only_and_until_choose_sections(world):
    text = SELECT + "[labels]\n"
    with pytest.raises(ConfigError, match=r"labels needs \[select\], which has not been run"):
        run(world, text, only="labels")
    assert states(run(world, text, until="select")) == {"select": "done", "labels": "left out"}
    assert states(run(world, text, only="labels")) == {"select": "left out", "labels": "done"}
    with pytest.raises(ConfigError, match=r"needs \[select\], which has changed since it was run"):
        run(world, text.replace("budget = 10", "budget = 9"), only="labels")
    assert (world / "job-run" / "labelled").exists()
    with pytest.raises(ConfigError, match="the file has no section \\[train\\]"):
        run(world, text, only="train")
    with pytest.raises(ConfigError, match="Did you mean 'select'"):
        run(world, text, until="selct")
    with pytest.raises(ConfigError, match="exclude each other"):
        run(world, text, only="select", until="labels")


def test_what_was_finished_stays_finished_when_a_part_is_asked_for(world):
    text = SELECT + "[labels]\n"
    run(world, text)
    manifest = (world / "job-run" / "manifest.json").read_bytes()
    run(world, text, only="labels")
    assert (world / "job-run" / "manifest.json").read_bytes() == manifest
    run(world, text.replace("budget = 10", "budget = 9"), until="select")
    assert not (world / "job-run" / "manifest.json").exists()


def test_a_pool_of_one_prompt_and_a_budget_beyond_it(world):
    pl.DataFrame({"task": ["a"], "prompt": ["x" * 26_000], "response": ["y"]}).write_parquet(
        world / "pool.parquet"
    )
    result = run(world, SELECT + "[labels]\n[report]\n")
    assert result.is_finished
    assert result["labels"].figures["rows"] == 1


def test_a_run_folder_that_is_a_file_is_refused(world):
    (world / "job-run").write_text("")
    with pytest.raises(ResumeError, match="is a file, where a folder is wanted"):
        run(world, SELECT)


def test_a_run_folder_of_ones_own(world):
    result = run(world, SELECT, out=world / "elsewhere" / "run")
    assert result.folder == world / "elsewhere" / "run"
    assert (world / "elsewhere" / "run" / "selection" / "manifest.json").is_file()


def test_a_run_folder_in_use_is_refused(world):
    from tasksel.run_folder import folder_lock

    with folder_lock(world / "job-run"), pytest.raises(ResumeError, match="in use"):
        run(world, SELECT)


def test_answers_added_to_the_pool_do_not_cost_the_scores(world):
    """Scores depend on the prompts alone, a selection on the whole file."""
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    text = LOOP[: LOOP.index("[train]")].replace("pool.parquet", "grows.parquet")
    pool = pl.read_parquet(world / "pool.parquet")
    pool.drop("response").write_parquet(world / "grows.parquet")
    run(world, text)
    pool.write_parquet(world / "grows.parquet")
    assert states(run(world, text)) == {"score": "unchanged", "select": "done"}


def test_vectors_of_the_scoring_pass_serve_a_strategy_that_wants_vectors(world):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    text = LOOP[: LOOP.index("[train]")]
    text = text.replace("shard_rows = 32", 'embed_from = "hidden"').replace(
        "weighted-task-diversity", "k-center"
    )
    result = run(world, text)
    assert "covering_radius" in result["select"].figures
    assert find_inputs(world / "job-run" / "selection").embeddings == str(world / "job-run" / "scores")


def test_tasks_are_found_where_the_pool_has_none(world):
    """Two kinds of prompts with vectors of their own; the selection spreads over what was found."""
    prompts = [f"Translate into French: word number {n}" for n in range(20)]
    prompts += [f"How much is {n} plus {n * n}?" for n in range(20)]
    vectors = [[1.0 + n / 100, 0.0] if n < 20 else [0.0, 1.0 + n / 100] for n in range(40)]
    pl.DataFrame({"prompt": prompts, "vector": vectors}).write_parquet(world / "pool.parquet")
    text = SELECT + '[tasks]\nembeddings = "vector"\nn_tasks = 2\n'
    result = run(world, text)
    assert states(result) == {"tasks": "done", "select": "done"}
    assert result["tasks"].figures["tasks"] == 2
    assert result["select"].figures["tasks"] == 2
    inputs = find_inputs(world / "job-run" / "selection")
    assert "task" in pl.read_parquet(inputs.pool).columns
    assert states(run(world, text)) == {"tasks": "unchanged", "select": "unchanged"}
    with (world / "job-run" / "tasks" / "pool.parquet").open("ab") as damaged:
        damaged.write(b" ")
    assert states(run(world, text)) == {"tasks": "done", "select": "unchanged"}
    assert states(run(world, text.replace("n_tasks = 2", 'n_tasks = "2:3"')))["tasks"] == "done"
    with pytest.raises(ConfigError, match="says how tasks are found"):
        run(world, text + 'using = "job-run/tasks/pool-tasks"\n')
    using = text.replace("n_tasks = 2", 'using = "job-run/tasks/pool-tasks"')
    assert run(world, using, out=world / "other")["tasks"].figures["prompts"] == 40


def test_vectors_of_a_job_serve_the_search_for_tasks(world):
    """The vectors are made of the pool as it came, so that other tasks do not cost them."""
    text = SELECT + '[embed]\nembed_from = "vectors.npy"\n[tasks]\nn_tasks = 2\ntemplates = false\n'
    pool = pl.read_parquet(world / "pool.parquet")
    np.save(
        world / "vectors.npy", np.random.default_rng(0).standard_normal((pool.height, 4), dtype=np.float32)
    )
    assert states(run(world, text)) == {"embed": "done", "tasks": "done", "select": "done"}
    again = run(world, text.replace("n_tasks = 2", "n_tasks = 3"))
    assert states(again) == {"embed": "unchanged", "tasks": "done", "select": "done"}


def test_a_report_is_written_while_answers_are_waited_for(world):
    text = SELECT.replace("pool.parquet", "unanswered.parquet") + "[labels]\n[report]\n"
    result = run(world, text)
    assert states(result) == {"select": "done", "labels": "waiting", "report": "done"}
    assert states(run(world, text))["report"] == "unchanged"
    labelled_rows(world).write_ndjson(world / "job-run" / "labels.jsonl")
    assert states(run(world, text)) == {"select": "unchanged", "labels": "done", "report": "done"}
    run(world, text.replace("budget = 10", "budget = 9"), until="select")
    assert "selection" in (world / "job-run" / "report.html").read_text()
    report = run(world, text.replace("budget = 10", "budget = 9"))
    assert states(report)["report"] == "done"


def test_labels_are_joined_by_prompt_where_a_file_has_no_ids(tmp_path):
    pl.DataFrame({"instruction": ["1+1="], "output": ["2"]}).write_ndjson(tmp_path / "labels.jsonl")
    selected = pl.DataFrame({"id": ["x"], "prompt": ["1+1="], "rank": [1]})
    labelled = label_selection(selected, read_labels(tmp_path / "labels.jsonl"))
    assert labelled.frame["response"].to_list() == ["2"]


def test_answers_that_contradict_each_other_are_refused():
    selected = pl.DataFrame({"id": ["x"], "prompt": ["1+1="], "rank": [1]})
    labels = pl.DataFrame({"id": ["x", "x"], "response": ["2", "3"]})
    with pytest.raises(AnnotationError, match="two different answers to the id 'x'"):
        label_selection(selected, labels, "labels.jsonl")
    assert label_selection(selected, labels.head(1).vstack(labels.head(1))).missing.is_empty()


def test_answers_to_other_prompts_and_blank_ones_are_told_and_not_used():
    selected = pl.DataFrame({"id": ["x"], "prompt": ["1+1="], "rank": [1]})
    labels = pl.DataFrame({"id": ["y", "x"], "response": ["2", "  "]})
    labelled = label_selection(selected, labels, "labels.jsonl")
    assert labelled.missing.height == 1
    assert labelled.notes == ("1 answer of labels.jsonl belongs to no selected prompt and is not used.",)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("labels.jsonl", '{"prompt": "a"}\n', "no column response"),
        ("labels.jsonl", '{"text": "a"}\n', "response and id"),
        ("labels.csv", "id,response\n", "no rows"),
    ],
)
def test_a_file_without_labels_is_a_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises((AnnotationError, tasksel.errors.SchemaError), match=sentence):
        read_labels(tmp_path / name)


def test_a_job_leaves_no_absolute_path_and_no_time(world, monkeypatch):
    monkeypatch.chdir(world)
    run(Path(), SELECT)
    for path in (world / "job-run").rglob("*.json"):
        assert str(world) not in path.read_text(), path
    assert not os.path.isabs(read_json(world / "job-run" / "job.json")["inputs"]["pool"])  # noqa: PTH117


def test_what_is_put_aside_replaces_nothing_that_was_put_aside_before(tmp_path):
    ledger, folder = Ledger(tmp_path), tmp_path / "scores"
    places = []
    for text in ("first", "second", "third"):
        folder.mkdir()
        (folder / "made").write_text(text)
        places.append(ledger.put_aside("score", folder, "0123456789abcdef"))
    assert [(tmp_path / place / "made").read_text() for place in places] == ["first", "second", "third"]
    assert ledger.put_aside("score", folder, "0123456789abcdef") is None


@pytest.mark.parametrize("content", [{"inputs": []}, {"inputs": {}, "settings": "x"}, {}])
def test_a_record_that_says_nothing_is_none(tmp_path, content):
    ledger = Ledger(tmp_path)
    ledger.write("score", StageRecord({"pool": "a"}, {"x": 1}))
    assert ledger.read("score") == StageRecord({"pool": "a"}, {"x": 1})
    write_json(tmp_path / "stages" / "score.json", {"format_version": 1, **content})
    assert ledger.read("score") is None


def test_a_kill_while_folders_change_places_loses_nothing(tmp_path):
    """Every state that a kill can leave between the steps of `Ledger.begin` comes to the same end."""
    old, new = StageRecord({"pool": "a"}, {"x": 1}), StageRecord({"pool": "a"}, {"x": 2})
    for killed_after in range(4):
        run = tmp_path / str(killed_after)
        run.mkdir()
        ledger, folder = Ledger(run), run / "scores"
        ledger.begin("score", folder, new)
        folder.mkdir()
        (folder / "made").write_text("new")
        ledger.begin("score", folder, old)
        folder.mkdir()
        (folder / "made").write_text("old")
        kept = next((run / "earlier" / "score").iterdir())
        if killed_after > 0:
            ledger.put_aside("score", folder, old.fingerprint)
        if killed_after > 1:
            write_json(
                run / "stages" / "score.json",
                {"format_version": 1, "inputs": dict(new.inputs), "settings": {"x": 2}},
            )
        if killed_after > 2:
            kept.rename(folder)
        ledger.begin("score", folder, new)
        assert (folder / "made").read_text() == "new"
        assert [(path / "made").read_text() for path in (run / "earlier" / "score").iterdir()] == ["old"]
