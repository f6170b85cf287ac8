from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tasksel.run_folder import folder_lock, read_json, write_json
from tasksel.run_folder_durability import create_folder, flush_folder, flush_tree, move_folder
from tasksel.run_folder_leftovers import temporary_path
from tasksel.selection import select
from tasksel.toy_world import make_toy_pool

pytestmark = pytest.mark.skipif(os.name != "posix", reason="folders are flushed on POSIX systems")


@pytest.fixture
def flushed(monkeypatch):
    """Folders and files in the order in which they are flushed."""
    seen, real = [], os.fsync

    def fsync(descriptor):
        seen.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


linux_only = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="/proc tells what is flushed")


@linux_only
def test_each_new_folder_is_flushed_before_the_next_is_made(tmp_path, flushed):
    create_folder(tmp_path / "a" / "b")
    assert flushed == [str(tmp_path.parent), str(tmp_path), str(tmp_path / "a")]
    flushed.clear()
    create_folder(tmp_path / "a" / "b")  # who made it may have been killed before it was flushed
    assert flushed == [str(tmp_path / "a")]


@linux_only
def test_a_rename_is_flushed_where_it_leads_and_where_it_began(tmp_path, flushed):
    create_folder(tmp_path / "from" / "x")
    create_folder(tmp_path / "to")
    flushed.clear()
    move_folder(tmp_path / "from" / "x", tmp_path / "to" / "x")
    assert flushed == [str(tmp_path / "to"), str(tmp_path / "from")]
    (tmp_path / "to" / "x" / "file").touch()
    flushed.clear()
    flush_tree(tmp_path / "to")
    assert set(flushed) == {str(tmp_path / "to" / name) for name in ("", "x", "x/file")} - {
        f"{tmp_path}/to/"
    } | {str(tmp_path / "to")}


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_disk_that_cannot_flush_a_folder_is_used_without(tmp_path, monkeypatch, code):
    def fsync(_):
        raise OSError(code, "no such thing here")

    monkeypatch.setattr(os, "fsync", fsync)
    flush_folder(tmp_path)


def test_a_disk_that_fails_is_an_error(tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        flush_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush_folder(tmp_path / "nowhere")


def test_what_a_killed_process_was_writing_goes_with_the_next_one(tmp_path):
    left = [temporary_path(tmp_path / name) for name in ("manifest.json", "answers.parquet")]
    kept = [tmp_path / name for name in (".mine.tmp", "manifest.json.tmp", ".notes.12.tmp")]
    for path in (*left, *kept):
        path.touch()
    with folder_lock(tmp_path):
        assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    pool = make_toy_pool(0, n_tasks=2, largest=5)
    temporary_path(tmp_path / "selected.jsonl").touch()
    select(pool, budget=2, strategy="random", out=tmp_path)
    assert not list(tmp_path.glob(".selected.*"))


@pytest.mark.integration
def test_a_model_that_a_kill_left_unlisted_is_merged_again(tmp_path, monkeypatch):
    pytest.importorskip("peft", reason="the extra hf is not installed")
    from tasksel import training

    selection = tmp_path / "selection.parquet"
    make_toy_pool(0).head(8).write_parquet(selection)
    settings = {"model": "demo", "epochs": 1, "r": 4, "device": "cpu", "merge": True}
    training.train(selection, out=tmp_path / "whole", **settings)
    real, written = write_json, []

    def write(path, content):
        written.append(path.name)
        if written.count("manifest.json") == 2:
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(training, "write_json", write)
    with pytest.raises(KeyboardInterrupt):
        training.train(selection, out=tmp_path / "killed", **settings)
    monkeypatch.undo()
    assert (tmp_path / "killed" / "training" / "model").is_dir()
    training.train(selection, out=tmp_path / "killed", **settings)
    manifests = [read_json(tmp_path / name / "training" / "manifest.json") for name in ("whole", "killed")]
    assert manifests[0] == manifests[1]
