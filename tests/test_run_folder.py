from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest

from tasksel.run_folder import (
    atomic_path,
    file_sha256,
    folder_lock,
    is_folder_held,
    read_json,
    text_sha256,
    write_json,
    write_text,
)
from tasksel.run_folder_seals import BrokenSealError, check_seal, write_sealed_frame
from tasksel_core.errors import ResumeError

NOBODY = 65_534

posix_only = pytest.mark.skipif(os.name != "posix", reason="file locks and SIGKILL are POSIX")


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def start(source, *arguments):
    """Start Python on `source` and wait for its first line, which says that it stands where it should."""
    process = subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.stdout.close()


def write_half(path, error):
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        raise error


# Atomic writes


def test_a_write_appears_whole_and_leaves_no_temporary_file(tmp_path):
    with atomic_path(tmp_path / "scores.txt") as temporary:
        temporary.write_text("half")
        assert temporary.parent == tmp_path  # a rename is atomic on one file system only
        assert not (tmp_path / "scores.txt").exists()
        temporary.write_text("whole")
    assert files_in(tmp_path) == ["scores.txt"]
    assert (tmp_path / "scores.txt").read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "manifest.json"
    write_text(path, "old")
    with pytest.raises(error):
        write_half(path, error)
    assert files_in(tmp_path) == ["manifest.json"]
    assert path.read_text() == "old"


def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "old"


@posix_only
@pytest.mark.parametrize("moment", ["before", "half"])
def test_sigkill_while_writing_leaves_the_old_file(tmp_path, moment):
    path = tmp_path / "part-00000.parquet"
    path.write_bytes(b"old")
    source = (
        "import pathlib, sys, time\n"
        "from tasksel.run_folder import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    if sys.argv[2] == 'half': temporary.write_bytes(b'ne')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    kill(start(source, path, moment))
    assert path.read_bytes() == b"old"
    # What is left over is hidden and of no name that a reader looks for, and the next write goes through.
    assert list(tmp_path.glob("part-*")) == [path]
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"


@contextlib.contextmanager
def unprivileged():
    """Give up root for a block: root may write anywhere, and tests often run as root in a container."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@posix_only
def test_an_unwritable_folder_keeps_its_content():
    # Not under tmp_path, whose parents only their owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        write_text(path, "old")
        Path(folder).chmod(0o555)
        with unprivileged(), pytest.raises(PermissionError):
            write_text(path, "new")
        Path(folder).chmod(0o755)
        assert path.read_text() == "old"
        assert files_in(Path(folder)) == ["a"]


def test_a_missing_folder_is_not_made_by_a_write(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "no" / "a", "text")
    assert files_in(tmp_path) == []


def test_a_folder_in_the_place_of_a_file_is_refused_and_kept(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "inside").touch()
    with pytest.raises(OSError, match="directory"):
        write_text(tmp_path / "a", "text")
    assert files_in(tmp_path) == ["a"]
    assert files_in(tmp_path / "a") == ["inside"]


# Text, JSON and hashes


@pytest.mark.parametrize("text", ["", "a\r\nb\rc\n", "é 🦀 \x00 \u2028", "\udcff"])
def test_text_is_written_and_hashed_byte_for_byte(tmp_path, text):
    raw = text.encode("utf-8", errors="surrogatepass")
    write_text(tmp_path / "a", text)
    assert (tmp_path / "a").read_bytes() == raw
    assert text_sha256(text) == file_sha256(tmp_path / "a") == hashlib.sha256(raw).hexdigest()


def test_a_file_of_several_blocks_has_the_hash_of_its_bytes(tmp_path):
    raw = bytes(range(256)) * 8192 + b"tail"
    (tmp_path / "a").write_bytes(raw)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(raw).hexdigest()


def test_json_keeps_order_and_letters_and_is_the_same_every_time(tmp_path):
    content = {"zeta": 1, "alpha": {"é": [1.5, None, "🦀"]}}
    write_json(tmp_path / "a.json", content)
    write_json(tmp_path / "b.json", json.loads((tmp_path / "a.json").read_text(encoding="utf-8")))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (
        (tmp_path / "a.json").read_text(encoding="utf-8").startswith('{\n  "zeta": 1,\n  "alpha": {\n    "é"')
    )
    assert read_json(tmp_path / "a.json") == content


def test_json_has_no_nan_and_a_refused_write_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("raw", [b"", b'{"a": 1', b"[1]", b"\xff\xfe", b"[" * 100_000, None])
def test_broken_json_is_named(tmp_path, raw):
    path = tmp_path / "settings.json"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(ResumeError, match=r"settings\.json"):
        read_json(path)


# The lock


@posix_only
def test_two_processes_cannot_hold_one_folder_and_a_kill_lets_go(tmp_path):
    source = (
        "import pathlib, sys, time\n"
        "from tasksel.run_folder import folder_lock\n"
        "with folder_lock(pathlib.Path(sys.argv[1])):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    holder = start(source, tmp_path / "run")
    try:
        with (
            pytest.raises(ResumeError, match="run is in use by another tasksel process"),
            folder_lock(tmp_path / "run"),
        ):
            pass
    finally:
        kill(holder)
    with folder_lock(tmp_path / "run"):
        pass


@posix_only
def test_a_lock_is_let_go_when_the_block_fails_and_after_it(tmp_path):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="inside"), folder_lock(tmp_path):
            raise RuntimeError("inside")
    with folder_lock(tmp_path), pytest.raises(ResumeError), folder_lock(tmp_path):
        pass


def test_a_lock_makes_its_folder_and_leaves_only_a_hidden_file(tmp_path):
    with folder_lock(tmp_path / "new" / "run"):
        assert (tmp_path / "new" / "run").is_dir()
    assert all(name.startswith(".") for name in files_in(tmp_path / "new" / "run"))


@posix_only
def test_who_only_looks_sees_a_lock_and_writes_nothing(tmp_path):
    assert not is_folder_held(tmp_path / "nowhere")
    assert not is_folder_held(tmp_path)
    assert files_in(tmp_path) == []
    with folder_lock(tmp_path):
        assert is_folder_held(tmp_path)
        assert is_folder_held(tmp_path)
    assert not is_folder_held(tmp_path)


@pytest.mark.parametrize("below", ["", "a/b"])
def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, below):
    (tmp_path / "run").write_text("mine")
    with (
        pytest.raises(ResumeError, match=r"run.* is a file, where a folder is wanted; choose another"),
        folder_lock(tmp_path / "run" / below),
    ):
        pass
    assert (tmp_path / "run").read_text() == "mine"


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*shard'"), atomic_path(tmp_path / "shard"):
        raise OSError(errno.ENOSPC, "No space left on device")


# Files that carry their own checksum


FRAME = pl.DataFrame({"id": ["a", "0" * 64], "numbers": [[0.5], [1.5, 2.5]]})


def test_a_sealed_frame_is_parquet_and_the_same_every_time(tmp_path):
    for name in "ab":
        sha256 = write_sealed_frame(tmp_path / name, FRAME, metadata={"run": "0" * 64, "z": "1"})
        assert sha256 == file_sha256(tmp_path / name)
    content = (tmp_path / "a").read_bytes()
    check_seal(content)
    assert content == (tmp_path / "b").read_bytes()
    assert pl.read_parquet(tmp_path / "a").equals(FRAME)
    metadata = pl.read_parquet_metadata(tmp_path / "a")
    assert (metadata["run"], metadata["z"], len(metadata["tasksel.file_sha256"])) == ("0" * 64, "1", 64)


def test_every_changed_byte_of_a_sealed_frame_is_noticed(tmp_path):
    write_sealed_frame(tmp_path / "a", FRAME, metadata={"run": "x"})
    content = (tmp_path / "a").read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(BrokenSealError):
            check_seal(bytes(changed))
    for end in range(0, len(content), 7):
        with pytest.raises(BrokenSealError):
            check_seal(content[:end])
