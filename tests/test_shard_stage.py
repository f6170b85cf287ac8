from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from scripted_worker import ScriptedWorker, make_pool, make_stage
from tasksel.run_folder import folder_lock, write_json
from tasksel.shard_files import write_partial, write_shard
from tasksel_core.errors import ResumeError, TaskselError

N_ROWS, N_SHARDS = 20, 5
WORKER = Path(__file__).with_name("scripted_worker.py")
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals, links and file locks are POSIX")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("finished")
    make_stage(run).finish()
    return run


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that was stopped at row 11: two shards, and three rows of the third."""
    run = tmp_path_factory.mktemp("interrupted")
    stop_at(run, 10)
    return run


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished / "scores", tmp_path / "scores")
    return tmp_path


@pytest.fixture
def half(interrupted, tmp_path):
    shutil.copytree(interrupted / "scores", tmp_path / "scores")
    return tmp_path


@pytest.fixture
def expected(finished):
    return read_bytes(finished)


def stop_at(run, row, **arguments):
    def stop(rows_done, rows_total, tokens_done):
        if rows_done >= row:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_stage(run, progress=stop, **arguments).finish()


def read_bytes(run):
    return {
        path.name: path.read_bytes() for path in sorted((run / "scores").iterdir()) if path.name != ".lock"
    }


def names(run):
    return sorted(path.name for path in (run / "scores").iterdir() if path.name != ".lock")


def finish(run, **arguments):
    stage = make_stage(run, **arguments)
    stage.finish()
    return stage


def flip_bits(path, place=0.5):
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0x10
    path.write_bytes(content)


# Interruption


def test_an_interrupted_run_keeps_every_finished_batch(half, expected):
    assert names(half) == [
        ".part-00002.partial.parquet",
        ".shards.jsonl",
        "part-00000.parquet",
        "part-00001.parquet",
        "settings.json",
    ]
    stage = finish(half)
    assert (stage.rows_reused, stage.new_tokens, stage.worker.batches) == (11, 18, 5)
    assert stage.notes == []
    assert read_bytes(half) == expected


@pytest.mark.parametrize("row", [1, 4, 5, 20])
def test_wherever_it_was_stopped_the_files_are_the_same(tmp_path, expected, row):
    stop_at(tmp_path, row)
    finish(tmp_path)
    assert read_bytes(tmp_path) == expected


def test_a_run_that_is_stopped_before_its_first_batch_binds_nobody(tmp_path):
    stop_at(tmp_path, 0, settings={"length": 9})
    assert "settings.json" in names(tmp_path)
    finish(tmp_path, settings={"length": 3})
    assert json.loads((tmp_path / "scores" / "settings.json").read_text())["settings"]["length"] == 3


@pytest.mark.parametrize("name", [".part-00000.partial.parquet", ".part-00000.replies.jsonl"])
def test_the_first_batch_binds_to_its_settings(tmp_path, name):
    stop_at(tmp_path, 0)
    (tmp_path / "scores" / name).write_bytes(b"what was computed or paid for")
    before = read_bytes(tmp_path)
    with pytest.raises(ResumeError, match=r"length 2 → 3\. Choose another output folder, or delete"):
        finish(tmp_path, settings={"length": 3})
    assert read_bytes(tmp_path) == before


def test_a_stop_while_the_worker_starts_begins_nothing(tmp_path):
    class Stopped(ScriptedWorker):
        def start(self):
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.2)
            return super().start()

    worker = Stopped()
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, worker=worker)
    assert worker.batches == 0
    assert not (tmp_path / "scores").exists()


def test_a_worker_that_fails_leaves_what_it_had_made(tmp_path, expected):
    class Failing(ScriptedWorker):
        def work(self, tasks, stopped):
            for made, piece in enumerate(super().work(tasks, stopped)):
                if made == 4:
                    raise TaskselError("The device is gone.")
                yield piece

    with pytest.raises(TaskselError, match="The device is gone"):
        finish(tmp_path, worker=Failing())
    assert finish(tmp_path).rows_reused == 8
    assert read_bytes(tmp_path) == expected


def test_what_a_kill_between_two_files_leaves_is_removed(copy, expected):
    folder = copy / "scores"
    for name in (
        ".shards.jsonl",
        ".progress.json",
        ".part-00001.partial.parquet",
        ".part-00003.parquet.7.tmp",
    ):
        (folder / name).write_bytes(b"left over")
    assert finish(copy).worker.starts == 0
    assert read_bytes(copy) == expected


def test_a_partial_shard_of_a_whole_one_is_removed(half, expected):
    shutil.copy(
        half / "scores" / ".part-00002.partial.parquet", half / "scores" / ".part-00000.partial.parquet"
    )
    finish(half)
    assert read_bytes(half) == expected


# Real signals


@pytest.fixture
def start(tmp_path):
    """Start a slow stage in a process of its own; it has finished its first batch when this returns."""
    started = []

    def start_process(*, ignores_ctrl_c=False, rows=600):
        prepare = [] if not ignores_ctrl_c else ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
        command = [*prepare, sys.executable, str(WORKER), str(tmp_path), str(rows), "60", "0.05"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start_process
    for process in started:
        process.kill()
        process.communicate()


def rows_kept(run):
    folder = run / "scores"
    files = [*folder.glob("part-*"), *folder.glob(".part-*.partial.parquet")]
    return sum(pl.read_parquet(path).height for path in files)


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_finishes_the_batch_and_says_how_to_go_on(start, tmp_path, number):
    process = start()
    process.send_signal(number)
    printed, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines() == [
        "Finishing the batch; Ctrl-C again stops at once.",
        "Stopped. Run the same command again to continue.",
    ]
    batches = 1 + printed.count("ready")
    assert rows_kept(tmp_path) == 3 * batches < 600
    stage = finish(tmp_path, pool=make_pool(600), shard_rows=60)
    assert stage.rows_reused == 3 * batches
    assert stage.notes == []


@posix_only
def test_the_second_ctrl_c_stops_at_once(tmp_path, start):
    process = start()
    process.send_signal(signal.SIGSTOP)  # so that both arrive within one batch
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "Stopped. Run the same command again to continue."
    assert finish(tmp_path, pool=make_pool(600), shard_rows=60).notes == []


@posix_only
def test_in_the_background_of_a_shell_ctrl_c_is_ignored_and_sigterm_heard(start):
    process = start(ignores_ctrl_c=True)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == process.stdout.readline() == "ready\n"
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.startswith("Finishing the batch")


# Two processes, and places that cannot be written to


@posix_only
def test_a_second_process_is_refused_at_once_and_a_killed_one_holds_nothing(start, tmp_path):
    process = start()
    started_s = time.monotonic()
    with pytest.raises(
        ResumeError, match="scores is in use by another tasksel process; wait for it or stop it"
    ):
        finish(tmp_path, pool=make_pool(600), shard_rows=60)
    assert time.monotonic() - started_s < 5
    process.kill()
    process.wait()
    finish(tmp_path, pool=make_pool(600), shard_rows=60)
    assert names(tmp_path)[0] == "manifest.json"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "scores").write_text("mine")
    with pytest.raises(ResumeError, match="scores is a file, where a folder is wanted"):
        finish(tmp_path)
    with pytest.raises(ResumeError, match="scores is a file, where a folder is wanted"):
        finish(tmp_path / "scores")
    assert (tmp_path / "scores").read_text() == "mine"


@pytest.fixture
def mount(tmp_path):
    """Run this test's stage in a process that sees a small disk of its own, mounted over a folder."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare to mount a disk for one process")

    def run(size, script, *, options=""):
        place = tmp_path / "disk"
        place.mkdir(exist_ok=True)
        mounted = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
        command = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            mounted,
            str(place),
            sys.executable,
            "-c",
            script,
            str(place),
        ]
        environment = {**os.environ, "PYTHONPATH": str(WORKER.parent)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
        if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
            pytest.skip("this user may not mount a disk")
        return done

    return run


REPORT = """
import os, pathlib, shutil, subprocess, sys
from scripted_worker import make_stage
run = pathlib.Path(sys.argv[1])

def report(stage):
    try:
        stage.finish()
    except OSError as error:
        print(error.errno, error.filename)
    else:
        print("whole", stage.rows_reused, stage.notes)
"""
FILL = """
for free_kib in range(0, 25, 4):
    with (run / "filler").open("ab") as file:
        file.write(bytes(os.statvfs(run).f_bavail * os.statvfs(run).f_frsize - free_kib * 1024))
    report(make_stage(run))
    print(sorted(path.name for path in run.rglob("*.tmp")))
    (run / "filler").unlink()
    report(make_stage(run))
    report(make_stage(run))
    print(sorted(path.name for path in (run / "scores").iterdir()))
    shutil.rmtree(run / "scores")
"""


@posix_only
def test_a_full_disk_keeps_what_was_finished_and_the_rest_follows_when_there_is_room(mount):
    done = mount("200k", REPORT + FILL)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    outcomes = list(zip(*(printed[line::5] for line in range(5)), strict=True))
    assert len(outcomes) == 7
    for full, left_over, again, whole, found in outcomes:
        assert full.startswith(f"{errno.ENOSPC} ")
        assert "/scores" in full
        assert left_over == "[]"
        assert again.startswith("whole ")
        assert again.endswith(" []")
        assert whole == f"whole {N_ROWS} []"
        shards = [f"part-0000{shard}.parquet" for shard in range(N_SHARDS)]
        assert found == str([".lock", "manifest.json", *shards, "settings.json"])
    assert len({again for _, _, again, _, _ in outcomes}) > 3, "every disk was full at the same moment"


@posix_only
def test_a_read_only_disk_is_said_and_nothing_is_lost(mount):
    script = (
        f"{REPORT}\n"
        "report(make_stage(run))\n"
        "subprocess.run(['mount', '-o', 'remount,ro', str(run)], check=True)\n"
        "report(make_stage(run))\n"
        "report(make_stage(run / 'another'))\n"
    )
    done = mount("400k", script)
    assert done.returncode == 0, done.stderr
    whole, again, new = done.stdout.splitlines()
    assert whole == "whole 0 []"
    assert again.split()[0] == new.split()[0] == str(errno.EROFS)


@pytest.mark.parametrize("name", [".shards.jsonl", "part-00001.parquet", "manifest.json", "settings.json"])
def test_a_file_that_cannot_be_written_keeps_the_others(tmp_path, expected, name, monkeypatch):
    real_open, real_os_open = Path.open, os.open

    def open_path(path, *arguments, **options):
        mode = arguments[0] if arguments else options.get("mode", "r")
        if name in path.name and mode[0] in "aw":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_open(path, *arguments, **options)

    def os_open(path, flags, *arguments, **options):  # of files that are appended to
        if name in str(path) and flags & os.O_WRONLY:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_os_open(path, flags, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_path)
    monkeypatch.setattr(os, "open", os_open)
    with pytest.raises(OSError, match="No space left on device"):
        finish(tmp_path)
    monkeypatch.undo()
    assert finish(tmp_path).notes == []
    assert read_bytes(tmp_path) == expected


def test_a_disk_without_locks_is_used_without_one(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    finish(tmp_path)


def test_a_look_at_the_lock_keeps_nobody_out(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    import threading

    (tmp_path / "scores").mkdir()
    with (tmp_path / "scores" / ".lock").open("a+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        timer = threading.Timer(0.05, lambda: fcntl.flock(handle, fcntl.LOCK_UN))
        timer.start()
        finish(tmp_path)
        timer.join()


# Clocks


def test_clocks_change_nothing(half, expected, monkeypatch):
    for age, path in enumerate(sorted((half / "scores").iterdir())):
        os.utime(path, (0 if age % 2 else 4e9, 0 if age % 2 else 4e9))
    hours = iter([4e9, 0.0] * 10_000)
    monkeypatch.setattr(time, "time", lambda: next(hours))
    stage = finish(half)
    assert stage.rows_reused == 11
    assert read_bytes(half) == expected


# Damage


def of_another_run(path):
    other = path.parents[1] / "other"
    make_stage(other, settings={"length": 9}).finish()
    shutil.copy(other / "scores" / path.name, path)
    shutil.rmtree(other)


def with_other_ids(path):
    shutil.copy(path.with_name("part-00000.parquet"), path)


def written_by_hand(path):
    pl.read_parquet(path).write_parquet(path)


def change_a_number(path):
    """Change the file so that it is still a Parquet file, with another number in it."""
    frame = pl.read_parquet(path)
    metadata = {name: text for name, text in pl.read_parquet_metadata(path).items() if "tasksel" in name}
    frame.with_columns(bytes=pl.col("bytes") + 1).write_parquet(path, metadata=metadata)


def with_another_column(path):
    """Write what carries the right run and a right checksum, and is no shard of it."""
    run_sha256 = pl.read_parquet_metadata(path)["tasksel.run_sha256"]
    write_shard(path, pl.read_parquet(path).with_columns(more=1), run_sha256=run_sha256, split_batches=0)


def with_a_row_twice(path):
    run_sha256 = pl.read_parquet_metadata(path)["tasksel.run_sha256"]
    frame = pl.read_parquet(path)
    write_partial(path, pl.concat([frame, frame[:1]]), run_sha256=run_sha256, split_batches=0)


DAMAGES = {
    "half": (lambda path: path.write_bytes(path.read_bytes()[:300]), "it has no checksum: it was cut short"),
    "empty": (lambda path: path.write_bytes(b""), "it has no checksum"),
    "garbage": (lambda path: path.write_bytes(os.urandom(4000)), "it has no checksum"),
    "page": (lambda path: flip_bits(path, 0.1), "it is not as it was written"),
    "footer": (lambda path: flip_bits(path, 0.6), "it is not as it was written"),
    "number": (change_a_number, "it is not as it was written"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"PAR1"), "it is not as it was written"),
    "by-hand": (written_by_hand, "it has no checksum"),
    "other-ids": (with_other_ids, "it holds other ids"),
    "columns": (with_another_column, "it has other columns"),
    "foreign": (of_another_run, "it belongs to another run"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("knows", ["manifest", "journal", "nothing"])
def test_a_damaged_shard_is_named_and_made_again_and_the_others_are_kept(copy, expected, damage, knows):
    folder = copy / "scores"
    if knows == "journal":  # as a kill before the manifest leaves it
        (folder / "manifest.json").unlink()
        (folder / "part-00004.parquet").unlink()
        stop_at(copy, 20)
        assert ".shards.jsonl" in names(copy)
    elif knows == "nothing":
        (folder / "manifest.json").unlink()
    kept = {name: (folder / name).stat().st_ino for name in names(copy) if name.startswith("part-")}
    spoil, reason = DAMAGES[damage]
    spoil(folder / "part-00001.parquet")
    stage = finish(copy)
    (note,) = stage.notes
    told = reason if knows == "nothing" else "it is not as it was written"
    assert note.startswith(f"part-00001.parquet was damaged ({told}")
    assert note.endswith("and is scored again.")
    assert stage.worker.batches == 2
    assert read_bytes(copy) == expected
    assert {
        name: (folder / name).stat().st_ino for name in kept if "00001" not in name
    }.items() <= kept.items()


def test_a_shard_that_the_disk_does_not_give_back_is_made_again(copy, expected, monkeypatch):
    (copy / "scores" / "manifest.json").unlink()
    read_bytes_of = Path.read_bytes

    def fail_once(path):
        if path.name == "part-00001.parquet":
            monkeypatch.undo()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_bytes_of(path)

    monkeypatch.setattr(Path, "read_bytes", fail_once)
    (note,) = finish(copy).notes
    assert note.startswith("part-00001.parquet was damaged (it cannot be read: Input/output error)")
    assert read_bytes(copy) == expected


@pytest.mark.parametrize("has_manifest", [True, False])
def test_any_flipped_bit_of_a_shard_is_noticed(copy, expected, has_manifest):
    path = copy / "scores" / "part-00001.parquet"
    size = path.stat().st_size
    for place in range(0, size, size // 40):
        if not has_manifest:
            (copy / "scores" / "manifest.json").unlink()
        flip_bits(path, place / size)
        assert len(finish(copy).notes) == 1
        assert read_bytes(copy) == expected


@posix_only
def test_a_folder_or_a_pipe_in_the_place_of_a_shard_is_refused_by_name(half):
    path = half / "scores" / "part-00001.parquet"
    path.unlink()
    path.mkdir()
    with pytest.raises(
        ResumeError, match=r"part-00001\.parquet is no file, but a shard has this name; remove it"
    ):
        finish(half)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ResumeError, match=r"part-00001\.parquet is no file"):
        finish(half)
    path.unlink()
    finish(half)


@posix_only
def test_a_folder_in_the_place_of_a_shard_of_a_finished_run_is_refused_by_name(copy):
    path = copy / "scores" / "part-00001.parquet"
    path.unlink()
    path.mkdir()
    with pytest.raises(ResumeError, match=r"part-00001\.parquet is no file"):
        finish(copy)


@posix_only
def test_links_are_read_and_never_written_through(half, tmp_path, expected):
    folder = half / "scores"
    (folder / "part-00000.parquet").rename(tmp_path / "elsewhere")
    (folder / "part-00000.parquet").symlink_to(tmp_path / "elsewhere")
    (folder / "part-00001.parquet").unlink()
    (folder / "part-00001.parquet").symlink_to(tmp_path / "nowhere")
    stage = finish(half)
    assert stage.rows_reused == 7
    assert not (tmp_path / "nowhere").exists()
    assert read_bytes(half) == expected


def test_a_shard_beyond_the_plan_is_refused(half):
    shutil.copy(half / "scores" / "part-00001.parquet", half / "scores" / "part-00077.parquet")
    with pytest.raises(
        ResumeError, match=r"part-00077\.parquet does not belong to this run, which has 5 shards"
    ):
        finish(half)


def test_a_shard_beyond_the_plan_of_a_finished_run_is_named(copy):
    shutil.copy(copy / "scores" / "part-00001.parquet", copy / "scores" / "part-00077.parquet")
    assert finish(copy).notes == [
        "part-00077.parquet does not belong to this run and is not read; remove it."
    ]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"shards": 1, "counts": {}}', bytes(range(256))], ids=str
)
def test_a_torn_manifest_is_written_again_and_no_row_is_made_again(copy, expected, content):
    (copy / "scores" / "manifest.json").write_bytes(content)
    stage = finish(copy)
    assert stage.notes == ["manifest.json was damaged, or of another run, and is written again."]
    assert stage.worker.batches == 0
    assert read_bytes(copy) == expected


def test_a_manifest_of_another_run_costs_no_shard(copy, expected, tmp_path):
    make_stage(tmp_path / "other", settings={"length": 9}).finish()
    shutil.copy(tmp_path / "other" / "scores" / "manifest.json", copy / "scores" / "manifest.json")
    stage = finish(copy)
    assert stage.worker.batches == 0
    assert read_bytes(copy) == expected


def test_a_manifest_that_was_shortened_by_hand_is_written_again(copy, expected):
    path = copy / "scores" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"].pop()
    write_json(path, manifest)
    assert finish(copy).worker.batches == 0
    assert read_bytes(copy) == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-70]),
        lambda path: path.write_bytes(path.read_bytes() + os.urandom(300)),
        lambda path: path.write_bytes(os.urandom(300)),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"[1]\n\n{}\nnull\n" + b"[" * 100_000),
        lambda path: path.unlink(),
        lambda path: path.write_text(path.read_text().replace('"rows": 4', '"rows": 5')),
        lambda path: path.write_text('{"run_sha256": "' + "0" * 64 + '"}\n'),
    ],
    ids=["torn", "tail", "garbage", "empty", "strange", "gone", "counts", "other-run"],
)
def test_a_damaged_journal_costs_nothing(half, expected, spoil):
    spoil(half / "scores" / ".shards.jsonl")
    stage = finish(half)
    assert stage.rows_reused == 11
    assert stage.notes == []
    assert read_bytes(half) == expected


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), "it has no checksum"),
        (lambda path: path.write_bytes(os.urandom(500)), "it has no checksum"),
        (lambda path: flip_bits(path, 0.1), "it is not as it was written"),
        (lambda path: shutil.copy(path.with_name("part-00001.parquet"), path), "it has other columns"),
        (lambda path: path.rename(path.with_name(".part-00003.partial.parquet")), "it holds other ids"),
        (with_a_row_twice, "its rows are not those of the shard"),
    ],
    ids=["empty", "garbage", "bit", "whole", "of-another-shard", "row-twice"],
)
def test_a_damaged_partial_shard_is_named_and_made_again(half, expected, spoil, reason):
    spoil(half / "scores" / ".part-00002.partial.parquet")
    stage = finish(half)
    (note,) = stage.notes
    assert f"was damaged ({reason}" in note
    assert "what was finished of part-0000" in note
    assert stage.rows_reused == 8
    assert read_bytes(half) == expected


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", os.urandom(99)], ids=["empty", "torn", "null", "garbage"]
)
def test_torn_settings_are_refused_and_nothing_is_touched(half, content):
    (half / "scores" / "settings.json").write_bytes(content)
    before = read_bytes(half)
    with pytest.raises(
        ResumeError, match=r"settings\.json cannot be read, so what .* was made from is unknown"
    ):
        finish(half)
    assert read_bytes(half) == before


@pytest.mark.parametrize("key", ["pool", "model", "settings", "versions", "format_version"])
@pytest.mark.parametrize("value", [None, 7, {}])
def test_settings_changed_by_hand_are_refused_or_harmless(half, expected, key, value):
    path = half / "scores" / "settings.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {key: value}))
    before = read_bytes(half)
    if key == "versions":
        stage = finish(half)
        assert stage.rows_reused == 11
        return
    with pytest.raises(ResumeError, match=r"settings\.json is not as tasksel wrote it|has format|→"):
        finish(half)
    assert read_bytes(half) == before


@pytest.mark.parametrize(("before", "after"), [({}, {"new": None}), ({"old": None}, {})], ids=str)
def test_a_setting_that_is_null_is_one_that_is_not_there(tmp_path, before, after):
    stop_at(tmp_path, 10, settings=before)
    stage = finish(tmp_path, settings=after)
    assert (stage.rows_reused, stage.notes) == (11, [])
    stage = finish(tmp_path, settings=after)
    assert (stage.rows_reused, stage.worker.starts, stage.notes) == (20, 0, [])


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [({}, {"new": 7}, "new null → 7"), ({"old": 7}, {}, "old 7 → null")],
    ids=["added", "taken-away"],
)
def test_a_setting_of_another_version_is_refused_before_anything_is_made_again(
    tmp_path, before, after, change
):
    stop_at(tmp_path, 10, settings=before)
    files = read_bytes(tmp_path)
    with pytest.raises(ResumeError, match=f"{change}. Choose another output folder"):
        finish(tmp_path, settings=after)
    assert read_bytes(tmp_path) == files


def test_shards_without_settings_are_refused(half):
    (half / "scores" / "settings.json").unlink()
    with pytest.raises(ResumeError, match=r"holds \.part-00002\.partial\.parquet but no settings\.json"):
        finish(half)


def test_a_folder_that_is_held_is_refused(copy):
    with folder_lock(copy / "scores"), pytest.raises(ResumeError, match="in use by another tasksel process"):
        finish(copy)
