"""Folders and files from strangers: no name leads out of a folder, nothing is written through a link."""

from __future__ import annotations

import json
import os
import stat
import zipfile

import numpy as np
import polars as pl
import pytest

import tasksel
from tasksel.annotation.answer_files import read_answers
from tasksel.annotation.export import EXPORT_NAME, EXPORT_STAGE
from tasksel.reply_journal import ReplyJournal
from tasksel.run_folder import MANIFEST_NAME, atomic_path, folder_lock, text_sha256, write_json, write_text
from tasksel.run_folder_links import claim_file, listed_path, open_for_appending
from tasksel.run_folder_shards import FinishedStage
from tasksel.shard_journal import ShardJournal
from tasksel.shard_progress import Pace, ProgressFile
from tasksel_core.errors import ResumeError, TaskselError

posix_only = pytest.mark.skipif(os.name != "posix", reason="links and modes are those of POSIX")
OUTSIDE = [
    "../secret",
    "/etc/passwd",
    "a/../../secret",
    "..",
    "",
    "..\\secret",
    "C:\\secret",
    "C:secret",
    "\\\\host\\share",
    "a\0b",
]


@pytest.fixture
def secret(tmp_path):
    """Give a file of somebody beside the folder that is attacked."""
    path = tmp_path / "secret"
    path.write_text("mine\n")
    return path


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


# Names


@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_a_manifest_lists_no_shard_outside_of_its_folder(run, secret, name):
    shards = [{"name": name, "sha256": text_sha256(secret.read_text())}]
    write_json(run / MANIFEST_NAME, {"format_version": 1, "shards": shards})
    with pytest.raises(ResumeError, match="outside of its folder"):
        FinishedStage(run, "score").find_shards()


@pytest.mark.parametrize("name", ["part-00000.parquet", "adapter/adapter_model.safetensors", "...", "a..b"])
def test_names_inside_a_folder_stay(run, name):
    assert listed_path(run, name, run / MANIFEST_NAME) == run / name


@pytest.mark.parametrize("stage", ["scores", "embeddings"])
def test_a_stranger_s_run_reads_no_file_of_mine(tmp_path, secret, stage):
    """By its hash in the manifest even a file of mine could pass as a shard."""
    folder = tmp_path / "run" / stage
    folder.mkdir(parents=True)
    shards = [{"name": "../../secret", "sha256": text_sha256(secret.read_text())}]
    write_json(folder / MANIFEST_NAME, {"format_version": 1, "shards": shards, "settings": {}})
    pool = pl.DataFrame({"task": ["a", "b"], "prompt": ["p", "q"]})
    with pytest.raises(TaskselError):
        tasksel.select(
            pool,
            budget=1,
            **{stage: tmp_path / "run"},
            strategy="k-center" if stage == "embeddings" else "random",
        )


# Links


@pytest.fixture
def link(run, secret):
    """Give the function that lays a link to somebody's file."""

    def lay(name):
        (run / name).symlink_to(secret)
        return run / name

    return lay


@posix_only
@pytest.mark.parametrize(
    "write",
    [
        lambda path: ReplyJournal(path).__enter__(),
        lambda path: open_for_appending(path),
        lambda path: ShardJournal(path, "of this run").add(
            "part-0", type("R", (), {"sha256": "", "counts": {}})
        ),
    ],
    ids=["replies", "bytes", "shards"],
)
def test_a_journal_is_not_continued_in_another_file(link, secret, write):
    with pytest.raises(ResumeError, match="is a symbolic link"):
        write(link("journal.jsonl"))
    assert secret.read_text() == "mine\n"


@posix_only
def test_a_lock_is_no_link(run, link, secret):
    link(".lock")
    with pytest.raises(ResumeError, match="is a symbolic link"), folder_lock(run):
        pass
    assert secret.read_text() == "mine\n"


@posix_only
def test_a_progress_file_is_not_written_through_a_link(run, link, secret):
    link(".progress.json.tmp")
    ProgressFile(run / ".progress.json").tell(1, 1, Pace())
    assert secret.read_text() == "mine\n"
    assert json.loads((run / ".progress.json").read_text())["rows_done"] == 1


@posix_only
def test_a_written_file_takes_the_place_of_a_link(run, link, secret):
    write_text(link("report.html"), "new")
    assert secret.read_text() == "mine\n"
    assert (run / "report.html").read_text() == "new"
    assert not (run / "report.html").is_symlink()


def test_nobody_can_guess_where_a_file_is_written_first(run):
    names = set()
    for _ in range(20):
        with atomic_path(run / "a") as temporary:
            temporary.write_text("x")
            names.add(temporary.name)
    assert len(names) == 20


@posix_only
def test_a_claimed_file_is_new_whatever_stood_there(run, link, secret):
    path = link("claimed")
    claim_file(path)
    assert path.read_bytes() == b""
    assert secret.read_text() == "mine\n"


@posix_only
def test_who_may_read_what_is_written_is_for_the_umask(run):
    before = os.umask(0o077)
    try:
        write_text(run / "private.json", "{}")
        with ReplyJournal(run / "replies.jsonl"), folder_lock(run / "stage"):
            pass
        claim_file(run / "claimed")
    finally:
        os.umask(before)
    paths = list(run.rglob("*"))
    assert len(paths) == 5
    assert not [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]


# Files


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_of_objects_are_refused_and_not_opened(tmp_path, suffix):
    ran, path = tmp_path / "it-ran", tmp_path / f"vectors{suffix}"
    array = np.array([[Bomb(ran)], [Bomb(ran)]], dtype=object)
    np.save(path, array, allow_pickle=True) if suffix == ".npy" else np.savez(path, array)
    pool = pl.DataFrame({"task": ["a", "b"], "prompt": ["p", "q"]})
    with pytest.raises(TaskselError):
        tasksel.select(pool, budget=1, embeddings=path, strategy="k-center")
    assert not ran.exists()


@pytest.mark.parametrize(
    "name",
    ["answers.zip", "answers.xlsx", "answers.tar.gz", "answers.xml", "answers.pkl", "answers.parquet.gz"],
)
def test_archives_and_xml_are_not_opened(tmp_path, name):
    """So there is no entry whose name leads out of a folder, no bomb to unpack and no entity to expand."""
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.csv", "id,response\na,b\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TaskselError, match=r"allowed|one of|packed|CSV"):
        read_answers(str(path))
    with pytest.raises(TaskselError, match="one of"):
        tasksel.load_pool(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_record_of_an_export_names_no_file_to_read(run, secret):
    secret.with_suffix(".csv").write_text("id,response\na,stolen\n")
    settings = {"to": "../secret", "answers": "../secret.csv", "file": str(secret)}
    write_json(
        run / EXPORT_NAME,
        {"stage": EXPORT_STAGE, "format_version": 1, "settings": settings, "prompts": {}},
    )
    with pytest.raises(TaskselError) as raised:
        read_answers(str(run))
    assert "stolen" not in str(raised.value)
