from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from scripted_worker import make_stage
from tasksel.cli_status import register
from tasksel.run_folder import folder_lock
from tasksel.run_status import read_status
from tasksel.terminal_status import print_status
from tasksel_core.errors import ConfigError

WORKER = Path(__file__).with_name("scripted_worker.py")
posix_only = pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX")


@pytest.fixture
def finished(tmp_path):
    make_stage(tmp_path).finish()
    return tmp_path


@pytest.fixture
def interrupted(tmp_path):
    """A run that was stopped at row 11: two shards of five, and three rows of the third."""

    def stop(rows_done, rows_total, tokens_done):
        if rows_done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_stage(tmp_path, progress=stop).finish()
    return tmp_path


def snapshot(run):
    return {
        str(path.relative_to(run)): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in run.rglob("*")
    }


def look(run, **options):
    """Look at a run with one stage; nothing in it may change by that."""
    before = snapshot(run)
    status = read_status(run, **options)
    assert snapshot(run) == before
    (stage,) = status.stages
    return stage


def printed(run):
    console = Console(width=80, file=io.StringIO())
    print_status(console, read_status(run))
    return console.file.getvalue()


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_finished_run(finished):
    stage = look(finished)
    assert (stage.name, stage.state, stage.pool, stage.model) == ("scores", "finished", "<frame>", "script")
    assert (stage.n_shards, stage.shards_done, stage.shards_missing) == (5, 5, 0)
    assert (stage.rows, stage.rows_done, stage.rows_partial, stage.tokens_done) == (20, 20, 0, 40)
    assert (stage.rows_per_s, stage.eta_s) == (None, None)
    assert printed(finished) == "scores: finished\n  5 of 5 shards done\n  20 of 20 rows; 40 tokens\n"


def test_an_interrupted_run_has_a_rate_and_a_time_to_go(interrupted):
    stage = look(interrupted)
    assert stage.state == "interrupted"
    assert (stage.shards_done, stage.shards_missing) == (2, 3)
    assert (stage.rows_done, stage.rows_partial, stage.tokens_done) == (11, 3, 16)
    assert stage.rows_per_s > 0
    assert stage.tokens_per_s == pytest.approx(2 * stage.rows_per_s)
    assert stage.eta_s == pytest.approx(9 / stage.rows_per_s)
    text = printed(interrupted)
    assert "2 of 5 shards done; 3 not made yet" in text
    assert "11 of 20 rows (55%), 3 of them in shards that are not whole; 16 tokens" in text
    assert text.endswith("The same command continues it.\n")
    assert max(map(len, text.splitlines())) <= 80


def test_a_rate_is_that_of_the_last_session_that_finished_a_shard(interrupted):
    before = look(interrupted)

    def stop(rows_done, rows_total, tokens_done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_stage(interrupted, progress=stop).finish()
    assert look(interrupted).rows_per_s == before.rows_per_s


def test_a_run_that_has_not_begun(tmp_path):
    def stop(rows_done, rows_total, tokens_done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_stage(tmp_path, progress=stop).finish()
    stage = look(tmp_path)
    assert (stage.state, stage.shards_done, stage.shards_missing, stage.rows_done) == ("interrupted", 0, 5, 0)


@posix_only
def test_a_running_process_is_seen_within_a_shard_and_not_disturbed(tmp_path):
    command = [sys.executable, str(WORKER), str(tmp_path), "600", "600", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            process.stdout.readline()
            deadline_s = time.monotonic() + 60
            while (stage := read_status(tmp_path).stages[0]).rows_done < 6:
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            assert (stage.state, stage.shards_done) == ("running", 0)
            assert stage.tokens_done == 2 * stage.rows_done
            assert stage.rows_per_s > 0
            assert stage.eta_s == pytest.approx((600 - stage.rows_done) / stage.rows_per_s)
            assert "to go" in printed(tmp_path)
            process.kill()
            process.communicate()
            assert (tmp_path / "scores" / ".progress.json").exists()
            stage = read_status(tmp_path).stages[0]
            assert (stage.state, stage.rows_done, stage.rows_per_s) == ("interrupted", 0, None)
        finally:
            process.kill()


@posix_only
def test_who_holds_a_folder_is_running(finished):
    with folder_lock(finished / "scores"):
        assert look(finished).state == "running"
    assert look(finished).state == "finished"


@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_damaged_shard_is_named_and_fast_does_not_look(finished, has_manifest):
    if not has_manifest:
        (finished / "scores" / "manifest.json").unlink()
    flip_a_bit(finished / "scores" / "part-00001.parquet")
    stage = look(finished)
    assert stage.state == "damaged"
    assert stage.damaged == {"part-00001.parquet": "it is not as it was written"}
    assert (stage.shards_done, stage.shards_missing, stage.rows_done) == (4, 0, 16)
    assert look(finished, hashes=False).state == ("finished" if has_manifest else "interrupted")
    text = printed(finished)
    assert "4 of 5 shards done; 1 damaged" in text
    assert "! part-00001.parquet: it is not as it was written.\n" in text
    assert "makes what is damaged again" in text
    make_stage(finished).finish()
    assert look(finished).state == "finished"


def test_a_shard_of_another_run_is_damage_also_without_a_journal(finished, tmp_path):
    make_stage(tmp_path / "other", settings={"length": 9}).finish()
    shutil.copy(
        tmp_path / "other" / "scores" / "part-00001.parquet", finished / "scores" / "part-00001.parquet"
    )
    shutil.rmtree(tmp_path / "other")
    (finished / "scores" / "manifest.json").unlink()
    assert look(finished).damaged == {"part-00001.parquet": "it belongs to another run"}


def test_a_shard_that_a_manifest_lists_and_is_gone_is_damage(finished):
    (finished / "scores" / "part-00004.parquet").unlink()
    assert look(finished).damaged == {"part-00004.parquet": "it is not there"}


def test_foreign_names_are_told(finished):
    for number in range(70, 80):
        shutil.copy(
            finished / "scores" / "part-00001.parquet", finished / "scores" / f"part-000{number}.parquet"
        )
    stage = look(finished)
    assert (stage.state, len(stage.foreign), stage.damaged) == ("damaged", 10, {})
    text = printed(finished)
    assert "! part-00070.parquet does not belong to this run; remove it.\n" in text
    assert "And 2 more; --json names all." in text


@pytest.mark.parametrize("name", ["settings.json", "manifest.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\x00", b'{"settings": {"shard_rows": "x"}}'])
def test_torn_json_is_damage(finished, name, content):
    (finished / "scores" / name).write_bytes(content)
    stage = look(finished)
    assert stage.state == "damaged"
    assert list(stage.damaged) == [name]


def test_a_damaged_partial_shard_is_told(interrupted):
    flip_a_bit(interrupted / "scores" / ".part-00002.partial.parquet")
    stage = look(interrupted)
    assert list(stage.damaged) == [".part-00002.partial.parquet"]
    assert (stage.rows_done, stage.rows_partial) == (8, 0)


@posix_only
def test_a_folder_in_the_place_of_a_shard_is_damage(interrupted):
    path = interrupted / "scores" / "part-00001.parquet"
    path.unlink()
    path.mkdir()
    assert look(interrupted).damaged == {"part-00001.parquet": "it is no file"}


@pytest.mark.parametrize("content", [b"", b"garbage\x00", b"[" * 100_000])
def test_a_damaged_journal_hides_no_shard(interrupted, content):
    (interrupted / "scores" / ".shards.jsonl").write_bytes(content)
    stage = look(interrupted)
    assert (stage.state, stage.shards_done, stage.rows_done, stage.rows_per_s) == ("interrupted", 2, 11, None)


def test_clocks_and_dates_of_files_change_nothing(interrupted, monkeypatch):
    before = read_status(interrupted)
    for path in (interrupted / "scores").iterdir():
        os.utime(path, (4e9, 4e9))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert read_status(interrupted) == before


def test_several_stages_and_other_folders_are_told(finished):
    shutil.copytree(finished / "scores", finished / "embeddings")
    (finished / "notes").mkdir()
    for name, files in {
        "training": ("settings.json", "checkpoint-3/x"),
        "chosen": ("selected.parquet", "manifest.json"),
        "evaluation": ("report.json", "manifest.json"),
        "strange": ("manifest.json",),
    }.items():
        for file in files:
            (finished / name / file).parent.mkdir(parents=True, exist_ok=True)
            (finished / name / file).write_text("{}")
    status = read_status(finished)
    assert [stage.name for stage in status.stages] == ["embeddings", "scores"]
    assert [(other.name, other.kind, other.state) for other in status.others] == [
        ("chosen", "selection", "finished"),
        ("evaluation", "evaluation", "finished"),
        ("strange", "other", "finished"),
        ("training", "training", "interrupted"),
    ]
    with folder_lock(finished / "training"):
        assert [other.state for other in read_status(finished).others][-1] == "running"
    text = printed(finished)
    assert "chosen (selection): finished\n" in text
    assert "training: interrupted\n" in text


def test_a_stage_can_be_given_itself(finished):
    assert look(finished / "scores").state == "finished"


def test_a_folder_without_anything_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no run folder .*nowhere\."):
        read_status(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="is no run folder: neither it nor a folder in it holds"):
        read_status(tmp_path)


@pytest.fixture
def run_command():
    import typer

    app = typer.Typer()
    register(app)
    app.command("another")(lambda: None)
    return lambda *arguments: CliRunner().invoke(app, ["status", *map(str, arguments)])


def test_the_command_exits_with_3_where_something_is_damaged(run_command, finished):
    done = run_command(finished)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "scores: finished")
    flip_a_bit(finished / "scores" / "part-00002.parquet")
    assert run_command(finished).exit_code == 3
    assert run_command(finished, "--fast").exit_code == 0
    done = run_command(finished, "--json")
    assert done.exit_code == 3
    content = json.loads(done.stdout)
    assert not content["is_in_order"]
    assert content["is_hashed"]
    assert content["stages"][0]["damaged"] == {"part-00002.parquet": "it is not as it was written"}


def test_the_command_refuses_what_is_no_run(run_command, tmp_path):
    done = run_command(tmp_path / "nowhere")
    assert done.exit_code == 2
    assert "There is no run folder" in done.stderr


def test_an_interrupted_run_is_in_order(run_command, interrupted):
    assert run_command(interrupted).exit_code == 0
