"""What is on the disk after a power loss at any moment: `crash_disk.py` has the model."""

from __future__ import annotations

import json
import os
import shutil

import polars as pl
import pytest

from crash_disk import CrashDisk
from scripted_worker import make_pool, make_stage
from tasksel import run_folder, run_folder_durability
from tasksel.annotation.answers import ANSWER_SCHEMA
from tasksel.annotation.label_store import read_labels, store_answers
from tasksel.endpoint import Reply
from tasksel.job.ledger import Ledger, StageRecord
from tasksel.reply_journal import ReplyJournal, read_journal
from tasksel.run_folder import folder_lock, make_folder, write_json
from tasksel.selection import select
from tasksel.selection_files import read_selection
from tasksel.training_output import _new_folder
from tasksel.training_state import CheckpointWriter, LossRow, find_checkpoint, read_loss_rows
from tasksel_core.errors import TaskselError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="folders are flushed on POSIX systems")

MOST = 16
"""States of a test that runs by default; all of them in those that are marked."""


@pytest.fixture
def disk(tmp_path):
    return CrashDisk(tmp_path / "disk")


@pytest.fixture(params=[MOST, pytest.param(None, marks=pytest.mark.thorough)], ids=["some", "all"])
def places(request, disk, tmp_path):
    """Give states after a crash as folders, each with what had been promised by then."""

    def give():
        states = disk.states
        assert len(states) > 10
        step = 1 if request.param is None else -(-len(states) // request.param)
        for number, state in enumerate(states[::-step]):  # the last one is that of the end, without a crash
            place = tmp_path / "crashed" / str(number)
            yield state.write(place), disk.promises[: state.n_promises]
            shutil.rmtree(place)

    return give


def read_files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


# Shards


POOL = make_pool(9)


def finish(run, **arguments):
    stage = make_stage(run, pool=POOL, shard_rows=3, **arguments)
    stage.finish()
    return stage


def record_stage(disk):
    with disk.recording():
        finish(disk.root / "run")
        disk.promise("all shards")
    return read_files(disk.root)


def test_a_stage_ends_in_the_same_files(disk, places):
    expected = record_stage(disk)
    n_reused = 0
    for place, promised in places():
        stage = finish(place / "run")
        assert read_files(place) == expected
        assert stage.worker.starts == 0 or not promised
        n_reused += stage.rows_reused
    assert n_reused > 0


def test_a_stopped_stage_keeps_what_it_had(disk, places):
    def stop(rows_done, *_):
        if rows_done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_stage(disk.root / "run", pool=POOL, shard_rows=4, progress=stop).finish()
    with disk.recording():
        make_stage(disk.root / "run", pool=POOL, shard_rows=4).finish()
    expected = read_files(disk.root)
    for place, _ in places():
        stage = make_stage(place / "run", pool=POOL, shard_rows=4)
        stage.finish()
        assert read_files(place) == expected
        assert (
            stage.rows_reused >= 4
        )  # the whole shard of before, and what was kept of the second or all of it


@pytest.mark.parametrize("name", ["flush_folder", "flush_file", "create_folder"])
def test_the_model_sees_a_flush_that_is_left_out(disk, tmp_path, monkeypatch, name):
    """The promises above do not hold by themselves: without each flush some state breaks one."""
    instead = {"create_folder": lambda folder: folder.mkdir(parents=True, exist_ok=True)}
    for module in (run_folder, run_folder_durability):
        monkeypatch.setattr(module, name, instead.get(name, lambda _: None))
    expected = record_stage(disk)
    monkeypatch.undo()
    assert any(is_broken(state, expected, tmp_path / "crashed") for state in reversed(disk.states))


def is_broken(state, expected, place):
    """Whether a crash has left what the stage refuses, ends otherwise from, or makes again after its end."""
    shutil.rmtree(place, ignore_errors=True)
    state.write(place)
    try:
        stage = finish(place / "run")
    except TaskselError:
        return True
    return read_files(place) != expected or bool(state.n_promises and stage.worker.starts)


# Replies that were paid for


def ask(folder, keys, *, told=lambda _: None):
    with folder_lock(folder), ReplyJournal(folder / "replies.jsonl") as journal:
        for key in keys:
            if key not in journal.entries:
                journal.append(key, Reply(200, f"the answer to {key}"))
            told(key)
        return dict(journal.entries)


def test_a_reply_that_was_kept_is_never_lost(disk, places):
    with disk.recording():
        ask(disk.root / "run" / "teacher", "ab", told=disk.promise)
        ask(disk.root / "run" / "teacher", "abc", told=disk.promise)
    for place, promised in places():
        folder = place / "run" / "teacher"
        kept = read_journal(folder / "replies.jsonl")
        assert set(promised) <= kept.keys() <= set("abc")
        ask(folder, "abc")
        found = read_journal(folder / "replies.jsonl")
        assert {key: each.reply.body for key, each in found.items()} == {
            key: f"the answer to {key}" for key in "abc"
        }


def test_a_journal_whose_maker_was_killed_is_as_safe(disk, places):
    """Its name may not be on the disk yet, and the next process finds it there all the same."""
    folder = disk.root / "run" / "teacher"
    make_folder(folder.parent)
    with disk.recording():
        folder.mkdir()
        (folder / "replies.jsonl").touch()
        ask(folder, "ab", told=disk.promise)
    for place, promised in places():
        assert set(promised) <= read_journal(place / "run" / "teacher" / "replies.jsonl").keys()


# Selections


def choose(budget):
    frame = pl.DataFrame(
        {"task": ["a", "b"] * 10, "prompt": [f"prompt {number}" for number in range(20)], "confidence": 0.5}
    )
    return select(frame, budget=budget, strategy="task-diversity")


def unlisted(manifest):
    return {name: value for name, value in manifest.items() if name != "files"}


def test_a_reader_finds_the_old_selection_the_new_one_or_none(disk, places):
    old, new = choose(4), choose(7)
    both = {"old": old, "new": new}
    folder = disk.root / "selections" / "one"
    with disk.recording():
        old.save(folder)
        disk.promise("old")
        new.save(folder)
        disk.promise("new")
    expected, seen = read_files(folder), []
    for place, promised in places():
        there = place / "selections" / "one"
        try:
            saved = read_selection(there)
        except TaskselError:
            seen.append("none")
        else:
            made = {name for name, made in both.items() if made.frame.equals(saved.frame)}
            assert made == {name for name, made in both.items() if made.manifest == unlisted(saved.manifest)}
            seen += made
        assert len(promised) < 2 or seen[-1] == "new"
        new.save(there)
        assert read_files(there) == expected
    assert {"new", "none"} <= set(seen)


# Labels


ASKED = pl.DataFrame({"id": ["1", "2"], "task": ["t", "t"], "prompt": ["one", "two"]})


def answers(identifier, response):
    prepared = run_folder.text_sha256(ASKED.filter(id=identifier)["prompt"][0])
    row = dict.fromkeys(ANSWER_SCHEMA) | {
        "id": identifier,
        "prompt_sha256": prepared,
        "response": response,
        "status": "answered",
        "annotator": "anna",
        "source": "file.csv",
    }
    return pl.DataFrame([row], schema=ANSWER_SCHEMA)


def test_labels_that_were_imported_stay(disk, places):
    imports = [answers("1", "uno"), answers("2", "dos")]
    with disk.recording():
        for imported in imports:
            store_answers(disk.root / "run", ASKED, imported, source="file.csv")
            disk.promise(imported["id"][0])
    expected = read_labels(disk.root / "run").frame
    for place, promised in places():
        records = sorted((place / "run" / "labels" / "imports").glob("*.json"))
        assert len(records) >= len(promised)
        for imported in imports:  # whoever was not told that it is there imports it again
            stored = store_answers(place / "run", ASKED, imported, source="file.csv")
            assert imported["id"][0] not in promised or stored.number is None
        assert read_labels(place / "run").frame.equals(expected)


# Trainings


def test_the_newest_checkpoint_is_whole(disk, places):
    rows = [LossRow(step, step / 3, 1e-3, 1.0, 5) for step in (1, 2, 3)]
    with disk.recording():
        folder = disk.root / "run" / "training"
        make_folder(folder)
        writer = CheckpointWriter(folder, every_s=0)
        for row in rows:
            with writer.begin(row.step, rows[: row.step]) as saving:
                inside = saving / f"checkpoint-{row.step}" / "state"
                inside.mkdir(parents=True)
                (inside / "weights").write_bytes(bytes([row.step]) * 1000)
            disk.promise(row.step)
    for place, promised in places():
        found = find_checkpoint(place / "run" / "training")
        if found is None:
            assert not promised
            continue
        step = int(found.name.rpartition("-")[2])
        assert step >= max(promised, default=0)
        assert read_loss_rows(found) == rows[:step]
        assert (found / "state" / "weights").read_bytes() == bytes([step]) * 1000


def test_a_trained_model_is_whole_or_not_there(disk, places):
    with disk.recording():
        make_folder(disk.root / "training")
        for number in (1, 2):
            with _new_folder(disk.root / "training" / "adapter") as folder:
                (folder / "config").write_bytes(bytes([number]) * 10)
                (folder / "weights").write_bytes(bytes([number]) * 1000)
            disk.promise(number)
    for place, promised in places():
        folder = place / "training" / "adapter"
        if not folder.is_dir():
            assert len(promised) < 2
            continue
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        if found.keys() == {"config", "weights"} and len(found["config"]) == 10:
            number = found["config"][0]
            assert found["weights"] == bytes([number]) * 1000
            assert number >= max(promised, default=0)
        else:  # the old one, half deleted, as the new one was to come
            assert promised == [1]
            assert set(b"".join(found.values())) <= {1}


# Jobs


def test_the_record_of_a_stage_is_that_of_its_folder(disk, places):
    def made_with(budget):
        return StageRecord({"pool": "0" * 64}, {"budget": budget})

    run = disk.root / "job"
    with disk.recording():
        make_folder(run)
        for budget in (4, 7, 4):
            Ledger(run).begin("select", run / "selected", made_with(budget))
            if not (run / "selected").exists():
                make_folder(run / "selected")
                write_json(run / "selected" / "manifest.json", {"budget": budget})
            disk.promise(budget)
    for place, _ in places():
        record = Ledger(place / "job").read("select")
        manifest = place / "job" / "selected" / "manifest.json"
        if manifest.exists():
            assert record is not None
            assert json.loads(manifest.read_text()) == {"budget": record.settings["budget"]}
